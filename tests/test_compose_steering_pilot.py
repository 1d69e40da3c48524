from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic import make_mapper, make_response

from emomusic.compose.draft import Draft, make_draft
from emomusic.compose.guide import Plan, clip_grammar, script_of
from emomusic.compose.request import Request
from emomusic.compose.steering.pilot import Pilot, centre_of, goals_of, weights_of, written
from emomusic.emotion import Emotion
from emomusic.model.engines.engine import Lean
from emomusic.model.engines.grammar import Script
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.tokenizer import Tokenizer

JOY = Emotion(0.8, 0.6, "joy")
TOKENIZER = Tokenizer()
VOCABULARY = TOKENIZER.vocabulary
GRAMMAR = clip_grammar(VOCABULARY)
RESPONSE = make_response()


def ids(text: str) -> list[int]:
    return [VOCABULARY.id_of(word) for word in text.split()]


BAR = ids("Position_0 Pitch_60 Velocity_63 Duration_1.0.12 Position_24 Pitch_64 Velocity_79 "
          "Duration_2.0.4")  # fmt: skip


def draft_of(emotion: Emotion | None = JOY, *, form: Any = None, **asked: Any) -> Draft:
    request = Request(emotion, **{"n_bars": 4, "tonic": 0, **asked})
    draft = make_draft(request, make_mapper(), seed=1, index=0)
    return replace(draft, form=form or (None,) * draft.n_bars)


def script(draft: Draft) -> Script:
    plan = Plan(controls=(), bar_controls=((),) * draft.n_bars,
                beats_per_bar=draft.request.beats_per_bar)  # fmt: skip
    return script_of(plan, VOCABULARY, GRAMMAR, max_repeated=0)


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
    assert lean.bias.shape == (2, len(VOCABULARY)) and lean.bias.any()


def test_a_bar_that_takes_up_an_earlier_one_is_led_along_it() -> None:
    draft = draft_of(form=(None, None, 0, None))
    plain, led = lean_of(draft, 1), lean_of(draft, 2)
    assert not len(plain.pairs) and len(led.pairs) == len(led.weights) > 0
    assert set(led.pairs[:, 1].tolist()) == {*BAR, VOCABULARY.id_of("Bar_None")}


def test_taking_up_a_bar_does_not_change_the_course() -> None:
    free, bound = draft_of(), draft_of(form=(None, 0, 0, None))
    np.testing.assert_array_equal(lean_of(free, 2).bias, lean_of(bound, 2).bias)


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
