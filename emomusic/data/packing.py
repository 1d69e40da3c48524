"""Prepared songs laid end to end as packed rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.data.songs import PreparedSong, shared_tokenizer
from emomusic.data.split import group_songs, is_validation
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.tokenizer import N_BINS, bin_edges
from emomusic.training.rows import Rows

VALIDATION_SHARE = 0.04


def read_tables(folder: Path) -> dict[str, Any]:
    """Read the edges of the attributes' bins from the `tables.json` of a checkpoint.

    Raises:
        ValueError: If the file is missing, damaged, or of other attributes or bins.
    """
    path = folder / "tables.json"
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        if not _is_of_this_version(tables):
            raise ValueError("its attributes are not those of this version")
        return {"edges": tables["edges"], "bar_edges": tables["bar_edges"]}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"cannot read the bins {path}: {error}") from error


def _is_of_this_version(tables: Mapping[str, Any]) -> bool:
    names = {"edges": ATTRIBUTE_NAMES, "bar_edges": BAR_ATTRIBUTE_NAMES}
    return (
        tables["attributes"] == list(ATTRIBUTE_NAMES)
        and tables["bar_attributes"] == list(BAR_ATTRIBUTE_NAMES)
        and all(np.shape(tables[key]) == (len(names[key]), N_BINS - 1) for key in names)
    )


def pack(
    songs: Sequence[PreparedSong],
    skipped: Sequence[tuple[str, str]],
    *,
    tables: Mapping[str, Any] | None = None,
) -> Rows:
    """Lay prepared songs end to end and part them into training and validation.

    Args:
        songs: At least one.
        skipped: Source and reason of each file left out.
        tables: Edges of the attributes' bins; None fits them to the songs.
    """
    groups = group_songs([song.prints for song in songs], [song.name for song in songs])
    sources = sorted({song.source for song in songs})
    lengths = [len(bar) for song in songs for bar in song.ids]
    first_bar = np.cumsum([0, *(len(song.ids) for song in songs)])
    clips = [
        (first_bar[i] + first, n_bars, shift, is_end, i)
        for i, song in enumerate(songs)
        for first, n_bars, shift, is_end in song.clips
    ]
    clip_bar, clip_n_bars, clip_shift, clip_is_end, clip_song = zip(*clips, strict=True)
    clip_values = np.concatenate([song.clip_values for song in songs])
    bar_values = np.concatenate([song.bar_values for song in songs])
    held_back = [
        is_validation(songs[group].name, VALIDATION_SHARE if len(songs) >= 50 else 0.15)
        for group in groups
    ]
    if all(held_back) or not any(held_back):
        held_back = [group == groups[-1] and len(set(groups)) > 1 for group in groups]
    dynamics = np.array([song.has_dynamics for song in songs])
    meta = {
        "vocabulary": list(shared_tokenizer().vocabulary.texts),
        "attributes": list(ATTRIBUTE_NAMES),
        "bar_attributes": list(BAR_ATTRIBUTE_NAMES),
        "n_bins": N_BINS,
        **(tables or {"edges": _edges(clip_values), "bar_edges": _edges(bar_values)}),
        "sources": sources,
        "song_names": [song.name for song in songs],
        "account": _account(songs, skipped, held_back),
    }
    return Rows(
        ids=np.concatenate([bar for song in songs for bar in song.ids]),
        bar_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        bar_values=bar_values,
        clip_bar=np.array(clip_bar, dtype=np.int32),
        clip_n_bars=np.array(clip_n_bars, dtype=np.int16),
        clip_shift=np.array(clip_shift, dtype=np.int8),
        clip_is_end=np.array(clip_is_end, dtype=bool),
        clip_values=clip_values,
        clip_song=np.array(clip_song, dtype=np.int32),
        song_source=np.array([sources.index(song.source) for song in songs], dtype=np.int16),
        song_has_dynamics=dynamics,
        song_is_validation=np.array(held_back, dtype=bool),
        meta=meta,
    )


def _edges(values: NDArray[np.float32]) -> list[list[float]]:
    return [
        [round(float(edge), 5) for edge in bin_edges(column[np.isfinite(column)].astype(float))]
        for column in values.T
    ]


def _account(
    songs: Sequence[PreparedSong], skipped: Sequence[tuple[str, str]], held_back: Sequence[bool]
) -> dict[str, Any]:
    account: dict[str, Any] = {}
    for source in sorted({s.source for s in songs} | {source for source, _ in skipped}):
        own = [song for song in songs if song.source == source]
        reasons = Counter(reason for where, reason in skipped if where == source)
        account[source] = {
            "songs": len(own),
            "validation_songs": sum(
                held for song, held in zip(songs, held_back, strict=True) if song.source == source
            ),
            "clips": sum(len(song.clips) for song in own),
            "notes": sum(song.n_notes for song in own),
            "ids": sum(len(bar) for song in own for bar in song.ids),
            "skipped": dict(reasons.most_common()),
        }
    return account
