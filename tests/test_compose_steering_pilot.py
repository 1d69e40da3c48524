from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from composing_cases import curve_of, given, tune
from synthetic import make_mapper, make_response

from emomusic.compose.asking.given import CONTINUE, VARY, read_theme
from emomusic.compose.asking.request import Request
from emomusic.compose.drafting.draft import Draft, make_draft
from emomusic.compose.drafting.guide import BarPlan, Plan, clip_grammar, script_of
from emomusic.compose.steering.pilot import (
    Pilot,
    centre_of,
    centres_of,
    goals_of,
    weights_of,
    written,
)
from emomusic.emotion import Emotion
from emomusic.model.engine import Lean
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


def draft_of(emotion: Emotion | None = JOY, **asked: Any) -> Draft:
    request = Request(emotion, **{"n_bars": 4, "tonic": 0, **asked})
    return make_draft(request, make_mapper(), seed=1, index=0)


def script(draft: Draft) -> Script:
    plan = Plan((), (BarPlan(),) * draft.n_bars, beats_per_bar=draft.request.beats_per_bar)
    return script_of(plan, VOCABULARY, GRAMMAR, context=2048)


def lean_of(draft: Draft, n_written: int = 0, **settings: Any) -> Lean:
    steer = Pilot(TOKENIZER, RESPONSE, **settings).steer(draft, script(draft))
    assert steer is not None
    lean = steer([BAR] * n_written)
    assert lean is not None
    return lean


def octave(lean: Lean) -> float:
    low, high = ids("Pitch_60 Pitch_72")
    return float(lean.bias[0, high] - lean.bias[0, low])


def test_nothing_steers_where_nothing_was_measured_or_it_is_not_wanted() -> None:
    draft, off = draft_of(), draft_of(steering=False)
    assert Pilot(TOKENIZER, None).steer(draft, script(draft)) is None
    assert Pilot(TOKENIZER, RESPONSE).steer(off, script(off)) is None
    assert Pilot(TOKENIZER, RESPONSE).steer(draft, script(draft)) is not None


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
    draft = draft_of(beats_per_bar=3, tempo=90)
    passage = Pilot(TOKENIZER, RESPONSE).passage(draft, script(draft), [BAR, BAR])
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
    draft = draft_of(tonic=2, fixed={"register": 70.0, "note_density": 3.0})
    assert written(draft)["register"] == 68.0 and written(draft)["note_density"] == 3.0
    assert goals_of(draft)["register"] == [68.0] * 4
    assert draft.targets["register"] == 70.0
    assert goals_of(draft_of(tonic=11, fixed={"register": 70.0}))["register"] == [71.0] * 4


def test_a_bars_own_goals_come_before_the_clips() -> None:
    own = {"register": [60.0, 62.0, 64.0, 66.0], "velocity_mean": [40.0, 50.0, 60.0, 70.0]}
    draft = draft_of(tonic=2, fixed={"register": 70.0}, per_bar=own)
    goals = goals_of(draft)
    assert goals["register"] == [58.0, 60.0, 62.0, 64.0]
    assert goals["velocity_mean"] == own["velocity_mean"]
    assert set(goals) == set(ATTRIBUTE_NAMES)
    assert goals_of(draft_of(None, per_bar=own)).keys() == own.keys()
    assert all(len(goal) == 4 for goal in goals.values())


def test_levers_turn_about_what_is_asked_for() -> None:
    asked = {"register": 70.0, "velocity_mean": 90.0, "note_length": 2.0, "mode": -0.2}
    centre = centre_of(asked)
    assert (centre.pitch, centre.velocity, centre.is_major) == (70.0, 90.0, False)
    assert 0 < centre.length <= 2.0
    assert centre_of({**asked, "note_length": 0.5}).length < centre.length


def test_where_nothing_is_asked_for_levers_turn_about_the_middle() -> None:
    centre = centre_of({})
    assert 21 < centre.pitch < 108 and 1 < centre.velocity < 127 and centre.length > 0
    assert centre.is_major
    assert centre_of({"note_length": -5.0}).length > 0


def test_attributes_matter_as_they_tell_emotions_apart() -> None:
    weights = weights_of({"mode": 0.9, "tempo": 0.3, "register": 0.0, "silence": 0.6})
    assert weights["mode"] == 1.0
    assert weights["mode"] > weights["silence"] > weights["tempo"] > weights["register"] > 0


CURVE = curve_of((0, -0.6, -0.6), (4, 0.6, 0.6))


def test_levers_turn_about_what_each_bar_of_a_curve_asks_for() -> None:
    draft = draft_of(curve=CURVE, tonic=2)
    assert [c.pitch for c in centres_of(draft)] == [v - 2 for v in draft.course["register"]]
    assert [c.velocity for c in centres_of(draft)] == list(draft.course["velocity_mean"])
    assert [c.is_major for c in centres_of(draft)] == [m >= 0 for m in draft.course["mode"]]


def test_without_a_curve_levers_turn_about_the_clips_targets() -> None:
    for asked in ({}, {"per_bar": {"register": [50.0, 60.0, 70.0, 80.0]}}):
        draft = draft_of(**asked)
        assert centres_of(draft) == [centre_of(written(draft))] * 4


def test_a_curve_steers_each_bar_towards_its_own_goals() -> None:
    draft = draft_of(None)
    turned = replace(
        draft,
        request=replace(draft.request, emotion=JOY, curve=CURVE),
        targets={"register": 62.5},
        course={"register": (50.0, 50.0, 75.0, 75.0)},
    )
    assert octave(lean_of(turned)) < 0 < octave(lean_of(turned, 2))


def test_a_curve_is_followed_more_smoothly_than_bars_that_are_asked_for() -> None:
    own = (55.0, 55.0, 70.0, 70.0)
    abrupt = replace(draft_of(None), targets={"register": 62.5}, course={"register": own})
    request = replace(abrupt.request, emotion=JOY, curve=CURVE)
    smooth = replace(abrupt, request=request)
    assert octave(lean_of(abrupt)) < octave(lean_of(smooth)) < 0


def themed(use: str, *, is_minor: bool, follows: Any, **asked: Any) -> Draft:
    music = given(tune(4, is_minor=is_minor), use)
    request = Request(None, **{"given": music, "n_bars": 4, **asked})
    theme = read_theme(music.score, TOKENIZER)
    draft = make_draft(request, make_mapper(), seed=1, index=0, theme=theme)
    return replace(draft, follows=follows)


@pytest.mark.parametrize("use", [CONTINUE, VARY])
def test_bars_that_are_there_already_are_taken_up(use: str) -> None:
    draft = themed(use, is_minor=False, follows=(1, None, 3, 2))
    assert draft.theme is not None
    for n_written, followed in ((0, 1), (2, 3), (3, 2)):
        led_to = {*lean_of(draft, n_written).pairs[:, 1].tolist()}
        notes = draft.theme.bars[followed][2:]  # its chords are left out
        assert led_to - {len(VOCABULARY)} == {*notes, VOCABULARY.id_of("Bar_None")}
    assert not len(lean_of(draft, 1).pairs)


def third(lean: Lean) -> set[str]:
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
    draft = draft_of(None, fixed={"register": 75.0})
    steer = Pilot(TOKENIZER, few).steer(draft, script(draft))
    assert steer is not None
    assert not lean.bias.any() if (lean := steer([])) is not None else False


@pytest.mark.parametrize("tonic", [0, 9])
def test_notes_are_led_along_chords_that_are_given_moved_to_c(tonic: int) -> None:
    draft = draft_of(tonic=tonic, chords="A Em")
    plain = replace(draft, chords=())
    third = (9 - tonic + 4) % 12 + 60  # of A major, where it is written
    for bar, led_to in ((0, True), (1, False)):
        more = lean_of(draft, bar).bias[0] - lean_of(plain, bar).bias[0]
        found = [more[VOCABULARY.id_of(f"Pitch_{p}")] for p in (third, third + 1)]
        assert (found[0] > 0) == led_to and found[1] == 0
    assert not len(lean_of(plain).pairs) and len(lean_of(draft).pairs)


def test_a_bar_of_the_clips_own_is_followed_whole_or_in_rhythm() -> None:
    draft = replace(draft_of(), form=(0, 1, 6, 0))
    kinds = [
        {VOCABULARY.texts[i].split("_")[0] for i in lean_of(draft, n).pairs[:, 1] if i < SAME}
        for n in range(4)
    ]
    assert kinds[0] == kinds[3] == set() and kinds[2] == {"Position", "Bar"}
    assert kinds[1] == {"Position", "Pitch", "Velocity", "Duration", "Bar"}


def test_a_bar_is_led_to_the_chords_that_it_repeats() -> None:
    draft = replace(draft_of(), harmony=(0, 1, 0, 0))
    steer, free = (
        Pilot(TOKENIZER, RESPONSE).steer(own, script(own)) for own in (draft, draft_of())
    )
    assert steer is not None and free is not None
    written = [[*ids("ChordA_0:maj ChordB_7:maj"), *BAR]]
    led, plain = steer(written), free(written)
    assert led is not None and plain is not None
    more = led.bias - plain.bias
    found = {VOCABULARY.texts[i] for i in np.flatnonzero(more[0])}
    assert found == {"ChordA_0:maj", "ChordB_7:maj"} and not more[1].any()
