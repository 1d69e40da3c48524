from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.explanation import USUAL, Rules, clip, even_bars

from emomusic.music.notes import Notes
from emomusic.verify.counterfactuals import sort_notes
from emomusic.verify.explain import explain
from emomusic.verify.plots import plot_explanation
from emomusic.verify.timeline import MAX_WINDOWS, name_bars, name_seconds, trace_emotion


def followed(first: Notes, second: Notes) -> Notes:
    """Return one clip after the other, 48 beats later."""
    later = (second.onset + 48.0, second.onset_s + first.onset_s[-1] + first.onset_s[1])
    columns = zip(
        first.columns, (later[0], second.duration, later[1], *second.columns[3:]), strict=True
    )
    return sort_notes(Notes(*(np.concatenate(pair) for pair in columns)))


PIECE = followed(clip(gap_s=0.25, velocity=90), clip(gap_s=0.5, velocity=60))


def test_windows_are_four_bars_where_bars_are_known() -> None:
    course = trace_emotion(clip(), Rules(), bars=even_bars(clip()))
    assert [window.bars for window in course.windows] == [(1, 4), (5, 8), (9, 12)]
    assert [window.start_s for window in course.windows] == pytest.approx([0.0, 8.0, 16.0])
    assert course.windows[-1].end_s == pytest.approx(24.0)
    assert course.windows[0].name_to(course.windows[0]) == "bars 1 to 4"


def test_windows_are_eight_seconds_where_bars_are_not_known() -> None:
    course = trace_emotion(clip(), Rules())
    assert [window.name_to(window) for window in course.windows] == [
        "0:00 to 0:08",
        "0:08 to 0:16",
        "0:16 to 0:24",
    ]


def test_the_aroused_half_is_found() -> None:
    course = trace_emotion(PIECE, Rules(), bars=even_bars(PIECE))
    assert course.quadrant == "Q1"
    assert len(course.windows) == 6
    first, second = course.windows[:3], course.windows[3:]
    assert min(w.arousal for w in first) > max(w.arousal for w in second)
    assert course.most_typical in first and course.most_influential in first
    assert "Heard as Q4: bars 13 to 24." in course.sentence


def test_pull_is_what_the_whole_loses_without_the_window() -> None:
    rules, bars = Rules(), even_bars(PIECE)
    window = trace_emotion(PIECE, rules, bars=bars).windows[5]
    without = rules.verdict(PIECE.where(PIECE.onset < 80)).probabilities["Q1"]
    whole = rules.verdict(PIECE).probabilities["Q1"]
    lost = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert window.pull == pytest.approx(lost)


def test_short_pieces_have_one_window_and_nothing_to_tell() -> None:
    for notes in (clip().where(slice(0, 8)), clip().where(slice(0, 1))):
        course = trace_emotion(notes, Rules(), bars=even_bars(notes))
        assert len(course.windows) <= 1 and course.sentence == ""
        assert course.most_typical is None and course.most_influential is None


def test_windows_without_music_are_left_out() -> None:
    gap = PIECE.where((PIECE.onset < 16) | (PIECE.onset >= 48))
    course = trace_emotion(gap, Rules(), bars=even_bars(gap))
    assert [window.bars for window in course.windows] == [(1, 4), (13, 16), (17, 20), (21, 24)]


def test_long_pieces_have_wider_windows() -> None:
    notes = clip(gap_s=20.0)
    assert 2 <= len(trace_emotion(notes, Rules()).windows) <= MAX_WINDOWS


def test_places_are_named() -> None:
    assert (name_bars(9, 12), name_bars(3, 3)) == ("bars 9 to 12", "bar 3")
    assert name_seconds(7.6, 64.2) == "0:08 to 1:04"


def draw(path: Path, notes: Notes, *, bars: bool = True) -> None:
    course = trace_emotion(notes, Rules(), bars=even_bars(notes) if bars else None)
    explanation = explain(notes, Rules(), reference=USUAL)
    plot_explanation(path, notes, explanation=explanation, trajectory=course)


@pytest.mark.parametrize("n_notes", [1, 84])
@pytest.mark.parametrize("bars", [True, False])
def test_a_picture_is_drawn(tmp_path: Path, n_notes: int, bars: bool) -> None:
    draw(tmp_path / "why.png", clip(major=False).where(slice(0, n_notes)), bars=bars)
    data = (tmp_path / "why.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)] == [1200, 900]


def test_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must end in \.png, got 'why.jpg'"):
        draw(Path("why.jpg"), clip())
