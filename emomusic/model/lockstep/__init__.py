"""The reference engine: torch, on the CPU or a GPU, rows in blocks that step together."""
