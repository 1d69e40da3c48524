from __future__ import annotations

import json

import numpy as np
import pytest
from explanation_cases import Rules, clip, even_bars

from emomusic.music.notes import Notes
from emomusic.verify.explanation.edits import in_order
from emomusic.verify.explanation.where import MAX_WINDOWS, course_of


def followed(first: Notes, second: Notes) -> Notes:
    """Return one clip after the other, 48 beats later."""
    later = (second.onset + 48.0, second.onset_s + first.onset_s[-1] + first.onset_s[1])
    columns = zip(
        first.columns, (later[0], second.duration, later[1], *second.columns[3:]), strict=True
    )
    return in_order(Notes(*(np.concatenate(pair) for pair in columns)))


PIECE = followed(clip(gap_s=0.25, velocity=90), clip(gap_s=0.5, velocity=60))


def test_windows_are_four_bars_where_bars_are_known() -> None:
    course = course_of(clip(), Rules(), bars=even_bars(clip()))
    assert [window.bars for window in course.windows] == [(1, 4), (5, 8), (9, 12)]
    assert [window.start_s for window in course.windows] == pytest.approx([0.0, 8.0, 16.0])
    assert course.windows[-1].end_s == pytest.approx(24.0)
    assert course.windows[0].name == "bars 1 to 4"


def test_windows_are_eight_seconds_where_bars_are_not_known() -> None:
    course = course_of(clip(), Rules())
    assert [window.name for window in course.windows] == [
        "0:00 to 0:08",
        "0:08 to 0:16",
        "0:16 to 0:24",
    ]


def test_the_aroused_half_is_found() -> None:
    course = course_of(PIECE, Rules(), bars=even_bars(PIECE))
    assert course.quadrant == "Q1"
    assert len(course.windows) == 6
    first, second = course.windows[:3], course.windows[3:]
    assert min(w.arousal for w in first) > max(w.arousal for w in second)
    assert course.fittest in first and course.heaviest in first
    assert "Heard as Q4: bars 13 to 24." in course.sentence


def test_pull_is_what_the_whole_loses_without_the_window() -> None:
    rules, bars = Rules(), even_bars(PIECE)
    window = course_of(PIECE, rules, bars=bars).windows[5]
    without = rules.verdict(PIECE.where(PIECE.onset < 80)).probabilities["Q1"]
    whole = rules.verdict(PIECE).probabilities["Q1"]
    lost = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert window.pull == pytest.approx(lost)


def test_short_pieces_have_one_window_and_nothing_to_tell() -> None:
    for notes in (clip().where(slice(0, 8)), clip().where(slice(0, 1))):
        course = course_of(notes, Rules(), bars=even_bars(notes))
        assert len(course.windows) <= 1 and course.sentence == ""
        assert course.fittest is None and course.heaviest is None


def test_windows_without_music_are_left_out() -> None:
    gap = PIECE.where((PIECE.onset < 16) | (PIECE.onset >= 48))
    course = course_of(gap, Rules(), bars=even_bars(gap))
    assert [window.bars for window in course.windows] == [(1, 4), (13, 16), (17, 20), (21, 24)]


def test_long_pieces_have_wider_windows() -> None:
    notes = clip(gap_s=20.0)
    assert 2 <= len(course_of(notes, Rules()).windows) <= MAX_WINDOWS


def test_dict_is_plain() -> None:
    found = course_of(PIECE, Rules()).to_dict()
    assert json.loads(json.dumps(found)) == found
