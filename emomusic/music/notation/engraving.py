"""Sheet music drawn: MusicXML to SVG."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

WIDTHS = (600, 4000)
SCALE = 40
"""Percent: verovio's tenths of a millimetre to pixels."""
MAX_PAGE = 60_000
MAX_SEED = 2**30
"""Ids are drawn by the sheet, so that two sheets in one web page seldom share one."""
PAGE = re.compile(r'<svg viewBox="0 0 (\d+) (\d+)"')
REFERENCE = re.compile(r'( id="|href="#|#)([\w-]+)')
"""An id, or a link or a style that names one."""
_ONE_AT_A_TIME = Lock()
"""Verovio counts its ids in one place for the whole process."""


def svg_of(musicxml: str, *, width: int) -> str:
    """Return sheet music as one SVG document, the same text for the same sheet and width.

    Args:
        musicxml: A MusicXML document.
        width: Tenths of a millimetre, 600 to 4000.

    Raises:
        ValueError: If the width is out of range, or the document is no MusicXML.
        ImportError: If verovio is not installed.
    """
    if not WIDTHS[0] <= width <= WIDTHS[1]:
        raise ValueError(f"width must be in {WIDTHS[0]} to {WIDTHS[1]}, got {width}")
    import verovio

    with _ONE_AT_A_TIME:
        verovio.enableLog(verovio.LOG_OFF)
        # Where its fonts lie verovio knows in the thread alone that imported it.
        toolkit = verovio.toolkit(False)
        toolkit.setResourcePath(str(Path(verovio.__file__).parent / "data"))
        toolkit.setOptions(
            {
                "pageWidth": width,
                "pageHeight": MAX_PAGE,
                "adjustPageHeight": True,
                "footer": "none",
                "scale": SCALE,
                "svgViewBox": True,
                "xmlIdSeed": zlib.crc32(musicxml.encode()) % MAX_SEED + 1,
            }
        )
        if not toolkit.loadData(musicxml):
            raise ValueError("the text is no MusicXML that can be drawn")
        pages = [toolkit.renderToSVG(number + 1) for number in range(toolkit.getPageCount())]
    return _one_below_the_other(pages)


def _one_below_the_other(pages: Sequence[str]) -> str:
    """Return one SVG document of several, as wide as the first."""
    placed: list[str] = []
    taken: set[str] = set()
    width = height = 0
    for page in pages:
        size = PAGE.search(page)
        if size is None:
            raise ValueError("verovio drew a page without a size")
        width, own = int(size[1]), int(size[2])
        page = _with_own_ids(page, len(placed), taken)
        placed.append(PAGE.sub(f'<svg y="{height}" width="{width}" height="{own}"'
                               f' viewBox="0 0 {width} {own}"', page, count=1))  # fmt: skip
        height += own
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="Sheet music">'
    )
    return "\n".join([head, *placed, "</svg>\n"])


def _with_own_ids(page: str, number: int, taken: set[str]) -> str:
    """Return a page in which no id is used that is taken, and take its ids."""

    def renamed(match: re.Match[str]) -> str:
        return match[0] + (f"p{number}" if match[2] in taken else "")

    own = REFERENCE.sub(renamed, page)
    taken.update(match[2] for match in REFERENCE.finditer(page))
    return own
