"""Feed a block of rows to the transformer, an id a row, and draw the next ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emomusic.model.engines.grammar import MAX_KINDS
from emomusic.model.sampling import sample_ids
from emomusic.model.transformer import Cache, Transformer

SHORTEST_SPAN = 256
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """Hold how each place of a block is sampled, shape (width,) each, as in `Row`."""

    temperature: Floats
    top_p: Floats


@dataclass(frozen=True)
class Asked:
    """Hold one step of a block; its rows are the places and, with guidance, their twins after.

    Attributes:
        ids: The id that each row takes in, shape (n_rows,).
        at: Where in its row each id stands, shape (n_rows,).
        span: More than any of `at`, and known without looking at the neighbours.
        free: The places where an id is drawn, shape (width,); at others anything may come.
        low: The lowest id that may be drawn of each kind, shape (width, n_kinds).
        high: The highest, as low; none of a kind where it is below the lowest.
        uniform: One number in [0, 1) a place.
        guidance: Of each place by now, shape (width,).
        leaning: What is added to the logits of each place, shape (width, vocab_size), or None.
    """

    ids: Ints
    at: Ints
    span: int
    free: Flags
    low: Ints
    high: Ints
    uniform: Floats
    guidance: Floats
    leaning: NDArray[np.float32] | None = None


class Steps:
    """Feed one block after another, with a cache of its own; the reference.

    A row's ids do not depend on the other rows: all products have one width, and the lengths
    of attention follow from its own opening and the step.
    """

    def __init__(
        self, model: Transformer, width: int, *, twins: bool, dtype: torch.dtype = torch.float32
    ) -> None:
        """Allocate what a block needs.

        Args:
            model: Where it is, blocks are written.
            width: Places of a block.
            twins: Whether each place has a second row, for guidance.
            dtype: Of the cache.
        """
        self.model, self.width, self.twins = model, width, twins
        self.device = model.embedding.weight.device
        self.cache = Cache(model.config, (1 + twins) * width, device=self.device, dtype=dtype)

    @torch.inference_mode()
    def begin(self, openings: Ints, settings: Settings, kind_of: Ints) -> None:
        """Begin a block.

        Args:
            openings: What each row holds to begin with, padded behind, shape (n_rows, n_ids).
            settings: Of its places.
            kind_of: The kind of each id, -1 for those never drawn, shape (vocab_size,).
        """
        self._settings, self._kind_of = settings, kind_of
        self.model.fill(torch.from_numpy(openings).to(self.device), self.cache)

    @torch.inference_mode()
    def next(self, asked: Asked) -> Ints:
        """Take in an id a row and return the next one of each place, shape (width,)."""
        ids, at = (torch.from_numpy(x).to(self.device) for x in (asked.ids, asked.at))
        guidance = torch.from_numpy(asked.guidance).to(self.device)
        logits = self._logits(ids, at, asked.span, guidance)
        drawn, free = np.zeros(self.width, dtype=np.int64), asked.free
        if free.any():
            host = logits.cpu().numpy()
            drawn[free] = sample_ids(
                (host if asked.leaning is None else host + asked.leaning)[free],
                within(asked.low[free], asked.high[free], self._kind_of),
                asked.uniform[free],
                temperature=self._settings.temperature[free],
                top_p=self._settings.top_p[free],
            )
        return drawn

    def _logits(self, ids: Tensor, at: Tensor, span: int, guidance: Tensor) -> Tensor:
        logits = self.model.step(ids, self.cache, at, span=span).float()
        if not self.twins:
            return logits
        told, free = logits.chunk(2)
        guidance = guidance[:, None].float()
        return torch.where(guidance == 1, told, free + guidance * (told - free))


def within(low: Ints, high: Ints, kind_of: Ints) -> Flags:
    """Return which ids lie within the bounds of their kind, shape (n, vocab_size)."""
    ids = np.arange(len(kind_of))
    allowed: Flags = (kind_of >= 0) & (low[:, kind_of] <= ids) & (ids <= high[:, kind_of])
    return allowed


def draw(
    logits: Tensor, allowed: Tensor, uniform: Tensor, temperature: Tensor, top_p: Tensor
) -> Tensor:
    """Draw an id a row as `sample_ids` does, on the logits' device and without waiting for it.

    Where nothing is allowed, some id is drawn.
    """
    masked = torch.where(allowed, logits.double(), -torch.inf)
    scaled = (masked - masked.amax(dim=1, keepdim=True)) / temperature[:, None]
    likely, order = scaled.sort(dim=1, descending=True, stable=True)
    weight = likely.exp()
    total = weight.cumsum(dim=1)
    keep = total - weight < top_p[:, None] * total[:, -1:]
    kept = torch.where(keep, total, 0.0).amax(dim=1, keepdim=True)
    chosen = (total <= uniform[:, None] * kept).sum(dim=1)
    chosen = torch.minimum(chosen, keep.sum(dim=1) - 1).clamp(min=0)
    return order.gather(1, chosen[:, None])[:, 0]


class StaticSteps(Steps):
    """Feed blocks in steps of static shapes, which a GPU replays as one CUDA graph each.

    What changes from step to step goes to the device in one small copy, and the drawn ids come
    back in another. Attention looks at one of a few spans, each twice the one before.
    """

    def __init__(
        self, model: Transformer, width: int, *, twins: bool, dtype: torch.dtype = torch.float32
    ) -> None:
        """Allocate what a block needs, as `Steps`."""
        super().__init__(model, width, twins=twins, dtype=dtype)
        vocab_size, pin = model.config.vocab_size, self.device.type == "cuda"
        shape = ((1 + twins) * width, 4 + 2 * (MAX_KINDS + 1))
        self._host = torch.zeros(shape, dtype=torch.float64, pin_memory=pin)
        self._asked = torch.zeros(shape, dtype=torch.float64, device=self.device)
        self._sampling = torch.zeros((2, width), dtype=torch.float64, device=self.device)
        self._kinds = torch.zeros(vocab_size, dtype=torch.long, device=self.device)
        self._all_ids = torch.arange(vocab_size, dtype=torch.float64, device=self.device)
        self._host_leaning = torch.zeros((width, vocab_size), pin_memory=pin)
        self._leaning = torch.zeros((width, vocab_size), device=self.device)
        self._leans = False
        self._drawn = torch.zeros(width, dtype=torch.long, device=self.device)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}

    @torch.inference_mode()
    def begin(self, openings: Ints, settings: Settings, kind_of: Ints) -> None:
        """Begin a block, as `Steps.begin`."""
        values = np.stack([settings.temperature, settings.top_p])
        self._sampling.copy_(torch.from_numpy(values))
        # Ids of no kind take the bounds of a last one, between which there is nothing.
        self._kinds.copy_(torch.from_numpy(np.where(kind_of < 0, MAX_KINDS, kind_of)))
        self.model.fill(torch.from_numpy(openings).to(self.device), self.cache)

    @torch.inference_mode()
    def next(self, asked: Asked) -> Ints:
        """Take in an id a row and return the next one of each place, shape (width,)."""
        self._load(asked)
        span = SHORTEST_SPAN
        while span < asked.span:
            span *= 2
        self._run(min(span, self.model.config.context))
        return self._drawn.cpu().numpy().copy()

    def _load(self, asked: Asked) -> None:
        host, n_kinds = self._host.numpy(), asked.low.shape[1]
        host[:, 0], host[:, 1] = asked.ids, asked.at
        places = host[: self.width]
        places[:, 2], places[:, 3] = asked.uniform, asked.guidance
        low, high = np.split(places[:, 4:], 2, axis=1)
        low[:, n_kinds:], high[:, n_kinds:] = 0, -1
        low[:, :n_kinds], high[:, :n_kinds] = asked.low, asked.high
        self._asked.copy_(self._host, non_blocking=True)
        if asked.leaning is not None or self._leans:
            self._leans = asked.leaning is not None
            self._host_leaning.numpy()[:] = 0 if asked.leaning is None else asked.leaning
            self._leaning.copy_(self._host_leaning, non_blocking=True)

    def _run(self, span: int) -> None:
        if self.device.type != "cuda":
            self._compute(span)
            return
        with torch.cuda.device(self.device):
            if span not in self._graphs:
                self._graphs[span] = self._captured(span)
            self._graphs[span].replay()

    def _captured(self, span: int) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # a step repeated writes what it wrote before
                self._compute(span)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._compute(span)
        return graph

    def _compute(self, span: int) -> None:
        asked = self._asked[: self.width]
        ids, at = self._asked[:, 0].long(), self._asked[:, 1].long()
        logits = self._logits(ids, at, span, asked[:, 3])
        logits = logits + self._leaning
        low, high = asked[:, 4:].chunk(2, dim=1)
        allowed = (low[:, self._kinds] <= self._all_ids) & (self._all_ids <= high[:, self._kinds])
        temperature, top_p = self._sampling
        self._drawn.copy_(draw(logits, allowed, asked[:, 2], temperature, top_p))
