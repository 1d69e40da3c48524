"""What pianists do, learned from them: boosted trees of whole numbers, and their freedom.

Trees say what is expected of each note; what is left is drawn as it is spread among pianists,
and hangs together from moment to moment as theirs does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from emomusic.emotion import Emotion
from emomusic.music.notes import LEFT, FloatColumn, IntColumn
from emomusic.performance.features import Reading
from emomusic.performance.rules import Touch, final_ritard, play_by_rules

FITTED_NAME = "pianist.safetensors"
NOTE_HEADS, CELL_HEADS = ("velocity", "late", "apart", "held"), ("slow", "lift", "down")
UNIT = 4096
"""Of leaves: they are whole numbers, so that sums are the same in any order."""
MAX_DEPTH, MOST_ROWS, REFERENCE_TEMPO = 8, 8192, 120.0
N_UNIFORMS = 12  # whose sum, less 6, stands for a normal number: exact on any machine
RAGGED = (0.65, 20.0)
"""Keys that end together are let go at once unless drawn so far out; then so many ms off each."""
RITARD = (0.22, -0.18)
"""How much longer the last half beat lasts, at arousal 0, and more at 1 than there."""
Player = Callable[[Reading, Emotion | None, np.random.Generator | None], Touch]


@dataclass(frozen=True)
class Forest:
    """Hold boosted trees, as arrays of shape (n_trees, n_nodes).

    A node asks for the feature of its `column`; above its `limit` the way goes to the second child,
    which follows the first, its `child`. That is 0 in a leaf, and the limit its value, in 1 / UNIT,
    as `base` is, the value before any tree.
    """

    column: NDArray[np.uint8]
    limit: NDArray[np.int16]
    child: NDArray[np.uint8]
    base: int

    def predict(self, table: IntColumn) -> FloatColumn:
        """Return the value of each row of features, shape (n, n_features)."""
        if len(table) > MOST_ROWS:  # in halves: a node is held for each row and tree
            return np.concatenate([self.predict(own) for own in np.array_split(table, 2)])
        n_trees, n_nodes = self.limit.shape
        column, child = self.column.ravel(), self.child.ravel().astype(np.intp)
        limit, root = self.limit.ravel().astype(np.int64), np.arange(n_trees) * n_nodes
        node, row = np.tile(root, (len(table), 1)), np.arange(len(table))[:, None]  # (n, n_trees)
        for _ in range(MAX_DEPTH):
            first = child[node]
            above = table[row, column[node]] > limit[node]
            node = np.where(first > 0, root + first + above, node)
        return (limit[node].sum(axis=1) + self.base) / UNIT


@dataclass(frozen=True)
class Pianist:
    """Play scores as pianists do.

    Attributes:
        forests: One for each of `NOTE_HEADS` and `CELL_HEADS`.
        tables: `noise.*`: of what trees do not foresee, the standard deviation that the notes of
            a moment share, its correlation with that of the next moment, that of single notes, and
            that of the hands in a clip. `scale.*`: what one unit is, in ms or as a share: at
            neutral, per arousal, valence, and share of the tempo over 120, and its least. `pedal`:
            how long after the beat it is lifted, and its spread, ms.
    """

    forests: Mapping[str, Forest]
    tables: Mapping[str, FloatColumn]

    def play(
        self, reading: Reading, emotion: Emotion | None = None,
        rng: np.random.Generator | None = None,
    ) -> Touch:  # fmt: skip
        """Play a score; without a generator as it is expected on average. No emotion is neutral."""
        rows = np.stack([*reading.of_notes.values()], axis=1)
        cells = np.stack([*reading.of_cells.values()], axis=1)
        found = {name: self.forests[name].predict(rows) for name in NOTE_HEADS}
        found |= {name: self.forests[name].predict(cells) for name in CELL_HEADS}
        ragged, lift_ms = np.zeros(len(rows)), np.full(len(cells), self.tables["pedal"][0])
        if rng is not None:
            for name in NOTE_HEADS:
                found[name] = found[name] + self._freedom(name, reading, rng)
            found["slow"] = found["slow"] + drift(len(cells), self.tables["noise.slow"], rng)
            lift_ms = lift_ms + self.tables["pedal"][1] * normal(len(cells), rng)
            drawn = normal(len(rows), rng)
            ragged = RAGGED[1] * (drawn - np.clip(drawn, -RAGGED[0], RAGGED[0]))
        for name in ("late", "apart", "held", "slow"):
            found[name] = found[name] * self._scale(name, reading.tempo, emotion)
        is_single = np.bincount(reading.moment)[reading.moment] == 1
        arousal = 0.0 if emotion is None else emotion.arousal
        return Touch(
            velocity=found["velocity"],
            late_ms=found["late"] + np.where(is_single, 0.0, found["apart"]),
            held_ms=found["held"],
            ragged_ms=ragged,
            slow=found["slow"] + final_ritard(reading, depth=RITARD[0] + RITARD[1] * arousal),
            lift=found["lift"],
            down=found["down"],
            lift_ms=lift_ms,
        )

    def _scale(self, name: str, tempo: float, emotion: Emotion | None) -> float:
        arousal, valence = (0.0, 0.0) if emotion is None else (emotion.arousal, emotion.valence)
        neutral, per_arousal, per_valence, per_tempo, least = self.tables[f"scale.{name}"].tolist()
        faster = tempo / REFERENCE_TEMPO - 1.0
        own = neutral + per_arousal * arousal + per_valence * valence + per_tempo * faster
        return float(max(own, least))

    def _freedom(self, name: str, reading: Reading, rng: np.random.Generator) -> FloatColumn:
        noise = self.tables[f"noise.{name}"]
        shared = drift(len(reading.moments), noise, rng)[reading.moment]
        hands = noise[3] * normal(1, rng) * np.where(reading.hand == LEFT, -0.5, 0.5)
        return shared + noise[2] * normal(len(reading.hand), rng) + hands


@cache
def default_player() -> Player:
    """Return the pianist that comes with the package; the rules where it is left out."""
    fitted = resources.files(__package__).joinpath(FITTED_NAME)
    if not fitted.is_file():
        return play_by_rules
    arrays, forests = load(fitted.read_bytes()), {}
    for name in (*NOTE_HEADS, *CELL_HEADS):
        column, limit, child, base = (
            arrays.pop(f"{name}.{part}") for part in ("column", "limit", "child", "base")
        )
        forests[name] = Forest(column, limit, child, int(base[0]))
    return Pianist(forests, arrays).play


def normal(n: int, rng: np.random.Generator) -> FloatColumn:
    """Draw n nearly normal numbers, the same on any machine."""
    total = np.zeros(n)
    for row in rng.random((N_UNIFORMS, n)):
        total += row
    return total - N_UNIFORMS / 2


def drift(n: int, noise: FloatColumn, rng: np.random.Generator) -> FloatColumn:
    """Draw what hangs together from one to the next (an autoregression of order one)."""
    spread, rho = float(noise[0]), float(noise[1])
    fresh = (spread * normal(n, rng)).tolist()
    keep, found = float(np.sqrt(1.0 - rho * rho)), fresh[:1]
    for own in fresh[1:]:
        found.append(rho * found[-1] + keep * own)
    return np.array(found)
