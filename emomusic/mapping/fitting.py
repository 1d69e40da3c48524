"""Fit the mapper: supervised clustering of labelled clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emomusic.emotion import QUADRANTS
from emomusic.mapping.mapper import Mapper, Prototype
from emomusic.music.attributes import ATTRIBUTE_NAMES

Matrix = NDArray[np.float64]
STRENGTH, HELD = 1.3, 0.6
MAX_DEVIATION = 2.5
"""Standard deviations at which values are cut for clustering, so that no outlier is a cluster."""


class MapperFitter:
    """Find several prototypes in each quadrant among labelled clips.

    A clip counts by how surely its quadrant is recognised from its attributes by a classifier
    that has not seen its song; so the prototypes stand where a quadrant sounds like itself.
    Within a quadrant the clips are parted by k-means on standardised attributes, in which an
    attribute counts by how much it tells the quadrants apart.

    Attributes:
        mapper_: The fitted mapper.
        trust_: How much each clip counted, shape (n,).

    Reference: after EmoGen (Kang et al. 2023), which takes the one real clip nearest each
    class mean, in binary attributes; we keep values, and several prototypes.
    """

    def __init__(
        self,
        *,
        n_prototypes: int = 6,
        sharpness: float = 5.0,
        min_clips: int = 5,
        strength: float = STRENGTH,
        held: float = HELD,
        seed: int = 0,
    ) -> None:
        """Set up.

        Args:
            n_prototypes: For each quadrant.
            sharpness: Power of the recognised probability by which a clip counts; 0 takes all
                clips alike.
            min_clips: A cluster of fewer is no prototype.
            strength: Kept with the mapper.
            held: As strength.
            seed: Of k-means.
        """
        self.n_prototypes, self.sharpness = n_prototypes, sharpness
        self.min_clips, self.strength, self.held, self.seed = min_clips, strength, held, seed

    def fit(
        self,
        values: Matrix,
        quadrant: Sequence[str],
        valence: NDArray[np.float64],
        arousal: NDArray[np.float64],
        songs: Sequence[str],
        *,
        about: Mapping[str, Any],
    ) -> MapperFitter:
        """Fit.

        Args:
            values: Attributes, shape (n, n_attributes), finite.
            quadrant: Of each clip.
            valence: Of each clip, -1 to 1, shape (n,).
            arousal: As valence.
            songs: Of each clip; a song is never on both sides of a fold.
            about: Kept with the mapper.

        Raises:
            ValueError: If a quadrant has too few clips, or fewer than 5 songs are given.
        """
        labels = np.array(quadrant)
        for name in QUADRANTS:
            if (labels == name).sum() < self.n_prototypes * self.min_clips:
                raise ValueError(
                    f"{name} needs at least {self.n_prototypes * self.min_clips} labelled clips, "
                    f"got {(labels == name).sum()}"
                )
        if len(set(songs)) < 5:
            raise ValueError("labelled clips of at least 5 songs are needed")
        self.trust_ = self._trust(values, labels, songs)
        scale = values.std(axis=0) + 1e-9
        telling = self._telling(values / scale, labels)
        prototypes = [
            prototype
            for name in QUADRANTS
            for prototype in self._cluster(name, values, labels, valence, arousal, scale, telling)
        ]
        middle = np.mean([values[labels == name].mean(axis=0) for name in QUADRANTS], axis=0)
        low, high = np.quantile(values, [0.02, 0.98], axis=0)
        self.mapper_ = Mapper(
            tuple(prototypes),
            _named(middle),
            _named(low),
            _named(high),
            dict(about),
            self.strength,
            self.held,
        )
        return self

    def _trust(self, values: Matrix, labels: NDArray[Any], songs: Sequence[str]) -> Matrix:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        probability = cross_val_predict(
            model, values, labels, groups=songs, cv=GroupKFold(5), method="predict_proba"
        )
        own = probability[np.arange(len(labels)), np.searchsorted(QUADRANTS, labels)]
        return own**self.sharpness + 1e-6

    @staticmethod
    def _telling(values: Matrix, labels: NDArray[Any]) -> Matrix:
        means = np.stack([values[labels == name].mean(axis=0) for name in QUADRANTS])
        return 0.3 + means.std(axis=0)

    def _cluster(
        self,
        name: str,
        values: Matrix,
        labels: NDArray[Any],
        valence: Matrix,
        arousal: Matrix,
        scale: Matrix,
        telling: Matrix,
    ) -> list[Prototype]:
        own = np.flatnonzero(labels == name)
        trust = self.trust_[own]
        model = KMeans(self.n_prototypes, n_init=8, random_state=self.seed)
        near = np.clip((values[own] - values.mean(axis=0)) / scale, -MAX_DEVIATION, MAX_DEVIATION)
        cluster = model.fit_predict(near * telling, sample_weight=trust)
        prototypes = []
        for k in np.unique(cluster):
            inside, weight = own[cluster == k], trust[cluster == k]
            if len(inside) < self.min_clips:
                continue
            mean = np.average(values[inside], axis=0, weights=weight)
            spread = np.sqrt(np.average((values[inside] - mean) ** 2, axis=0, weights=weight))
            prototypes.append(
                Prototype(
                    quadrant=name,
                    valence=float(np.average(valence[inside], weights=weight)),
                    arousal=float(np.average(arousal[inside], weights=weight)),
                    weight=float(weight.sum() / trust.sum()),
                    mean=_named(mean),
                    spread=_named(spread),
                    members=tuple(tuple(row) for row in values[inside].tolist()),
                    trust=tuple(weight.tolist()),
                )
            )
        return prototypes


def _named(values: Matrix) -> dict[str, float]:
    return dict(zip(ATTRIBUTE_NAMES, map(float, values), strict=True))
