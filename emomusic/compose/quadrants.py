"""As many clips for each quadrant."""

from __future__ import annotations

from collections.abc import Callable

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import QUADRANTS, find_emotion


def compose_quadrants(
    composer: Composer,
    *,
    count: int = 1,
    seed: int = 0,
    n_bars: int = 16,
    best_of: int = 1,
    progress: Callable[[int], None] = lambda n_done: None,
) -> list[Clip]:
    """Compose `count` clips of each quadrant, first draws by default, one quadrant after the other.

    Args:
        composer: A checkpoint.
        count: Clips of each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
        best_of: Draws among which the verifier chooses each clip.
        progress: Called with 1 for each clip that is done.
    """
    requests = [
        Request(find_emotion(name), n_bars=n_bars, best_of=best_of)
        for name in QUADRANTS
        for _ in range(count)
    ]
    return list(composer.compose_each(requests, seed=seed, progress=progress))
