"""Which of several candidates becomes the clip."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from emomusic.compose.clip import Clip


@dataclass
class Candidates:
    """Gather the candidates of one clip."""

    n_wanted: int
    found: dict[int, Clip] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Tell whether all are there."""
        return len(self.found) == self.n_wanted

    def best(self) -> Clip:
        """Return the one that the verifier hears best as what was asked."""
        return max((self.found[i] for i in sorted(self.found)), key=_merit)


def _merit(clip: Clip) -> float:
    """Return how well the verifier hears what was asked; the nearest by listeners' values."""
    emotion, verdict = clip.request.emotion, clip.verdict
    if emotion is None:
        return 0.0
    away = math.hypot(verdict.valence - emotion.valence, verdict.arousal - emotion.arousal)
    return verdict.probabilities[emotion.quadrant] - 0.1 * away
