"""Clips of the packed rows as training sequences: controls dropped, music shifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emomusic.training.rows import Rows

IGNORED = -100
POOL = 512
MULTIPLE = 32


@dataclass(frozen=True)
class Augmentation:
    """Hold how clips vary from draw to draw.

    Attributes:
        drop_all: Chance that a clip has no clip-wide control at all.
        keep_all: Chance that it has all of them; in between each is kept with one chance
            drawn for the clip.
        bar_controls: Chance that a clip has controls at its bars.
        octave: Chance that a clip moves up or down an octave.
        tempo: Largest relative change of tempo.
    """

    drop_all: float = 0.1
    keep_all: float = 0.4
    bar_controls: float = 0.3
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


@dataclass(frozen=True)
class _Draw:
    """Hold what chance decides about a clip: semitones, factor of tempo, controls kept."""

    shift: int
    stretch: float
    kept: NDArray[np.bool_]
    bar_kept: NDArray[np.bool_]


class Layout:
    """Know which ids mean what, from the vocabulary's texts."""

    def __init__(self, rows: Rows) -> None:
        """Look the ids up.

        Raises:
            ValueError: If the vocabulary lacks one of the tokens that training needs.
        """
        texts: list[str] = rows.meta["vocabulary"]
        ids = {text: i for i, text in enumerate(texts)}
        try:
            self.pad, self.bos, self.eos = ids["PAD_None"], ids["BOS_None"], ids["EOS_None"]
            self.control = np.array(
                [ids[f"Control-{_dashed(n)}_0"] for n in rows.meta["attributes"]]
            )
            self.bar_control = np.array(
                [ids[f"BarControl-{_dashed(n)}_0"] for n in rows.meta["bar_attributes"]]
            )
            self.ending = [ids[t] for t in texts if t.startswith("Ending_")]
        except KeyError as error:
            raise ValueError(f"the rows' vocabulary has no token {error}") from error
        pitches = [i for i, text in enumerate(texts) if text.startswith("Pitch_")]
        self.lowest, self.highest = pitches[0], pitches[-1]
        given = ("Control-", "BarControl-", "Ending_", "TimeSig_", "BOS_", "PAD_")
        self.is_given = np.array([text.startswith(given) for text in texts])
        self.is_velocity = np.array([text.startswith("Velocity_") for text in texts])
        self.n_ids = len(texts)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


class ClipBatches:
    """Assemble the batches of an epoch; the same seed and numbers give the same batch."""

    def __init__(
        self,
        rows: Rows,
        *,
        validation: bool,
        batch_ids: int,
        context: int,
        seed: int,
        augmentation: Augmentation | None,
        source_weights: dict[str, float] | None = None,
    ) -> None:
        """Choose the clips.

        Args:
            rows: Packed rows.
            validation: Whether to take the songs held back or the others.
            batch_ids: Most ids in a batch, padding counted in, controls at bars not.
            context: Longest sequence; a longer clip loses its last ids.
            seed: Of order and augmentation.
            augmentation: None gives every clip all its clip-wide controls, unchanged.
            source_weights: How often a source's clips come in an epoch; 1 where not named.

        Raises:
            ValueError: If no clip is left, or a weight names an unknown source.
        """
        self.rows, self.layout = rows, Layout(rows)
        self.batch_ids, self.context, self.seed = batch_ids, context, seed
        self.augmentation = augmentation
        weights = source_weights or {}
        unknown = set(weights) - set(rows.meta["sources"])
        if unknown:
            raise ValueError(
                f"unknown source {sorted(unknown)[0]!r}; "
                f"known are {', '.join(rows.meta['sources'])}"
            )
        chosen = rows.song_is_validation[rows.clip_song] == validation
        self.clips = np.flatnonzero(chosen)
        if not len(self.clips):
            raise ValueError(f"the rows hold no {'validation' if validation else 'training'} clips")
        by_source = np.array([weights.get(name, 1.0) for name in rows.meta["sources"]])
        self.weight = by_source[rows.song_source[rows.clip_song[self.clips]]]
        edges = np.array(rows.meta["edges"])
        bar_edges = np.array(rows.meta["bar_edges"])
        self.edges, self.bar_edges = edges, bar_edges
        self.needs_dynamics = np.array([n.startswith("velocity") for n in rows.meta["attributes"]])
        self.bar_needs_dynamics = np.array(
            [n.startswith("velocity") for n in rows.meta["bar_attributes"]]
        )
        self.register = rows.meta["attributes"].index("register")
        self.bar_register = rows.meta["bar_attributes"].index("register")
        self.tempo = rows.meta["attributes"].index("tempo")
        starts = rows.bar_start
        first = rows.clip_bar
        self.length = starts[first + rows.clip_n_bars] - starts[first] + 1 + edges.shape[0]

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the clips of each batch of an epoch, similar lengths together."""
        rng = np.random.default_rng([self.seed, epoch, 0])
        copies = np.floor(self.weight + rng.random(len(self.clips))).astype(np.int64)
        order = rng.permutation(np.repeat(self.clips, copies))
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(order), POOL):
            pool = order[start : start + POOL]
            batches += self._cut(pool[np.argsort(self.length[pool], kind="stable")])
        return [batches[i] for i in rng.permutation(len(batches))]

    def _cut(self, pool: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        batches, start = [], 0
        for end in range(1, len(pool) + 1):
            longest = self._padded(int(self.length[pool[min(end, len(pool) - 1)]]))
            if end == len(pool) or longest * (end + 1 - start) > self.batch_ids:
                batches.append(pool[start:end])
                start = end
        return batches

    def _padded(self, length: int) -> int:
        return min(-(-length // MULTIPLE) * MULTIPLE, self.context)

    def batch(
        self, clips: NDArray[np.int64], epoch: int, index: int, *, part: int = 0, n_parts: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of a batch, or of a part of it, both int64, shape (B, T).

        Targets are -100 where nothing is to be learnt: after the end, on control tokens and
        time signatures, and on the velocities of songs without dynamics.

        Args:
            clips: Those of the whole batch.
            epoch: Number of the epoch.
            index: Place of the batch in it.
            part: Which part; its sequences are those they would be in the whole batch. One
                that is left no clip has a sequence of which nothing is to be learnt.
            n_parts: Parts that share the clips.
        """
        rng = np.random.default_rng([self.seed, epoch, 1 + index])
        pairs = []
        for place, clip in enumerate(clips):
            if place % n_parts == part:
                pairs.append(self.sequence(int(clip), rng))
            else:
                self._draw(int(clip), rng)  # as chance goes on for the clips behind it
        if not pairs:
            ids, goal = self.sequence(int(clips[0]), rng)
            pairs = [(ids, np.full_like(goal, IGNORED))]
        length = self._padded(max(len(ids) for ids, _ in pairs) - 1)
        inputs = np.full((len(pairs), length), self.layout.pad, dtype=np.int64)
        targets = np.full((len(pairs), length), IGNORED, dtype=np.int64)
        for row, (ids, goal) in enumerate(pairs):
            n = min(len(ids) - 1, length)
            inputs[row, :n] = ids[:n]
            targets[row, :n] = goal[1 : n + 1]
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def sequence(
        self, clip: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids of a clip as drawn now, and the same with what is not learnt masked."""
        rows, layout, draw = self.rows, self.layout, self._draw(clip, rng)
        first, n_bars = int(rows.clip_bar[clip]), int(rows.clip_n_bars[clip])
        has_dynamics, shift = bool(rows.song_has_dynamics[rows.clip_song[clip]]), draw.shift
        values = rows.clip_values[clip].astype(np.float64)
        values[self.register] += shift
        values[self.tempo] *= draw.stretch
        kept = draw.kept & (has_dynamics | ~self.needs_dynamics)
        head = [layout.bos, *(self._bins(values, self.edges) + layout.control)[kept]]
        pieces = [np.array(head, dtype=np.int64)]
        bar_kept = draw.bar_kept & (has_dynamics | ~self.bar_needs_dynamics)
        for bar in range(n_bars):
            start, end = rows.bar_start[first + bar], rows.bar_start[first + bar + 1]
            body = rows.ids[start:end].astype(np.int64)
            extra = self._bar_tokens(clip, bar, n_bars, shift, bar_kept[bar])
            pieces += [body[:2], extra, body[2:]]
        if rows.clip_is_end[clip]:
            pieces.append(np.array([layout.eos]))
        ids = np.concatenate(pieces)
        is_pitch = (ids >= layout.lowest) & (ids <= layout.highest)
        ids[is_pitch] = np.clip(ids[is_pitch] + shift, layout.lowest, layout.highest)
        masked = layout.is_given[ids]
        if not has_dynamics:
            masked |= layout.is_velocity[ids]
        return ids, np.where(masked, IGNORED, ids)

    def _draw(self, clip: int, rng: np.random.Generator) -> _Draw:
        shift, stretch = self._shift(clip, rng), 1.0
        if self.augmentation is not None:
            stretch = np.exp(rng.uniform(-1, 1) * np.log1p(self.augmentation.tempo))
        kept = self._kept(rng)
        return _Draw(shift, stretch, kept, self._bar_kept(rng, int(self.rows.clip_n_bars[clip])))

    def _shift(self, clip: int, rng: np.random.Generator) -> int:
        shift = int(self.rows.clip_shift[clip])
        if self.augmentation is not None and rng.random() < self.augmentation.octave:
            shift += 12 if rng.random() < 0.5 else -12
        return shift

    def _kept(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        n = len(self.layout.control)
        if self.augmentation is None:
            return np.ones(n, dtype=bool)
        draw = rng.random()
        if draw < self.augmentation.drop_all:
            return np.zeros(n, dtype=bool)
        if draw < self.augmentation.drop_all + self.augmentation.keep_all:
            return np.ones(n, dtype=bool)
        return rng.random(n) < rng.random()

    def _bar_kept(self, rng: np.random.Generator, n_bars: int) -> NDArray[np.bool_]:
        n = len(self.layout.bar_control)
        if self.augmentation is None or rng.random() >= self.augmentation.bar_controls:
            return np.zeros((n_bars, n), dtype=bool)
        kinds = rng.random(n) < rng.random()
        return kinds & (rng.random((n_bars, n)) < rng.uniform(0.3, 1.0))

    def _bar_tokens(
        self, clip: int, bar: int, n_bars: int, shift: int, kept: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        tokens: list[int] = []
        left = n_bars - bar
        if self.rows.clip_is_end[clip] and left <= len(self.layout.ending):
            tokens.append(self.layout.ending[left - 1])
        if kept.any():
            values = self.rows.bar_values[int(self.rows.clip_bar[clip]) + bar].astype(np.float64)
            values[self.bar_register] += shift
            kept = kept & np.isfinite(values)
            tokens += list((self._bins(values, self.bar_edges) + self.layout.bar_control)[kept])
        return np.array(tokens, dtype=np.int64)

    def _bins(self, values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
        bins: NDArray[np.int64] = (values[:, None] >= edges).sum(axis=1)
        return bins
