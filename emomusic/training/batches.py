"""Clips of the packed rows as sequences of events: what is given drawn anew, music shifted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    """How clips vary from draw to draw: all chances of a clip but the last, all in [0, 1]."""

    drop_all: float = 0.1  # that it has no clip-wide control at all
    keep_all: float = 0.4  # that it has all; else each is kept with one chance drawn for the clip
    bar_controls: float = 0.3  # that it has controls at its bars
    chords: float = 0.5  # that bars say their chords, where one is known, before their notes
    form: float = 0.5  # that bars say which one they take up
    given: float = 0.2  # that notes are given
    gap: float = 0.15  # that it is to be filled in between bars that are there
    octave: float = 0.2  # that it moves up or down an octave
    tempo: float = 0.08  # largest relative change of tempo

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        if (both := self.drop_all + self.keep_all) > 1:
            raise ValueError(f"drop_all + keep_all must be at most 1, got {both:g}")


STILL = Augmentation(0, 1, 0, 0, 0, 0, 0, 0, 0)
"""All clip-wide controls, nothing else, and the music as it is."""


class Layout:
    """Know which ids mean what, from the vocabulary's texts."""

    def __init__(self, rows: Rows) -> None:
        texts: list[str] = rows.meta["vocabulary"]
        ids = {text: i for i, text in enumerate(texts)}

        def look_up(*wanted: str) -> list[int]:
            for text in wanted:
                if text not in ids:
                    raise ValueError(f"the rows' vocabulary has no token {text!r}")
            return [ids[text] for text in wanted]

        self.n_ids = len(texts)
        self.events = EventLayout.from_texts(texts)
        self.kinds = self.events.kinds(len(texts))
        tables = ("Control", rows.meta["attributes"]), ("BarControl", rows.meta["bar_attributes"])
        self.control, self.bar_control = (
            np.array(look_up(*(f"{kind}-{name.replace('_', '-')}_0" for name in names)))
            for kind, names in tables
        )
        self.ending = look_up(*(f"Ending_{left + 1}" for left in range(ENDING_BARS)))
        self.join = look_up(*(f"Join_{left + 1}" for left in range(JOIN_BARS)))
        forms = (f"Form-{kind}_{n}" for kind in ("whole", "rhythm") for n in FORM_DISTANCES)
        self.form = look_up(*forms)
        self.compound, self.lowest, self.highest = look_up("Compound_None", "Pitch_21", "Pitch_108")


@dataclass(frozen=True)
class EventBatch:
    """Sequences of events."""

    rows: Tensor  # of the embedding, event after event, shape (n_rows,)
    start: Tensor  # where in them each event begins, shape (n_events,)
    place: Tensor  # where each event stands among B × T, shape (n_events,)
    shape: tuple[int, int]  # B and T
    chosen: Tensor  # see `Events`, shape (n_events, n_slots)
    learnt: Tensor  # as chosen
    n_notes: int  # that are written

    def to(self, device: torch.device) -> EventBatch:
        """Return the same on another device."""
        tensors = {n: t.to(device) for n, t in vars(self).items() if isinstance(t, Tensor)}
        return EventBatch(**tensors, shape=self.shape, n_notes=self.n_notes)


class _Drawn:
    """Where a clip is in the rows, and what chance decides about it, in an order that stays."""

    def __init__(self, batches: ClipBatches, number: int, rng: np.random.Generator) -> None:
        rows, layout, a = batches.rows, batches.layout, batches.augmentation
        self.number, self.is_end = number, bool(rows.clip_is_end[number])
        self.first, self.n_bars = int(rows.clip_bar[number]), int(rows.clip_n_bars[number])
        song, bars = rows.clip_song[number], slice(self.first, self.first + self.n_bars)
        bar_note = batches.bar_note[self.first : self.first + self.n_bars + 1]
        notes = slice(int(bar_note[0]), int(bar_note[-1]))
        self.first_note = notes.start  # among those of all bars
        # What attributes need, see `_needs`: nothing, dynamics, durations.
        self.has = np.array([True, rows.song_has_dynamics[song], rows.song_has_durations[song]])
        self.shift = int(rows.clip_shift[number])
        if rng.random() < a.octave:
            self.shift += 12 if rng.random() < 0.5 else -12
        pitch = rows.ids[batches.note_at[notes]].astype(np.int64) + self.shift
        if pitch.max() > layout.highest:
            self.shift -= 12  # not off the piano
        elif pitch.min() < layout.lowest:
            self.shift += 12
        self.stretch = float(np.exp(rng.uniform(-1, 1) * np.log1p(a.tempo)))
        self.gap = _gap(rng, self.n_bars) if rng.random() < a.gap else NO_GAP
        draw, n = rng.random(), len(layout.control)
        self.kept = np.full(n, draw >= a.drop_all)  # (n_attributes,)
        if draw >= a.drop_all + a.keep_all:
            self.kept = rng.random(n) < rng.random()
        self.bar_kept = np.zeros((self.n_bars, len(layout.bar_control)), dtype=bool)
        if rng.random() < a.bar_controls:
            kinds = rng.random(self.bar_kept.shape[1]) < rng.random()
            self.bar_kept = kinds & (rng.random(self.bar_kept.shape) < rng.uniform(0.3, 1.0))
        self.chords = np.zeros(self.n_bars, dtype=bool)
        if rng.random() < a.chords:
            self.chords = rows.bar_chords[bars].max(axis=1) >= 0
            if rng.random() < CHORDS_LATER:
                has_gap = self.gap != NO_GAP
                begin, end = self.gap if has_gap else (int(rng.integers(self.n_bars)), self.n_bars)
                self.chords[:begin] = self.chords[end:] = False
        self.form = np.zeros(self.n_bars, dtype=bool)
        if rng.random() < a.form:
            self.form = rng.random(self.n_bars) < rng.uniform(0.3, 1.3)
        self.given = np.zeros(notes.stop - notes.start, dtype=bool)
        if rng.random() < a.given:
            self.given = _part(rng, rows.note_part[notes])
            shown = np.ones(self.n_bars, dtype=bool)  # the bars that notes are given in
            if rng.random() < 0.4:
                begin, end = sorted(rng.integers(0, self.n_bars + 1, 2).tolist())
                shown[:begin] = shown[max(end, begin + 1) :] = False
            if self.gap != NO_GAP:
                shown[self.gap[1] :] = False  # bars behind a gap are shown whole
            self.given &= np.repeat(shown, np.diff(bar_note))
        self.given_velocity = rng.random() < 0.7 and bool(self.has[1])
        self.given_duration = rng.random() < 0.8 and bool(self.has[2])


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
        """Choose the clips, of the songs held back or of the others.

        Args:
            batch_events: Most events in a batch, padding counted in, given notes not.
            context: Longest sequence in events; longer clips are left out.
            augmentation: How clips vary; None takes `STILL`.
            source_weights: How often a source's clips come in an epoch; 1 where not named.

        Raises:
            ValueError: If no clip is left, or a weight names an unknown source, or all are 0.
        """
        self.rows, self.layout = rows, Layout(rows)
        self.batch_events, self.context, self.seed = batch_events, context, seed
        self.augmentation = augmentation or STILL
        sources, weights = rows.meta["sources"], source_weights or {}
        for name in sorted(set(weights) - set(sources)):
            raise ValueError(f"unknown source {name!r}; known are {', '.join(sources)}")
        ids, layout = rows.ids, self.layout.events
        self.note_at = np.flatnonzero((ids >= layout.pitch[0]) & (ids < sum(layout.pitch)))
        position = np.flatnonzero((ids >= layout.position[0]) & (ids < sum(layout.position)))
        self._moment = ids[position[np.searchsorted(position, self.note_at) - 1]]  # of each note
        self.bar_note = np.searchsorted(self.note_at, rows.bar_start)
        first = rows.clip_bar.astype(np.int64)
        self.n_notes = self.bar_note[first + rows.clip_n_bars] - self.bar_note[first]
        self.length = 1 + 2 * rows.clip_n_bars.astype(np.int64) + self.n_notes
        is_ours = rows.song_is_validation[rows.clip_song] == validation
        self.clips = np.flatnonzero(is_ours & (self.length + 2 <= context))
        if not len(self.clips):
            part = "to validate with" if validation else "to train on"
            words = f"none of {is_ours.sum()} clips {part} fits a context of {context} events"
            none = f"the rows hold nothing {part}: prepare two songs or more that are not one piece"
            raise ValueError(words if is_ours.any() else none)
        by_source = np.array([weights.get(name, 1.0) for name in sources])
        self.weight = by_source[rows.song_source[rows.clip_song[self.clips]]]
        if not self.weight.any():
            raise ValueError("an epoch holds no clip; give a source a weight above 0")
        names, bar_names = rows.meta["attributes"], rows.meta["bar_attributes"]
        self.edges, self.bar_edges = np.array(rows.meta["edges"]), np.array(rows.meta["bar_edges"])
        self._needs, self._bar_needs = _needs(names), _needs(bar_names)
        self._register, self._tempo = names.index("register"), names.index("tempo")
        self._bar_register = bar_names.index("register")

    def epoch(self, epoch: int) -> list[Ints]:
        """Return the clips of each batch of an epoch, similar lengths together."""
        rng = np.random.default_rng([self.seed, epoch, 0])
        copies = np.floor(self.weight + rng.random(len(self.clips))).astype(np.int64)
        order = rng.permutation(np.repeat(self.clips, copies))
        pools = (order[start : start + POOL] for start in range(0, len(order), POOL))
        batches = [batch for pool in pools for batch in self._cut(pool)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def _cut(self, pool: Ints) -> Iterator[Ints]:
        pool, start = pool[np.argsort(self.length[pool], kind="stable")], 0
        for end in range(1, len(pool) + 1):
            longest = self._padded(int(self.length[pool[min(end, len(pool) - 1)]]))
            if end == len(pool) or longest * (end + 1 - start) > self.batch_events:
                yield pool[start:end]
                start = end

    def _padded(self, length: int) -> int:
        return min(-(-length // MULTIPLE) * MULTIPLE, self.context)

    def batch(self, clips: Ints, epoch: int, index: int) -> EventBatch:
        """Return the events of a batch, given its clips, the epoch, and its place in that."""
        found = [
            self.sequence(int(clip), np.random.default_rng([self.seed, epoch, 1 + index, place]))
            for place, clip in enumerate(clips)
        ]
        ids, learnt = (np.concatenate(column) for column in zip(*found, strict=True))
        events = to_events(ids, self.layout.events, self.layout.kinds, learnt)
        lengths = np.diff(events.first)
        width = self._padded(int(lengths.max()))
        within = np.arange(events.first[-1]) - np.repeat(events.first[:-1], lengths)
        arrays = {name: getattr(events, name) for name in ("rows", "start", "chosen", "learnt")}
        arrays["place"] = np.repeat(np.arange(len(found)) * width, lengths) + within
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        n_notes = int(events.is_note.sum())
        return EventBatch(**tensors, shape=(len(found), width), n_notes=n_notes)

    def sequence(self, clip: int, rng: np.random.Generator) -> tuple[Ints, Bools]:
        """Return the ids of a clip as drawn now, and which of them are to be learnt."""
        c, layout = _Drawn(self, clip, rng), self.layout
        if self.length[clip] + 2 + c.given.sum() > self.context:
            c.given[:] = False  # both do not fit
        n_written = c.n_bars if c.gap == NO_GAP else c.gap[1]
        pieces: Pieces = [(self._head(c), False)]
        if c.gap != NO_GAP:
            behind = [ids for bar in range(n_written, c.n_bars) for ids, _ in self._bar(c, bar)]
            marks = layout.events.behind, layout.events.here
            pieces.append((np.array([marks[0], *np.concatenate(behind), marks[1]]), False))
        for bar in range(n_written):
            pieces += self._bar(c, bar)
        if c.gap != NO_GAP or c.is_end:
            pieces.append((np.array([layout.events.eos]), True))
        ids = np.concatenate([own for own, _ in pieces])
        learnt = np.concatenate([np.broadcast_to(told, own.shape) for own, told in pieces])
        is_pitch = layout.kinds[ids] == layout.kinds[layout.lowest]
        ids[is_pitch] = np.clip(ids[is_pitch] + c.shift, layout.lowest, layout.highest)
        return ids, learnt

    def _head(self, c: _Drawn) -> Ints:
        values = self.rows.clip_values[c.number].astype(np.float64)
        values[self._register] += c.shift
        values[self._tempo] *= c.stretch
        kept = c.kept & c.has[self._needs]
        controls = (_bins(values, self.edges) + self.layout.control)[kept]
        return np.concatenate([[self.layout.events.bos], controls])

    def _bar(self, c: _Drawn, bar: int) -> Pieces:
        rows, at = self.rows, c.first + bar
        body = rows.ids[rows.bar_start[at] : rows.bar_start[at + 1]].astype(np.int64)
        marks = np.concatenate([body[1:2], self._marks(c, bar)])
        pieces: Pieces = [(body[:1], True), (marks, False)]
        notes = np.arange(self.bar_note[at], self.bar_note[at + 1])
        given = notes[c.given[notes - c.first_note]]
        if len(given):
            pieces.append((self._given(c, given), False))
        if c.chords[bar]:
            pieces.append(self._chords(at, c.shift))
        learnt = np.ones(len(body) - 2, dtype=bool)
        note = self.note_at[notes] - rows.bar_start[at] - 2
        learnt[note + 1], learnt[note + 2] = c.has[1:]
        return [*pieces, (body[2:], learnt)]

    def _marks(self, c: _Drawn, bar: int) -> Ints:
        """Return what a bar says of itself: metre, how many are left, form, controls."""
        rows, layout, at = self.rows, self.layout, c.first + bar
        marks: list[int] = [layout.compound] if rows.bar_compound[at] else []
        begin, end = c.gap
        if begin <= bar < end and end - bar <= JOIN_BARS:
            marks.append(layout.join[end - bar - 1])
        if c.is_end and c.n_bars - bar <= ENDING_BARS:
            marks.append(layout.ending[c.n_bars - bar - 1])
        form = int(rows.bar_form[at])
        n_before = bar - end if bar >= end else bar  # directly before this one in the sequence
        if c.form[bar] and form and FORM_DISTANCES[(form - 1) % 5] <= n_before:
            marks.append(layout.form[form - 1])
        kept = c.bar_kept[bar] & c.has[self._bar_needs]
        if kept.any():
            values = rows.bar_values[at].astype(np.float64)
            values[self._bar_register] += c.shift
            kept = kept & np.isfinite(values)
            marks += (_bins(values, self.bar_edges) + layout.bar_control)[kept].tolist()
        return np.array(marks, dtype=np.int64)

    def _given(self, c: _Drawn, notes: Ints) -> Ints:
        """Return notes that are shown before they are written."""
        ids, at = self.rows.ids, self.note_at[notes]
        columns = [np.full(len(notes), self.layout.events.given), self._moment[notes], ids[at]]
        columns += [ids[at + 1]] if c.given_velocity else []
        columns += [ids[at + 2]] if c.given_duration else []
        return np.stack(columns, axis=1).astype(np.int64).ravel()

    def _chords(self, bar: int, shift: int) -> tuple[Ints, Bools]:
        """Return the two chords of a bar, none for one that is not known, and which are known."""
        chords = self.rows.bar_chords[bar].astype(np.int64)
        known = chords >= 0
        moved = np.where(chords < MAX_CHORD, (chords + 9 * shift) % MAX_CHORD, MAX_CHORD)
        layout = self.layout.events
        first = np.array([layout.chord_a[0], layout.chord_b[0]])
        return first + np.where(known, moved, MAX_CHORD), known


def _needs(names: list[str]) -> Ints:
    """Return what each attribute needs: 0 nothing, 1 dynamics, 2 durations that are played."""
    long = ("note_length", "articulation", "polyphony", "silence")
    return np.array([1 if n.startswith("velocity") else 2 if n in long else 0 for n in names])


def _part(rng: np.random.Generator, part: NDArray[np.uint8]) -> Bools:
    """Draw a part of the music, given what part each note is of."""
    kind = rng.integers(6)
    return (
        (part & MELODY) > 0,
        (part & RIGHT) > 0,
        (part & RIGHT) == 0,
        (part & BASS) > 0,
        (part & (MELODY | BASS)) > 0,
        rng.random(len(part)) < rng.uniform(0.1, 0.7),
    )[kind]


def _gap(rng: np.random.Generator, n_bars: int) -> Gap:
    """Draw which bars are to be filled in: at least one is behind them."""
    if n_bars < 3:
        return NO_GAP
    length = min(int(rng.choice([1, 2, 4, 4, 8, 8, 16])), n_bars - 2)
    begin = int(rng.integers(0, n_bars - length))
    return begin, begin + length


def _bins(values: NDArray[np.float64], edges: NDArray[np.float64]) -> Ints:
    return (values[:, None] >= edges).sum(axis=1)
