"""Prepared songs laid end to end as packed rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.data.chord_labels import AGREEMENT
from emomusic.data.prepared import PreparedSong, shared_tokenizer
from emomusic.data.split import hold_back
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES, RIGHT_HAND
from emomusic.music.chords import UNKNOWN
from emomusic.music.form import FormTable, bar_copies, bar_figures, bar_harmony, written_form
from emomusic.music.tokenizer import N_BINS, bin_edges, built_vocabulary, special_tokens
from emomusic.training.rows import Rows

MAX_FORM_BARS, MIN_FORM_BARS = 64, 16
STEPS_OF_SIXTEENTH = 3
MIN_KNOWN_SHARE = 0.75
"""Half bars of a song whose chord is known, from which on it says how chords come back."""
VALIDATION_SHARE, VALIDATION_SHARE_OF_FEW, FEW_SONGS = 0.04, 0.15, 50
"""Part of all songs that is held back, and of fewer than so many."""


def read_tables(folder: Path) -> dict[str, Any]:
    """Read attributes and the edges of their bins from the `tables.json` of a checkpoint.

    Raises:
        ValueError: If the file is missing, damaged, or of attributes or bins that we have not.
    """
    path = folder / "tables.json"
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        for names, edges, known in (
            ("attributes", "edges", ATTRIBUTE_NAMES),
            ("bar_attributes", "bar_edges", BAR_ATTRIBUTE_NAMES),
        ):
            unknown = [name for name in tables[names] if name not in known]
            if unknown:
                raise ValueError(f"this version cannot measure {unknown[0]!r}")
            if np.shape(tables[edges]) != (len(tables[names]), N_BINS - 1):
                raise ValueError(f"{edges} must be {N_BINS - 1} for each of its {names}")
        return {key: tables[key] for key in ("attributes", "bar_attributes", "edges", "bar_edges")}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"cannot read the bins {path}: {error}") from error


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
    sources = sorted({song.source for song in songs})
    lengths = _joined(songs, "bar_lengths")
    first_bar = np.cumsum([0, *(len(song.bar_lengths) for song in songs[:-1])])
    n_clips = [len(song.clips) for song in songs]
    clips = _joined(songs, "clips")
    names = tables["attributes"] if tables else list(ATTRIBUTE_NAMES)
    bar_names = tables["bar_attributes"] if tables else list(BAR_ATTRIBUTE_NAMES)
    clip_values = _columns(_joined(songs, "clip_values"), names, ATTRIBUTE_NAMES)
    bar_values = _columns(_joined(songs, "bar_values"), bar_names, BAR_ATTRIBUTE_NAMES)
    held_back = hold_back(
        [song.fingerprints for song in songs],
        [song.name for song in songs],
        share=VALIDATION_SHARE if len(songs) >= FEW_SONGS else VALIDATION_SHARE_OF_FEW,
    )
    tables = tables or {"edges": _edges(clip_values), "bar_edges": _edges(bar_values)}
    meta = {
        "vocabulary": list(built_vocabulary(special_tokens(names, bar_names)).texts),
        "attributes": names,
        "bar_attributes": bar_names,
        "n_bins": N_BINS,
        "edges": tables["edges"],
        "bar_edges": tables["bar_edges"],
        "sources": sources,
        "song_names": [song.name for song in songs],
        "chords": _told_chords(songs),
        "account": _summarise(songs, skipped, held_back),
    }
    # The music stands behind the controls, which may be others than ours.
    moved = len(meta["vocabulary"]) - len(shared_tokenizer().vocabulary)
    of_bars = ("bar_chords", "bar_form", "bar_compound", "note_part")
    return Rows(
        ids=(_joined(songs, "ids").astype(np.int64) + moved).astype(np.uint16),
        bar_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        bar_values=bar_values,
        **{name: _joined(songs, name) for name in of_bars},
        clip_bar=(clips[:, 0] + np.repeat(first_bar, n_clips)).astype(np.int32),
        clip_n_bars=clips[:, 1].astype(np.int16),
        clip_shift=clips[:, 2].astype(np.int8),
        clip_is_end=clips[:, 3].astype(bool),
        clip_values=clip_values,
        clip_song=np.repeat(np.arange(len(songs), dtype=np.int32), n_clips),
        song_source=np.array([sources.index(song.source) for song in songs], dtype=np.int16),
        song_has_dynamics=np.array([song.has_dynamics for song in songs]),
        song_has_durations=np.array([song.has_durations for song in songs]),
        song_is_validation=np.array(held_back, dtype=bool),
        meta=meta,
    )


def _joined(songs: Sequence[PreparedSong], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(song, name) for song in songs])


def _columns(
    values: NDArray[np.float32], names: Sequence[str], known: Sequence[str]
) -> NDArray[np.float32]:
    """Return the columns of some of the attributes that were measured."""
    return np.ascontiguousarray(values[:, [known.index(name) for name in names]])


def _told_chords(songs: Sequence[PreparedSong]) -> dict[str, Any]:
    """Return by source how many half bars have a known chord, and how far given ones are found."""
    told: dict[str, Any] = {}
    for source in sorted({song.source for song in songs}):
        own = [song for song in songs if song.source == source]
        chords = _joined(own, "bar_chords")
        counts = np.sum([song.chord_agreement for song in own], axis=0).tolist()
        told[source] = {
            "half_bars": chords.size,
            "known": int((chords != UNKNOWN).sum()),
            **dict(zip(AGREEMENT, counts, strict=True)),
        }
    return told


def _edges(values: NDArray[np.float32]) -> list[list[float]]:
    return [
        [round(float(edge), 5) for edge in bin_edges(column[np.isfinite(column)].astype(float))]
        for column in values.T
    ]


def _summarise(
    songs: Sequence[PreparedSong], skipped: Sequence[tuple[str, str]], held_back: Sequence[bool]
) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for source in sorted({s.source for s in songs} | {source for source, _ in skipped}):
        own = [i for i, song in enumerate(songs) if song.source == source]
        reasons = Counter(reason for where, reason in skipped if where == source)
        summary[source] = {
            "songs": len(own),
            "validation_songs": sum(held_back[i] for i in own),
            "clips": sum(len(songs[i].clips) for i in own),
            "notes": sum(len(songs[i].note_part) for i in own),
            "ids": sum(len(songs[i].ids) for i in own),
            "skipped": dict(reasons.most_common()),
        }
    return summary


def measure_forms(rows: Rows, *, n_forms: int = 1_500, seed: int = 0) -> FormTable | None:
    """Return how so many songs of the training part go, from their first bar on.

    Songs are drawn evenly over those with at least 16 bars whose chords are known, or over all
    of that length where no song's are; up to 64 bars of each are taken, about 350 KB in all.

    Args:
        rows: Packed rows.
        n_forms: Songs at most.
        seed: Of the draw.

    Returns:
        The table; None if no song has 16 bars.
    """
    # The first bar of each song that a clip has, and the one after the last.
    starts = np.full(len(rows.song_source), len(rows.bar_start))
    stops = np.zeros_like(starts)
    np.minimum.at(starts, rows.clip_song, rows.clip_bar)
    np.maximum.at(stops, rows.clip_song, rows.clip_bar + rows.clip_n_bars)
    long_enough = (stops - starts >= MIN_FORM_BARS) & ~rows.song_is_validation
    is_known = np.array([
        bool(begin < end and (rows.bar_chords[begin:end] != UNKNOWN).mean() >= MIN_KNOWN_SHARE)
        for begin, end in zip(starts, stops, strict=True)
    ])  # fmt: skip
    songs = np.flatnonzero(long_enough & is_known)
    if not len(songs):
        songs = np.flatnonzero(long_enough)
    if not len(songs):
        return None
    songs = np.sort(np.random.default_rng(seed).permutation(songs)[:n_forms])
    bars = [slice(starts[song], min(stops[song], starts[song] + MAX_FORM_BARS)) for song in songs]
    cells, figures = _bar_places(rows, bars)
    return FormTable(
        tuple(written_form(rows.bar_form[own].tolist()) for own in bars),
        tuple(_text(bar_harmony(rows.bar_chords[own]).tolist()) for own in bars),
        tuple(_text(bar_copies(own)) for own in cells),
        tuple(_text(bar_figures(own)) for own in figures),
    )


def _text(codes: list[int]) -> str:
    return "".join(map(str, codes))


def _bar_places(
    rows: Rows, stretches: Sequence[slice]
) -> tuple[list[list[set[tuple[int, int]]]], list[list[set[int]]]]:
    """Return what each bar of some stretches has: the (sixteenth, pitch class) of its notes, and
    the steps at which its left hand strikes."""
    texts = [text.partition("_") for text in rows.meta["vocabulary"]]
    kind = np.array([{"Position": 1, "Pitch": 2}.get(name, 0) for name, _, _ in texts])
    value = np.array([int(own) if k else 0 for (_, _, own), k in zip(texts, kind, strict=True)])
    n_notes = np.add.reduceat(kind[rows.ids] == 2, rows.bar_start[:-1], dtype=np.int64)
    first_note = np.append(0, np.cumsum(n_notes))
    all_cells, all_onsets = [], []
    for stretch in stretches:
        cells, onsets = [], []
        for bar in range(stretch.start, stretch.stop):
            ids = rows.ids[rows.bar_start[bar] : rows.bar_start[bar + 1]]
            moment = np.flatnonzero(kind[ids] == 1)
            note = np.flatnonzero(kind[ids] == 2)
            step = value[ids[moment]][np.searchsorted(moment, note) - 1]
            cell = np.stack([(step + 1) // STEPS_OF_SIXTEENTH, value[ids[note]] % 12])
            cells.append(set(map(tuple, cell.T.tolist())))
            parts = rows.note_part[first_note[bar] : first_note[bar + 1]]
            onsets.append(set(step[parts & RIGHT_HAND == 0].tolist()))
        all_cells.append(cells)
        all_onsets.append(onsets)
    return all_cells, all_onsets
