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
from emomusic.compose.request import CONTINUE, MAX_TEMPO, MIN_TEMPO, VARY
from emomusic.compose.token_plan import N_HEAD, chord_ids, transposition
from emomusic.emotion.space import refusal
from emomusic.music.attributes import Passage, passage_of
from emomusic.music.chords import NO_CHORD, find_chords
from emomusic.music.key import estimate_key, key_correlations
from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.score import ScoreError, dump_score, grid_of, notes_of, parse_score, read_bytes
from emomusic.music.smf import check_can_go_on
from emomusic.music.tokenizer import (
    BEATS_PER_BAR,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    STEPS_PER_BEAT,
    Tokenizer,
)

USES = (CONTINUE, VARY)
Music = str | os.PathLike[str] | bytes | ScoreTick | ScoreQuarter | ScoreSecond
MAX_GIVEN_BARS = 512
HEARD_BARS = 16  # So many last bars tell key, tempo and what the music is like.


@dataclass(frozen=True)
class Primer:
    """Hold music that is there already, as a MIDI file: so it can be told apart, and kept.

    Attributes:
        midi: The bytes of a MIDI file with pitched notes.
        use: `continue` or `vary`.
        tonic: Pitch class of its key, where it is known; None finds it.
    """

    midi: bytes
    use: str
    tonic: int | None = None

    def __init__(self, midi: Music, use: str, tonic: int | None = None) -> None:
        """Read the music, and check all three.

        Args:
            midi: The path of a MIDI file, its bytes, or a symusic score of any unit, which is
                left as it is.
            use: `continue` or `vary`.
            tonic: Pitch class of its key, where it is known.

        Raises:
            ScoreError: If the file cannot be used.
            ValueError: If the music is of another type, the use another word, or the tonic no
                pitch class.
        """
        if tonic is not None:
            tonic = Field(Kind.WHOLE, name="tonic", bounds=(0, 11)).read(tonic)
        if use not in USES:
            raise ValueError(f"given music is used to {' or to '.join(USES)}, got {use!r}")
        try:
            vars(self).update(midi=midi_bytes(midi), use=str(use), tonic=tonic)
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

    # ids of each bar, its chords first, heads left out, moved to C; the last bars, all of one
    # metre
    bars: tuple[tuple[int, ...], ...]
    beats_per_bar: int  # 2, 3 or 4
    tonic: int  # pitch class of the key
    is_major: bool  # its mode
    tempo: float  # quarter notes a minute
    like: Passage  # the last bars, as they sound
    end: float  # beats from the start of the given music to its last bar line
    n_bars: int  # all of its bars
    quadrant: str  # which one is heard in the last bars


def read_primer(
    score: ScoreTick,
    tokenizer: Tokenizer,
    *,
    tonic: int | None = None,
    hear: Callable[[Notes], str] = lambda notes: "",
) -> PrimerContext:
    """Read given music: its last bars of one metre in ids, moved to C, its key and its tempo.

    A bar of six quarter notes counts as two of three. Onsets are moved to the nearest step of the
    grid, for the model's eyes alone.

    Args:
        score: Notes, tempos and time signatures.
        tokenizer: Writes the ids.
        tonic: Pitch class; None finds it.
        hear: Returns the quadrant heard in notes.

    Raises:
        ScoreError: If it has no notes, too many bars, or ends in another metre than 2, 3, 4 or 6
            quarter notes a bar.
    """
    notes = notes_of(score)
    lines, _ = grid_of(score, float(notes.onset.max()) + 1e-6)
    if len(lines) - 1 > MAX_GIVEN_BARS:
        raise ScoreError(
            f"the music has {len(lines) - 1} bars, at most {MAX_GIVEN_BARS} can be taken up"
        )
    n_bars, lines = len(lines) - 1, _of_one_metre(lines)
    beats = round(float(lines[1] - lines[0]))
    like = _like(notes, lines)
    found = estimate_key(like.notes)
    tonic = found.tonic if tonic is None else tonic
    major, minor = key_correlations(like.notes)[:, tonic]
    moved = _written(notes, lines, beats=beats, shift=-transposition(tonic))
    bars = [bar[N_HEAD:] for bar in tokenizer.encode(moved)]
    bars += [[] for _ in range(len(lines) - 1 - len(bars))]  # silent ones at the end
    chords = [[NO_CHORD] * 2] * len(bars)
    if any(bars):
        chords = find_chords(notes_of(moved), lines - lines[0])[0].tolist()
    own = zip(chords, bars, strict=True)
    return PrimerContext(
        bars=tuple((*chord_ids(tokenizer.vocabulary, pair), *bar) for pair, bar in own),
        beats_per_bar=beats,
        tonic=tonic,
        is_major=bool(major >= minor),
        tempo=like.tempo,
        like=like,
        end=float(lines[-1]),
        n_bars=n_bars,
        quadrant=hear(like.notes),
    )


def _of_one_metre(lines: FloatColumn) -> FloatColumn:
    """Return the bar lines from where the last metre begins."""
    length = np.diff(lines)
    other = np.flatnonzero(np.abs(length - length[-1]) > 1e-6)
    own = lines[other[-1] + 1 if len(other) else 0 :]
    beats = float(length[-1])
    if abs(beats - 6) < 1e-6:
        return np.arange(own[0], own[-1] + 1e-6, 3.0)
    if not any(abs(beats - known) < 1e-6 for known in BEATS_PER_BAR):
        raise ScoreError(
            f"music with {beats:g} quarter notes a bar cannot be taken up, only with 2, 3, 4 or 6"
        )
    return own


def _like(notes: Notes, lines: FloatColumn) -> Passage:
    """Return the last bars as they sound, at their mean tempo."""
    first = max(len(lines) - 1 - HEARD_BARS, 0)
    start, stop = float(lines[first]), float(lines[-1])
    inside = notes.where((notes.onset >= start - 1e-9) & (notes.onset < stop - 1e-9))
    last = int(inside.onset.argmax())
    beats = float(inside.onset[last] + inside.duration[last] - inside.onset[0])
    seconds = float(inside.onset_s[last] + inside.duration_s[last] - inside.onset_s[0])
    tempo = min(max(60.0 * beats / seconds, MIN_TEMPO), MAX_TEMPO)
    return passage_of(notes, start=start, n_beats=stop - start, tempo=round(tempo, 2))


def _written(notes: Notes, lines: FloatColumn, *, beats: int, shift: int) -> ScoreTick:
    """Return the notes between bar lines as the tokenizer reads them, moved by semitones."""
    start, n_steps = float(lines[0]), beats * STEPS_PER_BEAT * (len(lines) - 1)
    own = notes.where(notes.onset >= start - 1e-9)
    tick = np.rint((own.onset - start) * STEPS_PER_BEAT).astype(np.int32)
    tick = np.minimum(tick, n_steps - 1)  # what anticipates the next bar is still of the last
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
