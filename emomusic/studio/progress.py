"""Compose for one person: show each bar as it comes, stop when they say so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer, PartialClip
from emomusic.compose.request import Request
from emomusic.music.key import TONIC_NAMES
from emomusic.studio.session import Session, StudioPiece

EVERY_S = 0.2
"""Seconds between two pictures of what is being written."""


@dataclass(frozen=True)
class Progress:
    """Hold what is there of the clips that are being written.

    Attributes:
        pieces: Each as far as it is, None before its first bar.
        n_bars: Bars that each will have.
        first_s: Seconds from the start to the first bar; None before it.
        total_s: Seconds from the start until now.
        is_over: Whether nothing more comes.
        is_stopped: Whether somebody stopped it.
    """

    pieces: tuple[StudioPiece | None, ...]
    n_bars: tuple[int, ...]
    first_s: float | None = None
    total_s: float = 0.0
    is_over: bool = False
    is_stopped: bool = False

    @property
    def whole(self) -> list[StudioPiece]:
        """Return the pieces that have been heard: all, once it is over."""
        return [piece for piece in self.pieces if piece is not None and piece.verdict is not None]


def compose(
    composer: Composer, session: Session, requests: Sequence[Request], *, seed: int, start: int = 0
) -> Iterator[Progress]:
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
    began, shown, first_s, is_stopped = time.perf_counter(), 0.0, None, False
    found = dict[int, Clip | PartialClip]()

    def picture(*, is_over: bool = False) -> Progress:
        looks = [_look(composer, found.get(at), request) for at, request in enumerate(requests)]
        return Progress(
            tuple(piece for piece, _ in looks),
            tuple(n_bars for _, n_bars in looks),
            first_s=first_s,
            total_s=time.perf_counter() - began,
            is_over=is_over,
            is_stopped=is_stopped,
        )

    at_once = len(requests) * max(request.best_of for request in requests)
    with closing(composer.stream(requests, seed=seed, start=start, batch_size=at_once)) as events:
        for event in events:
            now = time.perf_counter()
            first_s = now - began if first_s is None else first_s
            if isinstance(event, Clip):
                found[event.index - start] = event
            elif event.plan.candidate == event.plan.request.candidate:
                # The first of several is watched, whichever will be kept.
                found[event.plan.index - start] = event
            if session.stopping.is_set():
                is_stopped = True
                break
            are_whole = all(isinstance(found.get(at), Clip) for at in range(len(requests)))
            if now - shown >= EVERY_S and not are_whole:
                shown = now
                yield picture()
    for at, event in found.items():
        if not isinstance(event, Clip):  # stopped: what there is of it is kept
            found[at] = composer.settle(event)
    yield picture(is_over=True)


def _look(
    composer: Composer, event: Clip | PartialClip | None, request: Request
) -> tuple[StudioPiece | None, int]:
    """Return what is there of a clip, and how many bars it will have."""
    if event is None:
        return None, request.n_bars or request.default_bars
    if isinstance(event, Clip):
        return StudioPiece.of(event), event.n_bars
    plan = event.plan
    key = f"{TONIC_NAMES[plan.tonic]} {'major' if plan.is_major else 'minor'}"
    return StudioPiece(composer.score(event), key, plan.tempo), plan.n_given + plan.n_bars
