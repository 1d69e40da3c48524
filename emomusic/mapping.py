"""From an emotion to attribute targets: prototypes of labelled music, blended.

The prototypes are found by supervised clustering of labelled clips.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS, Emotion
from emomusic.files import UNREADABLE, read_json, rounded, write_text
from emomusic.music.attributes import ATTRIBUTE_NAMES, attribute

Matrix = NDArray[np.float64]

FORMAT = "emomusic-mapper-2"
MAPPER_NAME = "mapper.json"
CENTRE = abs(next(iter(QUADRANT_CENTRES.values()))[0])
MAX_BYTES = 4 * 2**20
NEAR = 0.35
MAX_STRENGTH = 3.0
MAX_VALUE = MAX_WEIGHT = 1e6
HARMONY = frozenset({"mode", "chord_mode", "chromaticism", "dissonance", "key_clarity"})
SUSTAIN = frozenset({"note_length", "polyphony", "articulation"})
FARTHEST = 0.35
"""How much further than its prototype an emotion at the corner (1, 1) lies from the middle."""
STRENGTH, HELD = 1.3, 0.6
SHARPNESS = 5.0
"""Power of the recognised probability by which a clip counts."""
MIN_CLIPS = 5
"""A cluster of fewer is no prototype."""
MAX_DEVIATION = 2.5
"""Standard deviations at which values are cut for clustering, so that no outlier is a cluster."""


@dataclass(frozen=True)
class Prototype:
    """Hold one way in which music carries a quadrant's emotion.

    Attributes:
        quadrant: `Q1` to `Q4`.
        valence: Mean valence of its clips, -1 to 1.
        arousal: Mean arousal of its clips, -1 to 1.
        weight: Its share of the quadrant's clips, above 0.
        mean: Attribute values at its centre.
        spread: Standard deviation of each attribute among its clips.
        members: Attribute values of the clips that it stands for, in the mapper's order.
        trust: How surely each of them is recognised as its quadrant; at least 0, not all 0.
    """

    quadrant: str
    valence: float
    arousal: float
    weight: float
    mean: Mapping[str, float]
    spread: Mapping[str, float]
    members: Sequence[Sequence[float]]
    trust: Sequence[float]

    @property
    def n_clips(self) -> int:
        return len(self.members)


@dataclass(frozen=True)
class Mapper:
    """Turn emotions into attribute targets.

    Attributes:
        prototypes: Several for each quadrant.
        middle: Attribute values of the neutral emotion (0, 0): which ones, and in which order,
            is the mapper's own.
        low: Lowest target of each attribute.
        high: Highest target of each attribute.
        about: Which songs it was fitted on, and how.
        strength: How far from the middle the targets of harmony lie, as a share of where the
            prototypes do; harmony carries valence, and is the weaker signal.
        held: As `strength`, of how long and how many notes are held: clips that are recognised
            most surely hold more than others do.
    """

    prototypes: tuple[Prototype, ...]
    middle: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    about: Mapping[str, Any]
    strength: float = 1.0
    held: float = 1.0

    @property
    def attributes(self) -> tuple[str, ...]:
        """Return the attributes that have targets."""
        return tuple(self.middle)

    def targets(
        self, emotion: Emotion, rng: np.random.Generator, *, diversity: float = 1.0
    ) -> dict[str, float]:
        """Draw attribute targets for an emotion: a `course` of one.

        Raises:
            ValueError: If diversity is not in [0, 1].
        """
        return self.course([emotion], rng, diversity=diversity)[0]

    def course(
        self, emotions: Sequence[Emotion], rng: np.random.Generator, *, diversity: float = 1.0
    ) -> list[dict[str, float]]:
        """Draw attribute targets for emotions that follow each other in one piece.

        Each quadrant gives a prototype, likelier the nearer it lies to the emotions there, and of
        that a clip, likelier the more surely it is recognised: so attributes go together as they
        do in music. The four are blended by where an emotion lies between the quadrants' centres,
        and beyond a centre the distance from the middle grows on. The centre of the circle gives
        the middle. The four clips are the same for all emotions, so that near emotions have near
        targets.

        Args:
            emotions: Points of the space, at least one.
            rng: Decides which prototypes; the same state gives the same targets.
            diversity: How far each quadrant goes from its mean to the clip that was drawn, 0 to 1.

        Returns:
            A finite value for each of its attributes, for each emotion.

        Raises:
            ValueError: If diversity is not in [0, 1].
        """
        if not 0 <= diversity <= 1:
            raise ValueError(f"diversity must be in [0, 1], got {diversity}")
        middle = self._vector(self.middle)
        shares = np.stack([self.shares(emotion) for emotion in emotions])
        offsets = np.zeros((len(emotions), len(self.attributes)))
        for quadrant, share in zip(QUADRANTS, shares.T, strict=True):
            drawn = self._draw(quadrant, _between(emotions, share), rng, diversity)
            offsets += share[:, None] * (drawn - middle)
        strength = np.array([
            self.strength if name in HARMONY else self.held if name in SUSTAIN else 1.0
            for name in self.attributes
        ])  # fmt: skip
        reach = np.array([[self.reach(emotion)] for emotion in emotions])
        targets = middle + offsets * strength * reach
        bounded = np.clip(targets, self._vector(self.low), self._vector(self.high))
        return [dict(zip(self.attributes, row, strict=True)) for row in bounded.tolist()]

    def spread(self) -> Matrix:
        """Return the standard deviation of each attribute among all clips, above 0."""
        clips = np.array([row for p in self.prototypes for row in p.members], np.float64)
        low, high = self._vector(self.low), self._vector(self.high)
        return np.clip(clips, low, high).std(axis=0) + 1e-6

    def telling(self) -> dict[str, float]:
        """Return how far each attribute tells quadrants apart, in its standard deviations."""
        means = np.stack([self._average(quadrant) for quadrant in QUADRANTS])
        apart = means.std(axis=0) / self.spread()
        return dict(zip(self.attributes, apart.tolist(), strict=True))

    def _average(self, quadrant: str) -> Matrix:
        own = [p for p in self.prototypes if p.quadrant == quadrant]
        weight = np.array([p.weight for p in own])
        total: Matrix = weight @ np.stack([self._vector(p.mean) for p in own])
        return total / weight.sum()

    def _vector(self, values: Mapping[str, float]) -> Matrix:
        return np.array([values[name] for name in self.attributes])

    @staticmethod
    def shares(emotion: Emotion) -> Matrix:
        """Return how much each quadrant counts, shape (4,), in all 1: bilinear between centres."""
        v = (np.clip(emotion.valence / CENTRE, -1, 1) + 1) / 2
        a = (np.clip(emotion.arousal / CENTRE, -1, 1) + 1) / 2
        signs = [QUADRANT_CENTRES[quadrant] for quadrant in QUADRANTS]
        return np.array([(v if x > 0 else 1 - v) * (a if y > 0 else 1 - a) for x, y in signs])

    @staticmethod
    def reach(emotion: Emotion) -> float:
        """Return how far from the middle the blend is carried: 1 up to the centres, then more."""
        beyond = max(abs(emotion.valence), abs(emotion.arousal)) - CENTRE
        return 1.0 + FARTHEST * max(beyond, 0.0) / (1.0 - CENTRE)

    def _draw(
        self, quadrant: str, emotion: Emotion, rng: np.random.Generator, diversity: float
    ) -> Matrix:
        own = [p for p in self.prototypes if p.quadrant == quadrant]
        weight = np.array([p.weight for p in own])
        distance = np.array(
            [(p.valence - emotion.valence) ** 2 + (p.arousal - emotion.arousal) ** 2 for p in own]
        )
        near = weight * np.exp(-(distance - distance.min()) / (2 * NEAR**2))
        index = int((near.cumsum() <= rng.random() * near.sum()).sum())
        trust = np.array(own[index].trust).cumsum()
        member = own[index].members[int((trust <= rng.random() * trust[-1]).sum())]
        average = self._average(quadrant)
        return average + diversity * (np.array(member) - average)

    def save(self, folder: Path) -> None:
        """Write `mapper.json`, readable, with units."""
        units = {name: attribute(name).unit for name in self.attributes}
        content = {"format": FORMAT, "units": units, **asdict(self)}
        text = json.dumps(rounded(content, 5), indent=1)
        flat = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)
        write_text(folder / MAPPER_NAME, flat + "\n")

    @classmethod
    def load(cls, folder: Path) -> Mapper:
        """Read `mapper.json`.

        Raises:
            ValueError: If it is missing, damaged or of another format.
        """
        path = folder / MAPPER_NAME
        try:
            content = read_json(path, max_bytes=MAX_BYTES)
            if content.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            content.pop("units")
            prototypes = tuple(Prototype(**p) for p in content.pop("prototypes"))
            mapper = cls(prototypes=prototypes, **content)
            mapper.check()
        except UNREADABLE as error:
            raise ValueError(f"cannot read the mapper {path}: {error}") from error
        return mapper

    def check(self) -> None:
        """Check that every attribute has a finite value everywhere and every quadrant music.

        Raises:
            ValueError: If not.
        """
        for name in self.attributes:
            attribute(name)
        if "tempo" not in self.attributes:
            raise ValueError("it has no tempo")
        tables = [self.middle, self.low, self.high]
        tables += [table for p in self.prototypes for table in (p.mean, p.spread)]
        for table in tables:
            if set(table) != set(self.attributes) or not _are_sane(self._vector(table)):
                raise ValueError("its tables are of other attributes, or not finite")
        for p in self.prototypes:
            place = np.array([p.valence, p.arousal], np.float64)
            if not (0 < p.weight <= MAX_WEIGHT and (np.abs(place) <= 1).all()):
                raise ValueError(f"a prototype of {p.quadrant} has no weight or place")
            trust, values = np.array(p.trust, np.float64), np.array(p.members, np.float64)
            if values.shape != (len(trust), len(self.attributes)) or not _are_sane(values):
                raise ValueError(f"the clips of a prototype of {p.quadrant} are not whole")
            if not ((trust >= 0).all() and 0 < trust.sum() < np.inf):
                raise ValueError(f"no clip of a prototype of {p.quadrant} counts")
        for what, strength in (("strength", self.strength), ("held", self.held)):
            if not 0 < strength <= MAX_STRENGTH:
                raise ValueError(f"its {what} must be in (0, {MAX_STRENGTH}], got {strength}")
        if {p.quadrant for p in self.prototypes} != set(QUADRANTS):
            raise ValueError("it lacks a quadrant")


def _are_sane(values: Matrix) -> bool:
    """Tell whether values are finite, and small enough that sums of them stay so."""
    return bool((np.abs(values) <= MAX_VALUE).all())  # false for NaN too


def _between(emotions: Sequence[Emotion], weights: Matrix) -> Emotion:
    """Return the weighted mean of emotions; without any weight, the plain mean."""
    points = np.array([(emotion.valence, emotion.arousal) for emotion in emotions])
    if not np.ptp(points, axis=0).any():
        return emotions[0]
    shares = weights / weights.sum() if weights.sum() else np.full(len(points), 1 / len(points))
    valence, arousal = np.clip(shares @ points, -1.0, 1.0).tolist()
    return Emotion(valence, arousal)


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

    def __init__(self, *, n_prototypes: int = 6) -> None:
        self.n_prototypes = n_prototypes

    def fit(
        self,
        values: Matrix,
        quadrant: Sequence[str],
        valence: Matrix,
        arousal: Matrix,
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
            least, found = self.n_prototypes * MIN_CLIPS, (labels == name).sum()
            if found < least:
                raise ValueError(f"{name} needs at least {least} labelled clips, got {found}")
        if len(set(songs)) < 5:
            raise ValueError("labelled clips of at least 5 songs are needed")
        self.trust_ = _recognised(values, labels, songs) ** SHARPNESS + 1e-6
        scale = values.std(axis=0) + 1e-9
        means = [(values[labels == name] / scale).mean(axis=0) for name in QUADRANTS]
        telling = 0.3 + np.std(means, axis=0)
        near = np.clip((values - values.mean(axis=0)) / scale, -MAX_DEVIATION, MAX_DEVIATION)
        prototypes = []
        for name in QUADRANTS:
            own = np.flatnonzero(labels == name)
            trust = self.trust_[own]
            cluster = _clusters(near[own] * telling, trust, self.n_prototypes)
            for k in np.unique(cluster):
                inside, weight = own[cluster == k], trust[cluster == k]
                if len(inside) >= MIN_CLIPS:
                    place = np.average([valence[inside], arousal[inside]], axis=1, weights=weight)
                    share = float(weight.sum() / trust.sum())
                    prototypes.append(_prototype(name, place, share, values[inside], weight))
        middle = np.mean([values[labels == name].mean(axis=0) for name in QUADRANTS], axis=0)
        low, high = np.quantile(values, [0.02, 0.98], axis=0)
        tables = (_named(middle), _named(low), _named(high))
        self.mapper_ = Mapper(tuple(prototypes), *tables, dict(about), STRENGTH, HELD)
        return self


def _recognised(values: Matrix, labels: NDArray[Any], songs: Sequence[str]) -> Matrix:
    """Return the chance that each clip's quadrant has for a classifier without its song."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    chances = cross_val_predict(
        model, values, labels, groups=songs, cv=GroupKFold(5), method="predict_proba"
    )
    return chances[np.arange(len(labels)), np.searchsorted(QUADRANTS, labels)]


def _clusters(points: Matrix, weight: Matrix, n_clusters: int) -> NDArray[np.int32]:
    from sklearn.cluster import KMeans

    return KMeans(n_clusters, n_init=8, random_state=0).fit_predict(points, sample_weight=weight)


def _prototype(
    quadrant: str, place: Matrix, share: float, values: Matrix, trust: Matrix
) -> Prototype:
    mean = np.average(values, axis=0, weights=trust)
    spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=trust))
    return Prototype(
        quadrant=quadrant,
        valence=float(place[0]),
        arousal=float(place[1]),
        weight=share,
        mean=_named(mean),
        spread=_named(spread),
        members=tuple(tuple(row) for row in values.tolist()),
        trust=tuple(trust.tolist()),
    )


def _named(values: Matrix) -> dict[str, float]:
    return dict(zip(ATTRIBUTE_NAMES, map(float, values), strict=True))
