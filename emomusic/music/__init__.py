"""Scores: reading and writing, attributes, tokens, sound and pictures."""
