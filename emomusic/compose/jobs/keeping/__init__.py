"""What is kept of a job: clips, packs, the manifest, and what is known of it while it runs."""
