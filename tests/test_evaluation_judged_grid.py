from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from judged_cases import PitchJudge, SureJudge
from scipy.stats import spearmanr

from emomusic.compose.composer import Composer
from emomusic.evaluation.judged.grid import Sweep, judged_plane, spearman, sweep_plane

LEVELS = np.linspace(-1, 1, 5)


def made(noise: float, *, n_clips: int = 6) -> Sweep:
    """Return a sweep whose judged values follow the asked ones, more or less."""
    rng = np.random.default_rng(0)
    valence, arousal = np.meshgrid(LEVELS, LEVELS)
    truth = np.stack([valence, arousal], axis=-1)[:, :, None]
    judged = truth + noise * rng.standard_normal((5, 5, n_clips, 2))
    return Sweep(LEVELS, {"judge": judged})


def test_the_plane_is_the_sum_of_a_sides_quadrants() -> None:
    assert judged_plane(np.array([[0.4, 0.3, 0.2, 0.1]])) == pytest.approx(np.array([[0.5, 0.7]]))


def test_rho_is_scipys() -> None:
    rng = np.random.default_rng(3)
    asked, judged = rng.integers(0, 4, 30).astype(float), rng.standard_normal((3, 30))
    expected = [spearmanr(asked, row).statistic for row in judged]
    assert spearman(asked, judged) == pytest.approx(expected)
    assert spearman(asked, np.ones((1, 30))).tolist() == [0.0]


def test_what_follows_has_a_high_rho_and_what_does_not_none() -> None:
    for axis in ("valence", "arousal"):
        rho, low, high = made(0.01).correlation("judge", axis)
        assert 0.95 < low <= rho <= high <= 1.0
        rho, low, high = made(50.0).correlation("judge", axis)
        assert low < 0.3 and abs(rho) < 0.4 and high > -0.3


def test_cells_average_the_noise_away() -> None:
    sweep = made(0.8, n_clips=40)
    assert (
        sweep.correlation("judge", "valence", of_cells=True)[0]
        > sweep.correlation("judge", "valence")[0] + 0.1
    )


def test_rows_of_cells_are_arousal_and_columns_valence() -> None:
    cells = made(0.01).cells("judge", "arousal")
    assert (np.diff(cells, axis=0) > 0.4).all() and (abs(np.diff(cells, axis=1)) < 0.1).all()


def test_a_checkpoint_is_swept(tiny_checkpoint: Path) -> None:
    judges = {"pitch": PitchJudge(), "sure": SureJudge()}
    told: list[int] = []
    sweep = sweep_plane(
        Composer(tiny_checkpoint), judges, n_levels=2, count=1, n_bars=2, progress=told.append
    )
    assert sum(told) == 4
    assert set(sweep.judged) == {"pitch", "sure", "both"}
    assert sweep.judged["sure"].shape == (2, 2, 1, 2)
    assert sweep.judged["sure"].tolist() == [[[[0.0, 1.0]]] * 2] * 2
    told_as = sweep.to_dict()
    assert told_as["rho"]["sure"]["valence"] == [0.0, 0.0, 0.0]
    assert np.shape(told_as["cells"]["both"]["arousal"]) == (2, 2)


def test_one_level_is_no_sweep(tiny_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="2 levels and a clip for each cell, got 1 and 3"):
        sweep_plane(Composer(tiny_checkpoint), {}, n_levels=1, count=3)
    with pytest.raises(ValueError, match="judge must have shape"):
        Sweep(LEVELS, {"judge": np.zeros((5, 4, 1, 2))})
