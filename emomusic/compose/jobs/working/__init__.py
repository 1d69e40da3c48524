"""Who composes the blocks of a job: this process, several, or a cluster."""
