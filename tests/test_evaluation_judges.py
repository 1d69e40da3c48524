from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from emomusic.evaluation.judges import N_ROWS, FeatureJudge, Judge, SequenceJudge, roll_of
from emomusic.music.notes import Notes, make_notes

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def clip(quadrant: str, seed: int) -> Notes:
    """Return broken tonic triads: fast where aroused, major where pleasant."""
    rng = np.random.default_rng(seed)
    third = 4 if quadrant in ("Q1", "Q4") else 3
    gap = 0.25 if quadrant in ("Q1", "Q2") else 1.0
    tones = rng.choice([0, third, 7, 12, 12 + third], 40)
    pitch = 60 + rng.integers(-3, 4) + np.concatenate([tones, [-12, -12]])
    onset = gap * np.concatenate([np.arange(40.0), [0.0, 20.0]])
    duration = gap * np.concatenate([np.ones(40), [20.0, 20.0]])
    return make_notes(onset, duration, pitch, rng.integers(40, 90, 42), tempo=60.0)


LABELS = [quadrant for quadrant in QUADRANTS for _ in range(10)]
CLIPS = [clip(quadrant, seed) for seed, quadrant in enumerate(LABELS)]
NEW = [clip(quadrant, 100 + seed) for seed, quadrant in enumerate(LABELS)]


def judges() -> list[Judge]:
    return [FeatureJudge(n_trees=30), SequenceJudge(n_filters=20, C=1e-2)]


@pytest.mark.parametrize("judge", judges(), ids=["features", "sequence"])
def test_judges_learn_speed_and_mode(judge: Judge) -> None:
    probabilities = judge.fit(CLIPS, LABELS).predict_proba(NEW)
    assert probabilities.shape == (len(NEW), 4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(NEW)))
    said = [QUADRANTS[index] for index in probabilities.argmax(axis=1)]
    assert np.mean([a == b for a, b in zip(said, LABELS, strict=True)]) >= 0.9


@pytest.mark.parametrize("index", [0, 1])
def test_same_seed_judges_alike(index: int) -> None:
    first, second = (judges()[index].fit(CLIPS, LABELS).predict_proba(NEW[:4]) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("judge", judges(), ids=["features", "sequence"])
def test_wrong_labels_are_refused(judge: Judge) -> None:
    with pytest.raises(ValueError, match="equally long, got 40, 39"):
        judge.fit(CLIPS, LABELS[:-1])
    with pytest.raises(ValueError, match=r"weight must have shape \(40,\), got \(3,\)"):
        judge.fit(CLIPS, LABELS, weight=np.ones(3))
    with pytest.raises(ValueError, match="each of Q1 to Q4"):
        judge.fit(CLIPS[:10], LABELS[:10])


def test_weights_count() -> None:
    doubled = FeatureJudge(n_trees=30).fit(CLIPS, LABELS, weight=np.full(40, 2.0))
    tilted = FeatureJudge(n_trees=30).fit(
        CLIPS, LABELS, weight=np.where(np.array(LABELS) == "Q1", 9.0, 1.0)
    )
    assert tilted.predict_proba(NEW)[:, 0].sum() > doubled.predict_proba(NEW)[:, 0].sum()


def test_roll_of_a_triad() -> None:
    triad = make_notes(np.zeros(3), np.ones(3), np.array([50, 66, 69]), np.full(3, 64), tempo=60.0)
    roll = roll_of(triad)  # D major for one second, flat velocity
    assert roll.shape == (N_ROWS, 21)
    held, bass, struck, bands = roll[:12], roll[12:24], roll[24:36], roll[36:]
    assert held[[0, 4, 7], :20] == pytest.approx(np.ones((3, 20)), abs=1e-5)
    assert held.sum() == pytest.approx(60.0, abs=1e-3)
    assert bass[0, :20] == pytest.approx(np.ones(20), abs=1e-5)
    assert bass[1:].sum() == 0.0
    assert struck[[0, 4, 7], 0].tolist() == [1.0, 1.0, 1.0]
    assert struck[:, 1:].sum() == 0.0
    assert bands[3, 0] == 1.0  # pitch 50: (50 - 21) // 8
    assert bands[5, 0] == 1.0
    assert bands[6, 0] == 1.0


def test_roll_hears_key_and_loudness_relative() -> None:
    notes = clip("Q2", 7)
    up = replace(notes, pitch=notes.pitch + 2)
    assert np.array_equal(roll_of(notes)[:36], roll_of(up)[:36])
    flat = replace(notes, velocity=np.full_like(notes.velocity, 20))
    louder = replace(notes, velocity=np.full_like(notes.velocity, 110))
    assert np.array_equal(roll_of(flat), roll_of(louder))


def test_one_short_note_can_be_judged() -> None:
    note = make_notes(np.zeros(1), np.full(1, 1e-4), np.array([60]), np.array([64]))
    for judge in judges():
        assert np.isfinite(judge.fit(CLIPS, LABELS).predict_proba([note])).all()
