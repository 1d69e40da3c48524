import math

import pytest

from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS, Emotion, quadrant_of


@pytest.mark.parametrize(
    ("valence", "arousal", "quadrant"),
    [
        (0.5, 0.5, "Q1"),
        (-0.5, 0.5, "Q2"),
        (-0.5, -0.5, "Q3"),
        (0.5, -0.5, "Q4"),
        (0.0, 0.0, "Q1"),
        (-0.0, -0.0, "Q1"),
        (-1.0, 0.0, "Q2"),
        (0.0, -1.0, "Q4"),
    ],
)
def test_quadrant_counts_zero_as_positive(valence: float, arousal: float, quadrant: str) -> None:
    assert quadrant_of(valence, arousal) == quadrant
    assert Emotion(valence, arousal).quadrant == quadrant


def test_centres_lie_well_inside_their_quadrants() -> None:
    assert tuple(QUADRANT_CENTRES) == QUADRANTS
    for quadrant, centre in QUADRANT_CENTRES.items():
        assert quadrant_of(*centre) == quadrant
        assert all(abs(value) >= 0.5 for value in centre)


@pytest.mark.parametrize("value", [1.2, -1.01, math.nan, math.inf, -math.inf])
def test_values_outside_the_plane_are_named(value: float) -> None:
    with pytest.raises(ValueError, match=r"^valence must be in \[-1, 1\], got "):
        Emotion(value, 0.0)
    with pytest.raises(ValueError, match=r"^arousal must be in \[-1, 1\], got "):
        Emotion(0.0, value)
    with pytest.raises(ValueError, match=r"^arousal must be in \[-1, 1\], got "):
        quadrant_of(0.0, value)


@pytest.mark.parametrize("value", ["0.5", None, True])
def test_values_that_are_no_numbers_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"^valence must be a number in \[-1, 1\], got "):
        Emotion(value, 0.0)  # type: ignore[arg-type]


def test_whole_numbers_become_floats_and_negative_zero_becomes_zero() -> None:
    emotion = Emotion(1, -0.0)
    assert isinstance(emotion.valence, float)
    assert math.copysign(1.0, emotion.arousal) == 1.0


def test_intensity_is_the_distance_from_the_middle_capped_at_one() -> None:
    assert Emotion(0.0, 0.0).intensity == 0.0
    assert Emotion(0.3, -0.4).intensity == pytest.approx(0.5)
    assert Emotion(-1.0, 1.0).intensity == 1.0


def test_a_name_is_a_word_or_absent() -> None:
    assert Emotion(0.0, 0.0).name is None
    with pytest.raises(ValueError, match=r"^name must be None or not blank, got ' '$"):
        Emotion(0.0, 0.0, " ")
    with pytest.raises(TypeError, match=r"^name must be a string or None, got 3$"):
        Emotion(0.0, 0.0, 3)  # type: ignore[arg-type]
