"""Networks that write ids, one module a peer; each knows its own library and nothing else."""
