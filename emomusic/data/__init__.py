"""Corpora to packed rows of ids."""
