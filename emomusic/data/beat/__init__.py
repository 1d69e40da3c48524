"""Beats and bars of performances that have none: tracked, with confidence."""
