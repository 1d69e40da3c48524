"""The reference engine: torch, on the CPU or a GPU, rows in blocks that step together."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from queue import SimpleQueue

import numpy as np
import torch
from numpy.typing import NDArray

from emomusic.model.engines.engine import Row, Segments
from emomusic.model.engines.grammar import Grammar
from emomusic.model.lockstep.blocks import Block, News, Queue, Taken
from emomusic.model.lockstep.steps import StaticSteps, Steps
from emomusic.model.shape import ModelConfig
from emomusic.model.transformer import Transformer, has_fast_bfloat16

CPU_WIDTH, GPU_WIDTH = 8, 64
"""Rows of one matrix product. It is always this wide, because a float product of another
width may round differently: so a row's result does not depend on how many others there are."""
Writing = Generator[News, None, None]
Message = News | BaseException | None


class TorchEngine:
    """Write rows in blocks: a row has its place by its number, and waits while it is taken.

    What is left of a block is written out when its other rows have ended: places are not
    filled again, for then the lengths of attention would follow from the neighbours.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        device: torch.device | str = "cpu",
        width: int | None = None,
        threads: int = 1,
        bfloat16: bool | None = None,
        static: bool | None = None,
    ) -> None:
        """Take a model; it stays as it is.

        Args:
            model: In float32.
            device: Where to write: `cpu`, `cuda` or `cuda:1`.
            width: Places of a block; None means 8 on the CPU and 64 on a GPU. Another width may
                round differently, and so give other ids.
            threads: Blocks written at the same time, each on one core; set torch to one thread
                beside it (`torch.set_num_threads(1)`). A GPU writes one at a time.
            bfloat16: Whether matrices are multiplied in bfloat16, and on a GPU the cache is
                kept so; None means where it is fast.
            static: Whether steps have static shapes, as CUDA graphs need; None means on a GPU.

        Raises:
            ValueError: If width or threads is below 1, or the device of another kind.
        """
        self.device = torch.device(device)
        if self.device.type not in {"cpu", "cuda"}:
            raise ValueError(f"the device must be cpu or cuda, got {self.device}")
        on_cpu = self.device.type == "cpu"
        self.width = (CPU_WIDTH if on_cpu else GPU_WIDTH) if width is None else width
        if self.width < 1 or threads < 1:
            raise ValueError(
                f"width and threads must be at least 1, got {self.width} and {threads}"
            )
        self.threads = threads if on_cpu else 1
        if bfloat16 is None:
            bfloat16 = has_fast_bfloat16() if on_cpu else True
        self.model = _prepared(model, self.device, bfloat16=bfloat16)
        self._dtype = torch.bfloat16 if bfloat16 and not on_cpu else torch.float32
        self._static = not on_cpu if static is None else static
        self._idle: dict[bool, list[Steps]] = {False: [], True: []}

    @property
    def name(self) -> str:
        """Return `torch` on the CPU, `cuda` on a GPU."""
        return "torch" if self.device.type == "cpu" else self.device.type

    @property
    def config(self) -> ModelConfig:
        """Return the model's shape."""
        return self.model.config

    @torch.inference_mode()
    def logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return logits, as `Engine.logits` says; all ids at once, without a cache."""
        c = self.config
        if ids.ndim != 1 or not 1 <= len(ids) <= c.context:
            raise ValueError(f"1 to {c.context} ids are expected, got shape {ids.shape}")
        if ids.min() < 0 or ids.max() >= c.vocab_size:
            raise ValueError(f"ids must be in 0 to {c.vocab_size - 1}")
        row = torch.from_numpy(ids.astype(np.int64)).to(self.device)
        return np.asarray(self.model(row[None])[0].float().cpu())

    def write(
        self,
        rows: Iterable[Row],
        grammar: Grammar,
        *,
        at_once: int | None = None,
        by_segment: bool = False,
    ) -> Iterator[tuple[int, Segments]]:
        """Write rows, as `Engine.write` says; fewer at once than a block holds save no time."""
        at_once = self.threads * self.width if at_once is None else at_once
        n_blocks = min(self.threads, -(-at_once // self.width))
        size = (self.width, min(self.width, -(-at_once // n_blocks)))
        queue = Queue(rows, grammar, self.config, size=size)

        def next_block() -> Writing | None:
            places = queue.take()
            return None if places is None else self._written(places, grammar)

        with closing(_together(next_block, threads=n_blocks)) as all_news:
            for news in all_news:
                taken = news.taken
                if news.is_full:
                    queue.put_back(taken)
                    continue
                if news.is_done or by_segment:
                    yield taken.at, taken.segments[: news.n_segments]

    def _written(self, places: list[Taken | None], grammar: Grammar) -> Writing:
        twins = any(taken.shape[0] for taken in places if taken is not None)
        with self._steps(twins=twins) as steps:
            yield from Block(places, grammar, steps).write()

    @contextmanager
    def _steps(self, *, twins: bool) -> Iterator[Steps]:
        """Lend what feeds a block; it is kept for the next one."""
        idle = self._idle[twins]
        try:
            steps = idle.pop()
        except IndexError:
            kind = StaticSteps if self._static else Steps
            steps = kind(self.model, self.width, twins=twins, dtype=self._dtype)
        try:
            yield steps
        finally:
            idle.append(steps)


def _prepared(model: Transformer, device: torch.device, *, bfloat16: bool) -> Transformer:
    if not bfloat16 and model.embedding.weight.device == device:
        return model
    own = copy.deepcopy(model).to(device)
    if bfloat16:
        own.use_bfloat16()
    return own


def _together(next_block: Callable[[], Writing | None], *, threads: int) -> Writing:
    """Yield the news of all blocks, of several at the same time."""
    if threads == 1:
        while (block := next_block()) is not None:
            yield from block
        return
    news: SimpleQueue[Message] = SimpleQueue()
    stop, n_running = threading.Event(), 0
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            while True:
                while n_running < threads and (block := next_block()) is not None:
                    pool.submit(_work, block, news, stop)
                    n_running += 1
                if not n_running:
                    return
                found = news.get()
                if isinstance(found, BaseException):
                    raise found
                if found is None:
                    n_running -= 1
                else:
                    yield found
        finally:
            stop.set()


def _work(block: Writing, news: SimpleQueue[Message], stop: threading.Event) -> None:
    """Pass on a block's news, then None or what went wrong."""
    try:
        with closing(block):
            for found in block:
                news.put(found)
                if stop.is_set():
                    return
        news.put(None)
    except BaseException as error:
        news.put(error)
