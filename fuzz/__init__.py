"""Hostile input: mutated files and texts against all that reads what comes from outside."""
