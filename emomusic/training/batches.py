"""Clips of the packed rows as sequences of events: what is given drawn anew, music shifted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emomusic.model.events import EventLayout, to_events
from emomusic.training.rows import Rows

POOL = 512
MULTIPLE = 32
MAX_CHORD = 108
"""Number of `none`; those below are root * 9 + quality."""
FORM_DISTANCES = (1, 2, 4, 8, 16)
RIGHT, MELODY, BASS = 1, 2, 4
"""Bits of `Rows.note_part`."""
PARTS = ("melody", "right", "left", "bass", "outer", "some")
"""What of the music may be given note by note: `outer` is melody and bass."""
JOIN_BARS = ENDING_BARS = 4
CHORDS_LATER = 0.3
"""Chance that chords stand in a gap only, or from some bar on: music that is brought has none."""
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Pieces = list[tuple[Ints, Bools | bool]]
"""Ids, and which of them are to be learnt."""
Gap = tuple[int, int]
"""First bar of a gap and the one after its last."""
NO_GAP: Gap = (0, 0)


@dataclass(frozen=True)
class Augmentation:
    """Hold how clips vary from draw to draw, all chances of a clip.

    Attributes:
        drop_all: That it has no clip-wide control at all.
        keep_all: That it has all of them; in between each is kept with one chance drawn for the
            clip.
        bar_controls: That it has controls at its bars.
        chords: That bars say their chords, where one is known, before their notes.
        form: That bars say which one they take up.
        given: That notes are given.
        gap: That it is to be filled in between bars that are there.
        octave: That it moves up or down an octave.
        tempo: Largest relative change of tempo.
    """

    drop_all: float = 0.1
    keep_all: float = 0.4
    bar_controls: float = 0.3
    chords: float = 0.5
    form: float = 0.5
    given: float = 0.2
    gap: float = 0.15
    octave: float = 0.2
    tempo: float = 0.08

    def __post_init__(self) -> None:
        """Check the chances.

        Raises:
            ValueError: If one is not in [0, 1].
        """
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        if self.drop_all + self.keep_all > 1:
            raise ValueError(
                f"drop_all + keep_all must be at most 1, got {self.drop_all + self.keep_all:g}"
            )


STILL = Augmentation(0, 1, 0, 0, 0, 0, 0, 0, 0)
"""All clip-wide controls, nothing else, and the music as it is."""


class Layout:
    """Know which ids mean what, from the vocabulary's texts."""

    def __init__(self, rows: Rows) -> None:
        """Look the ids up.

        Raises:
            ValueError: If the vocabulary lacks one of the tokens that training needs.
        """
        texts: list[str] = rows.meta["vocabulary"]
        self._ids = {text: i for i, text in enumerate(texts)}
        self.n_ids = len(texts)
        self.events = EventLayout.from_texts(texts)
        self.kinds = self.events.kinds(len(texts))
        self.control = self._controls("Control", rows.meta["attributes"])
        self.bar_control = self._controls("BarControl", rows.meta["bar_attributes"])
        self.ending = [self._id(f"Ending_{left + 1}") for left in range(ENDING_BARS)]
        self.join = [self._id(f"Join_{left + 1}") for left in range(JOIN_BARS)]
        self.compound = self._id("Compound_None")
        self.form = [
            self._id(f"Form-{kind}_{distance}")
            for kind in ("whole", "rhythm")
            for distance in FORM_DISTANCES
        ]
        self.lowest, self.highest = self._id("Pitch_21"), self._id("Pitch_108")

    def _id(self, text: str) -> int:
        if text not in self._ids:
            raise ValueError(f"the rows' vocabulary has no token {text!r}")
        return self._ids[text]

    def _controls(self, kind: str, names: list[str]) -> Ints:
        return np.array([self._id(f"{kind}-{name.replace('_', '-')}_0") for name in names])


@dataclass(frozen=True)
class EventBatch:
    """Hold sequences of events.

    Attributes:
        rows: Of the embedding, event after event, shape (n_rows,).
        start: Where in them each event begins, shape (n_events,).
        place: Where each event stands among B × T, shape (n_events,).
        shape: B and T.
        chosen: See `Events`, shape (n_events, n_slots).
        learnt: As chosen.
        sequence: The sequence of each event, shape (n_events,).
        n_notes: Notes written.
    """

    rows: Tensor
    start: Tensor
    place: Tensor
    shape: tuple[int, int]
    chosen: Tensor
    learnt: Tensor
    sequence: Tensor
    n_notes: int

    @property
    def n_learnt(self) -> int:
        """Return how many choices are to be learnt."""
        return int(self.learnt.sum())

    def to(self, device: torch.device) -> EventBatch:
        """Return the same on another device."""
        tensors = {n: t.to(device) for n, t in vars(self).items() if isinstance(t, Tensor)}
        return EventBatch(**tensors, shape=self.shape, n_notes=self.n_notes)


@dataclass(frozen=True)
class _Clip:
    """Say where a clip is in the rows, and what its song has."""

    number: int
    first: int  # bar
    n_bars: int
    notes: slice  # among those of all bars
    is_end: bool
    has: Bools  # what attributes need, see `_needs`: nothing, dynamics, durations


@dataclass(frozen=True)
class _Draw:
    """Hold what chance decides about a clip."""

    shift: int
    stretch: float
    kept: Bools  # (n_attributes,)
    bar_kept: Bools  # (n_bars, n_bar_attributes)
    chords: Bools  # (n_bars,)
    form: Bools  # (n_bars,)
    given: Bools  # (n_notes,)
    given_velocity: bool
    given_duration: bool
    gap: Gap


class ClipBatches:
    """Assemble the batches of an epoch; the same seed and numbers give the same batch."""

    def __init__(
        self,
        rows: Rows,
        *,
        validation: bool,
        batch_events: int,
        context: int,
        seed: int,
        augmentation: Augmentation | None,
        source_weights: dict[str, float] | None = None,
    ) -> None:
        """Choose the clips.

        Args:
            rows: Packed rows.
            validation: Whether to take the songs held back or the others.
            batch_events: Most events in a batch, padding counted in, given notes not.
            context: Longest sequence in events; longer clips are left out.
            seed: Of order and augmentation.
            augmentation: How clips vary; None takes `STILL`.
            source_weights: How often a source's clips come in an epoch; 1 where not named.

        Raises:
            ValueError: If no clip is left, or a weight names an unknown source, or all are 0.
        """
        self.rows, self.layout = rows, Layout(rows)
        self.batch_events, self.context, self.seed = batch_events, context, seed
        self.augmentation = augmentation or STILL
        weights = source_weights or {}
        unknown = set(weights) - set(rows.meta["sources"])
        if unknown:
            raise ValueError(
                f"unknown source {sorted(unknown)[0]!r}; "
                f"known are {', '.join(rows.meta['sources'])}"
            )
        self.clips = np.flatnonzero(rows.song_is_validation[rows.clip_song] == validation)
        self._index_notes()
        first = rows.clip_bar.astype(np.int64)
        end = first + rows.clip_n_bars
        self.n_notes = self._bar_note[end] - self._bar_note[first]
        self.length = 1 + 2 * rows.clip_n_bars.astype(np.int64) + self.n_notes
        self.clips = self.clips[self.length[self.clips] + 2 <= context]
        if not len(self.clips):
            raise ValueError(f"the rows hold no {'validation' if validation else 'training'} clips")
        by_source = np.array([weights.get(name, 1.0) for name in rows.meta["sources"]])
        self.weight = by_source[rows.song_source[rows.clip_song[self.clips]]]
        if not self.weight.any():
            raise ValueError("an epoch holds no clip; give a source a weight above 0")
        names, bar_names = rows.meta["attributes"], rows.meta["bar_attributes"]
        self.edges, self.bar_edges = np.array(rows.meta["edges"]), np.array(rows.meta["bar_edges"])
        self._needs = _needs(names)
        self._bar_needs = _needs(bar_names)
        self._register, self._tempo = names.index("register"), names.index("tempo")
        self._bar_register = bar_names.index("register")

    def _index_notes(self) -> None:
        """Find the notes of all bars, and the moment of each."""
        ids, layout = self.rows.ids, self.layout.events
        pitch = (ids >= layout.pitch[0]) & (ids < sum(layout.pitch))
        self._note_at = np.flatnonzero(pitch)
        position = np.flatnonzero((ids >= layout.position[0]) & (ids < sum(layout.position)))
        self._moment = ids[position[np.searchsorted(position, self._note_at) - 1]]
        self._bar_note = np.searchsorted(self._note_at, self.rows.bar_start)

    def epoch(self, epoch: int) -> list[Ints]:
        """Return the clips of each batch of an epoch, similar lengths together."""
        rng = np.random.default_rng([self.seed, epoch, 0])
        copies = np.floor(self.weight + rng.random(len(self.clips))).astype(np.int64)
        order = rng.permutation(np.repeat(self.clips, copies))
        batches: list[Ints] = []
        for start in range(0, len(order), POOL):
            pool = order[start : start + POOL]
            batches += self._cut(pool[np.argsort(self.length[pool], kind="stable")])
        return [batches[i] for i in rng.permutation(len(batches))]

    def _cut(self, pool: Ints) -> list[Ints]:
        batches, start = [], 0
        for end in range(1, len(pool) + 1):
            longest = self._padded(int(self.length[pool[min(end, len(pool) - 1)]]))
            if end == len(pool) or longest * (end + 1 - start) > self.batch_events:
                batches.append(pool[start:end])
                start = end
        return batches

    def _padded(self, length: int) -> int:
        return min(-(-length // MULTIPLE) * MULTIPLE, self.context)

    def batch(self, clips: Ints, epoch: int, index: int) -> EventBatch:
        """Return the events of a batch.

        Args:
            clips: Those of the batch.
            epoch: Number of the epoch.
            index: Place of the batch in it.
        """
        found = [
            self.sequence(int(clip), np.random.default_rng([self.seed, epoch, 1 + index, place]))
            for place, clip in enumerate(clips)
        ]
        ids = np.concatenate([own for own, _ in found])
        learnt = np.concatenate([own for _, own in found])
        events = to_events(ids, self.layout.events, self.layout.kinds, learnt)
        lengths = np.diff(events.first)
        width = self._padded(int(lengths.max()))
        within = np.arange(events.first[-1]) - np.repeat(events.first[:-1], lengths)
        sequence = np.repeat(np.arange(len(found)), lengths)
        of = torch.from_numpy
        return EventBatch(
            rows=of(events.rows),
            start=of(events.start),
            place=of(sequence * width + within),
            shape=(len(found), width),
            chosen=of(events.chosen),
            learnt=of(events.learnt),
            sequence=of(sequence),
            n_notes=int(events.is_note.sum()),
        )

    def sequence(self, clip: int, rng: np.random.Generator) -> tuple[Ints, Bools]:
        """Return the ids of a clip as drawn now, and which of them are to be learnt."""
        c, layout = self._clip(clip), self.layout
        draw, n_written = self._draw(c, rng), c.n_bars
        if self.length[clip] + 2 + draw.given.sum() > self.context:
            draw = replace(draw, given=np.zeros_like(draw.given))  # both do not fit
        pieces: Pieces = [(self._head(c, draw), False)]
        if draw.gap != NO_GAP:
            n_written = draw.gap[1]
            pieces.append((np.array([layout.events.behind]), False))
            for bar in range(n_written, c.n_bars):
                pieces += [(ids, False) for ids, _ in self._bar(c, bar, draw)]
            pieces.append((np.array([layout.events.here]), False))
        for bar in range(n_written):
            pieces += self._bar(c, bar, draw)
        if draw.gap != NO_GAP or c.is_end:
            pieces.append((np.array([layout.events.eos]), True))
        ids = np.concatenate([own for own, _ in pieces])
        learnt = np.concatenate([np.broadcast_to(told, own.shape) for own, told in pieces])
        is_pitch = layout.kinds[ids] == layout.kinds[layout.lowest]
        ids[is_pitch] = np.clip(ids[is_pitch] + draw.shift, layout.lowest, layout.highest)
        return ids, learnt

    def _clip(self, number: int) -> _Clip:
        rows, first = self.rows, int(self.rows.clip_bar[number])
        n_bars, song = int(rows.clip_n_bars[number]), rows.clip_song[number]
        notes = slice(int(self._bar_note[first]), int(self._bar_note[first + n_bars]))
        has = np.array([True, rows.song_has_dynamics[song], rows.song_has_durations[song]])
        return _Clip(number, first, n_bars, notes, bool(rows.clip_is_end[number]), has)

    def _head(self, c: _Clip, draw: _Draw) -> Ints:
        values = self.rows.clip_values[c.number].astype(np.float64)
        values[self._register] += draw.shift
        values[self._tempo] *= draw.stretch
        kept = draw.kept & c.has[self._needs]
        controls = (_bins(values, self.edges) + self.layout.control)[kept]
        return np.concatenate([[self.layout.events.bos], controls])

    def _bar(self, c: _Clip, bar: int, draw: _Draw) -> Pieces:
        rows, at = self.rows, c.first + bar
        body = rows.ids[rows.bar_start[at] : rows.bar_start[at + 1]].astype(np.int64)
        pieces: Pieces = [
            (body[:1], True),
            (np.concatenate([body[1:2], self._marks(c, bar, draw)]), False),
        ]
        notes = np.arange(self._bar_note[at], self._bar_note[at + 1])
        given = notes[draw.given[notes - c.notes.start]]
        if len(given):
            pieces.append((self._given(given, draw), False))
        if draw.chords[bar]:
            pieces.append(self._chords(at, draw.shift))
        learnt = np.ones(len(body) - 2, dtype=bool)
        note = self._note_at[notes] - rows.bar_start[at] - 2
        learnt[note + 1], learnt[note + 2] = c.has[1:]
        pieces.append((body[2:], learnt))
        return pieces

    def _marks(self, c: _Clip, bar: int, draw: _Draw) -> Ints:
        """Return what a bar says of itself: metre, how many are left, form, controls."""
        rows, layout, at = self.rows, self.layout, c.first + bar
        marks: list[int] = [layout.compound] if rows.bar_compound[at] else []
        begin, end = draw.gap
        if begin <= bar < end and end - bar <= JOIN_BARS:
            marks.append(layout.join[end - bar - 1])
        if c.is_end and c.n_bars - bar <= ENDING_BARS:
            marks.append(layout.ending[c.n_bars - bar - 1])
        form = int(rows.bar_form[at])
        n_before = bar - end if bar >= end else bar  # directly before this one in the sequence
        if draw.form[bar] and form and FORM_DISTANCES[(form - 1) % 5] <= n_before:
            marks.append(layout.form[form - 1])
        kept = draw.bar_kept[bar] & c.has[self._bar_needs]
        if kept.any():
            values = rows.bar_values[at].astype(np.float64)
            values[self._bar_register] += draw.shift
            kept = kept & np.isfinite(values)
            marks += (_bins(values, self.bar_edges) + layout.bar_control)[kept].tolist()
        return np.array(marks, dtype=np.int64)

    def _given(self, notes: Ints, draw: _Draw) -> Ints:
        """Return notes that are shown before they are written."""
        ids, at = self.rows.ids, self._note_at[notes]
        columns = [np.full(len(notes), self.layout.events.given), self._moment[notes], ids[at]]
        columns += [ids[at + 1]] if draw.given_velocity else []
        columns += [ids[at + 2]] if draw.given_duration else []
        return np.stack(columns, axis=1).astype(np.int64).ravel()

    def _chords(self, bar: int, shift: int) -> tuple[Ints, Bools]:
        """Return the two chords of a bar, none for one that is not known, and which are known."""
        chords = self.rows.bar_chords[bar].astype(np.int64)
        known = chords >= 0
        moved = np.where(chords < MAX_CHORD, (chords + 9 * shift) % MAX_CHORD, MAX_CHORD)
        layout = self.layout.events
        first = np.array([layout.chord_a[0], layout.chord_b[0]])
        return first + np.where(known, moved, MAX_CHORD), known

    def _draw(self, c: _Clip, rng: np.random.Generator) -> _Draw:
        shift, a = int(self.rows.clip_shift[c.number]), self.augmentation
        if rng.random() < a.octave:
            shift += 12 if rng.random() < 0.5 else -12
        stretch = float(np.exp(rng.uniform(-1, 1) * np.log1p(a.tempo)))
        gap = _gap(rng, c.n_bars) if rng.random() < a.gap else NO_GAP
        return _Draw(
            self._fitting(c, shift),
            stretch,
            _kept(rng, len(self.layout.control), a),
            self._bar_kept(c, rng),
            self._with_chords(c, gap, rng),
            _some(rng, c.n_bars) if rng.random() < a.form else np.zeros(c.n_bars, dtype=bool),
            self._drawn_notes(c, gap, rng),
            rng.random() < 0.7 and bool(c.has[1]),
            rng.random() < 0.8 and bool(c.has[2]),
            gap,
        )

    def _fitting(self, c: _Clip, shift: int) -> int:
        """Return a shift, or the one an octave back where notes would leave the piano."""
        pitch = self.rows.ids[self._note_at[c.notes]]
        if int(pitch.max()) + shift > self.layout.highest:
            return shift - 12
        return shift + 12 if int(pitch.min()) + shift < self.layout.lowest else shift

    def _bar_kept(self, c: _Clip, rng: np.random.Generator) -> Bools:
        n = len(self.layout.bar_control)
        if rng.random() >= self.augmentation.bar_controls:
            return np.zeros((c.n_bars, n), dtype=bool)
        kinds = rng.random(n) < rng.random()
        return kinds & (rng.random((c.n_bars, n)) < rng.uniform(0.3, 1.0))

    def _with_chords(self, c: _Clip, gap: Gap, rng: np.random.Generator) -> Bools:
        """Draw which bars of a clip say their chords, shape (n_bars,)."""
        if rng.random() >= self.augmentation.chords:
            return np.zeros(c.n_bars, dtype=bool)
        known: Bools = self.rows.bar_chords[c.first : c.first + c.n_bars].max(axis=1) >= 0
        if rng.random() < CHORDS_LATER:
            begin, end = gap if gap != NO_GAP else (int(rng.integers(c.n_bars)), c.n_bars)
            known[:begin] = known[end:] = False
        return known

    def _drawn_notes(self, c: _Clip, gap: Gap, rng: np.random.Generator) -> Bools:
        """Draw which notes of a clip are given: a part of the music, in some of the bars.

        None are behind a gap: those bars are shown whole.
        """
        part = self.rows.note_part[c.notes]
        if rng.random() >= self.augmentation.given:
            return np.zeros(len(part), dtype=bool)
        kind = PARTS[rng.integers(len(PARTS))]
        wanted = {
            "melody": (part & MELODY) > 0,
            "right": (part & RIGHT) > 0,
            "left": (part & RIGHT) == 0,
            "bass": (part & BASS) > 0,
            "outer": (part & (MELODY | BASS)) > 0,
            "some": rng.random(len(part)) < rng.uniform(0.1, 0.7),
        }[kind]
        bars = np.ones(c.n_bars, dtype=bool)
        if rng.random() < 0.4:
            begin, end = sorted(rng.integers(0, c.n_bars + 1, 2).tolist())
            bars = (np.arange(c.n_bars) >= begin) & (np.arange(c.n_bars) < max(end, begin + 1))
        if gap != NO_GAP:
            bars[gap[1] :] = False
        counts = np.diff(self._bar_note[c.first : c.first + c.n_bars + 1])
        found: Bools = wanted & np.repeat(bars, counts)
        return found


def _needs(names: list[str]) -> Ints:
    """Return what each attribute needs: 0 nothing, 1 dynamics, 2 durations that are played."""
    long = ("note_length", "articulation", "polyphony", "silence")
    return np.array([1 if n.startswith("velocity") else 2 if n in long else 0 for n in names])


def _kept(rng: np.random.Generator, n: int, a: Augmentation) -> Bools:
    draw = rng.random()
    if draw < a.drop_all:
        return np.zeros(n, dtype=bool)
    if draw < a.drop_all + a.keep_all:
        return np.ones(n, dtype=bool)
    return rng.random(n) < rng.random()


def _some(rng: np.random.Generator, n: int) -> Bools:
    return rng.random(n) < rng.uniform(0.3, 1.3)


def _gap(rng: np.random.Generator, n_bars: int) -> Gap:
    """Draw which bars are to be filled in: at least one is behind them."""
    if n_bars < 3:
        return NO_GAP
    length = min(int(rng.choice([1, 2, 4, 4, 8, 8, 16])), n_bars - 2)
    begin = int(rng.integers(0, n_bars - length))
    return begin, begin + length


def _bins(values: NDArray[np.float64], edges: NDArray[np.float64]) -> Ints:
    bins: Ints = (values[:, None] >= edges).sum(axis=1)
    return bins
