"""Music that is there already: how it is read to be continued, or varied."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from symusic.core import (
    NoteTickList,
    ScoreQuarter,
    ScoreSecond,
    ScoreTick,
    TimeSignatureTick,
    TimeSignatureTickList,
    TrackTick,
    TrackTickList,
)

from emomusic.compose.fields import Field, Kind
from emomusic.compose.request import (
    AUTO,
    CONTINUE,
    GRIDS,
    MAX_TEMPO,
    METRES,
    MIN_TEMPO,
    TRACKED,
    VARY,
)
from emomusic.compose.token_plan import N_HEAD, chord_ids, transposition
from emomusic.emotion.space import refusal
from emomusic.music.attributes import Passage, passage_of
from emomusic.music.bars import NEAR, PERFORMED_STEP, BarReading, Metre, end_of_sound, read_bars
from emomusic.music.chords import NO_CHORD, find_chords
from emomusic.music.key import estimate_key, key_correlations
from emomusic.music.notes import Notes
from emomusic.music.score import ScoreError, dump_score, grid_of, notes_of, parse_score, read_bytes
from emomusic.music.smf import MidiFile, check_can_go_on
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH, STEPS_PER_BEAT, Tokenizer

USES = (CONTINUE, VARY)
Music = str | os.PathLike[str] | bytes | ScoreTick | ScoreQuarter | ScoreSecond
MAX_GIVEN_BARS = 512
HEARD_BARS = 16  # So many last bars with notes tell key, tempo and what the music is like.


@dataclass(frozen=True)
class Primer:
    """Hold music that is there already, as a MIDI file: so it can be told apart, and kept.

    Attributes:
        midi: The bytes of a MIDI file with pitched notes.
        use: `continue` or `vary`.
        tonic: Pitch class of its key, where it is known; None finds it.
        grid: Whose beats hold: those of the `file`, or `tracked` ones of what is played without a
            click; `auto` tracks them where nothing is played to the file's.
    """

    midi: bytes
    use: str
    tonic: int | None = None
    grid: str = AUTO

    def __init__(self, midi: Music, use: str, tonic: int | None = None, grid: str = AUTO) -> None:
        """Read the music, and check all three.

        Args:
            midi: The path of a MIDI file, its bytes, or a symusic score of any unit, which is
                left as it is.
            use: `continue` or `vary`.
            tonic: Pitch class of its key, where it is known.
            grid: `auto`, `file` or `tracked`.

        Raises:
            ScoreError: If the file cannot be used.
            ValueError: If the music is of another type, use or grid another word, or the tonic
                no pitch class.
        """
        if tonic is not None:
            tonic = Field(Kind.WHOLE, name="tonic", bounds=(0, 11)).read(tonic)
        if grid not in GRIDS:
            raise ValueError(f"grid must be one of {', '.join(GRIDS)}, got {grid!r}")
        if use not in USES:
            raise ValueError(f"given music is used to {' or to '.join(USES)}, got {use!r}")
        try:
            vars(self).update(midi=midi_bytes(midi), use=str(use), tonic=tonic, grid=str(grid))
            _ = self.score
            if use == CONTINUE:
                check_can_go_on(self.midi)
        except ScoreError as error:
            if isinstance(midi, str | os.PathLike):
                raise ScoreError(f"{midi!s}: {error}") from error
            raise

    def known_tonic(self, asked: int | None) -> int | None:
        """Return the pitch class of its key, if that is known.

        Args:
            asked: That of the new music's key: what is continued counts as being in it, what is
                varied is moved there.
        """
        if self.tonic is not None or self.use != CONTINUE:
            return self.tonic
        return asked

    @cached_property
    def score(self) -> ScoreTick:
        """Return the music; leave it as it is."""
        return parse_score(self.midi)

    def read(self, metre: Metre | None) -> BarReading:
        """Read its bars, see `read_bars`; those of a metre, where it says none."""
        try:
            sound = end_of_sound(self.score, MidiFile.parse(self.midi))
        except ScoreError:
            sound = end_of_sound(self.score, None)
        tracked = None if self.grid == AUTO else self.grid == TRACKED
        return read_bars(
            self.score, at_end=self.use == CONTINUE, sound=sound, asked=metre, tracked=tracked
        )


def midi_bytes(music: object) -> bytes:
    """Return the bytes of a MIDI file: of one at a path, as they are, or made of a score.

    Raises:
        ScoreError: If the file cannot be read.
        ValueError: If the music is of another type.
    """
    if isinstance(music, str | os.PathLike):
        return read_bytes(music)
    if isinstance(music, bytes | bytearray | memoryview):
        return bytes(music)
    if isinstance(music, ScoreTick | ScoreQuarter | ScoreSecond):
        return dump_score(cast(ScoreTick, music.to("tick")))
    raise refusal("music", "a path, the bytes of a MIDI file or a symusic score", music)


Given = Primer
"""What programs call it (`docs/python.md`)."""


@dataclass(frozen=True, eq=False)
class PrimerContext:
    """Hold what the composer knows of given music."""

    # ids of each bar, its chords first, heads left out, moved to C: all of the metre
    bars: tuple[tuple[int, ...], ...]
    metre: Metre  # of what is written
    given_metre: Metre  # what the given music says of itself
    tonic: int  # pitch class of the key
    is_major: bool  # its mode
    tempo: float  # beats of the metre a minute
    like: Passage  # the last bars, as they sound, in beats of the given metre
    end: float  # quarter notes from the start of the given music to its last bar line
    n_bars: int  # all of its bars
    quadrant: str  # which one is heard in the last bars
    is_tracked: bool  # whether its beats were tracked

    @property
    def taken_up(self) -> dict[str, str]:
        """Return how it was read."""
        grid = TRACKED if self.is_tracked else GRIDS[1]
        return {"time_signature": str(self.given_metre), "grid": grid}


def read_primer(
    given: Primer,
    tokenizer: Tokenizer,
    *,
    tonic: int | None = None,
    metre: Metre | None = None,
    hear: Callable[[Notes], str] = lambda notes: "",
) -> PrimerContext:
    """Read given music: its bars of one metre in ids, moved to C, its key and its tempo.

    Onsets are moved to the nearest step of the grid, for the model's eyes alone.

    Args:
        given: Music with notes.
        tokenizer: Writes the ids.
        tonic: Pitch class; None finds it.
        metre: What is asked for. Music that says none is counted in it; what goes on from music in
            another metre sees none of its bars; what varies it must be in its own.
        hear: Returns the quadrant heard in notes.

    Raises:
        ScoreError: If it has no notes or too many bars, or is in a metre that cannot be written.
    """
    read = given.read(metre)
    n_bars = len(grid_of(given.score, read.end)[0]) - 1
    if max(n_bars, read.n_bars) > MAX_GIVEN_BARS:
        raise ScoreError(f"the music has {n_bars} bars, at most {MAX_GIVEN_BARS} can be taken up")
    goes_on = given.use == CONTINUE
    own = metre or (read.announced if goes_on else None) or read.metre
    if own.kind != read.metre.kind and not goes_on:
        raise ScoreError(
            f"the music is in {read.metre}, and so is what varies it: it cannot be in {own}"
        )
    if not own.is_known:
        other = "; a time signature says in which other one to go on" if goes_on else ""
        raise ScoreError(f"music in {own} cannot be written, only in {', '.join(METRES)}{other}")
    like = _like(read)
    found = estimate_key(like.notes)
    tonic = found.tonic if tonic is None else tonic
    major, minor = key_correlations(like.notes)[:, tonic]
    shown = own.kind == read.metre.kind
    return PrimerContext(
        bars=_bars(read, tokenizer, -transposition(tonic)) if shown else (),
        metre=own.written,
        given_metre=read.metre,
        tonic=tonic,
        is_major=bool(major >= minor),
        tempo=like.tempo,
        like=like,
        end=read.end,
        n_bars=n_bars,
        quadrant=hear(like.notes),
        is_tracked=read.is_tracked,
    )


def _like(read: BarReading) -> Passage:
    """Return the last bars with notes as they sound, at their mean tempo."""
    size = read.metre.kind[0]
    stop = min(int((read.notes.onset[-1] + NEAR / 2) // size) + 1, read.n_bars)
    first = max(stop - HEARD_BARS, 0)
    tempo = min(max(read.tempo(slice(first, stop)), MIN_TEMPO), MAX_TEMPO)
    n_beats = (stop - first) * size
    return passage_of(read.notes, start=first * size, n_beats=n_beats, tempo=round(tempo, 2))


def _bars(read: BarReading, tokenizer: Tokenizer, shift: int) -> tuple[tuple[int, ...], ...]:
    """Return the ids of each bar, its chords first, moved by semitones."""
    written, lines = _written(read, shift), np.arange(read.n_bars + 1.0) * read.metre.beats
    bars = [bar[N_HEAD:] for bar in tokenizer.encode(written)]
    bars += [[] for _ in range(read.n_bars - len(bars))]  # silent ones at the end
    chords = [[NO_CHORD] * 2] * len(bars)
    if any(bars):
        chords = find_chords(notes_of(written), lines)[0].tolist()
    own = zip(chords, bars, strict=True)
    return tuple((*chord_ids(tokenizer.vocabulary, pair), *bar) for pair, bar in own)


def _written(read: BarReading, shift: int) -> ScoreTick:
    """Return the notes as the tokenizer reads them, moved by semitones."""
    own, beats = read.notes, read.metre.beats
    step = PERFORMED_STEP if read.is_tracked else 1
    tick = np.rint(own.onset * STEPS_PER_BEAT / step).astype(np.int32) * step
    last = beats * STEPS_PER_BEAT * read.n_bars - 1
    tick = np.clip(tick, 0, last)  # what anticipates the next bar is still of the last
    length = np.maximum(np.rint(own.duration * STEPS_PER_BEAT), 1).astype(np.int32)
    score, track = ScoreTick(STEPS_PER_BEAT), TrackTick("Piano", 0, False)
    pitch = own.pitch + shift
    on_piano = (pitch >= LOWEST_PITCH) & (pitch <= HIGHEST_PITCH)
    columns = (tick, length, pitch.astype(np.int8), own.velocity.astype(np.int8))
    track.notes = NoteTickList.from_numpy(*(column[on_piano] for column in columns))
    score.tracks = TrackTickList([track])
    score.time_signatures = TimeSignatureTickList([TimeSignatureTick(0, beats, 4)])
    return score


def join_scores(given: ScoreTick, added: ScoreTick, *, at: float) -> ScoreTick:
    """Return given music and, from a beat on, what was written after it, in a track of its own.

    The given tracks stay as they are. It is what is shown while more is written; the file is made
    by `continue_midi`.
    """
    whole = given.copy()
    start = round(at * whole.ticks_per_quarter)
    new = added.resample(whole.ticks_per_quarter, min_dur=1).shift_time(start)
    for kind in ("tempos", "time_signatures"):
        kept = getattr(whole, kind).filter(lambda event: event.time < start, inplace=False)
        kept.extend(getattr(new, kind))
        setattr(whole, kind, kept)
    whole.tracks.append(new.tracks[0])
    return whole
