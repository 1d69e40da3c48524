"""A finished piece and its card: what was asked and what is heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from symusic.core import ScoreTick

import emomusic
from emomusic.compose.request import Request
from emomusic.verify.verifier import Verdict


@dataclass(frozen=True)
class Clip:
    """Hold a finished piece with its card.

    Attributes:
        index: Its number in the run.
        seed: The run's seed.
        request: What was asked for.
        score: One piano track at one tempo.
        n_bars: Bars.
        tempo: Quarter notes a minute.
        key: The key it was composed in.
        targets: Attribute values asked of the model.
        achieved: The same attributes, measured on the score.
        verdict: What the verifier hears.
        checkpoint: Name of the checkpoint.
    """

    index: int
    seed: int
    request: Request
    score: ScoreTick
    n_bars: int
    tempo: float
    key: str
    targets: Mapping[str, float]
    achieved: Mapping[str, float]
    verdict: Verdict
    checkpoint: str

    def card(self) -> dict[str, Any]:
        """Return what was asked and what is heard, as plain values."""
        emotion = self.request.emotion
        return {
            "index": self.index,
            "seed": self.seed,
            "emotion": None if emotion is None else emotion.name or emotion.quadrant,
            "valence": None if emotion is None else emotion.valence,
            "arousal": None if emotion is None else emotion.arousal,
            "bars": self.n_bars,
            "tempo": self.tempo,
            "key": self.key,
            "time_signature": f"{self.request.beats_per_bar}/4",
            "targets": {name: round(value, 4) for name, value in self.targets.items()},
            "achieved": {name: round(value, 4) for name, value in self.achieved.items()},
            "verdict": {
                "quadrant": self.verdict.quadrant,
                "probabilities": {q: round(p, 4) for q, p in self.verdict.probabilities.items()},
                "valence": round(self.verdict.valence, 4),
                "arousal": round(self.verdict.arousal, 4),
                "valence_sd": round(self.verdict.valence_sd, 4),
                "arousal_sd": round(self.verdict.arousal_sd, 4),
                "trust": round(self.verdict.trust, 4),
            },
            "best_of": self.request.best_of,
            "temperature": self.request.temperature,
            "top_p": self.request.top_p,
            "guidance": self.request.guidance,
            "guided_bars": self.request.guided_bars,
            "steering": self.request.steering,
            "checkpoint": self.checkpoint,
            "version": emomusic.__version__,
        }
