"""What was asked against what is heard: a clip's result as HTML and SVG text."""

from emomusic.studio.result.page import heard_page, result_page
from emomusic.studio.result.sheet import style

__all__ = ["heard_page", "result_page", "style"]
