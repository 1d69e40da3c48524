from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from synthetic import make_response, make_score

from emomusic.compose.controller import FeedbackController, MeasuredBars, measure_written
from emomusic.compose.directions import ControlDirections, OperatingPoint
from emomusic.model.engine import LogitBias
from emomusic.music.attributes import ATTRIBUTE_NAMES, Passage, measure, passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import built_vocabulary

VOCABULARY = built_vocabulary()
LEVERS = ControlDirections(VOCABULARY, beats_per_bar=4)
CENTRE = OperatingPoint(pitch=62.0, velocity=64.0, length=0.75, is_major=True)
WEIGHTS = dict.fromkeys(ATTRIBUTE_NAMES, 1.0)
HEEDED = make_response(heeded=1.0)
"""The model does what is asked by itself: the controller has nothing to do but to correct."""
DEAF = make_response()
"""The model does nothing of what is asked by itself."""
MIDDLE = {name: float(DEAF.mean[ATTRIBUTE_NAMES.index(name)]) for name in ATTRIBUTE_NAMES}
SCALE = {name: float(DEAF.scale[ATTRIBUTE_NAMES.index(name)]) for name in ATTRIBUTE_NAMES}
C_MAJOR, G_MAJOR = [60, 64, 67, 65, 69, 72, 67, 64], [67, 71, 74, 72, 76, 79, 74, 71]


def sounding(pitch: float, *, velocity: int = 64, pitches: Sequence[int] = ()) -> Passage:
    """Return a passage whose register is `pitch`, to the twelfth of a semitone.

    Where no pitches are given, all pitch classes are heard about alike.
    """
    run = np.arange(12) + (round(12 * pitch) - 66) // 12
    run[12 - (round(12 * pitch) - 66) % 12 :] += 1
    score = make_score(list(pitches) or run.tolist(), gap=240, velocity=velocity)
    return passage_of(notes_of(score), n_beats=8.0, tempo=120.0)


ASKED = {**WEIGHTS, "register": 5.0}
"""What is asked for by itself is fed back in full."""


def controller(
    goals: Mapping[str, float | Sequence[float]],
    listen: Callable[[Any], Passage] = lambda segments: sounding(60),
    *,
    n_bars: int = 16,
    response: Any = DEAF,
    weights: Mapping[str, float] = WEIGHTS,
) -> FeedbackController:
    """Return a controller; a goal of one number holds for all bars."""
    by_bar = {
        name: [float(goal)] * n_bars if isinstance(goal, int | float) else goal
        for name, goal in goals.items()
    }
    points = [CENTRE] * n_bars
    return FeedbackController(
        by_bar,
        response,
        levers=LEVERS,
        listen=listen,
        n_bars=n_bars,
        points=points,
        weights=weights,
    )


def bars(n: int) -> list[list[int]]:
    return [[VOCABULARY.id_of("Position_0")]] * n


def difference(lean: LogitBias, more: str, less: str, *, half: int = 0) -> float:
    return float(lean.bias[half, VOCABULARY.id_of(more)] - lean.bias[half, VOCABULARY.id_of(less)])


def higher(lean: LogitBias) -> float:
    return difference(lean, "Pitch_72", "Pitch_60")  # an octave: the same pitch class


def louder(lean: LogitBias) -> float:
    return difference(lean, "Velocity_95", "Velocity_31")


def sooner(lean: LogitBias) -> float:
    return difference(lean, "Position_0", "Position_12", half=1)


def more_major(lean: LogitBias) -> float:
    """Return what E has over E flat, but for what it has for being higher."""
    higher_by_one = difference(lean, "Pitch_63", "Pitch_62")
    return round(difference(lean, "Pitch_64", "Pitch_63") - higher_by_one, 4)


PULLS = {"register": higher, "velocity_mean": louder, "note_density": sooner, "mode": more_major}


def run(steering: FeedbackController, n: int) -> list[LogitBias]:
    return [steering(bars(at)) for at in range(n)]


@pytest.mark.parametrize("name", PULLS)
@pytest.mark.parametrize("side", [-1, 1])
def test_the_right_lever_is_pulled_in_the_right_direction(name: str, side: int) -> None:
    lean = controller({name: MIDDLE[name] + side * SCALE[name]})([])
    for other, pull in PULLS.items():
        if other == name:
            assert side * pull(lean) > 0
        else:
            assert pull(lean) == 0


def test_what_is_further_away_is_pulled_at_more() -> None:
    near, far = (
        higher(controller({"register": MIDDLE["register"] + k * SCALE["register"]})([]))
        for k in (0.5, 1.0)
    )
    assert 0 < near < far


def test_the_same_pull_is_made_from_above_as_from_below() -> None:
    up, down = (higher(controller({"register": MIDDLE["register"] + k})([])) for k in (5, -5))
    assert up == pytest.approx(-down)


def test_a_model_that_does_what_it_is_asked_is_left_alone() -> None:
    goals = {"register": 70.0, "velocity_mean": 80.0}
    heard = controller(goals, lambda segments: sounding(70, velocity=80), response=HEEDED)
    for lean in run(heard, 16):
        assert not lean.bias.any()


def test_an_attribute_that_no_lever_moves_moves_no_lever() -> None:
    assert not any(lean.bias.any() for lean in run(controller({"polyphony": 6.0}), 5))


@pytest.mark.parametrize(("heard", "side"), [(56.0, 1), (64.0, -1)])
def test_it_corrects_more_while_the_error_lasts(heard: float, side: int) -> None:
    steering = controller({"register": 60.0}, lambda segments: sounding(heard), response=HEEDED)
    pulls = [side * higher(lean) for lean in run(steering, 5)]
    assert pulls[0] == 0
    assert (np.diff(pulls) > 0).all()


def test_it_lets_go_when_the_error_turns() -> None:
    steering = controller(
        {"register": 60.0},
        lambda segments: sounding(56.0 if len(segments) < 3 else 64.0),
        response=HEEDED,
    )
    pulls = [higher(lean) for lean in run(steering, 12)]
    assert 0 < pulls[1] < pulls[2] > pulls[3] and pulls[-1] < 0


def test_it_corrects_what_is_wrong_and_nothing_else() -> None:
    goals = {"register": 60.0, "velocity_mean": 64.0}
    steering = controller(goals, lambda segments: sounding(60, velocity=40), response=HEEDED)
    for lean in run(steering, 8)[1:]:
        assert louder(lean) > 0 and higher(lean) == 0


def test_it_arrives_with_a_model_that_half_listens() -> None:
    goal, pulls = MIDDLE["register"] + 2, list[float]()

    def listen(segments: Any) -> Passage:
        return sounding(MIDDLE["register"] + 4 * float(np.mean(pulls)))

    steering = controller({"register": goal}, listen, n_bars=64, weights=ASKED)
    for at in range(64):
        pulls.append(higher(steering(bars(at))))
    achieved = MIDDLE["register"] + 4 * np.mean(pulls)
    open_loop = MIDDLE["register"] + 4 * pulls[0]
    assert abs(achieved - goal) < 0.8 * abs(open_loop - goal)


def test_the_same_segments_give_the_same_lean() -> None:
    goals = {"register": 70.0, "mode": -0.2}
    once, often = controller(goals), controller(goals)
    for at in range(6):
        first = once(bars(at)).bias
        for _ in range(3):
            np.testing.assert_array_equal(often(bars(at)).bias, first)


@pytest.mark.parametrize("name", PULLS)
def test_a_pull_is_limited_however_far_away_the_goal_is(name: str) -> None:
    far, farther = (run(controller({name: k * SCALE[name]}, n_bars=60), 60) for k in (1e3, 1e6))
    for one, other in zip(far, farther, strict=True):
        np.testing.assert_array_equal(one.bias, other.bias)


def test_a_lever_that_does_little_is_pulled_no_further_than_one_that_does_much() -> None:
    weights = {**WEIGHTS, "register": 5.0}
    pulls = []
    for slope in (0.9, 0.45):
        response = make_response({("register", "higher"): slope})
        steering = controller({"register": 110.0}, n_bars=60, response=response, weights=weights)
        pulls.append(higher(run(steering, 60)[-1]))
    assert pulls[0] == pulls[1] > 0


def test_a_pull_does_not_grow_for_ever() -> None:
    pulls = [higher(lean) for lean in run(controller({"register": 100.0}, n_bars=200), 200)]
    assert np.isfinite(pulls).all() and max(pulls) < 1.1 * pulls[100]


def test_what_cannot_be_reached_is_let_go_as_soon_as_it_turns() -> None:
    """However long a lever was at its limit, as much is left to undo."""

    def gains(after: int) -> list[float]:
        heard = iter([40.0] * (after - 1) + [66.0] * 100)

        def listen(segments: Any) -> Passage:
            return sounding(next(heard))

        steering = controller(
            {"register": 60.0}, listen, response=HEEDED, n_bars=100, weights=ASKED
        )
        return [higher(lean) for lean in run(steering, after + 12)]

    short, long = gains(20), gains(60)
    assert short[19] == long[59] == max(long) > 0
    assert long[60:] == pytest.approx(short[20:], abs=0.05) and long[-1] < 0


def test_a_pull_does_not_grow_towards_the_end() -> None:
    wide = make_response({("pitch_range", "louder"): 0.8}, heeded=1.0)
    short, long = (
        [
            louder(lean)
            for lean in run(controller({"pitch_range": 60.0}, n_bars=n, response=wide), 8)
        ]
        for n in (8, 64)
    )
    assert short == long and short[3] > 0


@pytest.mark.parametrize("heard", [50.0, 70.0])
def test_the_last_bars_keep_their_register_whatever_is_heard(heard: float) -> None:
    goal = MIDDLE["register"] + SCALE["register"] / 4
    steering = controller({"register": goal, "velocity_mean": 90.0}, lambda s: sounding(heard))
    leans = run(steering, 16)
    assert {higher(lean) for lean in leans[12:]} == {higher(leans[0])}
    assert higher(leans[11]) != higher(leans[0]) and louder(leans[12]) > louder(leans[0])


def test_what_is_free_is_left_alone() -> None:
    def strange(segments: Any) -> Passage:
        return sounding(100, velocity=120)

    for lean in run(controller({}, strange), 8):
        assert not lean.bias.any()
    for lean in run(controller({"register": 70.0}, strange), 8):
        assert louder(lean) == sooner(lean) == more_major(lean) == 0


def test_the_tempo_is_given_and_needs_no_lever() -> None:
    for lean in run(controller({"tempo": 200.0}), 4):
        assert not lean.bias.any()


def test_goals_that_change_are_followed_bar_by_bar() -> None:
    low, high = (MIDDLE["register"] + k * SCALE["register"] for k in (-1, 1))
    course = [low, low, high, high, low, high]

    def listen(segments: Any) -> Passage:
        return sounding(float(np.mean(course[: len(segments)])))

    steering = controller({"register": course}, listen, n_bars=6)
    pulls = [higher(lean) for lean in run(steering, 6)]
    assert [pull > 0 for pull in pulls] == [goal > MIDDLE["register"] for goal in course]


def test_a_goal_that_changes_is_pulled_for_at_least_as_hard_as_one_that_stays() -> None:
    high = MIDDLE["register"] + SCALE["register"] / 4
    stays = higher(controller({"register": [high] * 2}, n_bars=2)([]))
    changes = higher(controller({"register": [high, 2 * MIDDLE["register"] - high]}, n_bars=2)([]))
    assert changes >= stays > 0


def test_one_attribute_may_change_while_another_stays() -> None:
    course = [40.0, 100.0, 40.0, 100.0]

    def listen(segments: Any) -> Passage:
        return sounding(70, velocity=round(float(np.mean(course[: len(segments)]))))

    steering = controller({"velocity_mean": course, "register": 70.0}, listen, n_bars=4)
    leans = run(steering, 4)
    loud = [louder(lean) for lean in leans]
    assert max(loud[0], loud[2]) < 0 < min(loud[1], loud[3])
    assert len({higher(lean) for lean in leans}) == 1 and higher(leans[0]) > 0


def test_what_matters_more_is_pulled_at_more() -> None:
    pulls = [
        higher(controller({"register": 70.0}, weights={**WEIGHTS, "register": weight})([]))
        for weight in (0.2, 0.6, 1.0, 5.0)
    ]
    assert pulls == sorted(pulls) and 0 < pulls[0] < pulls[-1]


def test_of_two_goals_for_one_lever_that_which_matters_more_wins() -> None:
    torn = make_response({("register", "higher"): 0.9, ("pitch_range", "higher"): -0.9})
    goals = {"register": 70.0, "pitch_range": MIDDLE["pitch_range"] + SCALE["pitch_range"]}
    for name, side in (("register", 1), ("pitch_range", -1)):
        weights = {**WEIGHTS, "register": 0.2, "pitch_range": 0.2, name: 5.0}
        lean = controller(goals, response=torn, weights=weights)([])
        assert side * higher(lean) > 0


def pull_home(lean: LogitBias) -> float:
    return difference(lean, "Pitch_60", "Pitch_57")  # C against A, the relative minor's tonic


def test_music_that_leaves_the_key_is_pulled_home() -> None:
    deaf = make_response({}, heeded=1.0)  # no lever moves the mode
    away = controller({"mode": 0.2}, lambda s: sounding(0, pitches=G_MAJOR), response=deaf)
    pulls = [pull_home(lean) for lean in run(away, 4)]
    assert pulls[0] == 0 < pulls[1] <= pulls[2]
    home = controller({"mode": 0.2}, lambda s: sounding(0, pitches=C_MAJOR), response=deaf)
    assert pull_home(run(home, 2)[1]) < pulls[1]


def test_where_the_mode_is_free_any_key_will_do() -> None:
    away = controller({"polyphony": 1.0}, lambda s: sounding(0, pitches=G_MAJOR))
    assert all(pull_home(lean) == 0 for lean in run(away, 4))


@pytest.mark.parametrize("goals", [{}, {"register": 60.0}])
def test_a_pitch_class_that_crowds_the_bars_so_far_is_held_back(goals: dict[str, float]) -> None:
    steering = controller(goals, lambda s: sounding(0, pitches=[60] * 20), response=HEEDED)
    first, later = run(steering, 2)
    ids = VOCABULARY.kind_ids("Pitch")
    tonic = ids[[int(text) % 12 == 0 for text in VOCABULARY.values("Pitch")]]
    assert not first.bias.any() and len(set(later.bias[0, tonic].tolist())) == 1
    assert later.bias[0, tonic[0]] < 0
    others = np.setdiff1d(np.arange(len(VOCABULARY) + 1), tonic)
    assert not later.bias[:, others].any()


def test_a_lean_is_what_an_engine_takes() -> None:
    for lean in run(controller(dict.fromkeys(ATTRIBUTE_NAMES, 1000000000.0)), 3):
        assert lean.bias.shape == (2, len(VOCABULARY) + 1) and np.isfinite(lean.bias).all()
        assert lean.bias.dtype == np.float32 and not len(lean.pairs)


def test_a_long_clip_is_heard_by_its_last_bars() -> None:
    heard: list[int] = []

    def listen(segments: list[list[int]]) -> Passage:
        heard.append(len(segments))
        return sounding(60)

    steer = controller({"register": 60.0}, listen, n_bars=100)
    for n in range(100):
        steer(bars(n))
    assert heard[:5] == [1, 2, 3, 4, 5] and heard[-1] == max(heard) < 50


# what is measured of the bars so far


MAJOR = [60, 64, 67, 65, 69, 72, 67, 71, 74, 67, 64, 60]
MINOR = [60, 63, 67, 65, 68, 72, 67, 70, 74, 67, 63, 60]


def passage(pitches: list[int], *, shift: int = 0) -> Passage:
    return passage_of(notes_of(make_score([p + shift for p in pitches])), tempo=120.0)


def hear(passage: Passage) -> MeasuredBars:
    return measure_written(passage, ATTRIBUTE_NAMES)


def mode_of(heard: MeasuredBars) -> float:
    return float(heard.values[ATTRIBUTE_NAMES.index("mode")])


def test_only_what_is_asked_for_is_heard_in_that_order() -> None:
    found = measure_written(passage(MAJOR), ("register", "tempo")).values
    assert found.tolist() == [measure(passage(MAJOR))["register"], 120.0]


def test_every_attribute_but_the_mode_is_heard_as_it_is_measured() -> None:
    for shift in (0, 5):
        heard, measured = hear(passage(MAJOR, shift=shift)), measure(passage(MAJOR, shift=shift))
        assert heard.values.shape == (len(ATTRIBUTE_NAMES),) and np.isfinite(heard.values).all()
        for name, value in zip(ATTRIBUTE_NAMES, heard.values, strict=True):
            assert name == "mode" or value == measured[name]


def test_major_and_minor_on_c_are_heard_as_they_are_measured() -> None:
    for pitches, sign in ((MAJOR, 1), (MINOR, -1)):
        heard = mode_of(hear(passage(pitches)))
        assert heard == pytest.approx(measure(passage(pitches))["mode"]) and sign * heard > 0


def test_the_mode_counts_on_c_whatever_key_is_found() -> None:
    relative = passage(MINOR, shift=-3)  # a minor, on the notes of C major
    assert measure(relative)["mode"] < 0 < mode_of(hear(relative))


@pytest.mark.parametrize(("pitches", "is_major"), [(MAJOR, True), (MINOR, False)])
def test_music_in_its_key_is_at_home_and_nowhere_else(pitches: list[int], is_major: bool) -> None:
    assert hear(passage(pitches)).at_home(is_major=is_major) > 0
    assert hear(passage(pitches)).at_home(is_major=not is_major) < 0
    for shift in range(1, 12):
        assert hear(passage(pitches, shift=shift)).at_home(is_major=is_major) < 0


def test_at_home_is_the_margin_over_the_best_other_key() -> None:
    fits = np.full((2, 12), 0.1)
    fits[0, 0], fits[1, 9], fits[1, 0] = 0.8, 0.6, 0.3
    heard = MeasuredBars(np.zeros(len(ATTRIBUTE_NAMES)), fits, np.zeros(12))
    assert heard.at_home(is_major=True) == pytest.approx(0.2)
    assert heard.at_home(is_major=False) == pytest.approx(-0.5)
    assert fits[0, 0] == 0.8


def test_all_keys_alike_is_neither_major_nor_at_home() -> None:
    heard = hear(passage(list(range(60, 72))))
    assert mode_of(heard) == 0 and heard.at_home(is_major=True) == 0


def test_the_last_notes_are_counted_by_pitch_class() -> None:
    early, late = [60] * 40, [67, 67, 67, 67, 67, 67, 64, 76, 79, 55, 67, 67]
    lately = hear(passage([*early, *late])).lately
    assert lately.shape == (12,) and (lately >= 0).all()
    assert lately[7] == lately.max() and lately[0] == 0 < lately[4]
    assert lately.sum() == pytest.approx(1.0)


def test_few_notes_crowd_nothing() -> None:
    lately = hear(passage([60])).lately
    assert 0 < lately[0] < 0.5 and lately.sum() == lately[0]
