from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.evaluation import PitchJudge, SureJudge, clip_at, row
from helpers.verifier import CLIPS, LABELS, clip
from synthetic import make_mapper

from emomusic.emotion import QUADRANTS
from emomusic.evaluation import accuracy
from emomusic.evaluation import judges as judging
from emomusic.evaluation.rows import Interval
from emomusic.music.notes import make_notes

LEVELS = np.linspace(-1, 1, 5)


@pytest.mark.parametrize(
    ("judges", "heard"),
    [
        ({"pitch": PitchJudge(), "sure": SureJudge()},
         {"pitch": ["Q1", "Q3"], "sure": ["Q2", "Q2"], "both": ["Q2", "Q2"]}),
        ({"pitch": PitchJudge(), "other": PitchJudge(), accuracy.NO_VELOCITY: SureJudge()},
         {"pitch": ["Q1", "Q3"], "other": ["Q1", "Q3"], accuracy.NO_VELOCITY: ["Q2", "Q2"],
          "both": ["Q1", "Q3"]}),
        ({"pitch": PitchJudge()}, {"pitch": ["Q1", "Q3"]}),
    ],
    ids=["two", "one without velocity", "one"],
)  # fmt: skip
def test_judges_are_also_heard_together_but_for_the_one_without_velocity(
    judges: dict[str, PitchJudge], heard: dict[str, list[str]]
) -> None:
    found = accuracy.listen(judges, [clip_at(72), clip_at(40)])
    said = {name: [QUADRANTS[i] for i in own.argmax(axis=1)] for name, own in found.items()}
    assert said == heard
    counted = [found[name] for name in judges if name != accuracy.NO_VELOCITY]
    if "both" in found:
        assert found["both"] == pytest.approx(np.mean(counted, axis=0))


def test_shares_by_axis_their_intervals_and_the_confusion() -> None:
    confusion = np.array([[6, 2, 0, 2], [1, 9, 0, 0], [0, 0, 5, 5], [1, 0, 0, 9]])
    truth, said = np.array([pair for pair, n in np.ndenumerate(confusion) for _ in range(n)]).T
    found = list(accuracy.right_rows(truth, said, name="right", clips="some"))
    for axis, right in (("quadrant", 29), ("arousal", 37), ("valence", 32)):
        own = row(found, "right", of=axis)
        assert own.value == pytest.approx(right / 40) and own.n == 40
    own = row(found, "right", of="quadrant", clips="some")
    assert (own.low, own.high) == pytest.approx((0.571, 0.839), abs=0.001)
    counts = [int(own.value) for own in found if own.name == "confusion"]
    assert counts == confusion.ravel().tolist()
    # quadrants weigh alike in F1; those that do not occur are left out
    assert accuracy.macro_f1(np.diag([1, 2, 3, 90])) == 1.0
    rare = np.array([[2, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert accuracy.macro_f1(rare) == pytest.approx((2 / 3 + 0) / 2)


def test_a_mapper_of_the_judges_songs_and_a_missing_quadrant_are_refused(tmp_path: Path) -> None:
    mapper = replace(make_mapper(), about={"songs": "all"})
    with pytest.raises(ValueError, match="the mapper was fitted on the judges' songs"):
        accuracy.make_panel(mapper, tmp_path)
    with pytest.raises(ValueError, match="each of Q1 to Q4"):
        PitchJudge().fit(CLIPS[:10], LABELS[:10])


def rho_of(noise: float, axis: str, *, n_clips: int = 6, of_cells: bool = False) -> Interval:
    """Return ρ where judged values follow the asked ones, more or less."""
    rng = np.random.default_rng(0)
    truth = dict(zip(("valence", "arousal"), np.meshgrid(LEVELS, LEVELS), strict=True))[axis]
    judged = truth[:, :, None] + noise * rng.standard_normal((5, 5, n_clips))
    return accuracy.grid_rho(LEVELS, judged, axis=axis, of_cells=of_cells)


@pytest.mark.parametrize("axis", ["valence", "arousal"])
def test_what_follows_has_a_high_rho_and_what_does_not_none(axis: str) -> None:
    assert np.array([0.4, 0.3, 0.2, 0.1]) @ accuracy.SIGNS == pytest.approx([0.5, 0.7])
    rho, low, high = rho_of(0.01, axis)
    assert 0.95 < low <= rho <= high <= 1.0
    rho, low, high = rho_of(50.0, axis)
    assert low < 0.3 and abs(rho) < 0.4 and high > -0.3
    points = rho_of(0.8, axis, n_clips=40, of_cells=True)  # cells average the noise away
    assert points.value > rho_of(0.8, axis, n_clips=40).value + 0.1


NEW = [clip(quadrant, 100 + seed) for seed, quadrant in enumerate(LABELS)]
NOTE = make_notes(np.zeros(1), np.full(1, 1e-4), np.array([60]), np.array([64]))


def made(kind: str) -> judging.Judge:
    if kind == "sequence":
        return judging.SequenceJudge(n_filters=20, C=1e-2)
    return {"features": judging.FeatureJudge, "no velocity": judging.NoVelocity}[kind](n_trees=30)


@pytest.mark.parametrize("kind", ["features", "sequence", "no velocity"])
def test_judges_learn_speed_and_mode_as_weights_say_and_judge_alike_again(kind: str) -> None:
    judge, again = (made(kind).fit(CLIPS, LABELS) for _ in range(2))
    found = judge.predict_proba([*NEW, NOTE])  # one short note can be judged, too
    assert found.sum(axis=1) == pytest.approx(np.ones(len(NEW) + 1))
    said = [QUADRANTS[index] for index in found.argmax(axis=1)]
    assert np.mean([a == b for a, b in zip(said, LABELS, strict=False)]) >= 0.9
    assert np.array_equal(found, again.predict_proba([*NEW, NOTE]))
    loud = [replace(one, velocity=np.full_like(one.velocity, 120)) for one in NEW[:8]]
    assert np.array_equal(found[:8], judge.predict_proba(loud)) == (kind == accuracy.NO_VELOCITY)
    tilted = np.where(np.array(LABELS) == "Q1", 9.0, 1.0)
    even, more = (made(kind).fit(CLIPS, LABELS, weight=own).predict_proba(NEW)[:, 0].sum()
                  for own in (np.full(40, 2.0), tilted))  # fmt: skip
    assert more > even


def test_roll_of_a_triad() -> None:
    triad = make_notes(np.zeros(3), np.ones(3), np.array([50, 66, 69]), np.full(3, 64), tempo=60.0)
    roll = judging.roll_of(triad)  # D major for one second, flat velocity
    assert roll.shape == (judging.N_ROWS, 21)
    held, bass, struck, bands = roll[:12], roll[12:24], roll[24:36], roll[36:]
    assert held[[0, 4, 7], :20] == pytest.approx(np.ones((3, 20)), abs=1e-5)
    assert held.sum() == pytest.approx(60.0, abs=1e-3)
    assert bass[0, :20] == pytest.approx(np.ones(20), abs=1e-5)
    assert bass[1:].sum() == 0.0
    assert struck[[0, 4, 7], 0].tolist() == [1.0, 1.0, 1.0]
    assert struck[:, 1:].sum() == 0.0
    assert bands[[3, 5, 6], 0].tolist() == [1.0] * 3  # of pitch 50: (50 - 21) // 8


def test_a_filter_answers_at_its_time_scale() -> None:
    judge = judging.SequenceJudge()
    judge.row_scale_ = np.ones((judging.N_ROWS, 1), np.float32)
    impulse = np.zeros((judging.N_ROWS, 21), np.float32)
    impulse[0, 10] = 1.0
    answers = judge._answers(impulse, torch.ones(1, judging.N_ROWS, judging.FILTER_FRAMES), 2)
    assert np.flatnonzero(answers[0].numpy()).tolist() == [4, 6, 8, 10, 12, 14, 16]


def test_roll_hears_key_and_loudness_relative() -> None:
    notes = clip("Q2", 7)
    up = replace(notes, pitch=notes.pitch + 2)
    assert np.array_equal(judging.roll_of(notes)[:36], judging.roll_of(up)[:36])
    flat, louder = (replace(notes, velocity=np.full_like(notes.velocity, v)) for v in (20, 110))
    assert np.array_equal(judging.roll_of(flat), judging.roll_of(louder))
    assert set(judging.flattened(notes).velocity.tolist()) == {64}
