from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged_cases import PitchJudge, SureJudge, clip_at
from synthetic import make_mapper

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.hearing import (
    NO_VELOCITY,
    Hearing,
    NoVelocity,
    best_of,
    hear,
    make_panel,
)
from emomusic.music.notes import Notes, make_notes


def test_hear_counts_asked_against_heard() -> None:
    clips = [clip_at(72), clip_at(72), clip_at(40), clip_at(40)]
    found = hear({"pitch": PitchJudge()}, "some", clips, ["Q1", "Q2", "Q3", "Q3"])
    assert len(found) == 1
    expected = np.zeros((4, 4), dtype=np.int64)
    expected[0, 0] = expected[1, 0] = 1
    expected[2, 2] = 2
    assert (found[0].confusion == expected).all()


def test_two_judges_are_also_heard_together() -> None:
    judges = {"pitch": PitchJudge(), "sure": SureJudge()}
    found = hear(judges, "some", [clip_at(72)], ["Q2"])
    assert [hearing.judge for hearing in found] == ["pitch", "sure", "both"]
    assert found[2].confusion[1, 1] == 1  # means 0.35 and 0.55


def test_shares_by_axis_and_their_intervals() -> None:
    confusion = np.array([[6, 2, 0, 2], [1, 9, 0, 0], [0, 0, 5, 5], [1, 0, 0, 9]])
    hearing = Hearing("judge", "clips", confusion)
    assert hearing.share("quadrant")[0] == pytest.approx(29 / 40)
    assert hearing.share("arousal")[0] == pytest.approx(37 / 40)
    assert hearing.share("valence")[0] == pytest.approx(32 / 40)
    _, low, high = hearing.share("quadrant")
    assert (low, high) == pytest.approx((0.571, 0.839), abs=0.001)
    assert hearing.to_dict()["confusion"] == confusion.tolist()


def test_the_judge_without_velocity_is_not_counted_among_both() -> None:
    judges = {"pitch": PitchJudge(), "other": PitchJudge(), NO_VELOCITY: SureJudge()}
    found = {h.judge: h for h in hear(judges, "some", [clip_at(72)], ["Q1"])}
    assert found["both"].confusion[0, 0] == 1
    assert found[NO_VELOCITY].confusion[0, 1] == 1


def test_macro_f1_weighs_quadrants_alike_and_leaves_out_those_that_do_not_occur() -> None:
    assert Hearing("judge", "clips", np.diag([1, 2, 3, 90])).macro_f1 == 1.0
    confusion = np.array([[2, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert Hearing("judge", "clips", confusion).macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_the_judge_without_velocity_hears_none() -> None:
    rng = np.random.default_rng(0)
    quadrants = [q for q in QUADRANTS for _ in range(6)]
    clips = [random_clip(rng, low=40 + 6 * QUADRANTS.index(q)) for q in quadrants]
    judge = NoVelocity().fit(clips, quadrants)
    loud = [replace(clip, velocity=np.full(len(clip), 120)) for clip in clips]
    assert (judge.predict_proba(clips) == judge.predict_proba(loud)).all()
    assert (judge.predict_proba(clips).argmax(axis=1) == np.repeat(np.arange(4), 6)).mean() > 0.7


def random_clip(rng: np.random.Generator, *, low: int) -> Notes:
    onset = np.arange(24.0)
    pitch, velocity = rng.integers(low, low + 12, 24), rng.integers(20, 120, 24)
    return make_notes(onset, np.ones(24), pitch, velocity)


def test_one_judge_chooses_and_the_other_is_heard() -> None:
    # Two clips of three candidates: the first asked for Q1, the second for Q4.
    selector = np.zeros((2, 3, 4))
    selector[0, :, 0], selector[1, :, 3] = [0.2, 0.9, 0.4], [0.5, 0.5, 0.1]
    scorer = np.zeros((2, 3, 4))
    scorer[0, 1, 0], scorer[0, 0, 1], scorer[0, 2, 1] = 1, 1, 1
    scorer[1, 0, 2], scorer[1, 1, 3], scorer[1, 2, 3] = 1, 1, 1
    found = best_of(selector, scorer, ["Q1", "Q4"], judge="b", what="by a")
    assert found.confusion[0, 0] == 1  # candidate 1 was chosen
    assert found.confusion[3, 2] == 1  # of equal ones the first
    assert (found.judge, found.what) == ("b", "by a")


def test_candidates_of_another_shape_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"must have shape \(1, n_candidates, 4\), got \(2, 3, 4\)"
    ):
        best_of(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), ["Q1"], judge="b", what="by a")


def test_a_mapper_that_saw_the_judges_songs_is_not_judged() -> None:
    mapper = replace(make_mapper(), about={"songs": "all"})
    with pytest.raises(ValueError, match="fitted on the judges' songs"):
        make_panel(mapper, Path("nowhere"))
