from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.verifier import CLIPS, LABELS, clip, measured

from emomusic.emotion import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.verify.calibration import SIGNS
from emomusic.verify.ensemble import (
    MEMBERS,
    SEGMENT_WEIGHT,
    SHIFT_PRONE,
    KernelEnsemble,
)
from emomusic.verify.groups import Matrix, Points, Projections, feature_row
from emomusic.verify.labels import FittingLabels

N = len(CLIPS)
SHARES = np.eye(4)[[QUADRANTS.index(name) for name in LABELS]]
SONGS = [str(k) for k in range(N)]
PROJECTIONS = Projections.fit(measured().rows[:N])
POINTS = PROJECTIONS.points(measured().rows)
WEIGHT = np.linspace(0.5, 2.0, N)


BY_NAME = {member.name: member for member in MEMBERS}
ALL, VALENCE, AROUSAL = BY_NAME["all"], BY_NAME["harmony"], BY_NAME["motion"]


def fitted(
    ridge: float = 1.0,
    width: float = 1.0,
    clips: Sequence[int] = range(N),
    songs: Sequence[str] = SONGS,
) -> KernelEnsemble:
    return KernelEnsemble.fit(
        measured(),
        POINTS,
        labels=FittingLabels(SHARES, np.full((N, 2), np.nan), songs, WEIGHT),
        clips=np.array(clips),
        ridge=ridge,
        width=width,
    )


@pytest.fixture(scope="module")
def ensemble() -> KernelEnsemble:
    return fitted()


def points_of(*clips: Notes) -> Points:
    return PROJECTIONS.points(np.array([feature_row(notes) for notes in clips]))


def test_targets_of_shares() -> None:
    shares = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.75, 0.0]])
    assert ALL.targets(shares).tolist() == [
        [4.5, -1.5, -1.5, -1.5],
        [-1.5, 0.0, 3.0, -1.5],
    ]
    assert VALENCE.targets(shares).tolist() == [[3.0], [-3.0]]
    assert AROUSAL.targets(shares).tolist() == [[3.0], [-1.5]]


def test_an_axis_is_answered_with_the_same_logit_on_its_two_quadrants() -> None:
    assert VALENCE.to_logits(np.array([[2.0]])).tolist() == [[2.0, -2.0, -2.0, 2.0]]
    assert AROUSAL.to_logits(np.array([[2.0]])).tolist() == [[2.0, 2.0, -2.0, -2.0]]
    logits = np.arange(4.0)[None]
    assert np.array_equal(ALL.to_logits(logits), logits)


def direct(ridge: float, width: float, points: Points, trust: Matrix) -> Matrix:
    """Return the logits as scikit-learn's own kernel ridge regressions vote."""
    from sklearn.kernel_ridge import KernelRidge

    rows = np.arange(len(measured().owner))
    owner = measured().owner
    counts = WEIGHT[owner] * np.where(rows < N, 1.0, SEGMENT_WEIGHT)
    total, votes = np.zeros((len(trust), 4)), np.zeros((len(trust), 1))
    for member in MEMBERS:
        new, own = (
            np.concatenate(
                [np.sqrt(w) * of[name].astype(np.float64) for name, w in member.kernel.items()],
                axis=1,
            )
            for of in (points, POINTS)
        )
        model: Any = KernelRidge(alpha=ridge, kernel="rbf", gamma=1.0 / width**2)
        model.fit(own, member.targets(SHARES[owner]), sample_weight=counts)
        vote = (trust * member.weight + (1.0 - trust) * member.weight_unfamiliar)[:, None]
        total += vote * member.to_logits(model.predict(new))
        votes += vote
    return total / votes


@pytest.mark.parametrize(("ridge", "width"), [(1.0, 1.0), (0.3, 1.5)])
def test_ensemble_answer_what_scikit_learn_answers(ridge: float, width: float) -> None:
    points = points_of(*(clip(quadrant, 50 + k) for k, quadrant in enumerate(LABELS[::4])))
    trust = np.linspace(0.0, 1.0, 10)
    found = fitted(ridge, width).logits(points, trust)
    assert found == pytest.approx(direct(ridge, width, points, trust), abs=1e-3)


def test_without_a_ridge_the_learned_is_recalled() -> None:
    ensemble = fitted(ridge=1e-5)
    whole = {name: of[:N] for name, of in POINTS.items()}
    trusting = ensemble.logits(whole, np.ones(N))
    valence = 3.0 * VALENCE.to_logits((SHARES @ SIGNS[:, 0])[:, None])
    arousal = 3.0 * AROUSAL.to_logits((SHARES @ SIGNS[:, 1])[:, None])
    quadrants = ALL.targets(SHARES)
    assert trusting == pytest.approx((2 * quadrants + valence + 2 * arousal) / 5.0, abs=0.02)
    doubting = ensemble.logits(whole, np.zeros(N))
    assert doubting == pytest.approx((quadrants + valence + arousal) / 3.0, abs=0.02)


def test_only_some_clips_are_learned_from() -> None:
    clips = list(range(0, N, 2))
    ensemble = fitted(clips=clips)
    assert ensemble.n_whole == len(clips)
    assert len(ensemble.supports["harmony"]) == 3 * len(clips)  # whole and two halves
    whole = ensemble.supports["motion"][: len(clips)]
    assert np.array_equal(whole, POINTS["motion"][clips])


def strange(notes: Notes) -> Notes:
    """Return a clip whose notes last a hundredth as long as any that was learned from."""
    return replace(notes, duration_s=np.full(len(notes), 0.002))


def test_what_is_like_the_learned_is_trusted(ensemble: KernelEnsemble) -> None:
    assert ensemble.familiarity(points_of(clip("Q1", 200), clip("Q3", 201))).tolist() == [1.0, 1.0]
    assert ensemble.familiarity(points_of(*map(strange, CLIPS[::10]))).tolist() == [0.0] * 4
    trust = ensemble.familiarity(POINTS)
    assert trust.min() >= 0.0 and trust.max() <= 1.0


def test_without_trust_velocities_are_not_heard(ensemble: KernelEnsemble) -> None:
    assert all(
        not set(member.kernel) & set(SHIFT_PRONE) for member in MEMBERS if member.weight_unfamiliar
    )
    loud = strange(CLIPS[0])
    rng = np.random.default_rng(0)
    for velocity in (rng.integers(1, 128, len(loud)), rng.integers(30, 40, len(loud))):
        points = points_of(loud, replace(loud, velocity=velocity))
        trust = ensemble.familiarity(points)
        assert trust.tolist() == [0.0, 0.0]
        first, second = ensemble.logits(points, trust)
        assert first == pytest.approx(second, abs=1e-12)
        trusting = ensemble.logits(points, np.ones(2))
        assert np.abs(trusting[0] - trusting[1]).max() > 1e-3


def test_the_own_song_makes_no_clip_familiar() -> None:
    apart = fitted()
    together = fitted(songs=LABELS)  # one song a quadrant: the nearest of other songs lie further
    assert together.bounds[1] > 1.2 * apart.bounds[1]


def test_halves_make_nothing_familiar(ensemble: KernelEnsemble) -> None:
    # Eleven halves of strange touch among the supports: whole clips alone are compared with.
    points = points_of(*map(strange, CLIPS[:11]))
    supports = {
        name: np.concatenate([of[: ensemble.n_whole], points[name]])
        for name, of in ensemble.supports.items()
    }
    assert replace(ensemble, supports=supports).familiarity(points).max() == 0.0
    whole = replace(ensemble, supports=supports, n_whole=len(supports["touch"]))
    assert whole.familiarity(points).min() > 0.0
