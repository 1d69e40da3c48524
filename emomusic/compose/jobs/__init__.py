"""Many clips: what is asked for in rows, composed in blocks, by one process or by many machines."""
