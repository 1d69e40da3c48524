from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation import row, some_panel

from emomusic.compose.composer import Composer
from emomusic.emotion import QUADRANTS, CurvePoint, EmotionCurve, find_emotion
from emomusic.evaluation.rows import Row
from emomusic.music.notes import Notes, make_notes
from studies.trajectories import study

N_BARS = 24


def made_courses(*, gain: float = 4.0, noise: float = 0.3) -> list[study.Course]:
    """Return courses across the plane that are heard `gain` times as asked, and noise."""
    rng, courses = np.random.default_rng(0), []
    for group in range(16):
        names = rng.permutation(["calm", "anger", "joy", "sadness"])[:3]
        bars = [0, int(rng.integers(4, 17)), N_BARS]
        points = [CurvePoint(b, find_emotion(str(e))) for b, e in zip(bars, names, strict=True)]
        asked = study.asked_course(EmotionCurve(tuple(points)).over(N_BARS))
        courses.append(
            study.Course(group, asked, gain * asked + noise * rng.normal(size=asked.shape))
        )
    return courses


def test_what_is_heard_as_asked_follows_and_strangers_and_noise_do_not() -> None:
    composed = made_courses()
    still = [study.Course(own.group, own.asked, np.ones_like(own.asked)) for own in composed]
    found = list(study.course_rows(composed, still, composed))
    for axis in ("valence", "arousal"):
        own = row(found, "r within pieces", axis=axis)
        assert own.low is not None and own.high is not None
        assert own.value > 0.9 and own.low <= own.value <= own.high
        assert row(found, "r of real music", axis=axis).value == own.value
        assert row(found, "r by chance", axis=axis).value < 0.5
        assert row(found, "farthest apart in order", axis=axis).value == 1.0
        assert row(found, "slope, log odds for 1", axis=axis).value == pytest.approx(4.0, abs=0.4)
        assert row(found, "wandering of pieces that stay", axis=axis).value == pytest.approx(0)
    noise = list(study.course_rows(made_courses(gain=0.0, noise=1.0), (), ()))
    assert all(abs(own.value) < 0.4 for own in noise if own.name == "r within pieces")
    # a mood throughout does not count
    shifted = [study.Course(own.group, own.asked, own.heard + 10.0 * own.group)
               for own in made_courses(noise=0.0)]  # fmt: skip
    found = [own for own in study.course_rows(shifted, (), ()) if own.name == "r within pieces"]
    assert [own.value for own in found] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(("n_bars", "n_points"), [(4, {2}), (16, {2, 3, 4}), (32, {2, 3, 4})])
def test_a_curve_goes_from_the_first_bar_to_the_end_in_wide_steps(
    n_bars: int, n_points: set[int]
) -> None:
    curves = [study.draw_curve(n_bars, np.random.default_rng(seed)) for seed in range(40)]
    assert {len(curve.points) for curve in curves} == n_points
    for curve in curves:
        bars = [point.bar for point in curve.points]
        assert bars[0] == 0 and bars[-1] == n_bars
        assert all(after - before >= 4 for before, after in pairwise(bars))
        for one, other in pairwise(point.emotion for point in curve.points):
            away = math.dist((one.valence, one.arousal), (other.valence, other.arousal))
            assert away >= 0.5 and not {one.name, other.name} & {None, *QUADRANTS}


def melody(*pitches: int, beat: float = 1.0) -> Notes:
    onset = beat * np.arange(len(pitches), dtype=np.float64)
    return make_notes(onset, np.ones(len(pitches)), np.array(pitches), np.full(len(pitches), 64))


def bars(notes: Notes, *, tonic: int = 0, n_bars: int = 2) -> list[frozenset[tuple[int, int]]]:
    return study.bars_heard(notes, tonic=tonic, n_bars=n_bars)


def test_bars_share_what_begins_at_the_same_place_octaves_and_mode_aside() -> None:
    major, minor = melody(60, 64, 67, 69, 71), melody(60, 63, 67, 68, 70)
    assert study.likeness(bars(major), bars(minor)) == pytest.approx([1.0, 1.0, 1.0])
    assert bars(melody(60, 76)) == bars(melody(72, 64))
    assert bars(melody(62, 66), tonic=2) == bars(melody(60, 64))
    four, other = bars(melody(60, 62, 64, 65)), bars(melody(60, 62, 67, 69))
    assert study.likeness(four, other) == pytest.approx([0.5, 1.0, 0.5])  # each view counts its own
    double = bars(melody(60, 60, 60, 60, 60, 60, 60, 60, beat=0.5))
    assert study.likeness(four, double) == pytest.approx([2 / 12, 8 / 12, 2 / 5])
    longer = bars(melody(60, 62, 64, 65, 60, 60))
    assert study.likeness(four, longer) == pytest.approx([1.0, 1.0, 1.0])  # where one has nothing
    assert np.isnan(study.likeness([frozenset()], longer)).all()
    assert len(bars(melody(60, 62, 64, 65, 67), n_bars=1)) == 1  # beyond the last bar
    given = [melody(60, 62, 64, 65), melody(72, 74, 76, 77)]
    found = study.distances(given, given)  # in spreads of the given
    assert found.diagonal() == pytest.approx([0, 0]) and found[0, 1] == found[1, 0] > 1


def test_all_parts_are_composed_and_heard(tiny_checkpoint: Path, tmp_path: Path) -> None:
    given = study.Given(Composer(tiny_checkpoint), some_panel(tmp_path), 2, 2, 0, 4)
    parts = (study.curves, study.moods, study.continuations)
    found = [own for part in parts for own in part.measure(given) if isinstance(own, Row)]
    names = {own.name for own in found}
    assert names >= {"r within pieces", "shift", "right", "shared"}
    moves = {own.by["move"] for own in found if own.name == "shift"}
    assert moves >= {"another take", "happier", "sadder", "livelier", "calmer"}
