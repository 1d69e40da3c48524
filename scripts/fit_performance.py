"""Fit the pianist of `emomusic.performance` on performances, and write its file.

    fit_performance.py SOURCE [--out FILE]

SOURCE is a data folder with Pop1K7, EMOPIA, Pianist8 and performances of ASAP. The songs of the
verifier's part, and one in six of the others, are left out: `studies/performance` compares on
them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from sklearn.ensemble import HistGradientBoostingRegressor

from emomusic.emotion import QUADRANT_CENTRES
from emomusic.files import write_bytes
from emomusic.music.notes import LEFT, FloatColumn, IntColumn
from emomusic.performance.pianist import (
    CELL_HEADS,
    FITTED_NAME,
    MAX_DEPTH,
    NOTE_HEADS,
    REFERENCE_TEMPO,
    UNIT,
    Forest,
    Pianist,
)
from studies.performance.played import Window, down_of, lift_of, windows_of

MAX_ROWS = 400_000
TREES = {"velocity": 150, "late": 80, "apart": 60, "held": 80, "slow": 60, "lift": 70, "down": 60}
HELD_MS = 50.0
MOST = 4.0
"""Deviations over so many times the upper quartile of their size count as this."""
QUARTILE = 0.75
STYLE = "emopia"
"""Whose freedom is taken: the pop piano that clips are compared with."""
FREEDOM = {
    "velocity": (0.6, 1.0, 0.6, 0.6), "late": (1.0, 1.0, 0.0, 0.0), "apart": (0.0, 0.0, 0.5, 0.5),
}  # fmt: skip
"""How much of what is measured is drawn. Some of the freedom of velocities
is in those that are written; the notes of a moment are late alike, and apart from each other only;
these deviations have long tails, so half of the root of their mean square is the usual one."""
Target = Callable[[Window], FloatColumn]


def late_of(window: Window) -> FloatColumn:
    """Return how late each moment is, in ms, for each of its notes."""
    ms = np.clip(window.deviation_s * 1000.0, -150.0, 150.0)
    moment = window.reading.moment
    return (np.bincount(moment, ms) / np.bincount(moment))[moment]


def apart_of(window: Window) -> FloatColumn:
    """Return how much later each note is than its moment, in ms."""
    return np.clip(window.deviation_s * 1000.0 - late_of(window), -80.0, 80.0)


def held_of(window: Window) -> FloatColumn:
    """Return how much longer than its grid says each key is held, in units of `HELD_MS`."""
    written_s = window.reading.notes.duration * 60.0 / window.reading.tempo
    return np.clip((window.held_s - written_s) * 1000.0, -150.0, 150.0) / HELD_MS


def slow_of(window: Window) -> FloatColumn:
    """Return how much longer than the median each half beat lasts, as a share."""
    return np.clip(window.period - 1.0, -0.5, 0.8)


def unit_of(values: FloatColumn) -> float:
    """Return the upper quartile of the size of deviations: what is one unit of them."""
    return max(float(np.quantile(np.abs(values - np.median(values)), QUARTILE)), 1e-6)


def in_units(target: Target) -> Target:
    """Return deviations in units of their own window."""

    def measured(window: Window) -> FloatColumn:
        values = target(window)
        return np.clip((values - np.median(values)) / unit_of(values), -MOST, MOST)

    return measured


TARGETS: dict[str, Target] = {
    "velocity": lambda window: window.z,
    "late": in_units(late_of),
    "apart": in_units(apart_of),
    "held": held_of,
    "slow": in_units(slow_of),
    "lift": lift_of,
    "down": down_of,
}


def knows(window: Window, name: str) -> bool:
    """Tell whether a window says something of a target."""
    if name in ("lift", "down"):
        return window.pedal is not None and len(window.pedal) > 3
    return name != "held" or window.pedal is not None  # Pop1K7's are as long as they sound


def rows_of(window: Window, name: str) -> tuple[IntColumn, FloatColumn]:
    """Return the features and the target of a window."""
    reading = window.reading
    table = reading.of_notes if name in NOTE_HEADS else reading.of_cells
    rows, target = np.stack([*table.values()], axis=1), TARGETS[name](window)
    if name != "apart":
        return rows, target
    several = np.bincount(reading.moment)[reading.moment] > 1
    return rows[several], target[several]


def fit_forest(windows: Sequence[Window], name: str, rng: np.random.Generator) -> Forest:
    """Fit the trees of one target."""
    parts = [rows_of(window, name) for window in windows if knows(window, name)]
    table, target = (np.concatenate(own) for own in zip(*parts, strict=True))
    chosen = rng.permutation(len(table))[:MAX_ROWS]
    trees = HistGradientBoostingRegressor(
        max_iter=TREES[name], learning_rate=0.1, max_leaf_nodes=32, max_depth=MAX_DEPTH - 1,
        min_samples_leaf=150, random_state=0, early_stopping=False,
    ).fit(table[chosen], target[chosen])  # fmt: skip
    grown = [one[0].nodes for one in trees._predictors]
    n_nodes = max(map(len, grown))
    arrays = [_laid_out(nodes, n_nodes) for nodes in grown]
    column, limit, child = (np.stack(own) for own in zip(*arrays, strict=True))
    base = round(float(trees._baseline_prediction.item()) * UNIT)
    forest = Forest(column.astype(np.uint8), limit.astype(np.int16), child.astype(np.uint8), base)
    off = np.abs(forest.predict(table[:2000]) - trees.predict(table[:2000])).max()
    print(f"{name}: {len(chosen)} rows, {len(grown)} trees, rounding {off:.4f}", flush=True)
    return forest


def _laid_out(nodes: Any, n_nodes: int) -> tuple[IntColumn, IntColumn, IntColumn]:
    """Lay a tree out breadth first, so that the second child follows the first."""
    column, limit, child = (np.zeros(n_nodes, np.int64) for _ in range(3))
    order = [0]
    for place, old in enumerate(order):  # grows on the way
        node = nodes[old]
        if node["is_leaf"]:
            limit[place] = np.clip(round(float(node["value"]) * UNIT), -32768, 32767)
        else:
            column[place] = node["feature_idx"]
            limit[place] = np.clip(np.floor(node["num_threshold"]), -32768, 32767)
            child[place] = len(order)
            order += [int(node["left"]), int(node["right"])]
    return column, limit, child


def noise_of(windows: Sequence[Window], name: str, forest: Forest) -> FloatColumn:
    """Measure what the trees do not foresee: how it spreads, and hangs together."""
    shared, lagged, single, hands, several = [], [], [], [], 0.0
    for window in windows:
        reading = window.reading
        table = reading.of_notes if name in NOTE_HEADS else reading.of_cells
        rest = TARGETS[name](window) - forest.predict(np.stack([*table.values()], axis=1))
        if name in NOTE_HEADS:
            left = reading.hand == LEFT
            if left.any() and not left.all():
                step = rest[~left].mean() - rest[left].mean()
                hands.append(step)
                rest = rest - np.where(left, -0.5, 0.5) * step
            size = np.bincount(reading.moment)
            mean = np.bincount(reading.moment, rest) / size
            within = (rest - mean[reading.moment]) ** 2
            single.append(float(within.sum()))
            several += float((size - 1).sum())
            weight = 1.0 / size
        else:
            mean, weight = rest, np.zeros(len(rest))
        mean = mean - mean.mean()
        shared.append((float((mean**2).sum()), float(weight.sum()), len(mean)))
        lagged.append((float((mean[1:] * mean[:-1]).sum()), len(mean) - 1))
    note = sum(single) / max(several, 1.0)
    square, per_note, n = (sum(own) for own in zip(*shared, strict=True))
    variance = max(square / n - note * per_note / n, 1e-4)
    product, pairs = (sum(own) for own in zip(*lagged, strict=True))
    rho = float(np.clip(product / pairs / variance, 0.0, 0.95))
    of_hands = float(np.std(hands)) if hands else 0.0
    found = np.array([np.sqrt(variance), rho, np.sqrt(note), of_hands])
    return (found * FREEDOM.get(name, (1.0,) * 4)).round(4)


def scale_of(windows: Sequence[Window], target: Target) -> FloatColumn:
    """Regress the size of deviations on emotion and tempo."""
    rows, sizes = [], []
    for window in windows:
        valence, arousal = QUADRANT_CENTRES[str(window.quadrant)]
        faster = (window.reading.tempo - REFERENCE_TEMPO) / REFERENCE_TEMPO
        rows.append([1.0, arousal, valence, faster])
        sizes.append(unit_of(target(window)))
    size = np.minimum(sizes, np.quantile(sizes, 0.95))
    found = np.linalg.lstsq(np.array(rows), size, rcond=None)[0]
    return np.append(found, np.quantile(size, 0.05)).round(5)


def pedal_of(windows: Sequence[Window]) -> FloatColumn:
    """Measure when the pedal is lifted after the half beat, and its spread."""
    off, up = [], []
    for window in windows:
        if window.pedal is None or len(window.pedal) < 4:
            continue
        lifted = window.pedal[:-1, 1]
        inside = (lifted > window.map_s[0]) & (lifted < window.map_s[-1])
        middles = (window.map_s[1:] + window.map_s[:-1]) / 2
        near = window.map_s[np.searchsorted(middles, lifted[inside])]
        off.append((lifted[inside] - near) * 1000.0)
        up.append((window.pedal[1:, 0] - lifted)[inside] * 1000.0)
    offs, ups = np.concatenate(off), np.concatenate(up)
    quartiles = np.quantile(offs, (0.25, 0.75))
    spread = float(np.diff(quartiles)[0]) / 1.35  # of a normal distribution
    return np.array([np.median(offs), spread, np.median(ups)]).round(1)


def fit(windows: Sequence[Window], *, seed: int = 0) -> Pianist:
    """Fit a pianist on windows."""
    rng = np.random.default_rng(seed)
    own = [window for window in windows if window.source == STYLE]
    forests = {name: fit_forest(windows, name, rng) for name in (*NOTE_HEADS, *CELL_HEADS)}
    tables = {f"noise.{name}": noise_of(own, name, forests[name]) for name in (*NOTE_HEADS, "slow")}
    targets = {"late": late_of, "apart": apart_of, "slow": slow_of}
    tables |= {f"scale.{name}": scale_of(own, target) for name, target in targets.items()}
    tables |= {"scale.held": np.array([HELD_MS, 0, 0, 0, 0]), "pedal": pedal_of(own)}
    for name, table in tables.items():
        print(name, table.tolist())
    return Pianist(forests, tables)


def to_bytes(pianist: Pianist) -> bytes:
    """Write a pianist as safetensors."""
    arrays: dict[str, NDArray[Any]] = dict(pianist.tables)
    for name, own in pianist.forests.items():
        arrays |= {f"{name}.{part}": getattr(own, part) for part in ("column", "limit", "child")}
        arrays[f"{name}.base"] = np.array([own.base], np.int64)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, fit and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="data folder")
    place = Path(__file__).resolve().parents[1] / "emomusic" / "performance" / FITTED_NAME
    parser.add_argument("--out", type=Path, default=place)
    args = parser.parse_args(arguments)
    windows = [window for window in windows_of(args.source) if window.part == "fit"]
    data = to_bytes(fit(windows))
    write_bytes(args.out, data)
    print(f"{len(windows)} windows, {len(data)} bytes in {args.out}")


if __name__ == "__main__":
    main()
