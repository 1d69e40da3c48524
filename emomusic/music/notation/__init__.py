"""Sheet music of a piano score: two hands, bars, MusicXML and SVG."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

from symusic.core import ScoreTick

from emomusic.files import write_text
from emomusic.music.key import estimate_key, signature_of
from emomusic.music.notation.grid import bars_of, written_hands
from emomusic.music.notation.musicxml import Sheet, dynamic_marks, musicxml_of, spell, tempo_marks
from emomusic.music.notation.rhythm import signs_of
from emomusic.music.score import ScoreError, notes_of

MAX_NOTES = 5_000
MAX_TITLE = 120
PAGE_WIDTH, MAX_PAGE = 2100, 60_000
"""Width and greatest height of a page, in tenths of a millimetre."""
SCALE = 40
"""Percent: verovio's tenths of a millimetre to pixels."""
MAX_SEED = 2**30
"""Ids are drawn by the sheet, so that two sheets in one web page seldom share one."""
PAGE = re.compile(r'<svg viewBox="0 0 (\d+) (\d+)"')
REFERENCE = re.compile(r'( id="|href="#|#)([\w-]+)')
"""An id, or a link or a style that names one."""
_ONE_AT_A_TIME = Lock()
"""Verovio counts its ids in one place for the whole process."""


@dataclass(frozen=True)
class Notation:
    """Hold a score as sheet music.

    Attributes:
        musicxml: A MusicXML 4.0 document.
    """

    musicxml: str

    def svg(self) -> str:
        """Return the sheet music as one SVG document, all systems one below the other.

        The same sheet gives the same text. Fonts are in it; nothing outside is referred to.

        Raises:
            ValueError: If the document is no MusicXML.
            ImportError: If verovio is not installed.
        """
        import verovio

        with _ONE_AT_A_TIME:
            verovio.enableLog(verovio.LOG_OFF)
            # Where its fonts lie verovio knows in the thread alone that imported it.
            toolkit = verovio.toolkit(False)
            toolkit.setResourcePath(str(Path(verovio.__file__).parent / "data"))
            toolkit.setOptions(
                {
                    "pageWidth": PAGE_WIDTH,
                    "pageHeight": MAX_PAGE,
                    "adjustPageHeight": True,
                    "footer": "none",
                    "scale": SCALE,
                    "svgViewBox": True,
                    "xmlIdSeed": zlib.crc32(self.musicxml.encode()) % MAX_SEED + 1,
                }
            )
            if not toolkit.loadData(self.musicxml):
                raise ValueError("the text is no MusicXML that can be drawn")
            return _one_below_the_other(
                [toolkit.renderToSVG(number + 1) for number in range(toolkit.getPageCount())]
            )

    def write_musicxml(self, path: str | os.PathLike[str]) -> None:
        """Write a MusicXML file, whole or not at all.

        Raises:
            OSError: If the folder is missing, not writable or full.
        """
        write_text(Path(path), self.musicxml)

    def write_svg(self, path: str | os.PathLike[str]) -> None:
        """Write an SVG file, whole or not at all.

        Raises:
            OSError: If the folder is missing, not writable or full.
            ImportError: As `svg`.
        """
        write_text(Path(path), self.svg())


def _renamed(match: re.Match[str], *, names: set[str], suffix: str) -> str:
    return match[0] + (suffix if match[2] in names else "")


def _one_below_the_other(pages: Sequence[str]) -> str:
    """Return one SVG document of several, as wide as the first, each with ids of its own."""
    placed: list[str] = []
    taken: set[str] = set()
    width = height = 0
    for number, page in enumerate(pages):
        size = PAGE.search(page)
        if size is None:
            raise ValueError("verovio drew a page without a size")
        width, own = int(size[1]), int(size[2])
        ids = {match[2] for match in REFERENCE.finditer(page)}
        page = REFERENCE.sub(partial(_renamed, names=ids & taken, suffix=f"p{number}"), page)
        taken |= ids
        place = f'<svg y="{height}" width="{width}" height="{own}" viewBox="0 0 {width} {own}"'
        placed.append(PAGE.sub(place, page, count=1))
        height += own
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="Sheet music">'
    )
    return "\n".join([head, *placed, "</svg>\n"])


def notate(score: ScoreTick, *, key: str | None = None, title: str = "") -> Notation:
    """Write a score as sheet music for the piano.

    Onsets move to sixteenths, or to eighth triplets in beats where those fit; all tracks but
    drums are given to two hands. A chord ends where the next of its hand begins, at the
    latest; short silences are not written. Bars, tempo and changes of both are the score's; the
    pedal is left out.

    Args:
        score: At most 5,000 notes and 600 bars.
        key: The key to write it in, such as `F# minor`; None estimates it.
        title: Written above.

    Raises:
        ScoreError: If the score holds no notes, or is too long, or has bars that cannot be
            written.
        ValueError: If the key is none.
        ImportError: If music21 is not installed.
    """
    notes = notes_of(score)
    if len(notes) > MAX_NOTES:
        raise ScoreError(
            f"the score has {len(notes)} notes, sheet music is written for at most {MAX_NOTES}"
        )
    bars = bars_of(score, notes)
    left, right = written_hands(notes, bars)
    signature = signature_of(estimate_key(notes).name if key is None else key)
    sheet = Sheet(
        bars=bars,
        staves=(signs_of(right, bars), signs_of(left, bars)),
        spelled=spell((left.chords, right.chords), bars, signature),
        signature=signature,
        tempos=tempo_marks(score, bars),
        dynamics=dynamic_marks(notes, bars),
        title="".join(c for c in title if c.isprintable()).strip()[:MAX_TITLE],
    )
    return Notation(musicxml_of(sheet))
