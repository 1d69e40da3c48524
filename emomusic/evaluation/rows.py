"""Results as rows: a measure with its interval, what it is of, and the goal it is held against."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Groups = Sequence[Any] | NDArray[Any]
GOALS_PATH = Path(__file__).with_name("goals.toml")
DIGITS = 4
N_DRAWS = 1000


class LeftOutError(ValueError):
    """Tell why a section is left out, though the others can be measured."""


class Interval(NamedTuple):
    """Hold a value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class Goal(NamedTuple):
    """Hold the number that a row should reach, from above where `at_most`."""

    limit: float
    at_most: bool = False

    def __str__(self) -> str:
        """Show it as tables do."""
        return f"{'≤' if self.at_most else '≥'} {self.limit:.2f}"


@dataclass(frozen=True)
class Row:
    """Hold one measured number."""

    name: str  # the measure
    value: float  # an integer where it counts something
    low: float | None = None  # lower end of its 95 % interval; None where there is none
    high: float | None = None
    n: int | None = None  # clips, pairs or pieces it is over; None where that says nothing
    by: Mapping[str, str] = field(default_factory=dict)  # what it is of: {"clips": "composed"}
    goal: Goal | None = None  # what is asked of it

    @property
    def met(self) -> str:
        """Return `yes`, `no`, or `within chance` where only the interval reaches the goal."""
        if self.goal is None:
            return ""
        sign = -1.0 if self.goal.at_most else 1.0
        best = self.low if self.goal.at_most else self.high
        if sign * self.value >= sign * self.goal.limit:
            return "yes"
        return "no" if best is None or sign * best < sign * self.goal.limit else "within chance"

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values; what is None is left out."""
        plain = {key: value for key, value in vars(self).items() if value not in (None, {})}
        for key in ("value", "low", "high"):
            if isinstance(plain.get(key), float):
                plain[key] = round(float(plain[key]), DIGITS)
        if self.goal is not None:
            plain |= {"goal": self.goal._asdict(), "met": self.met}
        return plain


def row_of(name: str, found: Interval, n: int | None = None, /, **by: str) -> Row:
    """Return a row of a value that has an interval."""
    value, low, high = map(float, found)
    return Row(name, value, low, high, n, by)


def plain_rows(values: Mapping[str, Any], /, **by: str) -> Iterator[Row]:
    """Yield a row of each measure, without an interval."""
    yield from (Row(name, float(value), by=by) for name, value in values.items())


@cache
def _goals() -> tuple[Mapping[str, Any], ...]:
    return tuple(tomllib.loads(GOALS_PATH.read_text(encoding="utf-8"))["goal"])


def with_goals(section: str, rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows of a section with the goals of `goals.toml`.

    A goal is of the rows of its name whose `by` has all that it names; where it names several
    values for one key, any of them will do.
    """
    own = [goal for goal in _goals() if goal["section"] == section]
    return tuple(replace(row, goal=_goal_of(row, own)) for row in rows)


def _goal_of(row: Row, goals: Sequence[Mapping[str, Any]]) -> Goal | None:
    for goal in goals:
        wanted = {key: np.atleast_1d(value).tolist() for key, value in goal["by"].items()}
        if goal["name"] == row.name and all(row.by.get(k) in v for k, v in wanted.items()):
            at_most = "at_most" in goal
            return Goal(goal["at_most" if at_most else "at_least"], at_most)
    return None


class Table(NamedTuple):
    """Say which rows of a section stand in one table."""

    names: tuple[str, ...]  # measures
    across: str = ""  # key whose values are columns; `name` for a column a measure, "" for one
    where: Mapping[str, str] = {}  # what `by` must have
    note: str = ""  # what must be known to read it
    most: int = 0  # lines; 0 is all


class Plot(NamedTuple):
    """Say which rows of a section are drawn, and how."""

    name: str  # the measure
    kind: str  # `bars`, `heat` or `curve`
    along: str  # key of places on the axis
    series: str = ""  # key that has a colour each; of a heat map, the key of its lines
    facet: str = ""  # key that has a panel each
    where: Mapping[str, str] = {}  # what `by` must have


def chosen(rows: Iterable[Row], names: Sequence[str], where: Mapping[str, str]) -> list[Row]:
    """Return the rows of some names whose `by` has what is wanted."""
    return [row for row in rows if row.name in names and where.items() <= row.by.items()]


@dataclass(frozen=True, eq=False)
class Section:
    """Hold a part of an evaluation: what it measures, and what a report shows of it."""

    name: str  # of its file, and on the command line
    title: str
    measure: Callable[[Any], Iterable[Row | str]]  # sentences: such as why something is missing
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    uses: tuple[str, ...] = ()  # settings, and `labels` or `rows`, that change what it finds
    needs_rows: bool = False


def section(
    title: str, *tables: Table, **described: Any
) -> Callable[[Callable[[Any], Iterable[Row | str]]], Section]:
    """Make a section, described as there, of the function that measures it, named as it is."""
    return lambda measure: Section(measure.__name__, title, measure, tables, **described)


@dataclass(frozen=True)
class Found:
    """Hold what a section found, its remarks, such as why something is missing, and its time."""

    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, section: Section, given: Any) -> Found:
        """Measure a section."""
        begun = time.monotonic()
        found = list(section.measure(given))
        rows = with_goals(section.name, [row for row in found if isinstance(row, Row)])
        remarks = tuple(remark for remark in found if isinstance(remark, str))
        return cls(rows, remarks, round(time.monotonic() - begun, 1))

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return {**vars(self), "rows": [row.to_dict() for row in self.rows]}


def share(right: int, n: int) -> Interval:
    """Return a share of n independent clips with its 95 % Wilson interval."""
    from scipy.stats import binomtest

    found = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return Interval(right / n, float(found.low), float(found.high))


def weights(groups: Groups, n_draws: int, *, rng: np.random.Generator) -> Matrix:
    """Draw whole groups, as many as there are, with replacement: the cluster bootstrap.

    The group of an item is such as its song: clips of one song are not independent. Returned is
    how often each item occurs in each draw, shape (n_draws, n_items).

    Reference: Efron and Tibshirani (1993), An Introduction to the Bootstrap.
    """
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    n_groups = int(group.max()) + 1
    drawn = rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=n_draws)
    return drawn[:, group].astype(np.float64)


def drawn_means(values: Matrix, counts: Matrix) -> Matrix:
    """Return the mean over items in each draw, (n_items, ...) -> (n_draws, ...).

    A draw of `weights` that holds none of the items takes each once.
    """
    counts = np.where(counts.any(axis=1, keepdims=True), counts, 1.0)
    return np.tensordot(counts / counts.sum(axis=1, keepdims=True), values, axes=1)


def interval(value: float, draws: Matrix) -> Interval:
    """Return a value with the middle 95 % of its draws; NaN draws do not count."""
    known = draws[~np.isnan(draws)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


def ratio_interval(above: Matrix, below: Matrix, groups: Groups) -> Interval:
    """Return Σ above / Σ below with its interval, drawing whole groups."""
    counts = weights(groups, N_DRAWS, rng=np.random.default_rng(0))
    return interval(float(above.sum() / below.sum()), (counts @ above) / (counts @ below))


def mean_interval(values: Matrix, groups: Groups | None = None) -> Interval:
    """Return the mean of values with its interval, drawing whole groups, or each by itself."""
    own = np.arange(len(values)) if groups is None else groups
    return ratio_interval(values, np.ones(len(values)), own)


def spearman(asked: Matrix, achieved: Matrix) -> float:
    """Return Spearman's ρ, shape (n,) each; 0 where one side is constant."""
    from scipy.stats import rankdata

    return float(correlation(rankdata(asked), rankdata(achieved)))


def correlation(x: Matrix, y: Matrix) -> Matrix:
    """Return Pearson's correlation along the last axis; 0 where one side is constant."""
    x, y = (side - side.mean(axis=-1, keepdims=True) for side in (x, y))
    norm = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    product = (x * y).sum(axis=-1)
    return np.where(norm > 1e-12, product / np.maximum(norm, 1e-12), 0.0)
