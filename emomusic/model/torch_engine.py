"""The reference engine: torch, on the CPU or a GPU, one row after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from emomusic.model.checkpoint import ModelConfig
from emomusic.model.engine import EngineRow, LogitBias, check_row, checked_events
from emomusic.model.events import NONE, SLOTS
from emomusic.model.grammar import Grammar, Segments, Walk
from emomusic.model.transformer import Cache, Transformer


def sample_choice(
    logits: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    uniform: float,
    *,
    temperature: float,
    top_p: float,
) -> int:
    """Draw one choice among the likeliest that together hold top_p of the probability.

    Args:
        logits: Shape (n_choices,).
        allowed: Shape (n_choices,); others are never drawn.
        uniform: A number in [0, 1), which decides the draw.
        temperature: In (0, 5]; below 1 favours what is likely.
        top_p: In (0, 1]; 1 keeps all.

    Reference: nucleus sampling of Holtzman et al. (2020), over the allowed choices.
    """
    masked = np.where(allowed, logits.astype(np.float64), -np.inf)
    with np.errstate(over="ignore"):  # a temperature near 0 leaves nothing but the likeliest
        scaled = (masked - masked.max()) / temperature
    order = np.argsort(-scaled, kind="stable")
    weight = np.exp(scaled[order])
    total = weight.cumsum()
    n_kept = int((total - weight < top_p * total[-1]).sum())
    drawn = int((total <= uniform * total[n_kept - 1]).sum())
    return int(order[min(drawn, n_kept - 1)])


class TorchEngine:
    """Write each row for itself, as `Walk` leads, in float32."""

    def __init__(
        self, model: Transformer, *, device: torch.device | str = "cpu", threads: int = 1
    ) -> None:
        """Take a model.

        Args:
            model: In float32; it is moved to the device.
            device: Where to write: `cpu`, `cuda` or `cuda:1`.
            threads: Rows written at the same time, each on one core; set torch to one thread
                beside it (`torch.set_num_threads(1)`).

        Raises:
            ValueError: If threads is below 1.
        """
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.device, self.threads = torch.device(device), threads
        self.model = model.to(self.device).eval()

    @property
    def name(self) -> str:
        return "torch" if self.device.type == "cpu" else self.device.type

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    def write(
        self,
        rows: Iterable[EngineRow],
        grammar: Grammar,
        *,
        at_once: int | None = None,
        by_segment: bool = False,
    ) -> Iterator[tuple[int, Segments]]:
        """Write rows, as `Engine.write` says; by segment one at a time."""
        n_threads = 1 if by_segment else min(self.threads, at_once or self.threads)
        source = enumerate(rows)
        if n_threads == 1:
            for at, row in source:
                for segments in self._bars(row, grammar):
                    if by_segment or len(segments) == len(row.script.bars):
                        yield at, segments
            return
        running: deque[tuple[int, Future[Segments]]] = deque()
        with ThreadPoolExecutor(n_threads) as pool:
            while True:
                for at, row in islice(source, n_threads - len(running)):
                    running.append((at, pool.submit(self._whole, row, grammar)))
                if not running:
                    return
                at, found = running.popleft()
                yield at, found.result()

    def _whole(self, row: EngineRow, grammar: Grammar) -> Segments:
        return deque(self._bars(row, grammar), maxlen=1)[0]

    def _bars(self, row: EngineRow, grammar: Grammar) -> Iterator[Segments]:
        """Write a row; yield its whole segments after each."""
        check_row(row, grammar, self.config)
        walk, voices = Walk(grammar, row.script), _Voices(self.model, grammar)
        events = grammar.rows(row.script.opening([]))
        while not walk.done:
            lean, n_bars = None, len(walk.segments)
            if row.steer is not None and (lean := row.steer(walk.segments)) is not None:
                lean.check(grammar.vocab_size)
            while len(walk.segments) == n_bars:
                if not voices.fit(events):
                    walk.restart()
                    voices = _Voices(self.model, grammar)
                    events = grammar.rows(row.script.opening(walk.segments))
                voices.hear(events, guidance=row.guidance_after(n_bars))
                events = _event(row, walk, voices, lean)
            yield [*walk.segments]

    @torch.inference_mode()
    def nats(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what each choice costs, as `Engine.nats` says; all at once, without a cache."""
        events = checked_events(ids, self.config)
        rows, start, chosen = (
            torch.from_numpy(t).to(self.device) for t in (events.rows, events.start, events.chosen)
        )
        state = self.model(self.model.embed(rows, start)[None])[0]
        found = torch.full(chosen.shape, torch.nan)
        for slot in range(len(SLOTS)):
            at = (chosen[:, slot] != NONE).nonzero()[:, 0]
            if len(at):
                logits = self.model.logits(slot, state[at], chosen[at]).float()
                told = logits.log_softmax(dim=1).gather(1, chosen[at, slot, None])[:, 0]
                found[at.cpu(), slot] = -told.cpu()
        return found.numpy()


def _event(row: EngineRow, walk: Walk, voices: _Voices, lean: LogitBias | None) -> list[list[int]]:
    """Choose slot by slot until an event is whole or the row done; return what comes next."""
    temperature, top_p = (np.broadcast_to(x, len(SLOTS)) for x in (row.temperature, row.top_p))
    chosen = np.full(len(SLOTS), NONE)
    events: list[list[int]] = []
    while not events and not walk.done:
        slot = walk.slot
        logits = voices.logits(slot, chosen)
        if lean is not None:
            logits = logits + walk.leaning(lean.bias, lean.pairs, lean.weights)
        own = {"temperature": temperature[slot], "top_p": top_p[slot]}
        chosen[slot] = sample_choice(logits, walk.allowed(), row.uniforms.take(), **own)
        events = walk.push(int(chosen[slot]))
    return events


class _Voices:
    """The network's memory of a row and, while that is guided, of its twin without a prompt.

    Both are one batch, for a matrix is then read once for both.
    """

    def __init__(self, model: Transformer, grammar: Grammar) -> None:
        self._model, self._bos = model, grammar.layout.bos
        self._cache = Cache(model.config.n_layers)
        self._state, self._guidance = torch.empty(0), 1.0

    def fit(self, events: list[list[int]]) -> bool:
        """Tell whether events fit into what is left of the context."""
        return self._cache.length + len(events) <= self._model.config.context

    @torch.inference_mode()
    def hear(self, events: list[list[int]], *, guidance: float) -> None:
        """Let events, each as the rows that it sums, into the network; 1 drops the twin."""
        model, is_first, self._guidance = self._model, not self._cache.length, guidance
        n = 1 if guidance == 1 else 2
        if n < len(self._state):
            self._cache.keep(n)
        told = [events, [[self._bos], *events[1:]] if is_first else events][:n]
        start = np.cumsum([0, *(len(own) for one in told for own in one)])[:-1]
        rows = [row for one in told for own in one for row in own]
        x = model.embed(*(torch.tensor(t, device=model.embedding.device) for t in (rows, start)))
        # (n * T, dim) -> (n, T, dim)
        self._state = model(x.view(n, len(events), -1), self._cache)[:, -1]

    @torch.inference_mode()
    def logits(self, slot: int, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits of a slot, shape (n_choices,), guided if that is due."""
        told = torch.from_numpy(chosen).to(self._state.device).expand(len(self._state), -1)
        both = self._model.logits(slot, self._state, told)
        found = both[0] if len(both) == 1 else both[1] + self._guidance * (both[0] - both[1])
        return np.asarray(found.float().cpu())
