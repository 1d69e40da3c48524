"""Compose for one person: show each bar as it comes, stop when they say so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.generate import PartialClip
from emomusic.compose.request import Request
from emomusic.music.key import TONIC_NAMES
from emomusic.studio.desk.session import Session, StudioPiece

EVERY_S = 0.2
"""Seconds between two pictures of what is being written."""


@dataclass(frozen=True)
class Growing:
    """Hold what is there of the clips that are being written.

    Attributes:
        pieces: Each as far as it is, None before its first bar.
        n_bars: Bars that each will have.
        n_done: How many are whole.
        first_s: Seconds from the start to the first bar; None before it.
        is_over: Whether nothing more comes.
        is_stopped: Whether somebody stopped it.
        total_s: Seconds from the start until now.
    """

    pieces: tuple[StudioPiece | None, ...]
    n_bars: tuple[int, ...]
    n_done: int
    first_s: float | None
    is_over: bool = False
    is_stopped: bool = False
    total_s: float = 0.0

    @property
    def whole(self) -> list[StudioPiece]:
        """Return the pieces that have been heard: all, once it is over."""
        return [piece for piece in self.pieces if piece is not None and piece.verdict is not None]


@dataclass
class _Desk:
    composer: Composer
    requests: Sequence[Request]
    started: float = field(default_factory=time.perf_counter)
    first_s: float | None = None

    def __post_init__(self) -> None:
        self.clips: dict[int, Clip] = {}
        self.partials: dict[int, PartialClip] = {}

    def take(self, event: PartialClip | Clip, start: int) -> None:
        if self.first_s is None:
            self.first_s = time.perf_counter() - self.started
        if isinstance(event, Clip):
            self.clips[event.index - start] = event
        elif event.plan.candidate == event.plan.request.candidate:
            # The first of several is watched, whichever will be kept.
            self.partials[event.plan.index - start] = event

    def settle(self) -> None:
        """Keep what there is of clips that are not whole."""
        for at, partial in self.partials.items():
            if at not in self.clips:
                self.clips[at] = self.composer.settle(partial)

    def picture(self, *, is_over: bool = False, is_stopped: bool = False) -> Growing:
        places = range(len(self.requests))
        return Growing(
            tuple(self._piece(at) for at in places),
            tuple(self._n_bars(at) for at in places),
            len(self.clips),
            self.first_s,
            is_over,
            is_stopped,
            time.perf_counter() - self.started,
        )

    def _piece(self, at: int) -> StudioPiece | None:
        if at in self.clips:
            return StudioPiece.of(self.clips[at])
        partial = self.partials.get(at)
        if partial is None:
            return None
        key = f"{TONIC_NAMES[partial.plan.tonic]} {'major' if partial.plan.is_major else 'minor'}"
        return StudioPiece(self.composer.score(partial), key, partial.plan.tempo)

    def _n_bars(self, at: int) -> int:
        if at in self.clips:
            return self.clips[at].n_bars
        partial, request = self.partials.get(at), self.requests[at]
        if partial is None:
            return request.n_bars or request.default_bars
        primer = partial.plan.primer
        n_given = primer.n_bars if primer is not None and request.continues else 0
        return n_given + partial.plan.n_bars


def compose(
    composer: Composer, session: Session, requests: Sequence[Request], *, seed: int, start: int = 0
) -> Iterator[Growing]:
    """Compose a clip for each request, and show them as they grow.

    Args:
        composer: Of the checkpoint; others may be using it at the same time.
        session: Whose `stopping` ends it: what is there by then is kept.
        requests: What each clip is to be.
        seed: Of the run.
        start: Number of the first clip.

    Yields:
        What is there, a few times a second, and at last when it is over.

    Raises:
        ValueError: If a request cannot be met.
    """
    desk, shown = _Desk(composer, requests), 0.0
    is_stopped = False
    at_once = len(requests) * max(request.best_of for request in requests)
    with closing(composer.stream(requests, seed=seed, start=start, batch_size=at_once)) as events:
        for event in events:
            desk.take(event, start)
            if session.stopping.is_set():
                is_stopped = True
                break
            now = time.perf_counter()
            if now - shown >= EVERY_S and len(desk.clips) < len(requests):
                shown = now
                yield desk.picture()
    desk.settle()
    yield desk.picture(is_over=True, is_stopped=is_stopped)
