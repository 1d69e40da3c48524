from __future__ import annotations

import numpy as np
import pytest
from inside_cases import EXCERPTS, N

from emomusic.evaluation.inside.directions import (
    attribute_difference,
    axis_difference,
    halves_like,
    random_like,
)
from emomusic.evaluation.inside.probes import sides

VALENCE, AROUSAL = sides(EXCERPTS, "valence"), sides(EXCERPTS, "arousal")


def test_an_axis_is_the_difference_of_its_sides() -> None:
    states = np.column_stack([VALENCE, AROUSAL, np.ones(N)])
    np.testing.assert_allclose(axis_difference(EXCERPTS, states, "valence"), [2, 0, 0])
    np.testing.assert_allclose(axis_difference(EXCERPTS, states, "arousal"), [0, 2, 0])


def test_one_axis_is_not_taken_for_the_other_where_they_come_together() -> None:
    kept = [i for i, e in enumerate(EXCERPTS) if e.quadrant in ("Q1", "Q3") or i < 8]
    some, states = [EXCERPTS[i] for i in kept], AROUSAL[kept][:, None]
    assert axis_difference(some, states, "valence") == pytest.approx(0)


def test_an_attribute_is_the_difference_of_its_outer_thirds() -> None:
    values = np.array([0.0, 1, 2, 3, 4, 5, np.nan])
    states = np.array([[0.0], [0], [9], [9], [1], [1], [50]])
    np.testing.assert_allclose(attribute_difference(states, values), [1.0])


def test_what_is_missing_or_does_not_vary_has_no_direction() -> None:
    first = [e for e in EXCERPTS if e.quadrant == "Q1"]
    with pytest.raises(ValueError, match="either side"):
        axis_difference(first, np.ones((len(first), 2)), "valence")
    with pytest.raises(ValueError, match="does not vary"):
        attribute_difference(np.ones((4, 2)), np.ones(4))


def test_directions_of_nothing_are_as_long() -> None:
    vector, rng = np.array([3.0, 4.0, 0.0]), np.random.default_rng(0)
    states = rng.standard_normal((N, 3))
    groups = [e.group for e in EXCERPTS]
    for other in (random_like(vector, rng), halves_like(vector, states, groups, rng)):
        assert np.linalg.norm(other) == pytest.approx(5.0)
        assert abs(other @ vector) < 24.9  # another direction


def test_halves_lie_where_states_vary() -> None:
    rng = np.random.default_rng(0)
    states = rng.standard_normal((N, 2)) * [10.0, 0.0]
    half = halves_like(np.array([0.0, 2.0]), states, [e.group for e in EXCERPTS], rng)
    np.testing.assert_allclose(np.abs(half), [2.0, 0.0])
