"""What people bring: MIDI files, settings files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from emomusic.compose.parse import MAX_CHARACTERS, ClipSpec, parse_settings_file
from emomusic.music.key import estimate_key
from emomusic.music.score import ScoreError, notes_of, read_score, tempo_of
from emomusic.studio.desk.session import StudioPiece
from emomusic.verify.verifier import Verifier

MAX_NOTES = 20_000
MAX_NAME = 60
MAX_S = 1_800.0
MAX_BARS = 2_000
MIN_BAR_S = 0.01
"""Shorter bars are no music, and cannot be told apart on the page."""


def read_piece(path: Path, verifier: Verifier) -> StudioPiece:
    """Read a MIDI file and hear it.

    Args:
        path: The file, under the name it was brought by.
        verifier: Hears it.

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
    _check_bars(piece)
    return replace(piece, verdict=verifier.verdict(notes))


def _check_bars(piece: StudioPiece) -> None:
    if piece.n_bars > MAX_BARS:
        raise ScoreError(f"the music has {piece.n_bars} bars, at most {MAX_BARS} are taken here")
    shortest = float(np.diff(piece.bars_s).min())
    if shortest < MIN_BAR_S:
        raise ScoreError(f"a bar must last {MIN_BAR_S:g} s at least, one lasts {shortest:.2g} s")


def read_settings(path: Path) -> ClipSpec:
    """Read a settings file.

    Raises:
        SettingsError: If it cannot be used.
    """
    return parse_settings_file(path.read_bytes()[: MAX_CHARACTERS + 1].decode(errors="replace"))
