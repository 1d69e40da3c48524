"""What steers: the leans of each bar, and the controller's pulls for what a listener hears."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.composing import JOY, TOKENIZER, VOCABULARY, curve_of, given, ids, tune
from numpy.typing import NDArray
from synthetic import make_mapper, make_response, make_score

from emomusic.compose.directions import LEVERS, Pairs
from emomusic.compose.plan import ClipPlan, plan_clip
from emomusic.compose.primer import read_primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.compose.steerer import (
    KEY_GAIN,
    KEY_MARGIN,
    FeedbackController,
    RepetitionBias,
    Steerer,
    attribute_weights,
    measure_written,
)
from emomusic.emotion import Emotion
from emomusic.model.engine import LogitBias
from emomusic.music.attributes import ATTRIBUTE_NAMES, Passage, measure, passage_of
from emomusic.music.key import key_correlations
from emomusic.music.score import notes_of

TEXTS = (*VOCABULARY.texts, "SAME", "")
SAME, END = len(VOCABULARY), VOCABULARY.id_of("Bar_None")
REPETITION = RepetitionBias(TOKENIZER)
RESPONSE = make_response()
CURVE = curve_of((0, -0.6, -0.6), (4, 0.6, 0.6))


def note(pitch: int, velocity: str = "Velocity_63", duration: str = "Duration_1.0.12") -> str:
    return f"Pitch_{pitch} {velocity} {duration}"


SHORT = ids(f"Position_0 {note(60)} Position_24 {note(64, 'Velocity_79', 'Duration_2.0.4')}")


def plan_of(emotion: Emotion | None = JOY, **asked: Any) -> ClipPlan:
    request = Request(emotion, **{"n_bars": 4, "tonic": 0, **asked})
    return plan_clip(request, make_mapper(), seed=1, index=0)


def lean_of(
    plan: ClipPlan, written: int | list[list[int]] = 0, *, response: Any = RESPONSE, **more: Any
) -> LogitBias:
    steer = Steerer(TOKENIZER, response, **more).steer(plan)
    assert steer is not None
    written = [SHORT] * written if isinstance(written, int) else written
    lean = steer(written)
    assert lean is not None and steer(written) is lean  # asked again it says the same
    return lean


def octave(lean: LogitBias) -> float:
    low, high = ids("Pitch_60 Pitch_72")
    return float(lean.bias[0, high] - lean.bias[0, low])


def kinds(found: NDArray[np.int32]) -> set[str]:
    return {VOCABULARY.texts[token].split("_")[0] for token in found if token < SAME}


def test_nothing_steers_where_nothing_was_measured_or_it_is_not_wanted() -> None:
    assert Steerer(TOKENIZER, None).steer(plan_of()) is None
    assert Steerer(TOKENIZER, RESPONSE).steer(plan_of(steering=False)) is None
    for n in (0, 1):  # what is free
        assert not lean_of(plan_of(None), n).bias.any()
    first = {name: getattr(RESPONSE, name)[:5] for name in ("mean", "scale", "start", "pulled")}
    few = replace(RESPONSE, **first, asked=RESPONSE.asked[:5, :5], attributes=ATTRIBUTE_NAMES[:5])
    unknown = plan_of(None, fixed={"register": 75.0})
    assert not lean_of(unknown, response=few).bias.any()


@pytest.mark.parametrize("tonic", [0, 2])
def test_a_clip_is_steered_towards_its_targets_moved_to_c(tonic: int) -> None:
    high, low, middle = (
        octave(lean_of(plan_of(None, tonic=tonic, fixed={"register": register + tonic})))
        for register in (75.0, 50.0, float(RESPONSE.mean[ATTRIBUTE_NAMES.index("register")]))
    )
    assert low < middle == 0 < high
    own = {"register": [float(p + tonic) for p in (50, 75, 75, 50)]}
    bars = [octave(lean_of(plan_of(None, tonic=tonic, per_bar=own), n)) for n in range(2)]
    assert bars[0] < 0 < bars[1]


def test_what_is_asked_for_by_itself_matters_more() -> None:
    by_itself = plan_of(fixed={"register": 75.0})
    by_emotion = replace(by_itself, request=replace(by_itself.request, fixed={}))
    request = replace(by_itself.request, fixed={}, per_bar={"register": [75.0] * 4})
    bar_by_bar = replace(by_emotion, request=request)
    others = dict.fromkeys(ATTRIBUTE_NAMES, 0.2)
    firm, plain, own = (
        octave(lean_of(p, weights=others)) for p in (by_itself, by_emotion, bar_by_bar)
    )
    assert firm == own > plain
    weights = attribute_weights({"mode": 0.9, "tempo": 0.3, "register": 0.0, "silence": 0.6})
    assert 1.0 == weights["mode"] > weights["silence"] > weights["tempo"] > weights["register"]
    assert weights["register"] == 0.2 and weights["tempo"] == pytest.approx(0.2 + 0.8 / 3**0.5)


@pytest.mark.parametrize(
    "asked",
    [{"time_signature": "3/4", "tempo": 90}, {"curve": CURVE, "n_bars": 20}, {"n_bars": 20}],
)
def test_it_hears_the_last_bars(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Passage] = []
    pulls = FeedbackController.pulls

    def hear(self: FeedbackController, bar: int, own: Any, *, in_major: bool) -> Any:
        heard.append(own)
        return pulls(self, bar, own, in_major=in_major)

    monkeypatch.setattr(FeedbackController, "pulls", hear)
    plan = plan_of(**asked)
    n, beats = plan.n_bars - 1, plan.metre.beats
    assert lean_of(plan, n).bias.shape == (2, SAME + 1)
    n_heard = min(n, 6 if plan.moves else 16)
    (passage,) = heard
    assert passage.notes.pitch.tolist() == [60, 64] * n_heard
    assert passage.notes.velocity.tolist() == [63, 79] * n_heard
    assert passage.notes.onset.tolist()[:4] == [0, 2, beats, beats + 2]
    assert (passage.n_beats, passage.tempo) == (beats * n_heard, plan.tempo)


def test_a_curve_is_followed_bar_by_bar_and_more_smoothly_than_bars_that_are_asked_for() -> None:
    own = (55.0, 55.0, 70.0, 70.0)
    abrupt = replace(plan_of(None), targets={"register": 62.5}, bar_targets={"register": own})
    smooth = replace(abrupt, request=replace(abrupt.request, emotion=JOY, curve=CURVE))
    assert octave(lean_of(abrupt)) < octave(lean_of(smooth)) < 0 < octave(lean_of(smooth, 2))


def test_levers_turn_about_each_bar_of_a_curve_or_else_about_the_clip() -> None:
    wide = make_response({("pitch_range", "wider"): 2.0})
    targets, own = {"register": 72.0, "pitch_range": 200.0}, (72.0, 76.0, 72.0, 76.0)
    plan = replace(plan_of(None), targets=targets, bar_targets={"register": own})
    curved = replace(plan, request=replace(plan.request, emotion=JOY, curve=CURVE))
    higher = replace(plan, targets={**targets, "register": 76.0})
    leans = (lean_of(p, 1, response=wide).bias[0] for p in (plan, curved, higher))
    at_72, at_bar, at_76 = (own / np.abs(own).max() for own in leans)
    assert at_bar == pytest.approx(at_76) != pytest.approx(at_72)


# bars that are taken up


def themed(use: str, *, is_minor: bool, follows: Any, **asked: Any) -> ClipPlan:
    music = given(tune(4, is_minor=is_minor), use)
    request = Request(None, **{"given": music, "n_bars": 4, **asked})
    primer = read_primer(music, TOKENIZER)
    plan = plan_clip(request, make_mapper(), seed=1, index=0, primer=primer)
    return replace(plan, follows=follows)


@pytest.mark.parametrize("use", [CONTINUE, VARY])
def test_bars_that_are_there_already_are_taken_up(use: str) -> None:
    plan = themed(use, is_minor=False, follows=(1, None, 3, 2))
    assert plan.primer is not None
    for n_written, followed in ((0, 1), (2, 3), (3, 2)):
        led_to = {*lean_of(plan, n_written).pairs[:, 1].tolist()}
        notes = plan.primer.bars[followed][2:]  # its chords are left out
        assert led_to - {SAME} == {*notes, END}
    assert not len(lean_of(plan, 1).pairs)
    free = replace(plan, follows=(None,) * 4)
    np.testing.assert_array_equal(lean_of(free, 2).bias, lean_of(plan, 2).bias)


@pytest.mark.parametrize("is_minor", [False, True])
def test_what_is_taken_up_in_the_other_mode_is_altered(is_minor: bool) -> None:
    for to_minor in (False, True):
        plan = themed(VARY, is_minor=is_minor, follows=(0, 1, 2, 3), is_major=not to_minor)
        led_to = {*lean_of(plan).pairs[:, 1].tolist()}
        assert led_to & {*ids("Pitch_63 Pitch_64")} == {*ids(f"Pitch_{64 - to_minor}")}


@pytest.mark.parametrize("tonic", [0, 9])
def test_notes_are_led_along_chords_that_are_given_moved_to_c(tonic: int) -> None:
    plan = plan_of(tonic=tonic, chords="A Em")
    plain = replace(plan, chords=())
    third = (9 - tonic + 4) % 12 + 60  # of A major, where it is written
    for bar, led_to in ((0, True), (1, False)):
        more = lean_of(plan, bar).bias[0] - lean_of(plain, bar).bias[0]
        found = more[ids(f"Pitch_{third} Pitch_{third + 1}")]
        assert (found[0] > 0) == led_to and found[1] == 0
    assert not len(lean_of(plain).pairs) and len(lean_of(plan).pairs)
    # Nothing is to ring on into the next bar's chord; after the last one comes none.
    whole = VOCABULARY.id_of("Duration_6.0.2")
    assert [whole in lean_of(plan, bar).pairs[:, 1] for bar in (0, 3)] == [True, False]


WHOLE, RHYTHM = {"Position", "Pitch", "Velocity", "Duration", "Bar"}, {"Position", "Pitch", "Bar"}


@pytest.mark.parametrize(
    ("taken_up", "led_to"),
    [
        ({"form": (0, 1, 6, 0)}, [set(), WHOLE, RHYTHM, set()]),
        ({"copies": (0, 0, 2, 0), "form": (0, 0, 6, 0)}, [set(), set(), WHOLE, set()]),
        ({"figures": (0, 1, 0, 2)}, [set(), RHYTHM, set(), RHYTHM]),
        ({"figures": (0, 1, 0, 0), "form": (0, 1, 0, 0)}, [set(), WHOLE, set(), set()]),
    ],
)
def test_a_bar_is_followed_whole_in_rhythm_or_by_hand(
    taken_up: Any, led_to: list[set[str]]
) -> None:
    plan = replace(plan_of(), **taken_up)
    assert led_to == [kinds(lean_of(plan, n).pairs[:, 1]) for n in range(4)]


@pytest.mark.parametrize(("harmony", "to", "away"), [((0, 0, 2, 0), 0, 1), ((0, 0, 1, 0), 1, None)])
def test_chords_are_repeated_or_left(harmony: Any, to: int, away: int | None) -> None:
    chords = ("ChordA_0:maj ChordB_7:maj", "ChordA_5:maj ChordB_9:min")
    written = [[*ids(own), *SHORT] for own in chords]
    plan = replace(plan_of(), harmony=harmony)
    more = lean_of(plan, written).bias - lean_of(plan_of(), written).bias
    assert more[0, ids(chords[to])] == pytest.approx(2.5, abs=1e-6)
    if away is not None:
        assert more[0, ids(chords[away])] == pytest.approx(-1.5, abs=1e-6)
    assert np.count_nonzero(more) == 2 + 2 * (away is not None)


# the pairs that lead: an id, that which followed it, and its weight

BAR = ids(
    f"Position_0 {note(48)} {note(64, 'Velocity_95', 'Duration_0.6.12')} Position_12 {note(65)}"
)
FIRSTS = ["", *(f"Position_{step}" for step in range(48))]


def told(pairs: Pairs) -> dict[tuple[str, str], float]:
    """Return the weight of each pair by its texts, "" for none and SAME for the same moment."""
    ids, weights = pairs
    assert ids.dtype == np.int32 and weights.dtype == np.float32 and len(ids) == len(weights)
    found = {(TEXTS[a], TEXTS[b]): w for (a, b), w in zip(ids, weights.tolist(), strict=True)}
    assert len(found) == len(ids)
    return found


def to_the_next(*onsets: int) -> dict[tuple[str, str], float]:
    """Return what leads from each position, and from none, to the next onset or the end."""
    nexts = (next((o for o in onsets if o > step), None) for step in range(-1, 48))
    ends = ("Bar_None" if onset is None else f"Position_{onset}" for onset in nexts)
    return dict.fromkeys(zip(FIRSTS, ends, strict=True), 2.5)


def test_along_notes_every_id_follows_the_one_before_it_and_chords_lead_to_nothing() -> None:
    wanted = to_the_next(0, 12) | {
        ("Position_0", "Pitch_48"): 3.5,
        ("Pitch_48", "Velocity_63"): 0.25,
        ("Pitch_48", "Duration_1.0.12"): 1.0,
        ("Pitch_48", "SAME"): 2.5,
        ("Position_0", "Pitch_64"): 3.5,
        ("Pitch_64", "Velocity_95"): 0.25,
        ("Pitch_64", "Duration_0.6.12"): 1.0,
        ("Position_12", "Pitch_65"): 3.5,
        ("Pitch_65", "Velocity_63"): 0.25,
        ("Pitch_65", "Duration_1.0.12"): 1.0,
    }
    chords = ids("ChordA_0:maj ChordB_none")
    assert told(REPETITION.notes(BAR)) == told(REPETITION.notes([*chords, *BAR])) == wanted
    assert told(REPETITION.notes([])) == to_the_next()


@pytest.mark.parametrize(("n", "more"), [(1, -1.0), (2, 0.0), (3, 0.5), (4, 1.0), (5, 1.0)])
def test_along_a_rhythm_onsets_follow_and_as_many_notes_about_as_high(n: int, more: float) -> None:
    pitches = [48 + 13 * at for at in range(n)]
    bar = ids(" ".join(["Position_6", *(note(pitch) for pitch in pitches)]))
    near = {f"Pitch_{p + away}" for p in pitches for away in range(-5, 6) if p + away < 110}
    wanted = to_the_next(6) | dict.fromkeys((("Position_6", text) for text in near), 1.0)
    assert told(REPETITION.rhythm(bar)) == wanted | {("Position_6", "SAME"): more}


def test_no_onset_of_the_left_hand_is_passed_by_and_the_right_hand_is_free() -> None:
    wanted = {
        (f"Position_{onset}", f"Pitch_{pitch + away}"): 1.0
        for onset, pitch in ((0, 48), (24, 55))
        for away in range(-7, 8)
    }
    for first, text in enumerate(FIRSTS, start=-1):
        following = next((onset for onset in (0, 24) if onset > first), None)
        if following is not None:
            past = [f"Position_{step}" for step in range(following + 1, 48)]
            wanted |= {(text, other): -2.0 for other in (*past, "Bar_None")}
    assert told(REPETITION.left_hand(np.array([0, 24]), np.array([48, 55]))) == wanted


@pytest.mark.parametrize("octave", [-36, 0, 36])
def test_in_the_other_mode_third_sixth_and_seventh_are_altered(octave: int) -> None:
    def bar(*pitches: int) -> list[int]:
        return ids(" ".join(["Position_0", *(note(p + octave) for p in pitches)]))

    major, minor = bar(60, 62, 64, 65, 67, 69, 71), bar(60, 62, 63, 65, 67, 68, 70)
    for to_major, other in ((True, major), (False, minor)):
        for own in (major, minor):
            turned = REPETITION.notes(own, to_major=to_major)
            assert told(turned) == told(REPETITION.notes(other))
    for pitch in (21, 22, 23, 107, 108):  # at its ends they stay on the piano
        for to_major in (True, False):
            led_to = REPETITION.notes(bar(pitch - octave), to_major=to_major)[0][:, 1]
            assert any(text.startswith("Pitch_") for text in map(TEXTS.__getitem__, led_to))


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
