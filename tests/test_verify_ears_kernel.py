from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from verifier_cases import CLIPS, CLIPS_LABELLED, LABELS, clip, heard

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.ears.kernel import (
    DOUBTED,
    EARS,
    Machines,
    Points,
    answered,
    distances,
    nearest,
    targets,
)
from emomusic.verify.ears.senses import SENSE_NAMES, Matrix, Senses, sensed_rows
from emomusic.verify.fitting import PART_WEIGHT, fit_machines
from emomusic.verify.labelled import quadrants_of
from emomusic.verify.members import SIGNS

N = len(CLIPS)
SHARES = np.eye(4)[quadrants_of(CLIPS_LABELLED)]
SONGS = [str(k) for k in range(N)]
SENSES = Senses.fit(heard().rows[:N])
POINTS = SENSES.points(heard().rows)
WEIGHT = np.linspace(0.5, 2.0, N)


def fitted(ridge: float = 1.0, width: float = 1.0, clips: Sequence[int] = range(N)) -> Machines:
    return fit_machines(
        heard(), POINTS, SHARES, WEIGHT, SONGS, np.array(clips), ridge=ridge, width=width
    )


@pytest.fixture(scope="module")
def machines() -> Machines:
    return fitted()


def points_of(*clips: Notes) -> Points:
    return SENSES.points(sensed_rows(clips))


def test_targets_of_shares() -> None:
    shares = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.75, 0.0]])
    assert targets(shares, "quadrants").tolist() == [
        [4.5, -1.5, -1.5, -1.5],
        [-1.5, 0.0, 3.0, -1.5],
    ]
    assert targets(shares, "valence").tolist() == [[3.0], [-3.0]]
    assert targets(shares, "arousal").tolist() == [[3.0], [-1.5]]


def test_an_axis_is_answered_with_the_same_logit_on_its_two_quadrants() -> None:
    assert answered(np.array([[2.0]]), "valence").tolist() == [[2.0, -2.0, -2.0, 2.0]]
    assert answered(np.array([[2.0]]), "arousal").tolist() == [[2.0, 2.0, -2.0, -2.0]]
    logits = np.arange(4.0)[None]
    assert np.array_equal(answered(logits, "quadrants"), logits)


def test_distances_are_weighted_sums_of_squares() -> None:
    rng = np.random.default_rng(0)
    a, b = ({name: rng.normal(size=(n, 3)) for name in SENSE_NAMES} for n in (4, 6))
    weights = {"harmony": 0.25, "touch": 2.0}
    found = distances(
        {name: of.astype(np.float32) for name, of in a.items()},
        {name: of.astype(np.float32) for name, of in b.items()},
        weights,
    )
    worked = sum(
        weight * ((a[name][:, None] - b[name]) ** 2).sum(axis=2) for name, weight in weights.items()
    )
    assert found == pytest.approx(worked, abs=1e-4)
    assert (distances(POINTS, POINTS, weights) >= 0.0).all()


def test_nearest_is_the_mean_of_ten() -> None:
    distance = np.random.default_rng(1).permutation(40.0 - np.arange(40))[None]
    assert nearest(distance) == pytest.approx([5.5])
    assert nearest(distance[:, :1]) == pytest.approx(distance[:, 0])


def direct(ridge: float, width: float, points: Points, trust: Matrix) -> Matrix:
    """Return the logits as scikit-learn's own kernel ridge regressions vote."""
    from sklearn.kernel_ridge import KernelRidge

    rows = np.arange(len(heard().owner))
    owner = heard().owner
    counts = WEIGHT[owner] * np.where(rows < N, 1.0, PART_WEIGHT)
    total, votes = np.zeros((len(trust), 4)), np.zeros((len(trust), 1))
    for ear in EARS:
        new, own = (
            np.concatenate(
                [np.sqrt(w) * of[name].astype(np.float64) for name, w in ear.weights.items()],
                axis=1,
            )
            for of in (points, POINTS)
        )
        model: Any = KernelRidge(alpha=ridge, kernel="rbf", gamma=1.0 / width**2)
        model.fit(own, targets(SHARES[owner], ear.answers), sample_weight=counts)
        vote = (trust * ear.votes + (1.0 - trust) * ear.votes_else)[:, None]
        total += vote * answered(model.predict(new), ear.answers)
        votes += vote
    return total / votes


@pytest.mark.parametrize(("ridge", "width"), [(1.0, 1.0), (0.3, 1.5)])
def test_machines_answer_what_scikit_learn_answers(ridge: float, width: float) -> None:
    points = points_of(*(clip(quadrant, 50 + k) for k, quadrant in enumerate(LABELS[::4])))
    trust = np.linspace(0.0, 1.0, 10)
    found = fitted(ridge, width).logits(points, trust)
    assert found == pytest.approx(direct(ridge, width, points, trust), abs=1e-3)


def test_without_a_ridge_the_learned_is_recalled() -> None:
    machines = fitted(ridge=1e-5)
    whole = {name: of[:N] for name, of in POINTS.items()}
    trusting = machines.logits(whole, np.ones(N))
    valence = 3.0 * answered((SHARES @ SIGNS[0])[:, None], "valence")
    arousal = 3.0 * answered((SHARES @ SIGNS[1])[:, None], "arousal")
    quadrants = targets(SHARES, "quadrants")
    assert trusting == pytest.approx((2 * quadrants + valence + 2 * arousal) / 5.0, abs=0.02)
    doubting = machines.logits(whole, np.zeros(N))
    assert doubting == pytest.approx((quadrants + valence + arousal) / 3.0, abs=0.02)


def test_only_some_clips_are_learned_from() -> None:
    clips = list(range(0, N, 2))
    machines = fitted(clips=clips)
    assert machines.n_whole == len(clips)
    assert len(machines.supports["harmony"]) == 3 * len(clips)  # whole and two halves
    whole = machines.supports["motion"][: len(clips)]
    assert np.array_equal(whole, POINTS["motion"][clips])


def chords(gap_s: float) -> Notes:
    """Return the tonic triad struck again and again, held until the next."""
    onset = np.repeat(gap_s * np.arange(24.0), 3)
    return make_notes(
        onset, np.full(72, gap_s), np.tile([48, 64, 67], 24), 60 + np.arange(72) % 5, tempo=60.0
    )


def test_harmony_alone_is_deaf_to_tempo(machines: Machines) -> None:
    ear = next(ear for ear in EARS if ear.name == "harmony")
    assert set(ear.weights) == {"harmony"}
    points = points_of(chords(0.5), chords(1.0))
    likeness = np.exp(-distances(points, machines.supports, ear.weights))
    answers = likeness @ machines.alphas["harmony"]
    assert answers[0] == pytest.approx(answers[1], abs=1e-4)
    assert points["harmony"][0] == pytest.approx(points["harmony"][1], abs=1e-4)
    assert np.abs(points["motion"][0] - points["motion"][1]).max() > 0.3


def strange(notes: Notes) -> Notes:
    """Return a clip whose notes last a hundredth as long as any that was learned from."""
    return replace(notes, duration_s=np.full(len(notes), 0.002))


def test_what_is_like_the_learned_is_trusted(machines: Machines) -> None:
    assert machines.trust(points_of(clip("Q1", 200), clip("Q3", 201))).tolist() == [1.0, 1.0]
    assert machines.trust(points_of(*map(strange, CLIPS[::10]))).tolist() == [0.0] * 4
    trust = machines.trust(POINTS)
    assert trust.min() >= 0.0 and trust.max() <= 1.0


def test_without_trust_velocities_are_not_heard(machines: Machines) -> None:
    assert all(not set(ear.weights) & set(DOUBTED) for ear in EARS if ear.votes_else)
    loud = strange(CLIPS[0])
    rng = np.random.default_rng(0)
    for velocity in (rng.integers(1, 128, len(loud)), rng.integers(30, 40, len(loud))):
        points = points_of(loud, replace(loud, velocity=velocity))
        trust = machines.trust(points)
        assert trust.tolist() == [0.0, 0.0]
        first, second = machines.logits(points, trust)
        assert first == pytest.approx(second, abs=1e-12)
        trusting = machines.logits(points, np.ones(2))
        assert np.abs(trusting[0] - trusting[1]).max() > 1e-3


def test_the_own_song_makes_no_clip_familiar() -> None:
    apart = fitted()
    together = fit_machines(
        heard(), POINTS, SHARES, WEIGHT, LABELS, np.arange(N), ridge=1.0, width=1.0
    )  # one song a quadrant: the nearest of other songs lie further
    assert together.trust_bounds[1] > 1.2 * apart.trust_bounds[1]


def test_rounding_changes_little_and_once(machines: Machines) -> None:
    rounded, trust = machines.rounded(), np.full(len(heard().rows), 0.5)
    assert rounded.logits(POINTS, trust) == pytest.approx(machines.logits(POINTS, trust), abs=0.02)
    again = rounded.rounded()
    assert np.array_equal(again.logits(POINTS, trust), rounded.logits(POINTS, trust))
    assert again.trust_bounds == rounded.trust_bounds


def test_halves_make_nothing_familiar(machines: Machines) -> None:
    # Eleven halves of strange touch among the supports: whole clips alone are compared with.
    points = points_of(*map(strange, CLIPS[:11]))
    supports = {
        name: np.concatenate([of[: machines.n_whole], points[name]])
        for name, of in machines.supports.items()
    }
    assert replace(machines, supports=supports).trust(points).max() == 0.0
    whole = replace(machines, supports=supports, n_whole=len(supports["touch"]))
    assert whole.trust(points).min() > 0.0
