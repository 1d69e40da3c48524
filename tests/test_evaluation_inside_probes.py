from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from inside_cases import EXCERPTS, N

from emomusic.evaluation.inside.probes import Curve, probe, sides

DIM = 12
NAMES = ("register", "velocity_mean")


def states() -> np.ndarray:
    """Return noise at depth 0; at depth 1 valence is told, and the register."""
    rng = np.random.default_rng(0)
    found = rng.standard_normal((N, 2, DIM))
    found[:, 1, 0] += 3 * sides(EXCERPTS, "valence")
    found[:, 1, 1] = np.arange(N)
    return found


@pytest.fixture(scope="module")
def curves() -> dict[tuple[str, str], Curve]:
    untrained = np.random.default_rng(1).standard_normal((N, 2, DIM))
    found = probe(EXCERPTS, states(), untrained, NAMES, n_shuffles=3)
    return {(curve.target, curve.measure): curve for curve in found}


def test_what_a_depth_tells_is_found_there_and_nowhere_else(
    curves: dict[tuple[str, str], Curve],
) -> None:
    valence = curves["valence", "AUC"]
    assert valence.trained[1][0] > 0.95 > 0.8 > valence.trained[0][0]
    assert all(value < 0.8 for value, _, _ in (*valence.untrained, *valence.shuffled))
    assert (
        curves["register", "R2"].trained[1][0] > 0.9 > 0.3 > curves["register", "R2"].trained[0][0]
    )
    assert curves["arousal", "AUC"].trained[1][0] < 0.8


def test_every_target_has_its_curves(curves: dict[tuple[str, str], Curve]) -> None:
    emotions = {("valence", "AUC"), ("valence", "accuracy"), ("arousal", "AUC"),
                ("arousal", "accuracy"), ("quadrant", "accuracy"),
                ("listeners' valence", "r"), ("listeners' arousal", "r")}  # fmt: skip
    attributes = {(name, kind) for name in NAMES for kind in ("R2", "rho")}
    assert set(curves) == emotions | attributes
    assert all(len(curve.trained) == len(curve.untrained) == 2 for curve in curves.values())
    assert all(
        low <= high
        for curve in curves.values()
        for _, low, high in (*curve.trained, *curve.untrained, *curve.shuffled)
    )


def test_each_is_measured_on_the_clips_that_know_it(curves: dict[tuple[str, str], Curve]) -> None:
    rated = sum(e.source == "vgmidi" for e in EXCERPTS)
    assert curves["valence", "AUC"].n_clips == N - rated
    assert curves["listeners' valence", "r"].n_clips == rated
    assert curves["velocity_mean", "R2"].n_clips == sum(i % 5 != 0 for i in range(N))


def test_what_listeners_gave_is_foretold_from_sides(curves: dict[tuple[str, str], Curve]) -> None:
    assert curves["listeners' valence", "r"].trained[1][0] > 0.8


def test_few_rated_clips_are_not_reported_on() -> None:
    unrated = [replace(e, valence=np.nan) for e in EXCERPTS]
    found = probe(unrated, states(), states(), NAMES, n_shuffles=1)
    assert "listeners' valence" not in {curve.target for curve in found}


def test_curves_are_plain_values(curves: dict[tuple[str, str], Curve]) -> None:
    plain = curves["quadrant", "accuracy"].to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["chance"] == pytest.approx(0.25, abs=0.05)


def test_states_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="states must fit 96 excerpts"):
        probe(EXCERPTS, states()[:5], states()[:5], NAMES)
