from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.composing import curve_of, given, tune
from synthetic import make_mapper, make_response

from emomusic.compose.plan import ClipPlan, plan_clip
from emomusic.compose.primer import read_primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.compose.steerer import (
    Steerer,
    attribute_weights,
    goals_by_bar,
    operating_point,
    operating_points,
    targets_in_c,
)
from emomusic.compose.token_plan import BarPlan, TokenPlan, clip_grammar, to_script
from emomusic.emotion import Emotion
from emomusic.model.engine import LogitBias
from emomusic.model.grammar import Script
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.tokenizer import Tokenizer

JOY = Emotion(0.8, 0.6, "joy")
TOKENIZER = Tokenizer()
VOCABULARY = TOKENIZER.vocabulary
SAME = len(VOCABULARY)
GRAMMAR = clip_grammar(VOCABULARY)
RESPONSE = make_response()


def ids(text: str) -> list[int]:
    return [VOCABULARY.id_of(word) for word in text.split()]


BAR = ids("Position_0 Pitch_60 Velocity_63 Duration_1.0.12 Position_24 Pitch_64 Velocity_79 "
          "Duration_2.0.4")  # fmt: skip


def draft_of(emotion: Emotion | None = JOY, **asked: Any) -> ClipPlan:
    request = Request(emotion, **{"n_bars": 4, "tonic": 0, **asked})
    return plan_clip(request, make_mapper(), seed=1, index=0)


def script(plan: ClipPlan) -> Script:
    tokens = TokenPlan((), (BarPlan(),) * plan.n_bars, beats_per_bar=plan.request.beats_per_bar)
    return to_script(tokens, VOCABULARY, GRAMMAR, context=2048)


def lean_of(plan: ClipPlan, n_written: int = 0, **settings: Any) -> LogitBias:
    steer = Steerer(TOKENIZER, RESPONSE, **settings).steer(plan, script(plan))
    assert steer is not None
    lean = steer([BAR] * n_written)
    assert lean is not None
    return lean


def octave(lean: LogitBias) -> float:
    low, high = ids("Pitch_60 Pitch_72")
    return float(lean.bias[0, high] - lean.bias[0, low])


def test_nothing_steers_where_nothing_was_measured_or_it_is_not_wanted() -> None:
    plan, off = draft_of(), draft_of(steering=False)
    assert Steerer(TOKENIZER, None).steer(plan, script(plan)) is None
    assert Steerer(TOKENIZER, RESPONSE).steer(off, script(off)) is None
    assert Steerer(TOKENIZER, RESPONSE).steer(plan, script(plan)) is not None


def test_a_clip_is_steered_towards_its_targets() -> None:
    high, low = (octave(lean_of(draft_of(None, fixed={"register": r}))) for r in (75, 50))
    assert low < 0 < high


def test_what_is_free_is_not_steered() -> None:
    assert not lean_of(draft_of(None)).bias.any()
    assert not lean_of(draft_of(None), 1).bias.any()


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
def test_every_metre_is_steered(beats_per_bar: int) -> None:
    lean = lean_of(draft_of(beats_per_bar=beats_per_bar))
    assert lean.bias.shape == (2, len(VOCABULARY) + 1) and lean.bias.any()


def test_it_hears_what_was_written() -> None:
    plan = draft_of(beats_per_bar=3, tempo=90)
    passage = Steerer(TOKENIZER, RESPONSE).passage(plan, script(plan), [BAR, BAR])
    assert passage.notes.pitch.tolist() == [60, 64, 60, 64]
    assert passage.notes.onset.tolist() == [0, 2, 3, 5]
    assert passage.notes.velocity.tolist() == [63, 79, 63, 79]
    assert (passage.n_beats, passage.tempo) == (6.0, 90.0)


def test_what_is_asked_for_by_itself_matters_more() -> None:
    by_itself = draft_of(fixed={"register": 75.0})
    by_emotion = replace(by_itself, request=replace(by_itself.request, fixed={}))
    others = dict.fromkeys(ATTRIBUTE_NAMES, 0.2)
    assert octave(lean_of(by_itself, weights=others)) > octave(lean_of(by_emotion, weights=others))
    bar_by_bar = replace(by_emotion, request=replace(by_emotion.request,
                                                     per_bar={"register": [75.0] * 4}))  # fmt: skip
    assert octave(lean_of(bar_by_bar, weights=others)) > octave(lean_of(by_emotion, weights=others))


def test_goals_are_moved_to_c_where_the_clip_is_written() -> None:
    plan = draft_of(tonic=2, fixed={"register": 70.0, "note_density": 3.0})
    assert targets_in_c(plan)["register"] == 68.0 and targets_in_c(plan)["note_density"] == 3.0
    assert goals_by_bar(plan)["register"] == [68.0] * 4
    assert plan.targets["register"] == 70.0
    assert goals_by_bar(draft_of(tonic=11, fixed={"register": 70.0}))["register"] == [71.0] * 4


def test_a_bars_own_goals_come_before_the_clips() -> None:
    own = {"register": [60.0, 62.0, 64.0, 66.0], "velocity_mean": [40.0, 50.0, 60.0, 70.0]}
    plan = draft_of(tonic=2, fixed={"register": 70.0}, per_bar=own)
    goals = goals_by_bar(plan)
    assert goals["register"] == [58.0, 60.0, 62.0, 64.0]
    assert goals["velocity_mean"] == own["velocity_mean"]
    assert set(goals) == set(ATTRIBUTE_NAMES)
    assert goals_by_bar(draft_of(None, per_bar=own)).keys() == own.keys()
    assert all(len(goal) == 4 for goal in goals.values())


def test_levers_turn_about_what_is_asked_for() -> None:
    asked = {"register": 70.0, "velocity_mean": 90.0, "note_length": 2.0, "mode": -0.2}
    point = operating_point(asked)
    assert (point.pitch, point.velocity, point.is_major) == (70.0, 90.0, False)
    assert 0 < point.length <= 2.0
    assert operating_point({**asked, "note_length": 0.5}).length < point.length


def test_where_nothing_is_asked_for_levers_turn_about_the_middle() -> None:
    point = operating_point({})
    assert 21 < point.pitch < 108 and 1 < point.velocity < 127 and point.length > 0
    assert point.is_major
    assert operating_point({"note_length": -5.0}).length > 0


def test_attributes_matter_as_they_tell_emotions_apart() -> None:
    weights = attribute_weights({"mode": 0.9, "tempo": 0.3, "register": 0.0, "silence": 0.6})
    assert weights["mode"] == 1.0
    assert weights["mode"] > weights["silence"] > weights["tempo"] > weights["register"] > 0


CURVE = curve_of((0, -0.6, -0.6), (4, 0.6, 0.6))


def test_levers_turn_about_what_each_bar_of_a_curve_asks_for() -> None:
    plan = draft_of(curve=CURVE, tonic=2)
    assert [c.pitch for c in operating_points(plan)] == [
        v - 2 for v in plan.bar_targets["register"]
    ]
    assert [c.velocity for c in operating_points(plan)] == list(plan.bar_targets["velocity_mean"])
    assert [c.is_major for c in operating_points(plan)] == [
        m >= 0 for m in plan.bar_targets["mode"]
    ]


def test_without_a_curve_levers_turn_about_the_clips_targets() -> None:
    for asked in ({}, {"per_bar": {"register": [50.0, 60.0, 70.0, 80.0]}}):
        plan = draft_of(**asked)
        assert operating_points(plan) == [operating_point(targets_in_c(plan))] * 4


def test_a_curve_steers_each_bar_towards_its_own_goals() -> None:
    plan = draft_of(None)
    turned = replace(
        plan,
        request=replace(plan.request, emotion=JOY, curve=CURVE),
        targets={"register": 62.5},
        bar_targets={"register": (50.0, 50.0, 75.0, 75.0)},
    )
    assert octave(lean_of(turned)) < 0 < octave(lean_of(turned, 2))


def test_a_curve_is_followed_more_smoothly_than_bars_that_are_asked_for() -> None:
    own = (55.0, 55.0, 70.0, 70.0)
    abrupt = replace(draft_of(None), targets={"register": 62.5}, bar_targets={"register": own})
    request = replace(abrupt.request, emotion=JOY, curve=CURVE)
    smooth = replace(abrupt, request=request)
    assert octave(lean_of(abrupt)) < octave(lean_of(smooth)) < 0


def themed(use: str, *, is_minor: bool, follows: Any, **asked: Any) -> ClipPlan:
    music = given(tune(4, is_minor=is_minor), use)
    request = Request(None, **{"given": music, "n_bars": 4, **asked})
    primer = read_primer(music.score, TOKENIZER)
    plan = plan_clip(request, make_mapper(), seed=1, index=0, primer=primer)
    return replace(plan, follows=follows)


@pytest.mark.parametrize("use", [CONTINUE, VARY])
def test_bars_that_are_there_already_are_taken_up(use: str) -> None:
    plan = themed(use, is_minor=False, follows=(1, None, 3, 2))
    assert plan.primer is not None
    for n_written, followed in ((0, 1), (2, 3), (3, 2)):
        led_to = {*lean_of(plan, n_written).pairs[:, 1].tolist()}
        notes = plan.primer.bars[followed][2:]  # its chords are left out
        assert led_to - {len(VOCABULARY)} == {*notes, VOCABULARY.id_of("Bar_None")}
    assert not len(lean_of(plan, 1).pairs)


def third(lean: LogitBias) -> set[str]:
    texts = (*VOCABULARY.texts, "SAME")
    return {"Pitch_63", "Pitch_64"} & {texts[token] for token in lean.pairs[:, 1]}


@pytest.mark.parametrize(("is_minor", "own"), [(False, "Pitch_64"), (True, "Pitch_63")])
def test_what_is_taken_up_in_the_other_mode_is_altered(is_minor: bool, own: str) -> None:
    other = {"Pitch_64": "Pitch_63", "Pitch_63": "Pitch_64"}[own]
    same = themed(VARY, is_minor=is_minor, follows=(0, 1, 2, 3), is_major=not is_minor)
    assert third(lean_of(same)) == {own}
    turned = themed(VARY, is_minor=is_minor, follows=(0, 1, 2, 3), is_major=is_minor)
    assert third(lean_of(turned)) == {other}


def test_following_a_bar_does_not_change_the_course() -> None:
    free, bound = (
        themed(VARY, is_minor=False, follows=own) for own in ((None,) * 4, (None, 0, 0, None))
    )
    np.testing.assert_array_equal(lean_of(free, 2).bias, lean_of(bound, 2).bias)
    assert not len(lean_of(free, 2).pairs)


def test_attributes_that_the_response_does_not_know_are_not_steered() -> None:
    few = replace(
        RESPONSE,
        **{name: getattr(RESPONSE, name)[:5] for name in ("mean", "scale", "start", "pulled")},
        asked=RESPONSE.asked[:5, :5],
        attributes=RESPONSE.attributes[:5],
    )
    plan = draft_of(None, fixed={"register": 75.0})
    steer = Steerer(TOKENIZER, few).steer(plan, script(plan))
    assert steer is not None
    assert not lean.bias.any() if (lean := steer([])) is not None else False


@pytest.mark.parametrize("tonic", [0, 9])
def test_notes_are_led_along_chords_that_are_given_moved_to_c(tonic: int) -> None:
    plan = draft_of(tonic=tonic, chords="A Em")
    plain = replace(plan, chords=())
    third = (9 - tonic + 4) % 12 + 60  # of A major, where it is written
    for bar, led_to in ((0, True), (1, False)):
        more = lean_of(plan, bar).bias[0] - lean_of(plain, bar).bias[0]
        found = [more[VOCABULARY.id_of(f"Pitch_{p}")] for p in (third, third + 1)]
        assert (found[0] > 0) == led_to and found[1] == 0
    assert not len(lean_of(plain).pairs) and len(lean_of(plan).pairs)


WHOLE, RHYTHM = {"Position", "Pitch", "Velocity", "Duration", "Bar"}, {"Position", "Pitch", "Bar"}


@pytest.mark.parametrize(
    ("taken_up", "kinds"),
    [
        ({"form": (0, 1, 6, 0)}, [set(), WHOLE, RHYTHM, set()]),
        ({"copies": (0, 0, 2, 0), "form": (0, 0, 6, 0)}, [set(), set(), WHOLE, set()]),
        ({"figures": (0, 1, 0, 2)}, [set(), RHYTHM, set(), RHYTHM]),
        ({"figures": (0, 1, 0, 0), "form": (0, 1, 0, 0)}, [set(), WHOLE, set(), set()]),
    ],
)
def test_a_bar_of_the_clips_own_is_followed_whole_in_rhythm_or_by_the_left_hand(
    taken_up: dict[str, tuple[int, ...]], kinds: list[set[str]]
) -> None:
    plan = replace(draft_of(), **taken_up)
    assert kinds == [
        {VOCABULARY.texts[i].split("_")[0] for i in lean_of(plan, n).pairs[:, 1] if i < SAME}
        for n in range(4)
    ]


def test_harmony_moves_away_from_the_bar_before_where_the_drawn_piece_does() -> None:
    chords = ("ChordA_0:maj ChordB_7:maj", "ChordA_5:maj ChordB_9:min")
    written = [[*ids(own), *BAR] for own in chords]
    biases = []
    for harmony in ((0, 0, 2, 0), (0, 0, 0, 0)):
        plan = replace(draft_of(), harmony=harmony)
        steer = Steerer(TOKENIZER, RESPONSE).steer(plan, script(plan))
        assert steer is not None
        biases.append(steer(written))
    assert biases[0] is not None and biases[1] is not None
    more = (biases[0].bias - biases[1].bias)[0]
    assert all(more[ids(chords[0])] > 0) and all(more[ids(chords[1])] < 0)
    assert np.count_nonzero(more) == 4


def test_a_bar_is_led_to_the_chords_that_it_repeats() -> None:
    plan = replace(draft_of(), harmony=(0, 1, 0, 0))
    steer, free = (
        Steerer(TOKENIZER, RESPONSE).steer(own, script(own)) for own in (plan, draft_of())
    )
    assert steer is not None and free is not None
    written = [[*ids("ChordA_0:maj ChordB_7:maj"), *BAR]]
    led, plain = steer(written), free(written)
    assert led is not None and plain is not None
    more = led.bias - plain.bias
    found = {VOCABULARY.texts[i] for i in np.flatnonzero(more[0])}
    assert found == {"ChordA_0:maj", "ChordB_7:maj"} and not more[1].any()
