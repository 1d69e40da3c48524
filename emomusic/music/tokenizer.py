"""Scores to token ids and back: the tokens of MidiTok's REMI, with controls of our own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from symusic.core import (
    NoteTickList,
    ScoreTick,
    TempoTick,
    TempoTickList,
    TimeSignatureTick,
    TimeSignatureTickList,
    TrackTick,
    TrackTickList,
)

from emomusic.files import read_json, write_text
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import CHORD_NAMES
from emomusic.music.form import FORM_BARS, FORM_KINDS
from emomusic.music.notes import FloatColumn, IntColumn

STEPS_PER_BEAT = 12
LOWEST_PITCH, HIGHEST_PITCH = 21, 108
N_VELOCITIES = 16
N_BINS = 12
ENDING_BARS = 4
BEATS_PER_BAR = (2, 3, 4)
SPECIAL_TOKENS = ("PAD", "BOS", "EOS")
HALVES = ("A", "B")
MAX_BYTES = 2**20
"""Of a `tokenizer.json`: fifty times the size of ours."""
RESOLUTIONS = ((0, 2, STEPS_PER_BEAT), (2, 4, 4), (4, 12, 2))
"""Lengths from one beat to another, and into how many parts a beat is cut for them."""
COMMON_TIME = 4
"""Beats a bar where a score names no time signature."""
Metres = list[tuple[int, int]]
"""Ticks at which the metre changes, and the beats a bar from there on; the first at 0."""

_ON = (
    "remove_duplicated_notes use_velocities use_time_signatures "
    "delete_equal_successive_time_sig_changes"
)
_OFF = (
    "use_chords use_rests use_tempos use_key_signatures use_sustain_pedals use_pitch_bends "
    "use_control_changes use_programs use_pitch_intervals use_pitchdrum_tokens "
    "one_token_stream_for_programs program_changes"
)
_SETTINGS: dict[str, Any] = {
    "pitch_range": [LOWEST_PITCH, HIGHEST_PITCH + 1],
    "beat_res": {f"{first}_{last}": parts for first, last, parts in RESOLUTIONS},
    "num_velocities": N_VELOCITIES,
    "encode_ids_split": "no",
    "use_note_duration_programs": [0],
    "time_signature_range": {"4": list(BEATS_PER_BAR)},
    "additional_params": {
        "max_bar_embedding": None,
        "use_bar_end_tokens": False,
        "add_trailing_bars": False,
    },
    **dict.fromkeys(_ON.split(), True),
    **dict.fromkeys(_OFF.split(), False),
}
"""The settings with which MidiTok 3.1 has the same tokens, spelled out: its defaults move."""


def control_name(attribute: str, bin_index: int, *, per_bar: bool = False) -> str:
    """Return the text of a control token (MidiTok allows one underscore only)."""
    kind = "BarControl" if per_bar else "Control"
    return f"{kind}-{attribute.replace('_', '-')}_{bin_index}"


@dataclass(frozen=True)
class Vocabulary:
    """Hold which ids mean what; all a model-side program needs to know of the tokens.

    Attributes:
        texts: The text of each id.
    """

    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {text: index for index, text in enumerate(self.texts)}

    def id_of(self, text: str) -> int:
        """Return the id of a token's text, or raise a ValueError if there is no such token."""
        if text not in self._ids:
            raise ValueError(f"the vocabulary has no token {text!r}")
        return self._ids[text]

    def _ids_of(self, texts: Iterable[str]) -> NDArray[np.int64]:
        return np.array([self.id_of(text) for text in texts])

    def kind_ids(self, kind: str) -> NDArray[np.int64]:
        """Return all ids whose text begins with `kind` and an underscore, ascending."""
        found = [i for i, text in enumerate(self.texts) if text.startswith(f"{kind}_")]
        return np.array(found, dtype=np.int64)

    def values(self, kind: str) -> list[str]:
        """Return what follows the underscore, for each id of that kind."""
        return [self.texts[i].split("_", 1)[1] for i in self.kind_ids(kind)]

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Return the attributes of clips that have controls, in the order of their ids."""
        return _controlled(self.texts, "Control-")

    @cached_property
    def bar_attributes(self) -> tuple[str, ...]:
        """Return the attributes of bars that have controls, in the order of their ids."""
        return _controlled(self.texts, "BarControl-")

    def form_ids(self) -> NDArray[np.int64]:
        """Return the ids of a bar's form, by its code less 1: whole and each distance, rhythm."""
        return self._ids_of(_form_tokens())

    def chord_ids(self, half: str) -> NDArray[np.int64]:
        """Return the id of each chord's number in the half `A` or `B` of a bar, shape (109,)."""
        return self._ids_of(_chord_tokens(half))

    def control_ids(self, names: tuple[str, ...], *, per_bar: bool = False) -> NDArray[np.int64]:
        """Return the first control id of each attribute; the other bins follow it.

        Raises:
            ValueError: If the vocabulary lacks one.
        """
        return self._ids_of(control_name(name, 0, per_bar=per_bar) for name in names)


def durations() -> dict[int, str]:
    """Return the token of each length that can be written, by its twelfths of a beat."""
    cuts = [
        (beat, part, parts)
        for first, last, parts in RESOLUTIONS
        for beat in range(first, last)
        for part in range(parts)
    ]
    longest = (RESOLUTIONS[-1][1], 0, RESOLUTIONS[-1][2])
    return {
        (beat * parts + part) * STEPS_PER_BEAT // parts: f"Duration_{beat}.{part}.{parts}"
        for beat, part, parts in [*cuts[1:], longest]
    }


def beats_of(text: str) -> float:
    """Return the beats that the text of a duration token says, 0 of other tokens."""
    if not text.startswith("Duration_"):
        return 0.0
    beats, part, parts = text.removeprefix("Duration_").split(".")
    return int(beats) + int(part) / int(parts)


def velocities() -> list[int]:
    """Return the velocities that can be written, rising."""
    return [127 * step // N_VELOCITIES for step in range(1, N_VELOCITIES + 1)]


def built_vocabulary(special: Sequence[str] | None = None) -> Vocabulary:
    """Return the vocabulary of this version.

    Args:
        special: Texts of the first ids, controls among them; None takes `special_tokens()`.
    """
    special = special_tokens() if special is None else special
    return Vocabulary((*special, *_music_tokens()))


def special_tokens(
    attributes: Sequence[str] = ATTRIBUTE_NAMES, bar_attributes: Sequence[str] = BAR_ATTRIBUTE_NAMES
) -> list[str]:
    """Return the texts of the ids before the music.

    Args:
        attributes: What a clip can be asked for: a checkpoint owns its list.
        bar_attributes: What a single bar can be asked for.
    """
    return [
        *(f"{token}_None" for token in SPECIAL_TOKENS),
        *(control_name(name, b) for name in attributes for b in range(N_BINS)),
        *(control_name(name, b, per_bar=True) for name in bar_attributes for b in range(N_BINS)),
        *(f"Ending_{left}" for left in range(1, ENDING_BARS + 1)),
        *(f"Join_{left}" for left in range(1, ENDING_BARS + 1)),
        "Compound_None",
        *_form_tokens(),
        *("Given_None", "Behind_None", "Here_None"),
        *(text for half in HALVES for text in _chord_tokens(half)),
    ]


def _form_tokens() -> list[str]:
    return [f"Form-{kind}_{bars}" for kind in FORM_KINDS for bars in FORM_BARS]


def _chord_tokens(half: str) -> list[str]:
    return [f"Chord{half}_{name}" for name in CHORD_NAMES]


def _controlled(texts: Sequence[str], kind: str) -> tuple[str, ...]:
    names = (text.removeprefix(kind).split("_")[0] for text in texts if text.startswith(kind))
    return tuple(dict.fromkeys(name.replace("-", "_") for name in names))


def _music_tokens() -> Iterator[str]:
    yield "Bar_None"
    # MidiTok counts its upper end in; it is never used.
    yield from (f"Pitch_{pitch}" for pitch in range(LOWEST_PITCH, HIGHEST_PITCH + 2))
    yield from (f"Velocity_{velocity}" for velocity in velocities())
    yield from durations().values()
    yield from (f"Position_{step}" for step in range(max(BEATS_PER_BAR) * STEPS_PER_BEAT))
    yield from (f"TimeSig_{beats}/4" for beats in BEATS_PER_BAR)


def write_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write a vocabulary as a `tokenizer.json` that MidiTok's REMI loads too.

    Raises:
        OSError: If the folder is not writable or full.
    """
    n_special = len(vocabulary) - len(built_vocabulary(()))
    config = {**_SETTINGS, "special_tokens": list(vocabulary.texts[:n_special])}
    write_text(path, json.dumps({"config": config, "tokenization": "REMI"}, indent=4))


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the vocabulary of a `tokenizer.json`, as MidiTok or `write_vocabulary` writes it.

    Raises:
        ValueError: If the file is missing or damaged, or its tokens are others than ours.
    """
    try:
        return built_vocabulary(_checked(read_json(path, max_bytes=MAX_BYTES)))
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error)
    raise ValueError(f"{path.name} is no tokenizer of this kind: {reason}")


def _checked(saved: Any) -> list[str]:
    """Return the special tokens of a saved tokenizer whose music tokens are ours."""
    if not isinstance(saved, dict) or not isinstance(saved.get("config"), dict):
        raise TypeError("it holds no settings")
    if saved.get("tokenization") != "REMI":
        raise ValueError(f"tokenization must be 'REMI', got {saved.get('tokenization')!r}")
    if saved.keys() & {"_model", "_vocab_base"}:
        raise ValueError("the tokenizer must not be trained (no byte-pair encoding)")
    for name, value in _SETTINGS.items():
        found = saved["config"].get(name)
        if found != value:
            raise ValueError(f"{name} must be {value}, got {found!r:.80}")
    special = saved["config"].get("special_tokens")
    if not isinstance(special, list) or not all(isinstance(text, str) for text in special):
        raise TypeError("its special tokens are no list of texts")
    if len(set(built_vocabulary(special).texts)) < len(built_vocabulary(special)):
        raise ValueError("a special token occurs twice, or is one of the music")
    found = Vocabulary(tuple(special))
    if special != special_tokens(found.attributes, found.bar_attributes):
        raise ValueError("its special tokens are not ours, or in another order")
    return special


class Tokenizer:
    """Turn scores into ids, bar by bar, and ids into scores.

    A bar is `Bar TimeSig`, then for each moment `Position`, then `Pitch Velocity Duration`
    for each note, lowest first. Positions and durations count twelfths of a beat; there are
    16 velocities. Tempo is an attribute, not a token.

    Reference: REMI of Huang and Yang (2020) as MidiTok 3.1 writes and reads it, id by id, which
    `prepare` compares; we differ in the control tokens, which stand in the vocabulary as special
    tokens.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Build the tokenizer, or load it.

        Args:
            path: A `tokenizer.json`; None builds the one described above.

        Raises:
            ValueError: If the file is no tokenizer of this kind.
        """
        self.vocabulary = built_vocabulary() if path is None else read_vocabulary(path)
        # The kind of each id, an index into _KINDS, and its number, shape (2, n_ids), and the
        # first id of each kind of music: its others follow in the order of size.
        self._meaning = np.array([_meaning_of(text) for text in self.vocabulary.texts]).T
        kinds = self._meaning[0].tolist()
        self._first = {kind: kinds.index(at) for at, kind in enumerate(_KINDS) if at in kinds}

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` into a folder."""
        write_vocabulary(self.vocabulary, folder / "tokenizer.json")

    def struck(self, bar: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        """Yield the ids of position, pitch, velocity and duration of each note of a bar's ids."""
        position = -1
        for at, token in enumerate(bar):
            kind = self._meaning[0, token]
            if kind == _KINDS.index("Position"):
                position = token
            elif kind == _KINDS.index("Pitch"):
                yield position, token, bar[at + 1], bar[at + 2]

    def encode(self, score: ScoreTick) -> list[list[int]]:
        """Return the ids of each bar of a score, `Bar` and `TimeSig` first.

        Velocities and durations become the nearest there are (of two as near, the greater);
        of notes of one pitch and onset the shortest stays. Pitches off the piano are left out.

        Args:
            score: One track; time signatures 2/4, 3/4 and 4/4 only, changing at bar lines.

        Raises:
            ValueError: If it is not so.
        """
        if len(score.tracks) != 1:
            raise ValueError(f"a score to encode must have one track, got {len(score.tracks)}")
        if score.ticks_per_quarter != STEPS_PER_BEAT:
            score = score.resample(STEPS_PER_BEAT, min_dur=1)
        metres = _metres(score)
        tick, pitch, velocity, duration = self._on_the_grid(score.tracks[0])
        lines, beats = _bars(metres, int(max([*tick[-1:], metres[-1][0]])))
        bar = np.searchsorted(lines, tick, side="right") - 1
        notes = np.stack([tick - lines[bar], pitch, velocity, duration], axis=1)
        notes += [self._first["Position"], self._first["Pitch"] - LOWEST_PITCH, 0, 0]
        notes[np.flatnonzero(np.diff(tick) == 0) + 1, 0] = -1  # one position for a chord
        cuts = np.searchsorted(bar, np.arange(len(lines) + 1))
        bars = [own[own >= 0].tolist() for own in np.split(notes, cuts[1:-1])]
        heads = (self._first["TimeSig"] + beats - BEATS_PER_BAR[0]).tolist()
        return [[self._first["Bar"], head, *own] for head, own in zip(heads, bars, strict=True)]

    def _on_the_grid(self, track: TrackTick) -> tuple[IntColumn, ...]:
        """Return the notes' ticks and pitches, and the ids of their velocities and durations."""
        column = {name: np.asarray(c, np.int64) for name, c in track.notes.numpy().items()}
        on_piano = (column["pitch"] >= LOWEST_PITCH) & (column["pitch"] <= HIGHEST_PITCH)
        tick, pitch, loud, long = (
            column[name][on_piano] for name in ("time", "pitch", "velocity", "duration")
        )
        velocity, duration = nearest(_VELOCITIES, loud), nearest(_DURATIONS, long)
        order = np.lexsort((velocity, duration, pitch, tick))
        tick, pitch = tick[order], pitch[order]
        again = (np.diff(tick, prepend=-1) == 0) & (np.diff(pitch, prepend=-1) == 0)
        velocity = self._first["Velocity"] + velocity[order]
        duration = self._first["Duration"] + duration[order]
        return tick[~again], pitch[~again], velocity[~again], duration[~again]

    def decode(
        self, ids: Sequence[int], *, tempo: float = 120.0, n_beats: float | None = None
    ) -> ScoreTick:
        """Return the score that the ids write, at one tempo, on one piano track.

        Control tokens are passed over, given notes too (they are written once more); a note that
        is struck again ends the one before it. A pitch without velocity and duration after it is
        no note.

        Args:
            ids: Ids in the order of the grammar.
            tempo: Quarter notes a minute.
            n_beats: Where every note ends at the latest; None lets the last ones ring.
        """
        kind, value = self._meaning[:, np.asarray(ids, dtype=np.int64)]
        said = (kind != _CONTROL) & ~_of_given(kind)
        kind, value = kind[said], value[said]
        first = _first_metre(kind, value)
        tick = _ticks(kind, value, first)
        score, track = ScoreTick(STEPS_PER_BEAT), TrackTick("Piano", 0, False)
        end = None if n_beats is None else round(n_beats * STEPS_PER_BEAT)
        track.notes = _note_list(tick, kind, value, end)
        score.tracks = TrackTickList([track])
        signs = np.flatnonzero(kind == _TIME_SIGNATURE)
        signs = signs[np.diff(value[signs], prepend=first) != 0]
        metres = [(0, first), *zip(tick[signs].tolist(), value[signs].tolist(), strict=True)]
        score.time_signatures = TimeSignatureTickList(
            [TimeSignatureTick(tick, beats, 4) for tick, beats in metres]
        )
        score.tempos = TempoTickList([TempoTick(0, tempo)])
        return score


_KINDS = ("Bar", "Position", "Pitch", "Velocity", "Duration", "TimeSig", "Given")
_BAR, _POSITION, _PITCH, _VELOCITY, _DURATION, _TIME_SIGNATURE, _GIVEN, _CONTROL = range(8)
_VELOCITIES, _DURATIONS = np.array(velocities()), np.array(list(durations()))


def _meaning_of(text: str) -> tuple[int, int]:
    kind, _, value = text.partition("_")
    if kind not in _KINDS:
        return _CONTROL, 0
    if kind == "Duration":
        return _DURATION, round(beats_of(text) * STEPS_PER_BEAT)
    return _KINDS.index(kind), 0 if value == "None" else int(value.split("/")[0])


def _of_given(kind: IntColumn) -> NDArray[np.bool_]:
    """Tell which ids say a given note: `Given`, and the next ones from Position to Duration."""
    rank = np.where((kind >= _POSITION) & (kind <= _DURATION), kind, -1)
    inside: NDArray[np.bool_] = kind == _GIVEN
    rank[inside] = 0
    for _ in range(_DURATION):
        inside[1:] |= inside[:-1] & (rank[1:] > rank[:-1])
    return inside


def _first_metre(kind: IntColumn, value: IntColumn) -> int:
    """Return the beats of the first bar: as said before the first note, or four."""
    told = np.flatnonzero((kind >= _PITCH) & (kind <= _TIME_SIGNATURE))[:1]
    return int(value[told[0]]) if (kind[told] == _TIME_SIGNATURE).any() else COMMON_TIME


def _ticks(kind: IntColumn, value: IntColumn, first: int) -> IntColumn:
    """Return the tick at which each id stands, `first` being the beats of the first bar."""
    sign = _latest(kind == _TIME_SIGNATURE)
    beats = np.where(sign < 0, first, value[sign])
    step = np.where(kind == _BAR, beats * STEPS_PER_BEAT, 0)
    timed = (kind == _BAR) | (kind == _POSITION)
    step[np.flatnonzero(timed)[:1]] = 0  # the first bar begins at 0, whether or not it is said
    told = np.cumsum(step) + np.where(kind == _POSITION, value, 0)
    latest = _latest(timed)
    return np.where(latest < 0, 0, told[latest])


def _latest(mask: NDArray[np.bool_]) -> IntColumn:
    """Return the index of the last true value up to each place, -1 where there is none."""
    return np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))


def _note_list(tick: IntColumn, kind: IntColumn, value: IntColumn, end: int | None) -> NoteTickList:
    """Return the notes said, by onset and pitch, each ended by the next of its pitch and `end`."""
    is_note = (kind[:-2] == _PITCH) & (kind[1:-1] == _VELOCITY) & (kind[2:] == _DURATION)
    at = np.flatnonzero(is_note)
    at = at[np.lexsort((value[at], tick[at]))]
    tick, pitch, velocity, length = tick[at], value[at], value[at + 1], value[at + 2]
    by_pitch = np.argsort(pitch, kind="stable")
    again = np.diff(pitch[by_pitch]) == 0
    struck, until = by_pitch[:-1][again], np.diff(tick[by_pitch])[again]
    length[struck] = np.maximum(np.minimum(length[struck], until), 1)
    if end is not None:
        length = np.maximum(np.minimum(length, end - tick), 1)
    return NoteTickList.from_numpy(
        tick.astype(np.int32),
        length.astype(np.int32),
        pitch.astype(np.int8),
        velocity.astype(np.int8),
    )


def _metres(score: ScoreTick) -> Metres:
    """Return the metres of a score, each other than the one before it."""
    changes = {0: (COMMON_TIME, 4)}
    for change in sorted(score.time_signatures, key=lambda change: change.time):
        changes[int(change.time)] = (change.numerator, change.denominator)
    metres: Metres = []
    for tick, (beats, unit) in changes.items():
        if unit != 4 or beats not in BEATS_PER_BAR:
            raise ValueError(f"time signatures must be 2/4, 3/4 or 4/4, got {beats}/{unit}")
        if metres and (tick - metres[-1][0]) % (metres[-1][1] * STEPS_PER_BEAT):
            raise ValueError(f"time signatures must change at bar lines, got tick {tick}")
        if not metres or beats != metres[-1][1]:
            metres.append((tick, beats))
    return metres


def _bars(metres: Metres, last: int) -> tuple[IntColumn, IntColumn]:
    """Return the tick at which each bar begins, up to that which holds `last`, and its beats."""
    ends = [*(tick for tick, _ in metres[1:]), last + 1]
    lines = [
        np.arange(tick, end, beats * STEPS_PER_BEAT)
        for (tick, beats), end in zip(metres, ends, strict=True)
    ]
    return np.concatenate(lines), np.repeat([b for _, b in metres], [len(own) for own in lines])


def nearest(known: IntColumn, values: IntColumn) -> NDArray[np.int64]:
    """Return the index of the number nearest to each value, the greater of two as near.

    Args:
        known: Rising numbers.
        values: Shape (n,).
    """
    return np.searchsorted(known[1:] + known[:-1], 2 * values, side="right")


def bin_edges(values: FloatColumn) -> FloatColumn:
    """Return the inner edges that part values into equally filled bins, shape (N_BINS - 1,)."""
    return np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1])
