"""Sheet music of a piano score: two hands, bars, MusicXML and SVG."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from symusic.core import ScoreTick

from emomusic.files import write_text
from emomusic.music.notation.engraving import svg_of
from emomusic.music.notation.grid import bars_of, written_hands
from emomusic.music.notation.marks import dynamic_marks, places_of, tempo_marks
from emomusic.music.notation.rhythm import signs_of
from emomusic.music.notation.sheet import Sheet, musicxml_of
from emomusic.music.notation.spelling import signature_of, spell
from emomusic.music.score import ScoreError, notes_of

__all__ = ["MAX_NOTES", "PAGE_WIDTH", "Notation", "notate"]

MAX_NOTES = 5_000
MAX_TITLE = 120
PAGE_WIDTH = 2100


@dataclass(frozen=True)
class Notation:
    """Hold a score as sheet music.

    Attributes:
        musicxml: A MusicXML 4.0 document.
        n_bars: Bars written.
    """

    musicxml: str
    n_bars: int

    def svg(self, *, width: int = PAGE_WIDTH) -> str:
        """Return the sheet music as one SVG document, all systems one below the other.

        The same sheet gives the same text. Fonts are in it; nothing outside is referred to.

        Args:
            width: Tenths of a millimetre, 600 to 4000: a narrow page has fewer bars in a line.

        Raises:
            ValueError: If the width is out of range.
            ImportError: If verovio is not installed.
        """
        return svg_of(self.musicxml, width=width)

    def write_musicxml(self, path: str | os.PathLike[str]) -> None:
        """Write a MusicXML file, whole or not at all.

        Raises:
            OSError: If the folder is missing, not writable or full.
        """
        write_text(Path(path), self.musicxml)

    def write_svg(self, path: str | os.PathLike[str], *, width: int = PAGE_WIDTH) -> None:
        """Write an SVG file, whole or not at all.

        Raises:
            OSError: If the folder is missing, not writable or full.
            ValueError: As `svg`, like `ImportError`.
        """
        write_text(Path(path), self.svg(width=width))


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
    signature = signature_of(notes, key)
    staves = signs_of(right, bars), signs_of(left, bars)
    sheet = Sheet(
        bars=bars,
        staves=staves,
        places=(places_of(staves[0], is_right=True), places_of(staves[1], is_right=False)),
        spelled=spell((left.chords, right.chords), bars, signature),
        signature=signature,
        tempos=tempo_marks(score, bars),
        dynamics=dynamic_marks(notes, bars),
        title="".join(c for c in title if c.isprintable()).strip()[:MAX_TITLE],
    )
    return Notation(musicxml_of(sheet), len(bars))
