"""What people bring and what they take away: MIDI files, sound, notation."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from emomusic.compose.export import writers_of
from emomusic.compose.parse import ClipSpec
from emomusic.compose.request import FORMATS
from emomusic.files import write_atomically
from emomusic.music.key import estimate_key
from emomusic.music.score import ScoreError, notes_of, read_score, tempo_of
from emomusic.studio.session import StudioPiece
from emomusic.verify.verifier import Verifier

MAX_NOTES = 20_000
MAX_NAME = 60
MAX_S = 1_800.0
MAX_BARS = 2_000
MIN_BAR_S = 0.01
"""Shorter bars are no music, and cannot be told apart on the page."""
ORDER = sorted(FORMATS, key=lambda suffix: (FORMATS[suffix] or "", suffix != "mid", suffix))
"""What is there at once comes first, then sound, then notation."""
PLAYED = "flac"
"""For the page alone: in browsers as good as MP3, and encoded ten times as fast."""
PACKED = frozenset({"mp3", "wav"})
"""Stored in the ZIP as they are: one is packed already, the other hardly gets smaller."""
BUNDLE = "zip"
MAX_STEM = 48
MAX_SOUND_S = 600.0
"""Longer sound fills the memory, and nobody else hears anything while it is made."""


def read_piece(path: Path, verifier: Verifier) -> StudioPiece:
    """Read a MIDI file, which gives the piece its name, and hear it.

    Raises:
        ScoreError: If the file cannot be used, holds over 20,000 notes or 2,000 bars, or lasts
            over half an hour.
    """
    score = read_score(path)
    notes = notes_of(score)
    if len(notes) > MAX_NOTES:
        raise ScoreError(f"the file holds {len(notes)} notes, at most {MAX_NOTES} are taken here")
    length_s = float((notes.onset_s + notes.duration_s).max())
    if length_s > MAX_S:
        raise ScoreError(f"the music lasts {length_s:.0f} seconds, at most {MAX_S:.0f} are taken")
    name = "".join(c if c.isprintable() else "?" for c in path.name)[:MAX_NAME]
    piece = StudioPiece(score, estimate_key(notes).name, tempo_of(score), name=name)
    if piece.n_bars > MAX_BARS:
        raise ScoreError(f"the music has {piece.n_bars} bars, at most {MAX_BARS} are taken here")
    shortest = float(np.diff(piece.bars_s).min())
    if shortest < MIN_BAR_S:
        raise ScoreError(f"a bar must last {MIN_BAR_S:g} s at least, one lasts {shortest:.2g} s")
    return replace(piece, verdict=verifier.verdict(notes))


def settings_text(piece: StudioPiece) -> str:
    """Return the settings file of a piece; empty if it was not composed here."""
    return "" if piece.clip is None else ClipSpec.of(piece.clip).to_json()


def stem_of(piece: StudioPiece) -> str:
    """Return a file name for a piece, of plain letters, digits and hyphens."""
    if piece.clip is None:
        return "emomusic-brought"
    plain = re.sub(r"[^a-z0-9]+", "-", piece.feeling.lower()).strip("-")[:MAX_STEM].strip("-")
    return f"emomusic-{plain}-{piece.clip.seed}-{piece.clip.index}"


def save(piece: StudioPiece, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write a piece in all formats, and a ZIP of them, into a folder that is there for it alone.

    Yields:
        Ending and file, each as soon as it is written. A piece too long for notation has none,
        and one longer than ten minutes no sound.

    Raises:
        OSError: If a file cannot be written.
    """
    stem, written = stem_of(piece), dict[str, Path]()
    formats = [
        suffix
        for suffix in ORDER
        if (suffix != "json" or piece.clip is not None)
        and (FORMATS[suffix] != "audio" or piece.bars_s[-1] <= MAX_SOUND_S)
    ]
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

    def pack(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for suffix, path in written.items():
                if suffix != PLAYED:
                    how = zipfile.ZIP_STORED if suffix in PACKED else zipfile.ZIP_DEFLATED
                    archive.write(path, path.name, compress_type=how)

    write_atomically(bundle, pack)
    yield BUNDLE, bundle
