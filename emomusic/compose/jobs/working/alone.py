"""Blocks of a job, composed by this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice

from emomusic.compose.composer import BATCH, Composer
from emomusic.compose.jobs.job import Block, Order, Output
from emomusic.compose.jobs.keeping.store import Store
from emomusic.compose.jobs.keeping.writer import BlockWriter, Line
from emomusic.compose.jobs.working.make import make


def compose_blocks(
    composer: Composer,
    blocks: Iterable[Block],
    store: Store,
    output: Output,
    *,
    batch_size: int = BATCH,
) -> Generator[Line, None, None]:
    """Compose blocks without a pause between them, and yield a line for each clip as it is kept.

    Close it to stop: what is whole stays.

    Args:
        composer: Writes all of them.
        blocks: Taken as they are needed.
        store: The job's folder.
        output: What is kept of each clip.
        batch_size: Candidates in hand at once.

    Raises:
        OutputError: If the clips cannot be kept.
    """
    waiting: deque[Block] = deque()

    def orders() -> Iterator[Order]:
        for block in blocks:
            waiting.append(block)
            yield from block.orders

    explain_by = composer.verifier if output.explained else None
    with closing(make(composer, orders(), batch_size=batch_size)) as made:
        for first in made:
            block = waiting.popleft()
            with BlockWriter(store, block.index, output) as writer:
                for own in chain((first,), islice(made, len(block.orders) - 1)):
                    if own.clip is None:
                        yield writer.fail(own.order, own.reason)
                    else:
                        yield writer.write(own.order, own.clip, explain_by=explain_by)
