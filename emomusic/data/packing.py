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
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import UNKNOWN
from emomusic.music.form import FORM_COLUMNS
from emomusic.music.tokenizer import N_BINS, bin_edges, built_vocabulary, special_tokens
from emomusic.training.rows import Rows

N_FORMS = 1_500
COPIED = ("bar_chords", "bar_form", "bar_compound", "note_part")
"""Arrays of songs that are joined as they are."""
VALIDATION_SHARE, VALIDATION_SHARE_OF_FEW, FEW_SONGS = 0.04, 0.15, 50
"""Part of all songs that is held back, and of fewer than so many."""
MEASURED = (
    ("attributes", "edges", ATTRIBUTE_NAMES),
    ("bar_attributes", "bar_edges", BAR_ATTRIBUTE_NAMES),
)
"""Where tables keep names and edges of bins, and the names that we can measure."""


def read_tables(folder: Path) -> dict[str, Any]:
    """Read attributes and the edges of their bins from the `tables.json` of a checkpoint.

    Raises:
        ValueError: If the file is missing, damaged, or of attributes or bins that we have not.
    """
    path = folder / "tables.json"
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        for names, edges, known in MEASURED:
            for name in tables[names]:
                if name not in known:
                    raise ValueError(f"this version cannot measure {name!r}")
            if np.shape(tables[edges]) != (len(tables[names]), N_BINS - 1):
                raise ValueError(f"{edges} must be {N_BINS - 1} for each of its {names}")
        return {key: tables[key] for names, edges, _ in MEASURED for key in (names, edges)}
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
    first_bar = np.cumsum([0, *(len(song.bar_lengths) for song in songs[:-1])])
    n_clips = [len(song.clips) for song in songs]
    clips, lengths = _joined(songs, "clips"), _joined(songs, "bar_lengths")
    share = VALIDATION_SHARE if len(songs) >= FEW_SONGS else VALIDATION_SHARE_OF_FEW
    names = [song.name for song in songs]
    held_back = hold_back([song.fingerprints for song in songs], names, share=share)
    (clip_values, bar_values), meta = _measured(songs, tables)
    meta |= {
        "vocabulary": list(
            built_vocabulary(special_tokens(meta["attributes"], meta["bar_attributes"])).texts
        ),
        "n_bins": N_BINS,
        "sources": sources,
        "song_names": names,
        **_account(songs, skipped, held_back),
        **_forms(songs, held_back),
    }
    # The music stands behind the controls, which may be others than ours.
    moved = len(meta["vocabulary"]) - len(shared_tokenizer().vocabulary)
    return Rows(
        ids=(_joined(songs, "ids").astype(np.int64) + moved).astype(np.uint16),
        bar_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        bar_values=bar_values,
        **{name: _joined(songs, name) for name in COPIED},
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


def _measured(
    songs: Sequence[PreparedSong], tables: Mapping[str, Any] | None
) -> tuple[list[NDArray[np.float32]], dict[str, Any]]:
    """Return values of clips and of bars, and the tables of their attributes: given or our own."""
    values, meta = [], dict[str, Any]()
    for (names, edges, known), column in zip(MEASURED, ("clip_values", "bar_values"), strict=True):
        meta[names] = tables[names] if tables else list(known)
        kept = [known.index(name) for name in meta[names]]
        values.append(np.ascontiguousarray(_joined(songs, column)[:, kept]))
        meta[edges] = tables[edges] if tables else _edges(values[-1])
    return values, meta


def _joined(songs: Sequence[PreparedSong], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(song, name) for song in songs])


def _edges(values: NDArray[np.float32]) -> list[list[float]]:
    return [
        [round(float(edge), 5) for edge in bin_edges(column[np.isfinite(column)].astype(float))]
        for column in values.T
    ]


def _account(
    songs: Sequence[PreparedSong], skipped: Sequence[tuple[str, str]], held_back: Sequence[bool]
) -> dict[str, Any]:
    """Say by source what became of its files, and in which half bars a chord is known.

    Of those chords that files give it is told how far the notes say the same.
    """
    account, chords = dict[str, Any](), dict[str, Any]()
    for source in sorted({s.source for s in songs} | {source for source, _ in skipped}):
        own = [song for song in songs if song.source == source]
        reasons = Counter(reason for where, reason in skipped if where == source)
        sides = zip(songs, held_back, strict=True)
        account[source] = {
            "songs": len(own),
            "validation_songs": sum(side for song, side in sides if song.source == source),
            "clips": sum(len(song.clips) for song in own),
            "notes": sum(len(song.note_part) for song in own),
            "ids": sum(len(song.ids) for song in own),
            "skipped": dict(reasons.most_common()),
        }
        if own:
            told = _joined(own, "bar_chords")
            counts = np.sum([song.chord_agreement for song in own], axis=0).tolist()
            chords[source] = {
                "half_bars": told.size,
                "known": int((told != UNKNOWN).sum()),
                **dict(zip(AGREEMENT, counts, strict=True)),
            }
    return {"account": account, "chords": chords}


def _forms(songs: Sequence[PreparedSong], held_back: Sequence[bool]) -> dict[str, list[str]]:
    """Return how songs of the training part go, from their first bar on, by `FORM_COLUMNS`.

    1,500 songs are drawn evenly over those with at least 16 bars whose chords are known, or over
    all of that length where no song's are; about 350 KB in all. Empty if there is none.
    """
    own = [song for song, out in zip(songs, held_back, strict=True) if song.forms.size and not out]
    known = [song for song in own if song.knows_chords]
    order = np.random.default_rng(0).permutation(len(known or own))[:N_FORMS]
    drawn = [(known or own)[place].forms.tolist() for place in np.sort(order)]
    return {name: [*own] for name, own in zip(FORM_COLUMNS, zip(*drawn, strict=True), strict=False)}
