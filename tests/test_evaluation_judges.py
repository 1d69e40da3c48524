from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.evaluation import PitchJudge

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judges import (
    N_ROWS,
    FeatureJudge,
    Judge,
    NoVelocity,
    SequenceJudge,
    flattened,
    roll_of,
)
from emomusic.music.notes import Notes, make_notes


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
NOTE = make_notes(np.zeros(1), np.full(1, 1e-4), np.array([60]), np.array([64]))


def made(kind: str) -> Judge:
    if kind == "sequence":
        return SequenceJudge(n_filters=20, C=1e-2)
    return {"features": FeatureJudge, "no velocity": NoVelocity}[kind](n_trees=30)


@pytest.mark.parametrize("kind", ["features", "sequence", "no velocity"])
def test_judges_learn_speed_and_mode_and_the_same_seed_judges_alike(kind: str) -> None:
    judge, again = (made(kind).fit(CLIPS, LABELS) for _ in range(2))
    clips = [*NEW, NOTE]  # one short note can be judged, too
    found = judge.predict_proba(clips)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(NEW) + 1))
    said = [QUADRANTS[index] for index in found.argmax(axis=1)]
    assert np.mean([a == b for a, b in zip(said, LABELS, strict=False)]) >= 0.9
    assert np.array_equal(found, again.predict_proba(clips))


def test_the_judge_without_velocity_hears_none() -> None:
    judge = made("no velocity").fit(CLIPS, LABELS)
    loud = [replace(one, velocity=np.full_like(one.velocity, 120)) for one in NEW[:8]]
    assert np.array_equal(judge.predict_proba(NEW[:8]), judge.predict_proba(loud))
    assert set(flattened(NEW[0]).velocity.tolist()) == {64}


def test_a_quadrant_that_is_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="each of Q1 to Q4"):
        PitchJudge().fit(CLIPS[:10], LABELS[:10])


def test_weights_count() -> None:
    tilted = np.where(np.array(LABELS) == "Q1", 9.0, 1.0)
    for kind in ("features", "sequence"):
        even, more = (made(kind).fit(CLIPS, LABELS, weight=own).predict_proba(NEW)[:, 0].sum()
                      for own in (np.full(40, 2.0), tilted))  # fmt: skip
        assert more > even


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
    assert bands[[3, 5, 6], 0].tolist() == [1.0] * 3  # of pitch 50: (50 - 21) // 8


def test_roll_hears_key_and_loudness_relative() -> None:
    notes = clip("Q2", 7)
    up = replace(notes, pitch=notes.pitch + 2)
    assert np.array_equal(roll_of(notes)[:36], roll_of(up)[:36])
    flat, louder = (replace(notes, velocity=np.full_like(notes.velocity, v)) for v in (20, 110))
    assert np.array_equal(roll_of(flat), roll_of(louder))
