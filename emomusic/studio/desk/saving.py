"""The files of a piece that a person takes away."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from emomusic.compose.export import writers_of
from emomusic.compose.parse import ClipSpec
from emomusic.compose.request import FORMATS
from emomusic.files import write_atomically
from emomusic.music.score import ScoreError
from emomusic.studio.desk.session import StudioPiece

ORDER = sorted(FORMATS, key=lambda suffix: (FORMATS[suffix] or "", suffix != "mid", suffix))
"""What is there at once comes first, then sound, then notation."""
PLAYED = "flac"
"""For the page alone: in browsers as good as MP3, and encoded ten times as fast."""
PACKED = frozenset({"mp3", "wav"})
"""Stored in the ZIP as they are: one is packed already, the other hardly gets smaller."""
BUNDLE = "zip"
MAX_STEM = 48
SOUNDS = frozenset(suffix for suffix, extra in FORMATS.items() if extra == "audio")
MAX_SOUND_S = 600.0
"""Longer sound fills the memory, and nobody else hears anything while it is made."""


def settings_text(piece: StudioPiece) -> str:
    """Return the settings file of a piece; empty if it was not composed here."""
    return "" if piece.clip is None else ClipSpec.of(piece.clip).to_json()


def stem_of(piece: StudioPiece) -> str:
    """Return a file name for a piece, of plain letters, digits and hyphens."""
    if piece.clip is None:
        return "emomusic-brought"
    emotion, clip = piece.clip.request.emotion, piece.clip
    name = "free" if emotion is None else emotion.name or emotion.quadrant
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_STEM].strip("-")
    return f"emomusic-{plain}-{clip.seed}-{clip.index}"


def save(piece: StudioPiece, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write a piece in all formats, and a ZIP of them.

    Args:
        piece: Composed or brought.
        folder: There already; for this piece alone.

    Yields:
        Ending and file, each as soon as it is written. A piece too long for notation has none,
        and one longer than ten minutes no sound.

    Raises:
        OSError: If a file cannot be written.
    """
    stem, written = stem_of(piece), dict[str, Path]()
    left_out = {"json"} if piece.clip is None else set[str]()
    if float(piece.bars_s[-1]) > MAX_SOUND_S:
        left_out |= SOUNDS
    formats = [suffix for suffix in ORDER if suffix not in left_out]
    writers = writers_of(piece.score, formats, key=piece.key, settings=lambda: settings_text(piece))
    try:
        for suffix, write in writers:
            path = folder / f"{stem}.{suffix}"
            write(path)
            written[suffix] = path
            yield suffix, path
    except ScoreError:
        pass  # the notation comes last, and all else is there
    bundle = folder / f"{stem}.{BUNDLE}"
    _bundle([path for suffix, path in written.items() if suffix != PLAYED], bundle)
    yield BUNDLE, bundle


def _bundle(paths: list[Path], bundle: Path) -> None:
    def write(file: object) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
            for path in paths:
                as_it_is = path.suffix[1:] in PACKED
                how = zipfile.ZIP_STORED if as_it_is else zipfile.ZIP_DEFLATED
                archive.write(path, path.name, compress_type=how)

    write_atomically(bundle, write)
