from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from granularity_cases import FIVE, made_sets
from judged_cases import PitchJudge, SureJudge, clip_at

from emomusic.compose.composer import Composer
from emomusic.emotion import Emotion
from emomusic.evaluation.granularity.sets import (
    Sets,
    compose_sets,
    hear_sets,
    points_heard,
    typology,
)
from emomusic.music.score import notes_of


def test_the_typology_has_63_emotions_each_once() -> None:
    names = [emotion.name for emotion in typology()]
    assert len(names) == len(set(names)) == 63
    assert {"jealousy", "resentment", "insult", "joy", "dreaminess"} <= set(names)


def test_points_are_log_odds_and_a_sure_judge_is_not_infinitely_far() -> None:
    even, sure, leaning = points_heard(
        np.array([[0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0.0, 0.0], [0.6, 0.2, 0.0, 0.2]])
    )
    assert even == pytest.approx([0.0, 0.0])
    assert sure == pytest.approx([-np.log(99), np.log(99)])
    assert leaning == pytest.approx([np.log(4.0), np.log(4.0)])


def test_emotions_share_no_clip_and_each_clip_is_the_one_of_its_number(
    tiny_checkpoint: Path,
) -> None:
    composer, told = Composer(tiny_checkpoint), list[int]()
    emotions = (Emotion(0.6, 0.6, "a"), Emotion(0.6, 0.6, "b"))
    notes = compose_sets(composer, emotions, count=2, seed=3, n_bars=2, progress=told.append)
    assert sum(told) == len(notes) == 4
    assert len({clip.pitch.tobytes() + clip.onset.tobytes() for clip in notes}) == 4
    from emomusic.compose.asking.request import Request

    (again,) = composer.compose(Request(emotions[1], n_bars=2), seed=3, start=2)
    assert notes_of(again.score).pitch.tolist() == notes[2].pitch.tolist()


def test_sets_are_heard_by_all_but_the_deaf_judge() -> None:
    judges = {"pitch": PitchJudge(), "sure": SureJudge(), "no velocity": SureJudge()}
    notes = [clip_at(pitch) for pitch in (72, 72, 72, 48, 48, 48)]
    sets = hear_sets(judges, FIVE[:2], notes)
    assert sets.judges == ("pitch", "sure") and sets.heard.shape == (2, 3, 2, 2)
    assert (sets.view("pitch")[0] > 0).all() and (sets.view("pitch")[1] < 0).all()
    assert sets.view("both").shape == (2, 3, 4) and sets.view("arousal").shape == (2, 3, 2)
    assert sets.view("valence")[1, 0] == pytest.approx([np.log(0.2 / 0.8), -np.log(99)])


def test_the_plane_is_the_mean_of_the_judges_within_its_rim() -> None:
    sets = made_sets()
    assert sets.plane == pytest.approx(np.tanh(sets.heard.mean(axis=2) / 2))
    assert (np.abs(sets.plane) <= 1).all()


def test_a_point_without_a_name_is_told_by_its_coordinates() -> None:
    heard = np.zeros((1, 3, 1, 2))
    assert Sets((Emotion(0.25, -0.5),), ("ear",), heard).names == ("(0.25, -0.5)",)


def test_what_makes_no_sets_is_named() -> None:
    with pytest.raises(ValueError, match=r"shape \(5, n_clips, 1, 2\), got \(5, 4, 2, 2\)"):
        Sets(FIVE, ("ear",), np.zeros((5, 4, 2, 2)))
    with pytest.raises(ValueError, match="at least 3 clips, got 2"):
        Sets(FIVE, ("ear",), np.zeros((5, 2, 1, 2)))
    with pytest.raises(ValueError, match="3 clips are no equal sets of 2 emotions"):
        hear_sets({"sure": SureJudge()}, FIVE[:2], [clip_at(60)] * 3)
    with pytest.raises(ValueError, match="no judge"):
        hear_sets({"no velocity": SureJudge()}, FIVE[:1], [clip_at(60)] * 3)
