"""A verifier of simple rules, and clips, for tests of explanations."""

from __future__ import annotations

import numpy as np

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.counterfactuals import FACTORS, Reference, find_key
from emomusic.verify.verifier import Verdict
from helpers.verifier import MAJOR, MINOR

SHARES = np.linspace(0.0, 1.0, 21)
USUAL = Reference(
    {
        "mode": 0.6 * (SHARES - 0.5),
        "tempo": 1.0 + SHARES,
        "loudness": 50.0 + 30.0 * SHARES,
        "register": 54.0 + 12.0 * SHARES,
        "density": 1.5 + 2.0 * SHARES,
    },
    100,
)


def clip(*, major: bool = True, gap_s: float = 0.5, velocity: int = 65, tonic: int = 60) -> Notes:
    """Return a melody over tonic triads of 48 beats, velocities differing a little."""
    scale = np.array(MAJOR if major else MINOR)
    steps = np.array([0, 2, 4, 3, 2, 1, 4, 2] * 6)
    melody, triads = tonic + scale[steps], tonic - 12 + scale[np.tile([0, 2, 4], 12)]
    onset = np.concatenate([np.arange(48.0), np.repeat(4.0 * np.arange(12), 3)])
    return make_notes(
        onset,
        np.concatenate([np.ones(48), np.full(36, 4.0)]),
        np.concatenate([melody, triads]),
        velocity + 3 * (np.arange(len(onset)) % 5 - 2),
        tempo=60.0 / gap_s,
    )


class Rules:
    """Hear valence by the mode, arousal by speed, loudness and number of notes."""

    def window_verdict(self, notes: Notes, *, trust: float) -> Verdict:
        """Hear a window, whatever the piece."""
        del trust
        return self.verdict(notes)

    def verdict(self, notes: Notes) -> Verdict:
        """Hear one clip; register does not matter."""
        valence = 2.0 if find_key(notes)[1] else -2.0
        tempo, density = (FACTORS[name].measure(notes) for name in ("tempo", "density"))
        assert tempo is not None and density is not None
        arousal = tempo - 1.5 + 0.8 * (density - 2.5)
        arousal += (float(np.median(notes.velocity)) - 65.0) / 20.0
        v, a = 1.0 / (1.0 + np.exp(-np.array([valence, arousal])))
        shares = {"Q1": v * a, "Q2": (1 - v) * a, "Q3": (1 - v) * (1 - a), "Q4": v * (1 - a)}
        probabilities = {name: float(share) for name, share in shares.items()}
        best = max(probabilities, key=probabilities.__getitem__)
        return Verdict(best, probabilities, float(2 * v - 1), float(2 * a - 1), 0.2, 0.2, 1.0)
