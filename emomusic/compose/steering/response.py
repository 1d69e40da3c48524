"""What levers do to attributes: measured on a checkpoint's own clips, kept with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.steering.levers import LEVERS
from emomusic.files import UNREADABLE, write_text
from emomusic.music.attributes import attribute
from emomusic.music.reading import read_json

FORMAT = "emomusic-steering-2"
STEERING_NAME = "steering.json"
MAX_BYTES = 2**20
Matrix = NDArray[np.float64]
TABLES = ("mean", "scale", "start", "asked", "pulled")
RIDGE_ASKED, RIDGE_PULLED = 20.0, 5.0
SURE = 3.0
"""Standard errors that a lever's slope must exceed to count."""


@dataclass(frozen=True)
class Response:
    """Hold how attributes of written clips follow from what was asked and which lever pulled.

    All attributes are counted in standard deviations of real music from a mean.

    Attributes:
        mean: Of each attribute, shape (n_attributes,).
        scale: Standard deviation of each, above 0, shape (n_attributes,).
        start: What is achieved where nothing is asked and no lever pulled, shape (n_attributes,).
        asked: Slopes of achieved (rows) on asked (columns), shape (n_attributes, n_attributes).
        pulled: Slopes of achieved on levers, shape (n_attributes, n_levers).
        attributes: Their names.
    """

    mean: Matrix
    scale: Matrix
    start: Matrix
    asked: Matrix
    pulled: Matrix
    attributes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: If one is wrong, a number not finite, or an attribute unknown.
        """
        for name in self.attributes:
            attribute(name)
        n, k = len(self.attributes), len(LEVERS)
        shapes = {"mean": (n,), "scale": (n,), "start": (n,), "asked": (n, n), "pulled": (n, k)}
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape or not np.isfinite(found).all():
                raise ValueError(f"{name} must be {shape} finite numbers, got {found.shape}")
        if not (self.scale > 0).all():
            raise ValueError("scale must be above 0")

    def columns(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the place of each attribute."""
        return np.array([self.attributes.index(name) for name in names], dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write `steering.json`."""
        content = {"format": FORMAT, "attributes": self.attributes, "levers": LEVERS}
        tables = {name: _rounded(getattr(self, name).tolist()) for name in TABLES}
        text = json.dumps({**content, **tables})
        write_text(folder / STEERING_NAME, text.replace("], ", "],\n ") + "\n")

    @classmethod
    def load(cls, folder: Path) -> Response | None:
        """Read `steering.json`; None where a checkpoint has none.

        Raises:
            ValueError: If it is damaged or of another format.
        """
        path = folder / STEERING_NAME
        if not path.exists():
            return None
        try:
            content = read_json(path, max_bytes=MAX_BYTES)
            for name, known in (("format", FORMAT), ("levers", list(LEVERS))):
                if content.pop(name) != known:
                    raise ValueError(f"its {name} is not that of this version")
            names = tuple(content.pop("attributes"))
            tables = {name: np.array(table, np.float64) for name, table in content.items()}
            return cls(**tables, attributes=names)
        except UNREADABLE as error:
            raise ValueError(f"cannot read the steering {path}: {error}") from error


def fit_response(
    asked: Matrix, pulled: Matrix, achieved: Matrix, *, scale: Matrix, attributes: Sequence[str]
) -> Response:
    """Fit linear responses by ridge regression; what is not sure counts as none.

    Args:
        asked: Attributes asked for, shape (n_clips, n_attributes).
        pulled: Levers, shape (n_clips, n_levers).
        achieved: Attributes measured, shape (n_clips, n_attributes).
        scale: Standard deviation of each attribute in real music, shape (n_attributes,).
        attributes: Their names.
    """
    mean = achieved.mean(axis=0)
    n = len(attributes)
    inputs = np.hstack([np.ones((len(asked), 1)), (asked - mean) / scale, pulled])
    penalty = np.diag([0.0] + [RIDGE_ASKED] * n + [RIDGE_PULLED] * len(LEVERS))
    goal = (achieved - mean) / scale
    inverse = np.linalg.inv(inputs.T @ inputs + penalty)
    weights = (inverse @ (inputs.T @ goal)).T
    noise = (goal - inputs @ weights.T).std(axis=0)
    error = noise[:, None] * np.sqrt(np.diag(inverse))
    weights[:, 1:] *= np.abs(weights[:, 1:]) > SURE * error[:, 1:]
    by_asking, by_pulling = weights[:, 1 : n + 1], weights[:, n + 1 :]
    return Response(mean, scale, weights[:, 0], by_asking, by_pulling, tuple(attributes))


def _rounded(table: Any) -> Any:
    """Return numbers with five digits that count."""
    if isinstance(table, list):
        return [_rounded(row) for row in table]
    return float(f"{table:.5g}")
