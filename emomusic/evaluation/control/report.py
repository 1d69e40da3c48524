"""How a checkpoint is controlled: one attribute, all of them, the worst of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emomusic.evaluation.control.joint import GIVEN
from emomusic.evaluation.control.measures import Fader, Following, Leak, root_beyond_chance, rounded


@dataclass(frozen=True)
class AttributeControl:
    """Hold how one attribute is controlled.

    Attributes:
        name: The attribute.
        per_bar: Whether asked for bar by bar.
        following: Asked alone against achieved.
        fader: FaderNets' measures; None for bars.
        leakage: Mean |ρ| between it as asked and others as achieved; None if not asked.
    """

    name: str
    per_bar: bool
    following: Following
    fader: Fader | None
    leakage: float | None

    @property
    def is_given(self) -> bool:
        """Tell whether the composer simply sets it."""
        return self.name in GIVEN

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return {
            "name": self.name,
            "per_bar": self.per_bar,
            "given": self.is_given,
            **self.following.to_dict(),
            **({} if self.fader is None else self.fader.to_dict()),
            "leakage": None if self.leakage is None else round(self.leakage, 4),
        }


@dataclass(frozen=True)
class Summary:
    """Hold how attributes are controlled on the whole; those nearly the same count once.

    Attributes:
        n_counted: Attributes, or groups of them, that count; those simply set do not.
        mean_rho: Mean of their ρ.
        worst: Which has the lowest ρ.
        worst_rho: That ρ.
        n_pairs: Ordered pairs over which leakage is the mean.
        leakage: Mean |ρ| between one as asked and another as achieved.
        chance: The same by chance.
        beyond_chance: Root mean square of those ρ, less what chance makes of it.
    """

    n_counted: int
    mean_rho: float
    worst: str
    worst_rho: float
    n_pairs: int
    leakage: float
    chance: float
    beyond_chance: float

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return rounded(vars(self))


@dataclass(frozen=True)
class ControlReport:
    """Hold how a checkpoint is controlled, clip-wide or bar by bar.

    Attributes:
        per_bar: Which of the two.
        n_clips: Clips composed for it.
        attributes: One for each attribute.
        pairs: What leaks.
        groups: Attributes that are nearly the same in real music (|ρ| above 0.9).
    """

    per_bar: bool
    n_clips: int
    attributes: tuple[AttributeControl, ...]
    pairs: tuple[Leak, ...] = ()
    groups: tuple[tuple[str, ...], ...] = field(default=())

    def summary(self) -> Summary:
        """Return means and the worst."""
        rho = {a.name: a.following.rho for a in self.attributes if not a.is_given}
        kept = [[name for name in group if name in rho] for group in self.groups]
        counted = {
            " = ".join(group): float(np.mean([rho[n] for n in group])) for group in kept if group
        }
        worst = min(counted, key=lambda name: counted[name])
        return Summary(
            n_counted=len(counted),
            mean_rho=float(np.mean(list(counted.values()))),
            worst=worst,
            worst_rho=counted[worst],
            n_pairs=len(self.pairs),
            leakage=float(np.mean([abs(p.rho) for p in self.pairs])) if self.pairs else 0.0,
            chance=float(np.mean([p.chance for p in self.pairs])) if self.pairs else 0.0,
            beyond_chance=root_beyond_chance(self.pairs),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return {
            "per_bar": self.per_bar,
            "n_clips": self.n_clips,
            "summary": self.summary().to_dict(),
            "attributes": [a.to_dict() for a in self.attributes],
            "pairs": [p.to_dict() for p in self.pairs],
            "groups": [list(group) for group in self.groups if len(group) > 1],
        }
