"""The controller: a fake listener says what is heard, and the pulls of the levers are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import make_response, make_score

from emomusic.compose.directions import LEVERS
from emomusic.compose.steerer import KEY_GAIN, KEY_MARGIN, FeedbackController, measure_written
from emomusic.music.attributes import ATTRIBUTE_NAMES, Passage, measure, passage_of
from emomusic.music.key import key_correlations
from emomusic.music.score import notes_of

WEIGHTS = dict.fromkeys(ATTRIBUTE_NAMES, 1.0)
ASKED = {**WEIGHTS, "register": 5.0}  # what is asked for by itself is fed back in full
HEEDED = make_response(heeded=1.0)  # the model does what is asked: there is only to correct
DEAF = make_response()  # the model does nothing of what is asked
MIDDLE = dict(zip(ATTRIBUTE_NAMES, DEAF.mean.tolist(), strict=True))
SCALE = dict(zip(ATTRIBUTE_NAMES, DEAF.scale.tolist(), strict=True))
C_MAJOR, G_MAJOR = [60, 64, 67, 65, 69, 72, 67, 64], [67, 71, 74, 72, 76, 79, 74, 71]
NEARLY_G = [60, 64, 67, 71, 67, 64, 69, 72]
OWN = {
    "register": "higher", "velocity_mean": "louder", "note_density": "soon", "mode": "major",
}  # fmt: skip
Goals = Mapping[str, float | Sequence[float]]


def sounding(pitch: float, *, velocity: int = 64, pitches: Sequence[int] = ()) -> Passage:
    """Return a passage whose register is `pitch`, to the twelfth of a semitone.

    Where no pitches are given, all pitch classes are heard about alike.
    """
    run = np.arange(12) + (round(12 * pitch) - 66) // 12
    run[12 - (round(12 * pitch) - 66) % 12 :] += 1
    score = make_score(list(pitches) or run.tolist(), gap=240, velocity=velocity)
    return passage_of(notes_of(score), n_beats=8.0, tempo=120.0)


def controller(
    goals: Goals, n_bars: int, *, response: Any = DEAF, weights: Any = WEIGHTS
) -> FeedbackController:
    """Return a controller; a goal of one number holds for all bars."""
    by_bar = [
        {name: g if isinstance(g, int | float) else g[bar] for name, g in goals.items()}
        for bar in range(n_bars)
    ]
    return FeedbackController(by_bar, response, weights=weights)


def run(
    goals: Goals,
    hear: Callable[[int], Passage] = lambda bar: sounding(60),
    *,
    n: int = 1,
    n_bars: int = 16,
    **settings: Any,
) -> dict[str, NDArray[np.float64]]:
    """Return the pulls of each lever in the first n bars, given what is heard before each."""
    steering = controller(goals, n_bars, **settings)
    found = [steering.pulls(bar, hear(bar) if bar else None, in_major=True)[0] for bar in range(n)]
    return dict(zip(LEVERS, np.array(found).T, strict=True))


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("side", [-1, 1])
def test_the_right_lever_is_pulled_in_the_right_direction(name: str, side: int) -> None:
    found = run({name: MIDDLE[name] + side * SCALE[name]})
    assert side * found[OWN[name]][0] > 0
    assert not any(pull.any() for lever, pull in found.items() if lever != OWN[name])


def test_what_is_further_away_or_matters_more_is_pulled_at_more_alike_on_both_sides() -> None:
    by_distance = [run({"register": MIDDLE["register"] + k})["higher"][0] for k in (-5, 0, 5, 10)]
    assert by_distance[0] == -by_distance[2] < by_distance[1] == 0 < by_distance[2] < by_distance[3]
    weights = ({**WEIGHTS, "register": own} for own in (0.2, 0.6, 1.0, 5.0))
    by_weight = [run({"register": 70.0}, weights=own)["higher"][0] for own in weights]
    assert (np.diff(by_weight) >= 0).all() and 0 < by_weight[0] < by_weight[-1]


@pytest.mark.parametrize(
    ("goals", "heard", "response"),
    [
        ({"register": 70.0, "velocity_mean": 80.0}, (70, 80), HEEDED),
        ({"polyphony": 6.0, "tempo": 200.0}, (60, 64), DEAF),  # no lever moves these
        ({}, (100, 120), DEAF),  # what is free
    ],
)
def test_where_nothing_is_missed_nothing_is_pulled(goals: Goals, heard: Any, response: Any) -> None:
    own = sounding(heard[0], velocity=heard[1])
    found = run(goals, lambda bar: own, n=16, response=response)
    assert not any(pull.any() for pull in found.values())


@pytest.mark.parametrize("side", [1, -1])
def test_it_corrects_more_while_the_error_lasts_and_lets_go_when_it_turns(side: int) -> None:
    goals = {"register": 60.0, "velocity_mean": 64.0}
    lasts = run(goals, lambda bar: sounding(60 - 4 * side), n=5, response=HEEDED)
    whole = lasts["higher"] / (np.arange(5) / (np.arange(5) + 2.0) + 1e-9)
    assert lasts["higher"][0] == 0 and (side * lasts["higher"][1:] > 0).all()
    assert whole[1:] == pytest.approx(whole[4], abs=0.01)
    assert not lasts["louder"].any()  # what is right is left alone
    own = [60 - side * (4 if bar < 3 else -4) for bar in range(12)]
    turns = run(goals, lambda bar: sounding(own[bar]), n=12, response=HEEDED)["higher"]
    assert 0 < side * turns[1] < side * turns[2] > side * turns[3] and side * turns[-1] < 0


@pytest.mark.parametrize("name", OWN)
def test_a_pull_is_limited_however_far_away_the_goal_is(name: str) -> None:
    far, farther = (run({name: k * SCALE[name]}, n=60, n_bars=60) for k in (1e3, 1e6))
    for lever in LEVERS:
        np.testing.assert_array_equal(far[lever], farther[lever])
        assert (far[lever] * 256 == np.rint(far[lever] * 256)).all()  # a step that all CPUs round


def test_a_lever_is_pulled_no_further_for_doing_little_nor_for_ever() -> None:
    much, little = (
        run({"register": 110.0}, n=60, weights=ASKED, n_bars=60, response=response)["higher"]
        for response in (make_response({("register", "higher"): k}) for k in (0.9, 0.45))
    )
    assert much[-1] == little[-1] > 0
    long, short = (run({"register": 100.0}, n=8, n_bars=n)["higher"] for n in (200, 12))
    assert long.tolist() == short.tolist()  # nor more towards the end of a short clip
    longest = run({"register": 100.0}, n=200, n_bars=200)["higher"]
    assert np.isfinite(longest).all() and longest.max() < 1.1 * longest[100]


def test_what_cannot_be_reached_is_let_go_as_soon_as_it_turns() -> None:
    """However long a lever was at its limit, as much is left to undo."""

    def pulls(after: int) -> NDArray[np.float64]:
        def hear(bar: int) -> Passage:
            return sounding(40.0 if bar < after else 66.0)

        goals = {"register": 60.0}
        return run(goals, hear, n=after + 12, n_bars=100, response=HEEDED, weights=ASKED)["higher"]

    short, long = pulls(20), pulls(60)
    assert short[19] == long[59] == max(long) > 0
    assert long[60:] == pytest.approx(short[20:], abs=0.05) and long[-1] < 0


@pytest.mark.parametrize("heard", [50.0, 70.0])
def test_the_last_bars_keep_their_register_whatever_is_heard(heard: float) -> None:
    goals = {"register": MIDDLE["register"] + SCALE["register"] / 4, "velocity_mean": 90.0}
    found = run(goals, lambda bar: sounding(heard), n=16)
    higher, louder = found["higher"], found["louder"]
    assert set(higher[12:]) == {higher[0]} and higher[11] != higher[0] and louder[12] > louder[0]


@pytest.mark.parametrize("side", [1, -1])
def test_an_ending_that_strays_is_pulled_back(side: int) -> None:
    def hear(bar: int) -> Passage:
        pitches = [60] * 12 + [60 + 8 * side * (bar > 12)] * 4
        return sounding(0, pitches=pitches)

    found = run({"polyphony": 1.0}, hear, n=16)["higher"]
    assert not found[:13].any()
    assert (side * found[14:] < 0).all()


def test_goals_that_change_are_followed_bar_by_bar_and_others_stay() -> None:
    low, high = (MIDDLE["register"] + k * SCALE["register"] for k in (-1, 1))
    course = [low, low, high, high, low, high]

    def hear(bar: int) -> Passage:
        return sounding(float(np.mean(course[:bar])), velocity=70)

    found = run({"register": course, "velocity_mean": 70.0}, hear, n=6, n_bars=6)
    assert (np.sign(found["higher"]) == np.sign(np.array(course) - MIDDLE["register"])).all()
    assert len(set(found["louder"])) == 1
    near = MIDDLE["register"] + SCALE["register"] / 4
    goals: list[Goals] = [{"register": [near] * 2}, {"register": [near, low]}]
    stays, changes = (run(own, n_bars=2)["higher"][0] for own in goals)
    assert changes > stays > 0  # harder than for what stays


def test_of_two_goals_for_one_lever_that_which_matters_more_wins() -> None:
    torn = make_response({("register", "higher"): 0.9, ("pitch_range", "higher"): -0.9})
    goals = {"register": 70.0, "pitch_range": MIDDLE["pitch_range"] + SCALE["pitch_range"]}
    for name, side in (("register", 1), ("pitch_range", -1)):
        weights = {**WEIGHTS, "register": 0.2, "pitch_range": 0.2, name: 5.0}
        assert side * run(goals, response=torn, weights=weights)["higher"][0] > 0


@pytest.mark.parametrize(("goals", "n_asked"), [({"mode": 0.2}, 1), ({"polyphony": 1.0}, 0)])
@pytest.mark.parametrize("pitches", [C_MAJOR, G_MAJOR, NEARLY_G])
def test_other_keys_that_fit_pull_home(goals: Goals, n_asked: int, pitches: list[int]) -> None:
    deaf = make_response({}, heeded=1.0)  # no lever moves the mode
    heard = sounding(0, pitches=pitches)
    found = run(goals, lambda bar: heard, n=4, response=deaf)["at_home"]
    fits = key_correlations(heard.notes)
    margin = fits[0, 0] - max(*fits[0, 1:], *fits[1])
    short = n_asked * KEY_GAIN * (1 - margin / KEY_MARGIN)
    for bar in range(1, 4):
        added = min(max(bar * short / 4, 0.0), 2.0)
        assert found[bar] == pytest.approx(min(added + max(short, 0.0), 1.25 * 0.5), abs=1 / 512)
    assert found[0] == 0 and (found[1] > 0) == (pitches != C_MAJOR and n_asked > 0)


@pytest.mark.parametrize(("n_beats", "share"), [(16, 1.0), (14, 0.75), (10, 0.25), (8, 0.0)])
def test_music_that_comes_to_a_halt_is_to_go_on(n_beats: int, share: float) -> None:
    score = make_score([60 + at % 12 for at in range(2 * n_beats)], gap=240)
    heard = passage_of(notes_of(score), n_beats=16.0, tempo=120.0)
    steering = controller({"onset_density": 2.0}, 16, response=HEEDED)
    found, _ = steering.pulls(4, heard, in_major=True)
    wanted = 2.5 * max(0.75 - share, 0.0) / 0.75
    assert found[LEVERS.index("soon")] == pytest.approx(wanted, abs=1 / 256)


def test_a_pitch_class_that_crowds_the_last_bars_is_held_back() -> None:
    steering = controller({"register": 60.0}, 16, response=HEEDED)
    crowded = steering.pulls(0, None, in_major=True)[1]
    assert crowded.shape == (12,) and not crowded.any()
    early, late = [60] * 40, [67] * 10 + [64, 76, 79, 55]
    for pitches, share in (([60] * 20, {0: 1.0}), ([*early, *late], {7: 12 / 24, 0: 10 / 24})):
        score = make_score(pitches, gap=240)
        heard = passage_of(notes_of(score), n_beats=len(pitches) / 2, tempo=120.0)
        crowded = steering.pulls(1, heard, in_major=True)[1]
        wanted = np.zeros(12)
        for pitch_class, own in share.items():
            wanted[pitch_class] = 10 * (own - 0.26)
        assert crowded == pytest.approx(wanted, abs=1e-4)
    few = controller({}, 4).pulls(1, sounding(0, pitches=[60]), in_major=True)[1]
    assert not few.any()  # a single note crowds nothing


# what is measured of the bars so far


def passage(pitches: Sequence[int], *, shift: int = 0) -> Passage:
    return passage_of(notes_of(make_score([p + shift for p in pitches])), tempo=120.0)


def test_what_is_asked_for_is_measured_in_its_order_and_only_the_mode_counts_on_c() -> None:
    major = [60, 64, 67, 65, 69, 72, 67, 71, 74, 67, 64, 60]
    minor = [60, 63, 67, 65, 68, 72, 67, 70, 74, 67, 63, 60]
    register = measure(passage(major))["register"]
    found_in_order = measure_written(passage(major), ("register", "tempo"))
    assert found_in_order.tolist() == [register, 120.0]
    for shift in (0, 5):
        own = passage(major, shift=shift)
        found = dict(zip(ATTRIBUTE_NAMES, measure_written(own, ATTRIBUTE_NAMES), strict=True))
        assert {n: v for n, v in measure(own).items() if n != "mode"}.items() <= found.items()
    for pitches, sign in ((major, 1), (minor, -1)):
        (mode,) = measure_written(passage(pitches), ("mode",))
        assert mode == pytest.approx(measure(passage(pitches))["mode"]) and sign * mode > 0
    relative = passage(minor, shift=-3)  # a minor, on the notes of C major
    assert measure(relative)["mode"] < 0 < measure_written(relative, ("mode",))[0]
    assert measure_written(passage(range(60, 72)), ("mode",)) == [0]
