"""One cleaned song as ids and attribute values, and the clips cut from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.data.chord_labels import known_chords
from emomusic.data.clean import SkippedError, Song
from emomusic.data.sources import NO_DURATIONS, CorpusFile, read_stretches
from emomusic.data.split import melody_fingerprints
from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES, measure, parts_of, passage_of
from emomusic.music.form import bar_form
from emomusic.music.key import Key, estimate_key
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import Tokenizer

CLIP_BARS = (16, 16, 16, 32, 32, 64, 8)
STRIDE_BARS = 4
MAX_CLIP_NOTES = 1_800
"""A note is an event of the model, and so is a bar: 2,048 of them are its context."""


@dataclass(frozen=True)
class PreparedSong:
    """Hold one song as `Rows` will, counted from its own first bar.

    Attributes not named here are those of `Rows`.

    Attributes:
        bar_lengths: Ids of each bar, shape (n_bars,).
        clips: First bar, number of bars, shift, and whether it ends the song, shape (n_clips, 4).
        fingerprints: Of its melody, see `melody_fingerprints`.
        chord_agreement: Counts of half bars, see `agreement`.
    """

    name: str
    source: str
    has_dynamics: bool
    has_durations: bool
    ids: NDArray[np.uint16]
    bar_lengths: IntColumn
    bar_values: NDArray[np.float32]
    bar_chords: NDArray[np.int16]
    bar_form: NDArray[np.int8]
    bar_compound: NDArray[np.bool_]
    note_part: NDArray[np.uint8]
    clips: IntColumn
    clip_values: NDArray[np.float32]
    fingerprints: NDArray[np.uint64]
    chord_agreement: IntColumn


@cache
def shared_tokenizer() -> Tokenizer:
    """Return the one tokenizer of this process (building it takes long)."""
    return Tokenizer()


@cache
def miditok_tokenizer() -> Any:
    """Return MidiTok's own REMI, as our `tokenizer.json` describes it.

    Raises:
        ModuleNotFoundError: If MidiTok is not installed.
    """
    from miditok import REMI

    with TemporaryDirectory() as folder:
        shared_tokenizer().save(Path(folder))
        return REMI(params=Path(folder) / "tokenizer.json")


class ForeignIdsError(ValueError):
    """Say in one line that MidiTok writes a song otherwise than we do."""


def prepare_song(file: CorpusFile, *, with_miditok: bool = False) -> list[PreparedSong]:
    """Read, clean, tokenize, measure and cut one file.

    Args:
        file: Of a corpus.
        with_miditok: Whether MidiTok tokenizes it, too, and has to come to the same ids.

    Returns:
        The longest stretch of the file under its name, others as `NAME#1` and so on.

    Raises:
        ScoreError: If the file is no usable MIDI file.
        SkippedError: If it has no bars or no stretch of four bars with notes.
        ForeignIdsError: If MidiTok comes to other ids.
    """
    prepared: list[PreparedSong] = []
    for i, song in enumerate(read_stretches(file)):
        name = f"{file.name}#{i}" if i else file.name
        try:
            prepared.append(prepare_clean(song, name, file.source))
        except SkippedError:
            if not i:
                raise
            continue
        if with_miditok:
            _compare_ids(song, prepared[-1])
    return prepared


def _compare_ids(song: Song, prepared: PreparedSong) -> None:
    found = miditok_tokenizer().encode(song.score)[0].ids
    if found != prepared.ids.tolist():
        raise ForeignIdsError(
            f"MidiTok writes {prepared.name} with other ids than ours; install miditok 3.1"
        )


def prepare_clean(song: Song, name: str, source: str) -> PreparedSong:
    """Tokenize, measure and cut a cleaned song.

    Raises:
        SkippedError: If it has no stretch of four bars with notes.
    """
    tokenizer = shared_tokenizer()
    bars = tokenizer.encode(song.score)
    if len(bars) != len(song.bar_beats):
        raise SkippedError("the tokenizer counts other bars")
    ids = np.array([token for bar in bars for token in bar], dtype=np.uint16)
    notes = notes_of(tokenizer.decode(ids.tolist()))
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
        ids=ids,
        bar_lengths=np.array([len(bar) for bar in bars], dtype=np.int64),
        bar_values=_measured_bars(notes, lines, cuts, key),
        bar_chords=chords.astype(np.int16),
        bar_form=bar_form(notes, lines),
        bar_compound=song.bar_compound,
        note_part=parts_of(notes, lines),
        clips=clips,
        clip_values=clip_values,
        fingerprints=melody_fingerprints(passage_of(notes, tempo=60.0, key=key)),
        chord_agreement=agreement,
    )


def _measured_clips(
    song: Song, notes: Notes, lines: FloatColumn, windows: Sequence[tuple[int, int]]
) -> tuple[IntColumn, NDArray[np.float32]]:
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
    return np.array(clips, dtype=np.int64), np.array(values, dtype=np.float32)


def _measured_bars(
    notes: Notes, lines: FloatColumn, cuts: IntColumn, key: Key
) -> NDArray[np.float32]:
    """Measure each bar, shape (n_bars, n_bar_attributes); a bar without onsets is NaN."""
    values = np.full((len(lines) - 1, len(BAR_ATTRIBUTE_NAMES)), np.nan, dtype=np.float32)
    for bar, (first, end) in enumerate(pairwise(cuts)):
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
    empty = [i for i, number in enumerate(n_notes) if not number]
    windows: set[tuple[int, int]] = set()
    for begin, end in zip([0, *(i + 1 for i in empty)], [*empty, len(n_notes)], strict=True):
        bar = begin
        while end - bar >= STRIDE_BARS:
            n_bars = _n_fitting(n_notes[bar : min(bar + int(rng.choice(CLIP_BARS)), end)])
            if n_bars >= STRIDE_BARS:
                windows.add((bar, n_bars))
            bar += max(n_bars // STRIDE_BARS * STRIDE_BARS, STRIDE_BARS)
        if end == len(n_notes) and end - begin >= STRIDE_BARS:
            n_bars = _n_fitting(n_notes[max(end - int(rng.choice(CLIP_BARS)), begin) : end][::-1])
            if n_bars >= STRIDE_BARS:
                windows.add((end - n_bars, n_bars))
    return sorted(windows)


def _n_fitting(n_notes: Sequence[int]) -> int:
    """Return how many bars, from the first on, have together no more notes than a clip may."""
    return int(np.searchsorted(np.cumsum(n_notes), MAX_CLIP_NOTES, side="right"))
