"""Compose orders one after another; one that cannot be composed does not stop the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from emomusic.compose.asking.settings import Settings
from emomusic.compose.clip import Clip
from emomusic.compose.composer import BATCH, Composer
from emomusic.compose.jobs.job import Order


@dataclass(frozen=True)
class Made:
    """Hold what became of an order.

    Attributes:
        order: What was asked for.
        clip: What was composed, if it could be.
        reason: Why not, if it could not.
    """

    order: Order
    clip: Clip | None
    reason: str = ""


def make(
    composer: Composer, orders: Iterable[Order], *, batch_size: int = BATCH
) -> Generator[Made, None, None]:
    """Compose orders, and yield what became of each, in order.

    Args:
        composer: Writes all of them.
        orders: Taken as they are needed.
        batch_size: Candidates in hand at once.
    """
    left = iter(orders)
    is_over = False
    while not is_over:
        taken: deque[Order] = deque()

        def asked(taken: deque[Order] = taken) -> Iterator[Settings]:
            for order in left:
                taken.append(order)
                yield order.settings

        try:
            for clip in composer.compose_all(asked(), batch_size=batch_size):
                yield Made(taken.popleft(), clip)
            is_over = True
        except ValueError:  # one of those taken is to blame
            for order in taken:
                yield _alone(composer, order)


def _alone(composer: Composer, order: Order) -> Made:
    try:
        (clip,) = composer.compose_all([order.settings], batch_size=1)
    except ValueError as error:
        return Made(order, None, str(error))
    return Made(order, clip)
