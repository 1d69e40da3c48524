"""What is asked for, and what of it can be kept and taken further."""
