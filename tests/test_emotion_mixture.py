import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emomusic.emotion import Emotion, find_emotion, mix
from emomusic.emotion.curve import parse_mix

axis = st.floats(-1, 1)
weights = st.floats(0, 1e308, exclude_min=True)
parts = st.lists(st.tuples(st.builds(Emotion, axis, axis), weights), min_size=1, max_size=8)


def test_the_mean_is_that_of_the_weights() -> None:
    mixed = mix([(Emotion(1.0, 0.0, "up"), 3.0), (Emotion(-1.0, 0.4), 1.0)])
    assert (mixed.valence, mixed.arousal) == pytest.approx((0.5, 0.1))
    assert mixed.name == "up 0.75 + (-1.00, 0.40) 0.25"


def test_a_part_near_zero_is_shown_without_a_minus() -> None:
    mixed = mix([(Emotion(-0.001, 0.2), 1.0), (Emotion(0.5, 0.5, "up"), 1.0)])
    assert mixed.name == "(0.00, 0.20) 0.50 + up 0.50"


def test_one_part_is_the_emotion_itself() -> None:
    point = Emotion(-0.3, 0.1)
    assert mix([(point, 0.2)]) == point
    assert parse_mix("hope") == find_emotion("hope")
    assert mix([(point, 1.0), (Emotion(1, 1), 0.0)]) == point


def test_the_heaviest_part_is_named_first_in_whatever_order() -> None:
    hope, sad = find_emotion("hope"), find_emotion("sad")
    assert mix([(hope, 3.0), (sad, 7.0)]) == mix([(sad, 7.0), (hope, 3.0)])
    assert mix([(hope, 3.0), (sad, 7.0)]).name == "sad 0.70 + hope 0.30"


def test_weights_of_one_emotion_add_up() -> None:
    assert parse_mix("joyful:1 calm:2 joy:1") == parse_mix("calm joy")
    assert parse_mix("calm calm") == find_emotion("calm")


@given(parts)
def test_a_mixture_stays_among_its_parts_whatever_the_weights(
    parts: list[tuple[Emotion, float]],
) -> None:
    mixed = mix(parts)
    for values, value in [
        ([emotion.valence for emotion, _ in parts], mixed.valence),
        ([emotion.arousal for emotion, _ in parts], mixed.arousal),
    ]:
        assert min(values) - 1e-9 <= value <= max(values) + 1e-9


@given(st.lists(weights, min_size=2, max_size=4))
def test_corners_of_the_plane_may_be_mixed(weights: list[float]) -> None:
    corners = [Emotion(1, 1), Emotion(1, -1), Emotion(-1, 1), Emotion(-1, -1)]
    mix(list(zip(corners, weights, strict=False)))
    mix([(Emotion(1, 1, f"n{i}"), weight) for i, weight in enumerate(weights)])


@pytest.mark.parametrize(
    "text",
    [
        "nostalgia:0.7 hope:0.3",
        "nostalgia:0.7,hope:0.3",
        " Nostalgia : 7 ,  HOPE :3 ",
        "hope:3 nostalgia:7",
        "nostalgic:70, hopeful:30,",
    ],
)
def test_text_may_be_written_in_several_ways(text: str) -> None:
    mixed = parse_mix(text)
    nostalgia, hope = find_emotion("nostalgia"), find_emotion("hope")
    assert mixed.name == "nostalgia 0.70 + hope 0.30"
    assert mixed.valence == pytest.approx(0.7 * nostalgia.valence + 0.3 * hope.valence)
    assert mixed.arousal == pytest.approx(0.7 * nostalgia.arousal + 0.3 * hope.arousal)


def test_a_part_without_a_weight_weighs_one() -> None:
    assert parse_mix("hope sad:1") == parse_mix("hope:2,sad:2")


@pytest.mark.parametrize(
    "text",
    ["joyful activation:3 calm", "joyful-activation:3 calm", "calm, joyful_activation : 3"],
)
def test_names_of_two_words_are_found(text: str) -> None:
    assert parse_mix(text).name == "joyful activation 0.75 + calm 0.25"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"^a mixture must name 1 to 8 emotions, got none; write NAME:WEIGHT, such as"),
        (" , ", "got none; write NAME:WEIGHT"),
        ("hope:much", r"^weight of 'hope' must be a number, got 'much'; write NAME:WEIGHT"),
        ("hope:", "must be a number, got ''"),
        ("hope:1:2", "must be a number, got '1:2'"),
        ("hope:-1 sad", r"^weight of hope must be finite and 0 or more, got -1.0$"),
        ("hope:nan sad", r"^weight of hope must be finite and 0 or more, got nan$"),
        ("hope:inf sad", "got inf"),
        ("hope:0 sad:0", r"^weights of a mixture must not all be 0"),
        ("hope sad " * 5, r"^a mixture must have 1 to 8 parts, got 10$"),
        ("hope " * 500, r"^a mixture must have at most 1000 characters, got 2500; write NAME"),
    ],
)
def test_what_is_no_mixture_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_mix(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight", [True, "1", None])
def test_a_weight_is_a_number(weight: object) -> None:
    with pytest.raises(TypeError, match="weight of hope must be a number, got"):
        mix([(find_emotion("hope"), weight)])  # type: ignore[list-item]


@pytest.mark.parametrize("count", [0, 9])
def test_the_number_of_parts_is_limited(count: int) -> None:
    with pytest.raises(ValueError, match=f"a mixture must have 1 to 8 parts, got {count}"):
        mix([(find_emotion("hope"), math.pi)] * count)
