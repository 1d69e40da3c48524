from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.composing import curve_of
from synthetic import make_mapper

from emomusic.compose.plan import SAID_BY_CHORDS, ClipPlan, plan_clip
from emomusic.compose.request import Request
from emomusic.compose.token_plan import Controls, transposition
from emomusic.emotion import Emotion
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import format_chords
from emomusic.music.form import FORM_BARS, FormTable, bars_back
from emomusic.music.tokenizer import (
    HIGHEST_PITCH,
    LOWEST_PITCH,
    N_BINS,
    bin_edges,
    built_vocabulary,
)

JOY = Emotion(0.8, 0.6, "joy")
MAPPER = make_mapper()
FORMS = FormTable(("0006333066066444", "0000333344440000", "0101010101010101"))
VOCABULARY = built_vocabulary()
RANGES = {a.name: np.linspace(a.low, a.high, N_BINS * 10) for a in ATTRIBUTES}


def controls(names: tuple[str, ...], *, per_bar: bool = False) -> Controls:
    edges = np.stack([bin_edges(RANGES[name]) for name in names])
    return Controls(names, edges, VOCABULARY.control_ids(names, per_bar=per_bar))


CLIP, BAR = controls(ATTRIBUTE_NAMES), controls(BAR_ATTRIBUTE_NAMES, per_bar=True)


def draft_of(request: Request, *, seed: int = 1, index: int = 0, candidate: int = 0) -> ClipPlan:
    return plan_clip(request, MAPPER, seed=seed, index=index, candidate=candidate, forms=FORMS)


def texts(ids: tuple[int, ...]) -> list[str]:
    return [VOCABULARY.texts[token] for token in ids]


def bin_of(text: str) -> int:
    return int(text.split("_")[1])


def names_of(ids: tuple[int, ...]) -> list[str]:
    kinds = [text.split("_")[0] for text in texts(ids)]
    return [kind.split("-", 1)[1].replace("-", "_") for kind in kinds]


def test_what_a_checkpoint_was_not_trained_with_cannot_be_asked_for() -> None:
    few = controls(("mode", "tempo"))
    assert names_of(few.ids(dict.fromkeys(ATTRIBUTE_NAMES, 0.1), shift=0)) == ["mode", "tempo"]
    few.check(["tempo"])
    with pytest.raises(ValueError, match="was trained without silence; it can be asked for mode,"):
        few.check(["tempo", "silence"])


def test_what_is_absent_has_no_control() -> None:
    found = CLIP.ids({"mode": 0.2, "tempo": 100.0}, shift=0)
    assert names_of(found) == ["tempo", "mode"]
    assert CLIP.ids({}, shift=0) == ()
    everything = dict.fromkeys(ATTRIBUTE_NAMES, 0.0)
    assert names_of(CLIP.ids(everything, shift=0)) == list(ATTRIBUTE_NAMES)


def test_controls_come_in_the_order_of_the_registry() -> None:
    asked = dict.fromkeys(reversed(ATTRIBUTE_NAMES), 1.0)
    assert names_of(CLIP.ids(asked, shift=0)) == list(ATTRIBUTE_NAMES)


@pytest.mark.parametrize("name", ATTRIBUTE_NAMES)
def test_a_control_says_the_bin_of_its_value(name: str) -> None:
    low, high = RANGES[name][0], RANGES[name][-1]
    middles = low + (high - low) * (np.arange(N_BINS) + 0.5) / N_BINS
    found = [bin_of(texts(CLIP.ids({name: m}, shift=0))[0]) for m in middles.tolist()]
    assert found == list(range(N_BINS))
    for far, expected in ((-1e9, 0), (1e9, N_BINS - 1)):
        assert bin_of(texts(CLIP.ids({name: far}, shift=0))[0]) == expected


def test_a_value_on_an_edge_belongs_to_the_bin_above() -> None:
    edge = float(bin_edges(RANGES["tempo"])[3])
    assert bin_of(texts(CLIP.ids({"tempo": edge}, shift=0))[0]) == 4
    assert bin_of(texts(CLIP.ids({"tempo": edge - 1e-9}, shift=0))[0]) == 3


@pytest.mark.parametrize("shift", [-6, -1, 2, 5])
def test_the_register_is_moved_to_c_and_nothing_else(shift: int) -> None:
    asked = {name: float(RANGES[name].mean()) for name in ATTRIBUTE_NAMES}
    there = {**asked, "register": asked["register"] + shift}
    assert CLIP.ids(there, shift=shift) == CLIP.ids(asked, shift=0)
    assert CLIP.ids({"mode": 0.1}, shift=shift) == CLIP.ids({"mode": 0.1}, shift=0)


@pytest.mark.parametrize("tonic", range(12))
def test_a_plan_is_written_in_c_whatever_the_tonic(tonic: int) -> None:
    shift = transposition(tonic)
    home = Request(None, n_bars=2, tonic=0, fixed={"register": 60.0, "mode": 0.2},
                   per_bar={"register": [50.0, 72.0]})  # fmt: skip
    away = Request(None, n_bars=2, tonic=tonic, fixed={"register": 60.0 + shift, "mode": 0.2},
                   per_bar={"register": [50.0 + shift, 72.0 + shift]})  # fmt: skip
    tokens, moved = (draft_of(request).to_tokens(CLIP, BAR) for request in (home, away))
    assert moved.controls == tokens.controls and moved.bars == tokens.bars
    assert moved.lowest + shift >= LOWEST_PITCH and moved.highest + shift <= HIGHEST_PITCH
    assert LOWEST_PITCH <= moved.lowest < moved.highest <= HIGHEST_PITCH


def test_bars_have_the_controls_that_are_asked_of_them() -> None:
    per_bar = {"register": [50.0, 60.0, 70.0], "note_density": [1.0, 8.0, 1.0]}
    tokens = draft_of(Request(None, n_bars=3, tonic=0, per_bar=per_bar)).to_tokens(CLIP, BAR)
    assert tokens.controls == () and tokens.n_bars == 3
    for bar in tokens.bars:
        assert names_of(bar.controls) == ["note_density", "register"]
        assert all(text.startswith("BarControl-") for text in texts(bar.controls))
    bins = (map(bin_of, texts(bar.controls)) for bar in tokens.bars)
    density, register = zip(*bins, strict=True)
    assert density[0] == density[2] < density[1] and list(register) == sorted(set(register))


def test_bars_that_are_asked_for_nothing_have_no_controls() -> None:
    tokens = draft_of(Request(JOY, n_bars=5)).to_tokens(CLIP, BAR)
    assert {bar.controls for bar in tokens.bars} == {()} and tokens.n_bars == 5
    assert names_of(tokens.controls) == list(ATTRIBUTE_NAMES)


def test_bars_are_asked_beside_the_clip() -> None:
    plan = draft_of(Request(JOY, n_bars=2, per_bar={"polyphony": [1.0, 6.0]}))
    plain = draft_of(Request(JOY, n_bars=2))
    assert plan.targets == plain.targets
    assert plan.to_tokens(CLIP, BAR).controls == plain.to_tokens(CLIP, BAR).controls


def test_without_an_emotion_nothing_is_aimed_at() -> None:
    plan = draft_of(Request(None))
    assert plan.targets == {} and plan.n_bars == 16 and plan.is_major
    assert plan.tempo == pytest.approx(MAPPER.middle["tempo"], abs=0.1)
    tokens = plan.to_tokens(CLIP, BAR)
    assert tokens.controls == () and tokens.n_bars == 16
    assert {(bar.controls, bar.chords) for bar in tokens.bars} == {((), None)}


@pytest.mark.parametrize(
    ("asked", "targets"),
    [
        ({"fixed": {"register": 60.0}}, {"register": 60.0}),
        ({"tempo": 90.0}, {"tempo": 90.0}),
        ({"fixed": {"tempo": 77.0}}, {"tempo": 77.0}),
        ({"seconds": 20.0}, {}),
        ({"tonic": 3}, {}),
        ({"n_bars": 2, "per_bar": {"register": [60.0, 61.0]}}, {}),
    ],
)
def test_without_an_emotion_only_what_is_fixed_is_aimed_at(
    asked: dict[str, Any], targets: dict[str, float]
) -> None:
    plan = draft_of(Request(None, **asked))
    assert plan.targets == targets
    assert names_of(plan.to_tokens(CLIP, BAR).controls) == list(targets)
    assert plan.tempo == targets.get("tempo", plan.tempo)


@pytest.mark.parametrize("is_major", [True, False])
def test_without_an_emotion_a_mode_may_be_asked_for(is_major: bool) -> None:
    plan = draft_of(Request(None, is_major=is_major))
    assert set(plan.targets) == {"mode"} and plan.is_major == is_major
    assert (plan.targets["mode"] > 0) == is_major


def test_what_is_fixed_comes_before_the_emotion() -> None:
    free, fixed = draft_of(Request(JOY)), draft_of(Request(JOY, fixed={"note_length": 1.5}))
    assert fixed.targets == {**free.targets, "note_length": 1.5}
    assert (fixed.tonic, fixed.tempo, fixed.form) == (free.tonic, free.tempo, free.form)


def test_a_free_mode_counts_as_major() -> None:
    for mode, is_major in ((0.1, True), (-0.1, False), (0.0, True)):
        assert draft_of(Request(None, fixed={"mode": mode})).is_major == is_major


def test_the_same_numbers_give_the_same_draft() -> None:
    request = Request(JOY)
    first = draft_of(request, index=3)
    again = draft_of(request, index=3)
    assert (first.targets, first.tonic, first.form) == (again.targets, again.tonic, again.form)
    assert first.rng.random() == again.rng.random()
    others = [draft_of(request, index=4), draft_of(request, seed=2, index=3),
              draft_of(request, index=3, candidate=1)]  # fmt: skip
    assert all(other.targets != first.targets for other in others)


def test_every_bar_has_its_place_in_the_form() -> None:
    for n_bars in (1, 4, 16, 50):
        assert len(draft_of(Request(JOY, n_bars=n_bars)).form) == n_bars
    long = draft_of(Request(JOY, seconds=60.0))
    assert len(long.form) == long.n_bars
    forms = {draft_of(Request(JOY), index=index).form for index in range(40)}
    assert len(forms) == 3 and all(any(form) and form[-2:] == (0, 0) for form in forms)
    assert plan_clip(Request(JOY), MAPPER, seed=1, index=0).form == (0,) * 16


def test_chords_copies_and_figures_are_as_in_the_piece_whose_form_is_drawn() -> None:
    forms = FormTable(("0" * 16,), ("0000" + "1" * 12,), ("0" * 8 + "4" * 8,), ("5" + "1" * 15,))
    free = plan_clip(Request(JOY), MAPPER, seed=1, index=0, forms=forms)
    assert free.harmony == (0,) * 4 + (4,) * 10 + (0,) * 2
    assert free.copies == (0,) * 8 + (8,) * 6 + (0,) * 2
    assert free.figures == (0,) + (1,) * 13 + (0,) * 2
    bound = plan_clip(Request(JOY, chords="C F"), MAPPER, seed=1, index=0, forms=forms)
    assert not any(bound.harmony) and not any(bound.copies) and any(bound.figures)
    assert not any(draft_of(Request(JOY)).harmony)


@pytest.mark.parametrize(
    ("name", "is_led"), [("register", False), ("mode", False), ("note_length", True)]
)
def test_where_a_form_would_hold_on_to_what_is_missed_no_bar_takes_up_another(
    name: str, is_led: bool
) -> None:
    forms = FormTable(("0" * 8 + "3" * 8,), ("1" * 16,), ("4" * 16,), ("1" * 16,))
    request = Request(None, fixed={name: MAPPER.middle[name]})
    plan = plan_clip(request, MAPPER, seed=1, index=0, forms=forms)
    for own in (plan.form, plan.harmony, plan.copies, plan.figures):
        assert any(own) == is_led


def test_bars_that_are_asked_for_one_by_one_take_up_nothing() -> None:
    asked = [Request(JOY, n_bars=16, per_bar={"register": [60.0] * 16}), Request(JOY, n_bars=16)]
    for index in range(10):
        bound, free = (draft_of(request, index=index) for request in asked)
        assert bound.form == (0,) * 16
        assert bound.rng.random() == free.rng.random()


def test_steering_and_settings_of_sampling_draw_nothing() -> None:
    plain = draft_of(Request(JOY))
    for changes in ({"steering": False}, {"temperature": 0.5}, {"guidance": 2.0}):
        other = draft_of(Request(JOY, **changes))
        assert (other.targets, other.form) == (plain.targets, plain.form)
        plain_rng, other_rng = draft_of(Request(JOY)).rng, other.rng
        assert other_rng.random() == plain_rng.random()


# chords


def chords_in_c(request: Request, **numbers: int) -> list[str]:
    tokens = draft_of(request, **numbers).to_tokens(CLIP, BAR)
    return format_chords([bar.chords or (0, 0) for bar in tokens.bars]).split()


def test_chords_are_repeated_to_the_end_and_moved_to_c() -> None:
    request = Request(JOY, n_bars=6, tonic=9, chords="Am F,G E7 N")
    assert chords_in_c(request) == ["Cm", "Ab,Bb", "G7", "N", "Cm", "Ab,Bb"]
    assert draft_of(request).chords[:2] == ((82, 82), (45, 63))


@pytest.mark.parametrize("tonic", range(12))
def test_chords_sound_as_they_are_asked_for_in_every_key(tonic: int) -> None:
    request = Request(JOY, n_bars=1, tonic=tonic, chords="Bbm7,F#")
    bar = draft_of(request).to_tokens(CLIP, BAR).bars[0]
    assert bar.chords is not None
    shift = transposition(tonic)
    assert [(number + 9 * shift) % 108 for number in bar.chords] == [10 * 9 + 7, 6 * 9]


@pytest.mark.parametrize(("is_major", "tonic"), [(True, 0), (False, 9)])
def test_where_no_key_is_asked_for_the_chords_tell_it(is_major: bool, tonic: int) -> None:
    for index in range(5):
        plan = draft_of(Request(None, chords="Am F C G", is_major=is_major), index=index)
        assert plan.tonic == tonic


def test_what_chords_say_is_not_asked_for_beside_them() -> None:
    free, bound = draft_of(Request(JOY)), draft_of(Request(JOY, chords="Am F C G"))
    assert set(free.targets) - set(bound.targets) == set(SAID_BY_CHORDS)
    assert draft_of(Request(JOY, chords="C", fixed={"mode": 0.1})).targets["mode"] == 0.1
    assert bound.rng.random() == free.rng.random()


# form


def test_bars_say_which_one_they_take_up() -> None:
    plan = draft_of(Request(JOY, n_bars=32))
    tokens = plan.to_tokens(CLIP, BAR)
    assert tuple(bar.form for bar in tokens.bars) == plan.form and any(plan.form)
    assert plan.follows == (None,) * 32


def test_bars_of_another_mode_take_up_the_rhythm_only() -> None:
    curve = curve_of((7.4, -0.6, -0.6), (7.6, 0.6, 0.6))
    turned = 0
    for index in range(30):
        plan = draft_of(Request(JOY, curve=curve, n_bars=16), index=index)
        for bar, code in enumerate(plan.form):
            if code:
                same = plan.is_major_at(bar) == plan.is_major_at(bar - bars_back(code))
                assert same or code > len(FORM_BARS)
                turned += not same
    assert turned


def test_bars_of_other_chords_take_up_the_rhythm_only() -> None:
    turned = 0
    for index in range(20):
        plan = draft_of(Request(JOY, n_bars=16, chords="C F G"), index=index)
        for bar, code in enumerate(plan.form):
            if code:
                same = plan.chords[bar] == plan.chords[bar - bars_back(code)]
                assert same or code > len(FORM_BARS)
                turned += not same
    assert turned
