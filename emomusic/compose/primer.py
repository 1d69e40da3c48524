"""Music that is there already: how it is read to be continued, or varied."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

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
    INFILL,
    MAX_TEMPO,
    METRES,
    MIN_TEMPO,
    TRACKED,
    VARY,
)
from emomusic.compose.token_plan import N_HEAD, chord_ids, transposition
from emomusic.emotion.space import refusal, shown
from emomusic.model.grammar import GivenNote
from emomusic.music.attributes import BASS, MELODY, RIGHT_HAND, Passage, parts_of, passage_of
from emomusic.music.bars import NEAR, BarReading, Metre, end_of_sound, read_bars
from emomusic.music.chords import NO_CHORD, Chords, find_chords
from emomusic.music.key import estimate_key, key_correlations
from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.score import (
    ScoreError,
    dump_score,
    grid_of,
    metres_of,
    notes_of,
    parse_score,
    read_bytes,
)
from emomusic.music.smf import MidiFile, check_can_go_on
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH, STEPS_PER_BEAT, Tokenizer

USES = (CONTINUE, VARY, INFILL)
LOCKS = ("melody", "right", "left", "bass", "chords")
"""Parts that can stay where bars are written anew."""
Music = str | os.PathLike[str] | bytes | ScoreTick | ScoreQuarter | ScoreSecond
MAX_GIVEN_BARS = 512
BEHIND_BARS = 8  # So many bars behind a gap are shown at most.
AROUND_BARS = 8  # So many bars on each side tell what a gap is like.
HEARD_BARS = 16  # So many last bars with notes tell key, tempo and what the music is like.


@dataclass(frozen=True)
class Primer:
    """Hold music that is there already, as a MIDI file: so it can be told apart, and kept.

    Attributes:
        midi: The bytes of a MIDI file with pitched notes.
        use: `continue`, `vary` or `infill`.
        tonic: Pitch class of its key, where it is known; None finds it.
        at: The bars that are written anew, such as `5-8, 13`, as the file counts them: from 1 on,
            an upbeat is 0; all of them where nothing is said, but what is locked.
        lock: Parts of them that stay, such as `melody, chords`, note for note.
        grid: Whose beats hold: those of the `file`, or `tracked` ones of what is played without a
            click; `auto` tracks them where nothing is played to the file's.
        written: The bytes of it as it is written, bar for bar, where `midi` is a performance of it.
    """

    midi: bytes
    use: str
    tonic: int | None = None
    grid: str = AUTO
    at: str = ""
    lock: str = ""
    written: bytes | None = None

    def __init__(
        self,
        midi: Music,
        use: str,
        tonic: int | None = None,
        grid: str = AUTO,
        at: str = "",
        lock: str = "",
        written: bytes | None = None,
    ) -> None:
        """Read the music, and check all.

        Args:
            midi: The path of a MIDI file, its bytes, or a symusic score of any unit, which is
                left as it is.
            use: `continue`, `vary` or `infill`.
            tonic: Pitch class of its key, where it is known.
            grid: `auto`, `file` or `tracked`.
            at: The bars to write anew, such as `5-8, 13`.
            lock: Parts of them that stay: of `melody`, `right`, `left`, `bass` and `chords`.
            written: The bytes of it as it is written, which are read instead.

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
            raise ValueError(f"given music is used to {', '.join(USES)}, got {use!r}")
        if (use == INFILL) != bool(at.strip() or lock.strip()):
            raise ValueError(
                "music to infill needs bars (at) or parts that stay (lock), other none"
            )
        parts = {part.strip().lower() for part in lock.split(",")} - {""}
        if unknown := sorted(parts - {*LOCKS}):
            raise ValueError(f"lock must be of {', '.join(LOCKS)}, got {shown(unknown[0])}")
        lock = ", ".join(own for own in LOCKS if own in parts)
        at = ", ".join(f"{a}-{b}" if a < b else f"{a}" for a, b in parse_bars(at))
        try:
            own = {"midi": midi_bytes(midi), "use": str(use), "tonic": tonic, "grid": str(grid)}
            vars(self).update(own, at=at, lock=lock, written=None if use == INFILL else written)
            _ = self.score, self.sheet
            if use != VARY:
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

    @cached_property
    def sheet(self) -> ScoreTick:
        """Return it as it is written."""
        return self.score if self.written is None else parse_score(self.written)

    def read(self, metre: Metre | None) -> BarReading:
        """Read its bars, see `read_bars`; those of a metre, where it says none."""
        try:
            sound = end_of_sound(self.sheet, MidiFile.parse(self.written or self.midi))
        except ScoreError:
            sound = end_of_sound(self.sheet, None)
        tracked = None if self.grid == AUTO else self.grid == TRACKED
        return read_bars(
            self.sheet, at_end=self.use == CONTINUE, sound=sound, asked=metre, tracked=tracked
        )


def parse_bars(text: str) -> list[tuple[int, int]]:
    """Read ranges of bars, such as `5-8, 13`: the first and the last of each, in order.

    Raises:
        ValueError: If it says something else, or ranges do not rise with a bar between them.
    """
    found: list[tuple[int, int]] = []
    for part in text.split(",") if text.strip() else ():
        match = re.fullmatch(r"\s*(\d{1,5})\s*(?:[-–]\s*(\d{1,5})\s*)?", part)
        first, last = map(int, match.groups(match[1])) if match else (1, 0)
        if first > last:
            raise ValueError(f"bars must be such as 5-8 or 5-8, 13, got {shown(text)}")
        if found and first <= found[-1][1] + 1:
            raise ValueError(f"ranges of bars must rise with bars between them, got {shown(text)}")
        found.append((first, last))
    return found


def midi_bytes(music: object) -> bytes:
    """Return the bytes of a MIDI file: of one at a path, as they are, or made of a score.

    Args:
        music: A path, bytes, a symusic score of any unit, or a `pretty_midi.PrettyMIDI`.

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
    if type(music).__name__ == "PrettyMIDI":  # who has one has loaded the package
        file = io.BytesIO()
        cast(Any, music).write(file)
        return file.getvalue()
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
    heard_tonic: int  # that which is heard in the last bars
    is_major: bool  # its mode
    tempo: float  # beats of the metre a minute
    like: Passage  # the last bars, as they sound, in beats of the given metre
    end: float  # quarter notes from the start of the given music to its last bar line
    n_bars: int  # all of its bars
    # ids of the first bars behind a gap; `bars` are those before it then
    behind: tuple[tuple[int, ...], ...]
    is_cut: bool  # whether more follow
    # quarter notes at which each bar of a gap begins and ends, shape (2, n_bars)
    gap: FloatColumn
    # of each bar of a gap the ids of the notes that stay, and its chords where they do
    locked: tuple[tuple[GivenNote, ...], ...]
    chords: Chords
    kept: frozenset[tuple[int, int]]  # tick and pitch of the notes of the file that stay
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
    metres = metres_of(given.sheet, read.end)  # there may be too many bars to list
    n_bars = sum(math.ceil((stop - start - 1e-9) / bar) for start, stop, bar, _ in metres)
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
    gap = _gap(given, read) if given.use == INFILL else slice(read.n_bars, read.n_bars)
    like = _around(read, gap) if given.use == INFILL else _like(read)
    found = estimate_key(like.notes)
    tonic = found.tonic if tonic is None else tonic
    major, minor = key_correlations(like.notes)[:, tonic]
    is_shown = own.kind == read.metre.kind
    bars = _bars(read, tokenizer, -transposition(tonic)) if is_shown else ()
    return PrimerContext(
        bars=bars[: gap.start],
        metre=own.written,
        given_metre=read.metre,
        tonic=tonic,
        heard_tonic=found.tonic,
        is_major=bool(major >= minor),
        tempo=like.tempo,
        like=like,
        end=read.end,
        n_bars=n_bars,
        quadrant=hear(like.notes),
        is_tracked=read.is_tracked,
        behind=bars[gap.stop : gap.stop + BEHIND_BARS],
        is_cut=gap.stop + BEHIND_BARS < read.n_bars,
        gap=read.lines[:, gap],
        **_locked(given, read, gap, tokenizer, -transposition(tonic)),
    )


def _locked(
    given: Primer, read: BarReading, gap: slice, tokenizer: Tokenizer, shift: int
) -> dict[str, Any]:
    """Return what stays of the bars of a gap: `locked`, `chords` and `kept`."""
    n_bars, own, locks = gap.stop - gap.start, read.notes, set(given.lock.split(", "))
    found: dict[str, Any] = {"locked": ((),) * n_bars, "chords": (), "kept": frozenset()}
    if not given.lock or not n_bars:
        return found
    lines = np.arange(read.n_bars + 1.0) * read.metre.beats
    moment = np.rint(own.onset * STEPS_PER_BEAT) / STEPS_PER_BEAT  # what is rolled is one chord
    order = np.lexsort((own.pitch, moment))
    parts = np.zeros(len(own), np.uint8)
    parts[order] = parts_of(replace(own, onset=moment).where(order), lines)
    stays = np.zeros(len(own), bool)
    for name, bit in (("melody", MELODY), ("right", RIGHT_HAND), ("bass", BASS)):
        stays |= (parts & bit > 0) & (name in locks)
    stays |= (parts & RIGHT_HAND == 0) & ("left" in locks)
    bar = np.floor((own.onset + NEAR / 2) / read.metre.kind[0])
    stays &= (bar >= gap.start) & (bar < gap.stop)
    if stays.any():
        ids = _bars(replace(read, notes=own.where(stays)), tokenizer, shift)[gap]
        found["locked"] = tuple(tuple(tokenizer.struck(bar)) for bar in ids)
    if "chords" in locks:
        chords = find_chords(notes_of(_written(read, 0)), lines)[0]
        found["chords"] = tuple((a, b) for a, b in chords[gap].tolist())
    said = {*zip(own.onset_s[stays].tolist(), own.pitch[stays].tolist(), strict=True)}
    every = notes_of(given.score)
    columns = (every.onset_s, every.pitch, np.rint(every.onset * given.score.ticks_per_quarter))
    found["kept"] = frozenset(
        (round(tick), pitch)
        for onset_s, pitch, tick in zip(*(column.tolist() for column in columns), strict=True)
        if (onset_s, pitch) in said
    )
    return found


def _gap(given: Primer, read: BarReading) -> slice:
    """Return which of the bars are those of the first range that is to be written anew."""
    if not given.at:
        return slice(0, read.n_bars)
    lines = np.append(read.lines[0], read.lines[1, -1:])
    if not read.is_tracked:
        lines = grid_of(given.score, read.end)[0]
    is_upbeat = len(lines) > 2 and lines[1] - lines[0] < lines[2] - lines[1] - NEAR
    first, last = parse_bars(given.at)[0]
    begin, end = (at - (not is_upbeat) for at in (first, last + 1))
    if not 0 <= begin < end < len(lines):
        raise ScoreError(
            f"the music has bars {1 - is_upbeat} to {len(lines) - 1 - is_upbeat}, not {given.at}"
        )
    inside = (read.lines[0] >= lines[begin] - NEAR) & (read.lines[1] <= lines[end] + NEAR)
    own = np.flatnonzero(inside)
    is_whole = abs(np.diff(read.lines[:, own], axis=0).sum() - (lines[end] - lines[begin])) < NEAR
    if not len(own) or not is_whole:
        what = f"bars {given.at} are not all whole bars in {read.metre}"
        raise ScoreError(f"{what}, so they cannot be written anew")
    return slice(int(own[0]), int(own[-1]) + 1)


def _around(read: BarReading, gap: slice) -> Passage:
    """Return the bars on both sides of a gap as they sound, as if nothing were between them; those
    of the gap itself where it is all there is."""
    size, notes = read.metre.kind[0], read.notes
    first, last = max(gap.start - AROUND_BARS, 0), min(gap.stop + AROUND_BARS, read.n_bars)
    bar = np.floor((notes.onset + NEAR / 2) / size)
    near = (bar >= first) & (bar < last)
    outside = near & ((bar < gap.start) | (bar >= gap.stop))
    n_bars, n_gap = last - first, gap.stop - gap.start
    if outside.any():
        off = np.where(bar >= gap.stop, n_gap * size, 0.0)
        notes = replace(notes, onset=notes.onset - off).where(outside)
        n_bars -= n_gap
    else:
        notes = notes.where(near)
    tempo = min(max(read.tempo(gap), MIN_TEMPO), MAX_TEMPO)
    return passage_of(notes, start=first * size, n_beats=n_bars * size, tempo=round(tempo, 2))


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
    own, beats, step = read.notes, read.metre.beats, read.step
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
