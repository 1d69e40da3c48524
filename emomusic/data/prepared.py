"""One cleaned song as ids and attribute values, and the clips cut from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emomusic.data.chord_labels import Agreement, known_chords
from emomusic.data.clean import SkippedError, Song
from emomusic.data.sources import NO_DURATIONS, CorpusFile, read_stretches
from emomusic.data.split import melody_fingerprints
from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES, measure
from emomusic.music.form import bar_form
from emomusic.music.key import Key, estimate_key
from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.passage import parts_of, passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import Tokenizer

CLIP_BARS = (16, 16, 16, 32, 32, 64, 8)
STRIDE_BARS = 4
MAX_CLIP_NOTES = 1_800
"""A note is an event of the model, and so is a bar: 2,048 of them are its context."""


@dataclass(frozen=True)
class PreparedSong:
    """Hold one song as `Rows` will, counted from its own first bar."""

    name: str
    source: str
    has_dynamics: bool
    has_durations: bool
    ids: list[NDArray[np.uint16]]
    bar_values: NDArray[np.float32]
    bar_chords: NDArray[np.int16]
    bar_form: NDArray[np.int8]
    bar_compound: NDArray[np.bool_]
    note_part: NDArray[np.uint8]
    clips: list[tuple[int, int, int, bool]]
    clip_values: NDArray[np.float32]
    fingerprints: NDArray[np.uint64]
    n_notes: int
    chord_agreement: Agreement


@cache
def shared_tokenizer() -> Tokenizer:
    """Return the one tokenizer of this process (building it takes long)."""
    return Tokenizer()


def prepare_song(file: CorpusFile) -> list[PreparedSong]:
    """Read, clean, tokenize, measure and cut one file.

    Returns:
        The longest stretch of the file under its name, others as `NAME#1` and so on.

    Raises:
        ScoreError: If the file is no usable MIDI file.
        SkippedError: If it has no bars or no stretch of four bars with notes.
    """
    first, *others = read_stretches(file)
    prepared = [prepare_clean(first, file.name, file.source)]
    for i, song in enumerate(others):
        try:
            prepared.append(prepare_clean(song, f"{file.name}#{i + 1}", file.source))
        except SkippedError:
            continue
    return prepared


def prepare_clean(song: Song, name: str, source: str) -> PreparedSong:
    """Tokenize, measure and cut a cleaned song.

    Raises:
        SkippedError: If it has no stretch of four bars with notes.
    """
    tokenizer = shared_tokenizer()
    bars = tokenizer.encode(song.score)
    if len(bars) != len(song.bar_beats):
        raise SkippedError("the tokenizer counts other bars")
    notes = notes_of(tokenizer.decode([token for bar in bars for token in bar]))
    lines = np.concatenate([[0.0], np.cumsum(song.bar_beats)])
    cuts = np.searchsorted(notes.onset, lines - 1e-9)
    windows = cut_windows(np.diff(cuts).tolist(), name)
    if not windows:
        raise SkippedError("no four bars without an empty one")
    key = estimate_key(notes)
    clips, clip_values = _measured_clips(song, notes, lines, windows)
    chords, agreement = known_chords(notes, lines, song.given_chords)
    return PreparedSong(
        name=name,
        source=source,
        has_dynamics=song.has_dynamics,
        has_durations=source not in NO_DURATIONS,
        ids=[np.array(bar, dtype=np.uint16) for bar in bars],
        bar_values=_measured_bars(notes, lines, key),
        bar_chords=chords.astype(np.int16),
        bar_form=bar_form(notes, lines),
        bar_compound=song.bar_compound,
        note_part=parts_of(notes, lines),
        clips=clips,
        clip_values=clip_values,
        fingerprints=melody_fingerprints(passage_of(notes, tempo=60.0, key=key)),
        n_notes=len(notes),
        chord_agreement=agreement,
    )


def _measured_clips(
    song: Song, notes: Notes, lines: FloatColumn, windows: Sequence[tuple[int, int]]
) -> tuple[list[tuple[int, int, int, bool]], NDArray[np.float32]]:
    clips, values = [], []
    for first, n_bars in windows:
        beats = float(lines[first + n_bars] - lines[first])
        seconds = float(song.bar_s[first + n_bars] - song.bar_s[first])
        tempo = 60.0 * beats / max(seconds, 1e-3)
        passage = passage_of(notes, start=float(lines[first]), n_beats=beats, tempo=tempo)
        shift = (-passage.key.tonic + 6) % 12 - 6
        is_end = song.is_to_the_end and first + n_bars == len(lines) - 1
        clips.append((first, n_bars, shift, is_end))
        values.append(list(measure(passage).values()))
    return clips, np.array(values, dtype=np.float32)


def _measured_bars(notes: Notes, lines: FloatColumn, key: Key) -> NDArray[np.float32]:
    """Measure each bar, shape (n_bars, n_bar_attributes); a bar without onsets is NaN."""
    values = np.full((len(lines) - 1, len(BAR_ATTRIBUTE_NAMES)), np.nan, dtype=np.float32)
    starts = np.searchsorted(notes.onset, lines - 1e-9)
    for bar, (first, end) in enumerate(pairwise(starts)):
        if first < end:
            passage = passage_of(
                notes.where(slice(first, end)),
                start=float(lines[bar]),
                n_beats=float(lines[bar + 1] - lines[bar]),
                tempo=60.0,
                key=key,
            )
            values[bar] = list(measure(passage, BAR_ATTRIBUTE_NAMES).values())
    return values


def cut_windows(n_notes: Sequence[int], name: str) -> list[tuple[int, int]]:
    """Choose the clips of a song: (first bar, number of bars), none with an empty bar.

    The song is walked once in clips of 8 to 64 bars, mostly 16 or 32, that begin on a fourth
    bar, and its last bars are taken as a clip of their own, so that endings are learnt.

    Args:
        n_notes: Notes of each bar.
        name: Seeds the choice of lengths, so that it is the same on every machine.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    total = np.concatenate([[0], np.cumsum(n_notes)])
    empty = [i for i, number in enumerate(n_notes) if not number]
    windows: set[tuple[int, int]] = set()
    for begin, end in zip([0, *(i + 1 for i in empty)], [*empty, len(n_notes)], strict=True):
        bar = begin
        while end - bar >= STRIDE_BARS:
            n_bars = _fit(total, bar, min(int(rng.choice(CLIP_BARS)), end - bar))
            if n_bars >= STRIDE_BARS:
                windows.add((bar, n_bars))
            bar += max(n_bars // STRIDE_BARS * STRIDE_BARS, STRIDE_BARS)
        if end == len(n_notes) and end - begin >= STRIDE_BARS:
            n_bars = _fit_end(total, min(int(rng.choice(CLIP_BARS)), end - begin))
            if n_bars >= STRIDE_BARS:
                windows.add((end - n_bars, n_bars))
    return sorted(windows)


def _fit(total: NDArray[np.int64], bar: int, n_bars: int) -> int:
    while n_bars > 0 and total[bar + n_bars] - total[bar] > MAX_CLIP_NOTES:
        n_bars -= 1
    return n_bars


def _fit_end(total: NDArray[np.int64], n_bars: int) -> int:
    while n_bars > 0 and total[-1] - total[-1 - n_bars] > MAX_CLIP_NOTES:
        n_bars -= 1
    return n_bars
