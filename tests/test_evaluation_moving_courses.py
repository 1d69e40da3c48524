from __future__ import annotations

import numpy as np
import pytest
from judged_cases import PitchJudge, clip_at

from emomusic.emotion import Emotion, parse_curve
from emomusic.evaluation.judged.hearing import NO_VELOCITY
from emomusic.evaluation.moving.courses import Course, asked_course, hear_courses, hear_glued
from emomusic.evaluation.moving.hearing import (
    bars_of,
    hear_windows,
    points_of,
    quadrants_heard,
    windows_of,
)
from emomusic.music.notes import Notes, make_notes

JUDGES = {"pitch": PitchJudge()}


def beats_at(*pitches: int) -> Notes:
    """Return a bar of four notes for each pitch."""
    pitch = np.repeat(pitches, 4)
    onset = np.arange(len(pitch), dtype=np.float64)
    return make_notes(onset, np.ones(len(pitch)), pitch, np.full(len(pitch), 64))


def test_each_window_has_four_bars_and_begins_a_bar_later() -> None:
    windows = windows_of(beats_at(*range(50, 56)), 6)
    assert [sorted(set(w.pitch.tolist())) for w in windows] == [
        [50, 51, 52, 53], [51, 52, 53, 54], [52, 53, 54, 55],
    ]  # fmt: skip
    assert len(windows_of(beats_at(50, 51), 2)) == 1
    assert bars_of(beats_at(50, 51, 52), 1, 2).pitch.tolist() == [51] * 4


def test_what_is_asked_of_a_window_is_the_mean_of_its_bars() -> None:
    bars = [Emotion(v, -v) for v in (0.0, 0.2, 0.4, 0.6, 0.8)]
    assert asked_course(bars) == pytest.approx(np.array([(0.3, -0.3), (0.5, -0.5)]))
    assert asked_course(bars[:2]) == pytest.approx(np.array([(0.1, -0.1)]))


def test_log_odds_are_the_mean_of_judges_that_hear_velocity() -> None:
    (place,) = points_of({**JUDGES, NO_VELOCITY: PitchJudge()}, [clip_at(72)])
    assert place == pytest.approx([np.log(4.0), np.log(4.0)])
    assert quadrants_heard(JUDGES, [clip_at(72), clip_at(40)]) == ["Q1", "Q3"]
    with pytest.raises(ValueError, match="no judge"):
        points_of({NO_VELOCITY: PitchJudge()}, [clip_at(72)])


def test_a_window_of_few_notes_is_not_heard() -> None:
    first, second = hear_windows(JUDGES, [[clip_at(72), beats_at(72)], [beats_at(40)]])
    assert np.isnan(first[0]).all() and (first[1] > 1).all()
    assert second.shape == (1, 2) and (second < -1).all()


def test_a_piece_that_rises_is_heard_to_rise() -> None:
    rising = [Emotion(-0.5, -0.5)] * 4 + [Emotion(0.5, 0.5)] * 4
    notes = beats_at(*[40] * 4, *[80] * 4)
    (course,) = hear_courses(JUDGES, [notes], [rising], [7])
    asked, heard = course.apart
    assert course.group == 7 and course.asked.shape == (5, 2)
    assert asked[:, 0].tolist() == [-0.5, 0.5] and heard[0, 0] < 0 < heard[1, 0]


def test_windows_not_heard_are_left_out_of_those_apart() -> None:
    heard = np.zeros((9, 2))
    heard[4] = np.nan
    asked, known = Course(0, np.ones((9, 2)), heard).apart
    assert len(asked) == len(known) == 2
    with pytest.raises(ValueError, match="n_windows"):
        Course(0, np.ones((9, 2)), heard[:5])


def test_real_music_of_the_quadrants_asked_is_glued_at_their_places() -> None:
    curve = parse_curve("0:-0.8,-0.8 8:-0.8,-0.8 9:0.8,0.8 16:0.8,0.8")
    quadrants = {"Q1": 80, "Q2": 50, "Q3": 40, "Q4": 50}
    real = {name: [beats_at(*[pitch] * 8)] for name, pitch in quadrants.items()}
    (course,) = hear_glued(JUDGES, [(curve, 16)], real)
    assert course.step == 1 and course.asked.shape == (4, 2)
    assert (np.sign(course.heard[:, 0]) == [-1, -1, 1, 1]).all()
    assert hear_glued(JUDGES, [(curve, 16)], {**real, "Q4": []}) == ()
