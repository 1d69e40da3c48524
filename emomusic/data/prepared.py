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
from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES, RIGHT_HAND, measure, parts_of, passage_of
from emomusic.music.chords import UNKNOWN
from emomusic.music.form import bar_copies, bar_figures, bar_form, bar_harmony, written_form
from emomusic.music.key import Key, estimate_key
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT, Tokenizer

CLIP_BARS = (16, 16, 16, 32, 32, 64, 8)
STRIDE_BARS = 4
MAX_FORM_BARS, MIN_FORM_BARS = 64, 16
STEPS_OF_SIXTEENTH = 3
MIN_KNOWN_SHARE = 0.75
"""Half bars of a song whose chord is known, from which on it says how chords come back."""
MAX_CLIP_NOTES = 1_800
"""A note is an event of the model, and so is a bar: 2,048 of them are its context."""


@dataclass(frozen=True)
class PreparedSong:
    """One song as `Rows` will hold it, counted from its own first bar.

    Attributes not named here are those of `Rows`.

    Attributes:
        bar_lengths: Ids of each bar, shape (n_bars,).
        clips: First bar, number of bars, shift, and whether it ends the song, shape (n_clips, 4).
        fingerprints: Of its melody, see `melody_fingerprints`.
        chord_agreement: Counts of half bars, see `agreement`.
        forms: How it goes from the first bar of a clip on, up to 64 bars, as a `FormTable` tells
            it, shape (4,); empty if that are fewer than 16 bars.
        knows_chords: Whether three quarters of the half bars of its clips have a known chord.
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
    forms: NDArray[np.str_]
    knows_chords: bool


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
            found = prepare_clean(song, name, file.source)
        except SkippedError:
            if not i:
                raise
            continue
        if with_miditok and miditok_tokenizer().encode(song.score)[0].ids != found.ids.tolist():
            raise ForeignIdsError(
                f"MidiTok writes {name} with other ids than ours; install miditok 3.1"
            )
        prepared.append(found)
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
    form = bar_form(notes, lines)
    shown = slice(int(clips[0, 0]), int(clips[:, :2].sum(axis=1).max()))
    return PreparedSong(
        name=name,
        source=source,
        has_dynamics=song.has_dynamics,
        has_durations=source not in NO_DURATIONS,
        ids=ids,
        bar_lengths=np.array([len(bar) for bar in bars], dtype=np.int64),
        bar_values=_measured_bars(notes, lines, cuts, key),
        bar_chords=chords.astype(np.int16),
        bar_form=form,
        bar_compound=song.bar_compound,
        note_part=parts_of(notes, lines),
        clips=clips,
        clip_values=clip_values,
        fingerprints=melody_fingerprints(passage_of(notes, tempo=60.0, key=key)),
        chord_agreement=agreement,
        forms=_forms(notes, lines, bars=shown, form=form, chords=chords),
        knows_chords=bool((chords[shown] != UNKNOWN).mean() >= MIN_KNOWN_SHARE),
    )


def _forms(
    notes: Notes, lines: FloatColumn, *, bars: slice, form: NDArray[np.int8], chords: IntColumn
) -> NDArray[np.str_]:
    """Tell how some bars of a song go, see `PreparedSong.forms`."""
    if bars.stop - bars.start < MIN_FORM_BARS:
        return np.zeros(0, dtype=np.str_)
    bars = slice(bars.start, min(bars.stop, bars.start + MAX_FORM_BARS))
    is_left = parts_of(notes, lines) & RIGHT_HAND == 0
    bar_of = np.searchsorted(lines, notes.onset + 1e-9, side="right") - 1
    step = np.rint((notes.onset - lines[bar_of]) * STEPS_PER_BEAT).astype(np.int64)
    cells: list[set[tuple[int, int]]] = [set() for _ in lines]
    onsets: list[set[int]] = [set() for _ in lines]
    for bar, at, pitch, left in zip(bar_of, step.tolist(), notes.pitch, is_left, strict=True):
        cells[bar].add(((at + 1) // STEPS_OF_SIXTEENTH, int(pitch) % 12))
        if left:
            onsets[bar].add(at)
    codes = bar_harmony(chords[bars]).tolist(), bar_copies(cells[bars]), bar_figures(onsets[bars])
    texts = ("".join(map(str, own)) for own in codes)
    return np.array([written_form(form[bars].tolist()), *texts])


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
    bar, and its last bars are taken as a clip of their own, so that endings are learnt. The name
    seeds the choice of lengths, so that it is the same on every machine.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    empty = [i for i, number in enumerate(n_notes) if not number]
    windows: set[tuple[int, int]] = set()
    for begin, end in zip([0, *(i + 1 for i in empty)], [*empty, len(n_notes)], strict=True):
        bar = begin
        while end - bar >= STRIDE_BARS:
            n_bars = _n_fitting(n_notes[bar : min(bar + int(rng.choice(CLIP_BARS)), end)])
            windows.add((bar, n_bars))
            bar += max(n_bars // STRIDE_BARS * STRIDE_BARS, STRIDE_BARS)
        if end == len(n_notes) and end - begin >= STRIDE_BARS:
            n_bars = _n_fitting(n_notes[max(end - int(rng.choice(CLIP_BARS)), begin) : end][::-1])
            windows.add((end - n_bars, n_bars))
    return sorted(window for window in windows if window[1] >= STRIDE_BARS)


def _n_fitting(n_notes: Sequence[int]) -> int:
    """Return how many bars, from the first on, have together no more notes than a clip may."""
    return int(np.searchsorted(np.cumsum(n_notes), MAX_CLIP_NOTES, side="right"))
