"""The forms of the songs in packed rows, as a table to draw from."""

from __future__ import annotations

import numpy as np

from emomusic.music.chords import UNKNOWN
from emomusic.music.form import FormTable, written_form, written_harmony
from emomusic.music.notes import IntColumn
from emomusic.training.rows import Rows

MAX_BARS = 64
MIN_BARS = 16
KNOWN = 0.75
"""Half bars of a song whose chord is known, from which on it says how chords come back."""


def measure_forms(rows: Rows, *, n_forms: int = 1_500, seed: int = 0) -> FormTable | None:
    """Return how so many songs of the training part go, from their first bar on.

    Songs are drawn evenly over those with at least 16 bars whose chords are known, or over all
    of that length where no song's are; up to 64 bars of each are taken, about 160 KB in all.

    Args:
        rows: Packed rows.
        n_forms: Songs at most.
        seed: Of the draw.

    Returns:
        The table; None if no song has 16 bars.
    """
    starts, stops = _song_bars(rows)
    long_enough = (stops - starts >= MIN_BARS) & ~rows.song_is_validation
    is_known = np.array([
        bool(begin < end and (rows.bar_chords[begin:end] != UNKNOWN).mean() >= KNOWN)
        for begin, end in zip(starts, stops, strict=True)
    ])  # fmt: skip
    songs = np.flatnonzero(long_enough & is_known)
    if not len(songs):
        songs = np.flatnonzero(long_enough)
    if not len(songs):
        return None
    songs = np.sort(np.random.default_rng(seed).permutation(songs)[:n_forms])
    bars = [slice(starts[song], min(stops[song], starts[song] + MAX_BARS)) for song in songs]
    return FormTable(
        tuple(written_form(rows.bar_form[own].tolist()) for own in bars),
        tuple(written_harmony(rows.bar_chords[own]) for own in bars),
    )


def _song_bars(rows: Rows) -> tuple[IntColumn, IntColumn]:
    """Return the first bar of each song that a clip has, and the one after the last."""
    n_songs = len(rows.song_source)
    first = rows.clip_bar.astype(np.int64)
    starts = np.full(n_songs, len(rows.bar_start))
    stops = np.zeros(n_songs, dtype=np.int64)
    np.minimum.at(starts, rows.clip_song, first)
    np.maximum.at(stops, rows.clip_song, first + rows.clip_n_bars)
    return starts, stops
