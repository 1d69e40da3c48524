"""Packed rows of which only what a test is about is said."""

from __future__ import annotations

from typing import Any

import numpy as np

from emomusic.training.rows import Rows


def plain_rows(**arrays: Any) -> Rows:
    """Return rows without known chords, form or hands, and what else is not said: zeros and ones.

    Args:
        arrays: Of `Rows`; at least `ids`, `bar_start`, the bars and songs of the clips, the
            sources of the songs, and `meta`.
    """
    n_bars, n_clips = len(arrays["bar_start"]) - 1, len(arrays["clip_bar"])
    n_songs, texts = len(arrays["song_source"]), arrays["meta"].get("vocabulary", [])
    pitches = [i for i, text in enumerate(texts) if text.startswith("Pitch_")]
    filled = {
        "bar_values": np.zeros((n_bars, 1), np.float32),
        "bar_chords": np.full((n_bars, 2), -1, np.int16),
        "bar_form": np.zeros(n_bars, np.int8),
        "bar_compound": np.zeros(n_bars, bool),
        "note_part": np.zeros(int(np.isin(arrays["ids"], pitches).sum()), np.uint8),
        "clip_shift": np.zeros(n_clips, np.int8),
        "clip_is_end": np.zeros(n_clips, bool),
        "clip_values": np.zeros((n_clips, 1), np.float32),
        "song_has_dynamics": np.ones(n_songs, bool),
        "song_has_durations": np.ones(n_songs, bool),
        "song_is_validation": np.zeros(n_songs, bool),
    }
    return Rows(**{**filled, **arrays})
