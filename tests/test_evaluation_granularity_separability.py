from __future__ import annotations

import numpy as np
import pytest
from granularity_cases import made_sets
from scipy.stats import permutation_test
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from emomusic.evaluation.granularity.separability import (
    Separability,
    auc_interval,
    left_out_auc,
    pairs_of,
    permutation_p,
    separability,
)


def drawn(n_pairs: int, *, shift: float, n_clips: int = 10, d: int = 3) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, n_pairs, n_clips, d))
    second[..., 0] += shift
    return first, second


def test_p_is_that_of_a_permutation_test() -> None:
    first, second = drawn(3, shift=0.8, d=1)
    expected = [
        permutation_test(
            (a, b), lambda x, y: abs(x.mean() - y.mean()), vectorized=False,
            n_resamples=2000, alternative="greater", rng=np.random.default_rng(0),
        ).pvalue
        for a, b in zip(first[..., 0], second[..., 0], strict=True)
    ]  # fmt: skip
    assert permutation_p(first, second, n_permutations=2000) == pytest.approx(expected, abs=0.03)


def test_chance_is_called_a_difference_as_often_as_p_says() -> None:
    p = permutation_p(*drawn(1000, shift=0.0), n_permutations=199)
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=4 * np.sqrt(level / 1000))


def test_p_counts_the_pair_itself_and_does_not_mind_units() -> None:
    first, second = drawn(70, shift=9.0)
    mix = np.array([[100.0, 3.0, 0.0], [0.0, 0.01, 0.0], [1.0, 0.0, 1.0]])
    p = permutation_p(first, second, n_permutations=99, seed=1)
    assert (p == 0.01).all()
    near = permutation_p(*drawn(70, shift=0.5), n_permutations=99)
    moved = [points @ mix + 5.0 for points in drawn(70, shift=0.5)]
    assert permutation_p(*moved, n_permutations=99) == pytest.approx(near)


def test_what_never_changes_is_no_difference() -> None:
    same = np.ones((2, 4, 3))
    assert permutation_p(same, same, n_permutations=9).tolist() == [1.0, 1.0]
    assert left_out_auc(same, same).tolist() == [0.5, 0.5]


def test_two_sets_must_have_one_shape() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(2, 4, 3\) and \(2, 5, 3\)"):
        permutation_p(np.ones((2, 4, 3)), np.ones((2, 5, 3)))


def test_the_auc_is_that_of_a_discriminant_fitted_without_the_couple() -> None:
    first, second = drawn(2, shift=1.0, n_clips=6)
    expected = []
    for a, b in zip(first, second, strict=True):
        right = []
        for i in range(6):
            for j in range(6):
                rest = np.concatenate([np.delete(a, i, axis=0), np.delete(b, j, axis=0)])
                fitted = LinearDiscriminantAnalysis(solver="lsqr").fit(rest, np.repeat([0, 1], 5))
                low, high = fitted.decision_function(np.stack([a[i], b[j]]))
                right.append(high > low)
        expected.append(np.mean(right))
    assert left_out_auc(first, second) == pytest.approx(expected)


def test_the_auc_of_chance_is_a_half_and_not_more() -> None:
    assert left_out_auc(*drawn(400, shift=0.0, d=6)).mean() == pytest.approx(0.5, abs=0.03)
    assert left_out_auc(*drawn(20, shift=9.0)).min() == 1.0


def test_intervals_hold_the_auc_and_shrink_with_more_clips() -> None:
    auc = np.array([0.0, 0.5, 0.8, 1.0])
    low, high = auc_interval(auc, 24)
    assert (low <= auc).all() and (auc <= high).all() and (low >= 0).all() and (high <= 1).all()
    assert low[3] > 0.8 and high[3] == 1.0 and low[0] == 0.0
    assert 0.5 - low[1] == pytest.approx(high[1] - 0.5)
    wide = auc_interval(auc, 8)
    assert (wide[1] - wide[0] > high - low).all()


def test_five_emotions_at_four_places_are_told_apart_but_for_one_pair() -> None:
    found = separability(made_sets(), n_permutations=999)
    pairs = pairs_of(5)
    assert found.p.shape == found.auc.shape == (10,) and found.n_clips == 12
    assert pairs[~found.apart].tolist() == [[0, 1]]
    assert found.threshold <= 0.05 < found.p[0]
    square = found.square(found.auc, 0.5)
    assert square.tolist() == square.T.tolist() and square[0, 0] == 0.5 and square[2, 3] > 0.95


def test_an_axis_alone_tells_apart_what_differs_on_it() -> None:
    found = separability(made_sets(), "valence", n_permutations=999)
    # joy, glee and calm share one side of valence, anger and grief the other
    assert pairs_of(5)[~found.apart].tolist() == [[0, 1], [0, 4], [1, 4], [2, 3]]


def test_easy_pairs_let_a_doubtful_one_pass_which_does_not_pass_alone() -> None:
    p = np.array([0.0001] * 8 + [0.04, 0.9])
    found = Separability(5, p, np.linspace(1.0, 0.5, 10), 12)
    hard = p > 0.01
    assert found.apart.tolist() == [True] * 9 + [False] and found.threshold == 0.04
    assert not found.apart_among(hard).any()
    assert not found.apart_among(np.zeros(10, dtype=bool)).any()


def test_the_auc_from_which_pairs_are_told_apart_parts_them() -> None:
    p = np.array([0.001] * 6 + [0.9] * 4)
    auc = np.array([0.9, 0.8, 0.95, 0.7, 0.99, 0.75, 0.5, 0.6, 0.55, 0.65])
    assert Separability(5, p, auc, 12).auc_from == pytest.approx(0.7)
