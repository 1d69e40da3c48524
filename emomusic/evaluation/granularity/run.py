"""Compose a set for each emotion, and find which the judges tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.compose.composer import Composer
from emomusic.emotion import Emotion
from emomusic.evaluation.granularity.distance import (
    NEAR,
    SAME_PLACE,
    TOLD,
    Control,
    Distances,
    control,
)
from emomusic.evaluation.granularity.heard import (
    Following,
    Identification,
    follow,
    groups_of,
    identify,
    nearest_heard,
    places_of,
)
from emomusic.evaluation.granularity.separability import (
    FALSE_DISCOVERIES,
    N_PERMUTATIONS,
    Rows,
    Separability,
    pairs_of,
    separability,
)
from emomusic.evaluation.granularity.sets import Sets, compose_sets, hear_sets, typology
from emomusic.evaluation.judged.grid import AXES
from emomusic.verify.judges import Judge

COUNT = 24
TWIN_EVERY = 3
"""Every third emotion is composed a second time, for the rate of false alarms."""
N_TOLD = 10
"""Pairs that are named."""


@dataclass(frozen=True)
class Granularity:
    """Hold how finely emotions are told apart.

    Attributes:
        sets: What was heard in each clip.
        views: Which pairs are told apart: by `both` axes and all judges, by `valence` and
            `arousal` alone, and by each judge alone where there are several.
        control: How often chance is called a difference.
        following: How the heard axes follow those asked for.
        identification: How often a clip is known among all emotions.
        seed: Of the bootstraps.
    """

    sets: Sets
    views: Mapping[str, Separability]
    control: Control
    following: tuple[Following, ...]
    identification: Identification
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values; pairs come in the order of `pairs_of`."""
        found, distances = self.views["both"], Distances(self.sets.asked, seed=self.seed)
        low, high = found.auc_interval
        return {
            "n_emotions": found.n_sets,
            "n_clips": found.n_clips,
            "n_pairs": len(found.p),
            "judges": list(self.sets.judges),
            "false_discoveries": FALSE_DISCOVERIES,
            "views": {
                name: {"apart": distances.share(one.apart), "auc": distances.share(one.auc)}
                for name, one in self.views.items()
            },
            "auc_from": round(found.auc_from, 4),
            "control": self.control.to_dict(),
            "distance": {
                "told": TOLD,
                "bins": distances.bins(found),
                "reach": {
                    "both": distances.reach(found),
                    **{axis: distances.reach(found, axis) for axis in AXES},
                },
            },
            "same_place": self._same_place(distances),
            "near": self._near(distances),
            "following": [one.to_dict() for one in self.following],
            "identification": self.identification.to_dict(),
            "groups": [self._group(group) for group in groups_of(found)],
            "emotions": self._emotions(),
            "heard_as_one": self._heard_as_one(distances),
            "pairs": {
                "p": found.p.round(4).tolist(),
                "auc": found.auc.round(4).tolist(),
                "low": low.round(4).tolist(),
                "high": high.round(4).tolist(),
                "apart": found.apart.tolist(),
            },
        }

    def _same_place(self, distances: Distances) -> dict[str, Any]:
        """Tell the ceiling: what is asked for at one place cannot be told apart."""
        names, apart = self.sets.names, self.views["both"].apart
        here = distances.distance < SAME_PLACE
        places = places_of(self.sets.asked)
        return {
            "within": SAME_PLACE,
            "n_pairs": int(here.sum()),
            "n_apart": int(apart[here].sum()),
            "n_places": len(places),
            "places": [[names[i] for i in place] for place in places if len(place) > 1],
        }

    def _near(self, distances: Distances) -> dict[str, Any]:
        """Tell near pairs apart, with all others and tested by themselves."""
        found, near = self.views["both"], distances.distance < NEAR
        alone = found.apart_among(near)
        return {
            "within": NEAR,
            "n_pairs": int(near.sum()),
            "n_apart": int(found.apart[near].sum()),
            "n_apart_alone": int(alone.sum()),
            "auc": distances.share(found.auc, near),
            "pairs": self._pairs(np.flatnonzero(alone)[np.argsort(found.p[alone])], distances),
        }

    def _group(self, group: Sequence[int]) -> dict[str, Any]:
        """Tell a group heard as one, named after the member nearest to its middle."""
        heard = self.sets.plane.mean(axis=1)[list(group)]
        away = np.linalg.norm(heard - heard.mean(axis=0), axis=1)
        order = [group[i] for i in np.argsort(away, kind="stable")]
        names = [self.sets.names[i] for i in order]
        return {"name": names[0], "members": names, "heard": _told(heard.mean(axis=0))}

    def _emotions(self) -> list[dict[str, Any]]:
        found, plane = self.views["both"], self.sets.plane
        apart = found.square(found.apart, 0.0) > 0
        away = nearest_heard(self.sets)
        np.fill_diagonal(away, np.inf)
        top_5 = (self.identification.rank <= 5).mean(axis=1)
        rows = []
        for i, name in enumerate(self.sets.names):
            order = [j for j in np.argsort(away[i], kind="stable").tolist() if j != i]
            others = [self.sets.names[j] for j in order if not apart[i, j]]
            rows.append(
                {
                    "name": name,
                    "asked": _told(self.sets.asked[i]),
                    "heard": _told(plane[i].mean(axis=0)),
                    "spread": _told(plane[i].std(axis=0, ddof=1)),
                    "n_apart": int(apart[i].sum()),
                    "confused_with": others,
                    "nearest": self.sets.names[order[0]],
                    "top_5": round(float(top_5[i]), 4),
                }
            )
        return rows

    def _heard_as_one(self, distances: Distances) -> list[dict[str, Any]]:
        """Name the pairs asked for farthest apart and yet not told apart."""
        one = np.flatnonzero(~self.views["both"].apart)
        order = one[np.argsort(-distances.distance[one], kind="stable")]
        return self._pairs(order[:N_TOLD], distances)

    def _pairs(self, rows: Rows, distances: Distances) -> list[dict[str, Any]]:
        found, names = self.views["both"], self.sets.names
        low, high = found.auc_interval
        return [
            {
                "pair": [names[i] for i in pairs_of(found.n_sets)[k]],
                "distance": round(float(distances.distance[k]), 3),
                "auc": _told((found.auc[k], low[k], high[k])),
            }
            for k in rows.tolist()
        ]


def _told(values: Iterable[float]) -> list[float]:
    return [round(float(x), 4) for x in values]


def n_composed(count: int, *, twin_every: int = TWIN_EVERY) -> int:
    """Return how many clips `measure_granularity` composes."""
    n = len(typology())
    return count * (n + len(range(0, n, twin_every)))


def measure_granularity(
    composer: Composer,
    judges: Mapping[str, Judge],
    *,
    count: int = COUNT,
    seed: int = 0,
    n_bars: int = 16,
    twin_every: int = TWIN_EVERY,
    progress: Callable[[int], None] = lambda n_done: None,
) -> Granularity:
    """Compose first draws of each emotion of the typology and find which are told apart.

    Some are composed a second time, with the next seed, as the control.

    Args:
        composer: A checkpoint.
        judges: By name, of a half of the songs that nothing else saw.
        count: Clips of each emotion, at least 3.
        seed: Of the run.
        n_bars: Bars of each clip.
        twin_every: Every how many emotions one is composed twice, at least 1.
        progress: Called with 1 for each clip that is done, `n_composed` times.

    Raises:
        ValueError: If a number is too small, or there is no judge.
    """
    if count < 3 or twin_every < 1:
        raise ValueError(
            f"an emotion needs 3 clips, and twins every 1 or more, got {count} and {twin_every}"
        )

    def heard(emotions: Sequence[Emotion], seed: int) -> Sets:
        notes = compose_sets(
            composer, emotions, count=count, seed=seed, n_bars=n_bars, progress=progress
        )
        return hear_sets(judges, emotions, notes)

    emotions = typology()
    return granularity_of(heard(emotions, seed), heard(emotions[::twin_every], seed + 1))


def granularity_of(
    sets: Sets, twins: Sets, *, n_permutations: int = N_PERMUTATIONS, seed: int = 0
) -> Granularity:
    """Find which sets are told apart.

    Args:
        sets: What was heard in clips of each emotion.
        twins: The same of second sets of some of them.
        n_permutations: Of each test.
        seed: Of all that is drawn.
    """
    names = ("both", *AXES, *(sets.judges if len(sets.judges) > 1 else ()))
    views = {
        name: separability(sets, name, n_permutations=n_permutations, seed=seed) for name in names
    }
    return Granularity(
        sets,
        views,
        control(sets, twins, views["both"], n_permutations=n_permutations, seed=seed),
        follow(sets, seed=seed),
        identify(sets, seed=seed),
        seed,
    )
