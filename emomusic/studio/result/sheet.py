"""The style sheet of the result."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def style() -> str:
    """Return the style sheet; each of its classes begins with `emo-`, its colours are gradio's."""
    asset = files("emomusic.studio.result").joinpath("result.css")
    return asset.read_text(encoding="utf-8")
