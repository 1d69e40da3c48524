"""The markup, styles and scripts of the components, files of their own beside them."""

from __future__ import annotations

from importlib.resources import files


def asset(name: str) -> str:
    """Return the text of a file in `assets/`, such as "roll.js"."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")
