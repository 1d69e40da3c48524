"""Asked against heard, over many clips."""
