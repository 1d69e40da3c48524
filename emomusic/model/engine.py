"""What every engine does: rows in, written segments out, each row for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emomusic.model import MAX_GUIDANCE, MAX_TEMPERATURE
from emomusic.model.checkpoint import ModelConfig
from emomusic.model.events import SLOTS, Events, to_events
from emomusic.model.grammar import FREE, Grammar, Script, Segments
from emomusic.model.int8.library import LibraryError, is_built

ENGINES = ("auto", "int8", "torch", "cuda")
MAX_GUIDED = 2**31 - 1
MAX_LATE = 2
"""Events that a bar may have beyond its notes: its chords, and what ends it."""


class EngineError(ValueError):
    """Tell in one line why an engine cannot be had."""


class Uniforms:
    """Hand out the numbers of a generator in order, whatever they are taken in.

    The generator belongs to this object alone: it may draw ahead.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._drawn: NDArray[np.float64] = np.empty(0)

    def peek(self, n: int) -> NDArray[np.float64]:
        """Return the next n numbers in [0, 1), float64, shape (n,), and keep them."""
        if len(self._drawn) < n:
            more = self._rng.random(n - len(self._drawn))
            self._drawn = np.concatenate([self._drawn, more])
        return self._drawn[:n]

    def drop(self, n: int) -> None:
        """Let the next n numbers go: they are used."""
        self.peek(n)
        self._drawn = self._drawn[n:]

    def take(self) -> float:
        """Return the next number and let it go."""
        number = float(self.peek(1)[0])
        self.drop(1)
        return number


@dataclass(frozen=True)
class LogitBias:
    """Hold what is added to the logits until a bar ends.

    Attributes:
        bias: Finite, shape (2, vocab_size + 1), by id; the last column is that of another note at
            the same moment. The second row is for positions and ends: what the last position in
            the bar has in it is taken off.
        pairs: Ids, shape (n_pairs, 2): to the second its weight is added while the first is the
            last of its slot in the bar; a first of -1 holds while there is none of the second's.
            The number vocab_size stands for another note at the same moment, as a second only.
        weights: Finite, shape (n_pairs,).
    """

    bias: NDArray[np.float32]
    pairs: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    weights: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        kinds = {"bias": np.float32, "pairs": np.int32, "weights": np.float32}
        for name, kind in kinds.items():
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), kind))
        if self.bias.ndim != 2 or len(self.bias) != 2 or not np.isfinite(self.bias).all():
            raise ValueError(f"a bias must be two rows of finite numbers, got {self.bias.shape}")
        size, n = self.bias.shape[1], len(self.weights)
        if self.pairs.shape != (n, 2) or self.weights.shape != (n,):
            raise ValueError(f"pairs and weights do not fit: {self.pairs.shape}, {n}")
        bad = (self.pairs < (-1, 0)) | (self.pairs >= size)
        if bad.any() or not np.isfinite(self.weights).all():
            raise ValueError(f"pairs hold ids outside the {size}, or weights that are not finite")

    def check(self, vocab_size: int) -> None:
        """Check that it is of a vocabulary, or raise a ValueError."""
        if self.bias.shape[1] != vocab_size + 1:
            raise ValueError(f"a bias must have {vocab_size + 1} columns, got {self.bias.shape[1]}")


Steer = Callable[[Segments], LogitBias | None]


@dataclass(frozen=True)
class EngineRow:
    """Hold one sequence that is to be written.

    Attributes:
        script: What is given of it.
        uniforms: One number is used for each choice, given ones too; the row's own.
        temperature: In (0, 5], of each slot; one number for all.
        top_p: In (0, 1], of each slot; one number for all.
        guidance: In [1, 5]; above 1 the logits are carried on from those that a twin without
            the prompt (its first id excepted) has, through the row's own.
        n_guided: Segments under guidance; after them the row goes on alone, at half the cost.
        steer: Called before each segment with the whole segments so far; returns what the segment
            leans to, or None. It must return the same for the same segments.

    Reference: guidance after Ho and Salimans (2022), on logits as Sanchez et al. (2023); only
    for a part of the way, as Kynkäänniemi et al. (2024) found enough for images.
    """

    script: Script
    uniforms: Uniforms = field(compare=False)
    temperature: float | tuple[float, ...] = 1.0
    top_p: float | tuple[float, ...] = 0.99
    guidance: float = 1.0
    n_guided: int = MAX_GUIDED
    steer: Steer | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name, most in (("temperature", MAX_TEMPERATURE), ("top_p", 1)):
            value = getattr(self, name)
            of_slots = value if isinstance(value, tuple) else (value,) * len(SLOTS)
            if len(of_slots) != len(SLOTS):
                raise ValueError(f"{name} must be one number or {len(SLOTS)}, got {of_slots}")
            for number in of_slots:
                if not 0 < number <= most:
                    raise ValueError(f"{name} must be in (0, {most}], got {number}")
            object.__setattr__(self, name, of_slots)
        if not 1 <= self.guidance <= MAX_GUIDANCE:
            raise ValueError(f"guidance must be in [1, {MAX_GUIDANCE}], got {self.guidance}")
        if not 0 <= self.n_guided <= MAX_GUIDED:
            raise ValueError(f"n_guided must be in 0 to {MAX_GUIDED}, got {self.n_guided}")

    def guidance_after(self, n_segments: int) -> float:
        """Return the guidance of the segment that comes after so many."""
        return self.guidance if n_segments < self.n_guided else 1.0


class Engine(Protocol):
    """Write rows with the weights of one model."""

    @property
    def name(self) -> str:
        """Return the engine's name, such as `int8` or `torch`."""

    @property
    def config(self) -> ModelConfig:
        """Return the model's shape."""

    def write(
        self,
        rows: Iterable[EngineRow],
        grammar: Grammar,
        *,
        at_once: int | None = None,
        by_segment: bool = False,
    ) -> Iterator[tuple[int, Segments]]:
        """Write rows; each leaves as soon as it ends, and the next takes its place.

        A row's ids depend on the weights, the grammar and the row alone. Where the events that
        come next do not fit into the context, the bar in hand is forgotten, and the row begins
        anew with `Script.opening`; the numbers that were used stay used.

        Args:
            rows: Taken as places come free; it may be a generator.
            grammar: Of all rows.
            at_once: About how many rows are to be in the writing together; None leaves it to
                the engine, which may also take fewer.
            by_segment: Whether rows are yielded while they are being written, too, each time
                there are more whole bars of them. One has ended when it has as many as its
                script.

        Yields:
            A row's place in `rows` and the sampled ids of each of its segments, without the
            end ids, in the order in which rows end.

        Raises:
            ValueError: If a row does not fit the grammar or the context.
        """

    def nats(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what each choice of one sequence costs, shape (n_events, n_slots).

        As in `Events.chosen`, at each event stand the choices of the one that follows, or of the
        end: their negative log-probabilities in nats, given all before; NaN where there is none.

        Args:
            ids: Shape (n_ids,), of at most as many events as the context; begins with `bos`.

        Raises:
            ValueError: If the ids do not fit into the context or the vocabulary.
        """


def checked_events(ids: NDArray[np.int64], config: ModelConfig) -> Events:
    """Return one sequence as events.

    Raises:
        ValueError: If it does not begin with `bos`, or does not fit the vocabulary or the context.
    """
    layout = config.layout
    if ids.ndim != 1 or not len(ids) or ids[0] != layout.bos:
        raise ValueError(f"ids that begin with {layout.bos} are expected, got {ids!r:.80}")
    if ids.min() < 0 or ids.max() >= config.vocab_size:
        raise ValueError(f"ids must be in 0 to {config.vocab_size - 1}")
    events = to_events(ids.astype(np.int64), layout, layout.kinds(config.vocab_size))
    if len(events.start) > config.context:
        raise ValueError(f"{len(events.start)} events exceed a context of {config.context}")
    return events


def check_row(row: EngineRow, grammar: Grammar, config: ModelConfig) -> None:
    """Check that a row can be written with a model of this shape.

    Raises:
        ValueError: If the grammar is of another vocabulary, what is given does not fit it, a
            bound leaves nothing, or a longest bar, with what is given, exceeds the context.
    """
    if grammar.vocab_size != config.vocab_size or grammar.layout != config.layout:
        raise ValueError(f"a grammar of {grammar.vocab_size} ids for {config.vocab_size}")
    script, layout = row.script, grammar.layout
    given = [*script.prompt, *(token for bar in script.bars for token in bar.head)]
    if not 0 <= min(given) <= max(given) < config.vocab_size:
        raise ValueError(f"a given id lies outside the {config.vocab_size} ids")
    if script.prompt[0] != layout.bos or any(bar.head[:1] != (layout.bar,) for bar in script.bars):
        raise ValueError(f"a prompt begins with {layout.bos}, the head of a bar with {layout.bar}")
    for note in (note for bar in script.bars for note in bar.given):
        for at, (token, (first, n)) in enumerate(zip(note, layout.ranges, strict=False)):
            if not first <= token < first + n and not (at > 1 and token == FREE):
                raise ValueError(f"{note} is no note that can be given")
    for name, (low, high), (first, n) in (
        ("positions", script.positions, layout.position),
        ("pitches", script.pitches, layout.pitch),
    ):
        if not first <= low <= high < first + n:
            raise ValueError(
                f"the {name} {low} to {high} are not within {first} to {first + n - 1}"
            )
    heads = [len(grammar.rows(bar.head)) + len(bar.given) for bar in script.bars]
    longest = len(grammar.rows(script.prompt)) + max(heads) + script.max_repeated
    longest += script.max_notes + MAX_LATE
    if longest > config.context:
        raise ValueError(
            f"a bar may take {longest} events with what is given before it, "
            f"which do not fit into a context of {config.context}"
        )


def open_engine(folder: Path, name: str = "auto", *, threads: int = 1) -> Engine:
    """Load a checkpoint's weights into an engine.

    Args:
        folder: The checkpoint.
        name: `int8` (compiled, on the CPU), `torch` (on the CPU), `cuda` (torch on a GPU), or
            `auto`: int8 if it was built, else cuda if there is a GPU, else torch.
        threads: On the CPU, at least 1.

    Raises:
        CheckpointError: If the weights are missing or damaged.
        EngineError: If the engine is unknown or this machine does not have it.
    """
    if name not in ENGINES:
        raise EngineError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
    if name == "int8" or (name == "auto" and is_built()):
        from emomusic.model.int8.engine import Int8Engine

        try:
            return Int8Engine.load(folder, threads=threads)
        except LibraryError as error:
            raise EngineError(str(error)) from error
    import torch

    from emomusic.model.checkpoint import load_model
    from emomusic.model.torch_engine import TorchEngine

    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise EngineError("engine is cuda, but torch finds no GPU; take int8 or torch")
    device = "cuda" if has_gpu and name != "torch" else "cpu"
    return TorchEngine(load_model(folder), device=device, threads=threads)
