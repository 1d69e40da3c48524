"""Compose piano music for an emotion, and show that the emotion is in it."""

__version__ = "0.1.0"
