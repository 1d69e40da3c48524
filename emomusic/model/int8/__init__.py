"""The fast engine on the CPU: int8 weights, every step in compiled code."""
