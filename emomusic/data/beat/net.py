"""The learnt part of the beat tracker: a small convolutional network, run with numpy alone."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

KERNEL = 5
"""Taps of each dilated convolution."""


@dataclass(frozen=True)
class BeatNet:
    """A fitted network, from onset features to beat and downbeat probabilities.

    Two neighbouring frames are stacked; an input layer of three taps and a stack of residual
    blocks follow, each a convolution of `KERNEL` taps at dilation 2^block, an ELU, and a linear
    layer of that and of its mean over the piece. The last layer gives two log-odds for each of the
    two frames. Two logistic regressions judge the beats that were found.

    Reference: Böck and Davies, "Deconstruct, Analyse, Reconstruct" (ISMIR 2020), whose network
        reads spectrograms, is larger and also estimates the tempo.
    """

    weights: dict[str, FloatArray]

    @property
    def n_blocks(self) -> int:
        """Count the residual blocks."""
        return sum(name.endswith(".mix.weight") for name in self.weights)

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Return the probability of a beat and of a downbeat in each frame.

        Args:
            features: (n_frames, n_features) as `beat_features` makes them, n_frames even.

        Returns:
            (n_frames, 2), each in (0, 1).
        """
        w = self.weights
        x = _elu(_conv(features.reshape(len(features) // 2, -1), w["inlet.weight"], 1))
        for block in range(self.n_blocks):
            name = f"blocks.{block}"
            y = _elu(_conv(x, w[f"{name}.conv.weight"], 2**block) + w[f"{name}.conv.bias"])
            x = x + y @ w[f"{name}.mix.weight"] + y.mean(axis=0) @ w[f"{name}.pool.weight"]
        logits = x @ w["outlet.weight"] + w["outlet.bias"]
        return np.asarray(1.0 / (1.0 + np.exp(-logits.reshape(-1, 2))), dtype=np.float64)

    def octave(self, traits: FloatArray) -> FloatArray:
        """Return the probability that beats found are the true ones, every other one, or half.

        Args:
            traits: (n_traits,) as `octave_traits` makes them.

        Returns:
            (3,): the true tempo is the one found, its double, its half.
        """
        odds = np.exp(traits @ self.weights["octave.weight"] + self.weights["octave.bias"])
        return np.asarray(odds / odds.sum(), dtype=np.float64)

    def trust(self, traits: FloatArray) -> float:
        """Return the probability that an F-measure of 0.8 is reached, from `trust_traits`."""
        odds = traits @ self.weights["trust.weight"] + self.weights["trust.bias"]
        return float(1.0 / (1.0 + np.exp(-odds[0])))

    def to_json(self) -> str:
        """Write the weights as JSON: half-precision numbers in base 64, by name and shape."""
        entries = {
            name: {
                "shape": list(array.shape),
                "float16": base64.b64encode(array.astype("<f2").tobytes()).decode("ascii"),
            }
            for name, array in sorted(self.weights.items())
        }
        return json.dumps(entries, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> BeatNet:
        """Read what `to_json` wrote."""
        return cls(
            {
                name: np.frombuffer(base64.b64decode(entry["float16"]), "<f2")
                .astype(np.float64)
                .reshape(entry["shape"])
                for name, entry in json.loads(text).items()
            }
        )


@cache
def default_net() -> BeatNet:
    """Load the network that ships with the package, fitted by `scripts/fit_beats.py`."""
    return BeatNet.from_json(resources.files(__package__).joinpath("net.json").read_text())


def _conv(x: FloatArray, weight: FloatArray, dilation: int) -> FloatArray:
    """Convolve (n, c) with taps (k, c, d) centred on each row, zeros outside."""
    reach = dilation * (len(weight) // 2)
    padded = np.pad(x, ((reach, reach), (0, 0)))
    result = np.zeros((len(x), weight.shape[2]))
    for k, tap in enumerate(weight):
        result += padded[k * dilation : k * dilation + len(x)] @ tap
    return result


def _elu(x: FloatArray) -> FloatArray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))
