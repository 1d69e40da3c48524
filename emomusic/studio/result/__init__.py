"""What was asked against what is heard: a piece's result as HTML and SVG text."""

from emomusic.studio.result.drawings import Asked
from emomusic.studio.result.page import Result, result_page

__all__ = ["Asked", "Result", "result_page"]
