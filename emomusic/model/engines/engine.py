"""What every engine does: rows in, written segments out, each row for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emomusic.model.engines.grammar import Grammar, Script
from emomusic.model.settings import check_guidance, check_sampling
from emomusic.model.shape import ModelConfig

Segments = list[list[int]]
MAX_GUIDED = 2**31 - 1


class Uniforms:
    """Hand out the numbers of a generator in order, whatever they are taken in.

    The generator belongs to this object alone: it may draw ahead.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        """Begin with the generator's next number."""
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
class Lean:
    """Hold what is added to the logits until a segment ends.

    Attributes:
        bias: Finite, shape (2, vocab_size). The second half is for kinds that have a
            `Kind.since`: what the last id of that kind in the segment has in it is taken off.
        pairs: Ids, shape (n_pairs, 2): to the second its weight is added while the first is the
            last of its kind in the segment; a first of -1 holds while there is none of the
            second's kind.
        weights: Finite, shape (n_pairs,).
    """

    bias: NDArray[np.float32]
    pairs: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    weights: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


Steer = Callable[[Segments], Lean | None]


@dataclass(frozen=True)
class Row:
    """Hold one sequence that is to be written.

    Attributes:
        script: What is given of it.
        uniforms: One number is used for each sampled id; the row's own.
        number: Which row of the run it is; engines that compute in floats give it its place
            in a block by this number, so that its ids do not depend on its neighbours.
        temperature: In (0, 5].
        top_p: In (0, 1].
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
    number: int = 0
    temperature: float = 1.0
    top_p: float = 0.99
    guidance: float = 1.0
    n_guided: int = MAX_GUIDED
    steer: Steer | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: If one is out of range.
        """
        check_sampling(self.temperature, self.top_p)
        check_guidance(self.guidance)
        if not 0 <= self.n_guided <= MAX_GUIDED:
            raise ValueError(f"n_guided must be in 0 to {MAX_GUIDED}, got {self.n_guided}")

    def guidance_after(self, n_segments: int) -> float:
        """Return the guidance of the segment that comes after so many."""
        return self.guidance if n_segments < self.n_guided else 1.0


def steered(row: Row, segments: Segments, grammar: Grammar) -> Lean | None:
    """Return what a row's next segment leans to, in contiguous arrays, or None.

    Raises:
        ValueError: If an array is of another shape, a number not finite or an id unknown.
    """
    found = None if row.steer is None else row.steer(segments)
    if found is None:
        return None
    size, n = grammar.vocab_size, len(found.weights)
    lean = Lean(
        np.ascontiguousarray(found.bias, np.float32),
        np.ascontiguousarray(found.pairs, np.int32),
        np.ascontiguousarray(found.weights, np.float32),
    )
    if lean.bias.shape != (2, size) or not np.isfinite(lean.bias).all():
        raise ValueError(f"a bias must be 2 × {size} finite numbers, got shape {lean.bias.shape}")
    if lean.pairs.shape != (n, 2) or lean.weights.shape != (n,):
        raise ValueError(f"pairs and weights do not fit: {lean.pairs.shape}, {n}")
    bad = (lean.pairs < (-1, 0)) | (lean.pairs >= size)
    if bad.any() or not np.isfinite(lean.weights).all():
        raise ValueError(f"pairs hold ids outside the {size}, or weights that are not finite")
    return lean


class Engine(Protocol):
    """Write rows with the weights of one model."""

    @property
    def name(self) -> str:
        """Return the engine's name, such as `int8` or `torch`."""
        ...

    @property
    def config(self) -> ModelConfig:
        """Return the model's shape."""
        ...

    def write(
        self,
        rows: Iterable[Row],
        grammar: Grammar,
        *,
        at_once: int | None = None,
        by_segment: bool = False,
    ) -> Iterator[tuple[int, Segments]]:
        """Write rows; each leaves as soon as it ends, and the next takes its place.

        A row's ids depend on the weights, the grammar and the row alone.

        Args:
            rows: Taken as places come free; it may be a generator.
            grammar: Of all rows.
            at_once: About how many rows are to be in the writing together; None leaves it to
                the engine, which may also take fewer.
            by_segment: Whether rows are yielded while they are being written, too, each time
                there are more whole segments of them. One has ended when it has as many as
                its script has heads.

        Yields:
            A row's place in `rows` and the sampled ids of each of its segments, without the
            end ids, in the order in which rows end.

        Raises:
            ValueError: If a row does not fit the grammar or the context.
        """
        ...

    def logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits after each id of one sequence, shape (n_ids, vocab_size).

        Args:
            ids: Shape (n_ids,), at most the context.

        Raises:
            ValueError: If the ids do not fit into the context or the vocabulary.
        """
        ...


def check_row(row: Row, grammar: Grammar, config: ModelConfig) -> None:
    """Check that a row can be written with a model of this shape.

    Raises:
        ValueError: If the grammar is of another vocabulary, a given id is outside it, a bound
            leaves nothing, or a longest segment, with what is given, exceeds the context.
    """
    if grammar.vocab_size != config.vocab_size:
        raise ValueError(f"a grammar of {grammar.vocab_size} ids for {config.vocab_size}")
    script = row.script
    given = [*script.prompt, *(token for head in script.heads for token in head)]
    if not 0 <= min(given) <= max(given) < config.vocab_size:
        raise ValueError(f"a given id lies outside the {config.vocab_size} ids")
    given_at_most = len(script.prompt) + max(map(len, script.heads)) + script.max_repeated
    longest = given_at_most + script.max_free + len(grammar.states)
    if longest > config.context:
        raise ValueError(
            f"a segment may take {longest} ids with what is given before it, "
            f"which do not fit into a context of {config.context}"
        )
    for number, low, high in script.bounds:
        kind = grammar.kinds[number]
        if max(low, kind.first) > min(high, kind.first + kind.count - 1):
            raise ValueError(f"the bounds {low} to {high} leave nothing of {kind}")
    if any(not grammar.kinds[k].ends for ends in script.ends for k in ends):
        raise ValueError("a segment ends with a kind that ends none")
