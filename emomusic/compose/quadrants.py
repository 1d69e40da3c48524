"""One clip or many for each quadrant: the shortest way to hear what a checkpoint does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

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


def asked_and_heard(cards: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of what was asked and what the verifier heard, a line for each card."""
    lines = [
        f"{'file':<15} {'asked':<6} {'heard':<6} {'sure':>5} {'valence':>14} {'arousal':>14}  "
        "music",
    ]
    for card in cards:
        heard = card["verdict"]
        quadrant = heard["quadrant"]
        lines.append(
            f"{card['file']:<15} {card['emotion']:<6} {quadrant:<6} "
            f"{heard['probabilities'][quadrant]:>5.2f} "
            f"{card['valence']:>+6.2f} → {heard['valence']:>+5.2f} "
            f"{card['arousal']:>+6.2f} → {heard['arousal']:>+5.2f}  "
            f"{card['bars']} bars, {card['tempo']:g} bpm, {card['key']}"
        )
    return "\n".join(lines)
