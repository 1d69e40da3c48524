"""From a request to a plan, and from a plan to control ids: by itself, with forms, along curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.composing import JOY, TOKENIZER, VOCABULARY, curve_of, given, tune
from synthetic import make_mapper

from emomusic.compose.plan import SAID_BY_CHORDS, TEMPO_BEND, ClipPlan, mean_tempo, plan_clip
from emomusic.compose.primer import read_primer
from emomusic.compose.request import Request
from emomusic.compose.token_plan import Controls, Tables, TokenPlan, transposition
from emomusic.emotion import QUADRANT_CENTRES, Emotion, EmotionCurve
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import format_chords
from emomusic.music.form import FORM_BARS, FormTable, bars_back
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH, N_BINS, bin_edges

MAPPER = make_mapper()
FORMS = FormTable(("0006333066066444", "0000333344440000", "0101010101010101"))
RANGES = {a.name: np.linspace(a.low, a.high, N_BINS * 10) for a in ATTRIBUTES}
NUMBERS = {"seed": 1, "index": 0, "candidate": 0}
RISING = curve_of((0, -0.6, -0.6), (8, 0.6, 0.6))


def controls(names: tuple[str, ...], *, per_bar: bool = False) -> Controls:
    edges = np.stack([bin_edges(RANGES[name]) for name in names])
    return Controls(names, edges, VOCABULARY.control_ids(names, per_bar=per_bar))


CLIP = controls(ATTRIBUTE_NAMES)
TABLES = Tables(CLIP, controls(BAR_ATTRIBUTE_NAMES, per_bar=True))


def plan_of(emotion: Emotion | None = JOY, *, forms: Any = FORMS, **asked: Any) -> ClipPlan:
    numbers = {name: asked.pop(name, n) for name, n in NUMBERS.items()}
    return plan_clip(Request(emotion, **asked), MAPPER, forms=forms, **numbers)


def moving(curve: EmotionCurve | None = RISING, **asked: Any) -> ClipPlan:
    asked = {"n_bars": 8, **asked} if "seconds" not in asked else asked
    return plan_of(curve=curve, **asked)


def tokens_of(*asked: Any, **more: Any) -> TokenPlan:
    return plan_of(*asked, **more).to_tokens(TABLES)


def bins_of(ids: tuple[int, ...]) -> dict[str, int]:
    """Return the attributes that controls are of, in their order, with the bins they say."""
    texts = [VOCABULARY.texts[token].rsplit("_", 1) for token in ids]
    return {kind.split("-", 1)[1].replace("-", "_"): int(number) for kind, number in texts}


# controls


def test_what_a_checkpoint_was_trained_with_can_be_asked_for_in_its_order() -> None:
    few = controls(("mode", "tempo"))
    assert [*bins_of(few.ids(dict.fromkeys(ATTRIBUTE_NAMES, 0.1)))] == ["mode", "tempo"]
    few.check(["tempo"])
    with pytest.raises(ValueError, match="was trained without silence; it can be asked for mode,"):
        few.check(["tempo", "silence"])
    assert [*bins_of(CLIP.ids({"mode": 0.2, "tempo": 100.0}))] == ["tempo", "mode"]
    assert CLIP.ids({}) == ()
    every = dict.fromkeys(reversed(ATTRIBUTE_NAMES), 1.0)
    assert tuple(bins_of(CLIP.ids(every))) == ATTRIBUTE_NAMES


@pytest.mark.parametrize("name", ATTRIBUTE_NAMES)
def test_a_control_says_the_bin_of_its_value_an_edge_that_above_it(name: str) -> None:
    low, high = RANGES[name][0], RANGES[name][-1]
    edges = bin_edges(RANGES[name]).tolist()
    middles = (low + (high - low) * (np.arange(N_BINS) + 0.5) / N_BINS).tolist()
    for value, own in [*zip(middles, range(N_BINS), strict=True), (-1e9, 0), (1e9, N_BINS - 1),
                       (edges[3], 4), (edges[3] - 1e-9, 3)]:  # fmt: skip
        assert bins_of(CLIP.ids({name: value})) == {name: own}


@pytest.mark.parametrize("tonic", range(12))
def test_a_plan_is_written_in_c_whatever_the_tonic(tonic: int) -> None:
    shift = transposition(tonic)
    assert -6 <= shift <= 5 and shift % 12 == tonic
    home, away = (
        tokens_of(None, n_bars=2, tonic=own, fixed={"register": 60.0 + by, "mode": 0.2},
                  per_bar={"register": [50.0 + by, 72.0 + by]})
        for own, by in ((0, 0), (tonic, shift))
    )  # fmt: skip
    assert away.controls == home.controls and away.bars == home.bars
    assert away.lowest + shift >= LOWEST_PITCH and away.highest + shift <= HIGHEST_PITCH
    assert LOWEST_PITCH <= away.lowest < away.highest <= HIGHEST_PITCH


def test_bars_have_the_controls_that_are_asked_of_them_beside_the_clips() -> None:
    per_bar = {"register": [50.0, 60.0, 70.0], "note_density": [1.0, 8.0, 1.0]}
    tokens = tokens_of(n_bars=3, tonic=0, per_bar=per_bar)
    plain = tokens_of(n_bars=3, tonic=0)
    assert tokens.controls == plain.controls and tuple(bins_of(plain.controls)) == ATTRIBUTE_NAMES
    assert {bar.controls for bar in plain.bars} == {()}
    assert all(VOCABULARY.texts[i].startswith("BarControl-") for i in tokens.bars[0].controls)
    bins = [bins_of(bar.controls) for bar in tokens.bars]
    assert {tuple(own) for own in bins} == {("note_density", "register")}
    for two_hands in (True, False):
        kept = tokens_of(n_bars=4, n_kept=2, beats_per_bar=3, two_hands=two_hands)
        assert (kept.n_kept, kept.beats_per_bar, kept.reach > 0) == (2, 3, two_hands)
    density, register = zip(*(own.values() for own in bins), strict=True)
    assert density[0] == density[2] < density[1] and list(register) == sorted(set(register))


# targets


@pytest.mark.parametrize(
    ("asked", "targets"),
    [
        ({}, {}),
        ({"fixed": {"register": 60.0}, "tempo": 90.0}, {"register": 60.0, "tempo": 90.0}),
        ({"fixed": {"tempo": 77.0}}, {"tempo": 77.0}),
        ({"seconds": 20.0, "tonic": 3}, {}),
        ({"n_bars": 2, "per_bar": {"register": [60.0, 61.0]}}, {}),
        ({"is_major": True}, {"mode": 0.25}),
        ({"is_major": False}, {"mode": -0.25}),
        (
            {"is_major": False, "fixed": {"mode": 0.6, "chord_mode": 1}},
            {"mode": -0.6, "chord_mode": 0},
        ),
    ],
)
def test_what_is_fixed_is_aimed_at(asked: dict[str, Any], targets: Any) -> None:
    plan = plan_of(None, **asked)
    assert plan.targets == targets and {*bins_of(plan.to_tokens(TABLES).controls)} == {*targets}
    assert plan.tempo == targets.get("tempo", plan.tempo)
    assert plan.is_major == (targets.get("mode", 0) >= 0)


def test_what_is_fixed_comes_before_the_emotion_and_what_nothing_is_said_of_is_usual() -> None:
    plan = plan_of(None)
    assert plan.tempo == pytest.approx(MAPPER.middle["tempo"], abs=0.1) and plan.n_bars == 16
    assert {(bar.controls, bar.chords) for bar in plan.to_tokens(TABLES).bars} == {((), None)}
    free, fixed = plan_of(), plan_of(fixed={"note_length": 1.5})
    assert fixed.targets == {**free.targets, "note_length": 1.5}
    assert (fixed.tonic, fixed.tempo, fixed.form) == (free.tonic, free.tempo, free.form)


def test_the_same_numbers_give_the_same_plan_whatever_else_is_asked() -> None:
    first = plan_of(index=3)
    drawn = first.rng.random()
    sampling = {"steering": False, "temperature": 0.5, "guidance": 2.0}
    for changes in ({}, sampling, {"take": 2}):
        again = plan_of(index=3, **changes)
        for name in ("targets", "tempi", "tonic", "form"):
            assert getattr(again, name) == getattr(first, name)
        assert (again.rng.random() == drawn) == ("take" not in changes)
    assert plan_of(index=3, chords="C").rng.random() == drawn
    for other in (plan_of(index=4), plan_of(seed=2, index=3), plan_of(index=3, candidate=1)):
        assert other.targets != first.targets


# chords


def test_chords_are_repeated_to_the_end_and_moved_to_c() -> None:
    asked = {"n_bars": 6, "tonic": 9, "chords": "Am F,G E7 N"}
    bars = [bar.chords or (0, 0) for bar in tokens_of(**asked).bars]
    assert format_chords(tuple(bars)).split() == ["Cm", "Ab,Bb", "G7", "N", "Cm", "Ab,Bb"]
    assert plan_of(**asked).chords[:2] == ((82, 82), (45, 63))


def test_chords_tell_the_key_and_what_they_say_is_not_asked_for_beside_them() -> None:
    for is_major, tonic in ((True, 0), (False, 9)):
        for index in range(5):
            plan = plan_of(None, chords="Am F C G", is_major=is_major, index=index)
            assert plan.tonic == tonic
    free, bound = plan_of(), plan_of(chords="Am F C G")
    assert set(free.targets) - set(bound.targets) == set(SAID_BY_CHORDS)
    assert plan_of(chords="C", fixed={"mode": 0.1}).targets["mode"] == 0.1


# form


def test_every_bar_has_its_place_in_the_form_and_is_told_it() -> None:
    for asked in ({"n_bars": 1}, {"n_bars": 4}, {"n_bars": 50}, {"seconds": 60.0}):
        plan = plan_of(**asked)
        assert tuple(bar.form for bar in plan.to_tokens(TABLES).bars) == plan.form
        assert len(plan.form) == plan.n_bars and plan.follows == (None,) * plan.n_bars
        assert plan.form[-2:] == (0, 0)[-plan.n_bars :]
    forms = {plan_of(index=index).form for index in range(40)}
    assert len(forms) == 3 and all(any(form) for form in forms)
    assert plan_of(forms=None).form == (0,) * 16


def test_chords_copies_and_figures_are_as_in_the_piece_whose_form_is_drawn() -> None:
    forms = FormTable(("0" * 16,), ("0000" + "1" * 12,), ("0" * 8 + "4" * 8,), ("5" + "1" * 15,))
    free, bound = plan_of(forms=forms), plan_of(forms=forms, chords="C F")
    assert free.harmony == (0,) * 4 + (4,) * 10 + (0,) * 2
    assert free.copies == (0,) * 8 + (8,) * 6 + (0,) * 2
    assert free.figures == bound.figures == (0,) + (1,) * 13 + (0,) * 2
    assert not any(bound.harmony) and not any(bound.copies)
    assert not any(plan_of().harmony)


@pytest.mark.parametrize("sees", [True, False])
def test_given_bars_that_the_model_sees_are_taken_up_and_others_are_followed(sees: bool) -> None:
    music = given(tune(4))
    primer = read_primer(music.score, TOKENIZER, hear=lambda notes: "Q1" if sees else "Q3")
    forms = FormTable(("3" * 16,), ("1" * 16,), ("3" * 16,), ("3" * 16,))  # four bars back
    request = Request(JOY, given=music, n_bars=8)
    plan = plan_clip(request, MAPPER, seed=1, index=0, primer=primer, forms=forms)
    back = (4,) * 6 + (0,) * 2 if sees else (0,) * 4 + (4,) * 2 + (0,) * 2
    assert plan.harmony == plan.copies == plan.figures == back
    assert plan.form == tuple(3 if bars else 0 for bars in back)
    assert plan.follows == ((None,) * 8 if sees else (0, 1, 2, 3) + (None,) * 4)
    assert plan.to_tokens(TABLES).before == plan.shown == (primer.bars if sees else ())


@pytest.mark.parametrize(
    ("asked", "is_led"),
    [
        ({"fixed": {"register": 60.0}}, False),
        ({"fixed": {"mode": 0.1}}, False),
        ({"fixed": {"note_length": 1.0}}, True),
        ({"n_bars": 16, "per_bar": {"velocity_mean": [60.0] * 16}}, False),
    ],
)
def test_what_is_asked_for_by_itself_goes_before_form(asked: dict[str, Any], is_led: bool) -> None:
    forms = FormTable(("0" * 8 + "3" * 8,), ("1" * 16,), ("4" * 16,), ("1" * 16,))
    plan = plan_of(None, forms=forms, **asked)
    for own in (plan.form, plan.harmony, plan.copies, plan.figures):
        assert any(own) == is_led
    assert plan.rng.random() == plan_of(None, forms=forms).rng.random()


@pytest.mark.parametrize(
    "asked", [{"curve": curve_of((7.4, -0.6, -0.6), (7.6, 0.6, 0.6))}, {"chords": "C F G"}]
)
def test_bars_of_other_harmony_take_up_the_rhythm_only(asked: dict[str, Any]) -> None:
    turned = 0
    for index in range(30):
        plan = plan_of(n_bars=16, index=index, **asked)
        chords = plan.chords or (0,) * 16
        for bar, code in enumerate(plan.form):
            if code:
                other = bar - bars_back(code)
                same = plan.is_major_at(bar) == plan.is_major_at(other)
                same &= chords[bar] == chords[other]
                assert same or code > len(FORM_BARS)
                turned += not same
    assert turned


# curves


@pytest.mark.parametrize(("one", "other"), [("Q1", "Q2"), ("Q1", "Q4"), ("Q3", "Q2"), ("Q3", "Q4")])
def test_targets_move_one_way_between_neighbouring_centres(one: str, other: str) -> None:
    (v, a), (w, b) = QUADRANT_CENTRES[one], QUADRANT_CENTRES[other]
    for seed in range(5):
        plan = moving(curve_of((2, v, a), (14, w, b)), n_bars=16, seed=seed)
        assert len(plan.bar_targets) > len(ATTRIBUTE_NAMES) // 2
        for values in (*plan.bar_targets.values(), plan.tempi):
            steps = np.diff(values) * np.sign(values[-1] - values[0])
            assert (steps >= -1e-9).all() and len(values) == 16
            assert values[0] == values[1] and values[-2] == values[-1]


def test_a_curve_says_what_each_bar_is_whatever_the_length_and_its_mean_is_the_clips() -> None:
    plan, short, beyond = (moving(n_bars=n) for n in (8, 4, 12))
    for name, values in plan.bar_targets.items():
        assert plan.targets[name] == pytest.approx(np.mean(values))
        assert len(short.bar_targets[name]) == 4 and len(set(beyond.bar_targets[name][8:])) == 1
    assert tuple(plan.targets) == ATTRIBUTE_NAMES and plan.targets["tempo"] == plan.tempo
    there_and_back = moving(curve_of((0, -0.5, 0.1), (4, 0.6, 0.6), (8, -0.5, 0.1)))
    for values in (*there_and_back.bar_targets.values(), there_and_back.tempi):
        assert values == pytest.approx(values[::-1])


def test_what_moves_is_told_to_bars_that_can_be_told_it_and_what_is_fixed_does_not() -> None:
    plan, tokens = moving(), moving().to_tokens(TABLES)
    assert {*BAR_ATTRIBUTE_NAMES} <= {*plan.bar_targets}
    assert {tuple(bins_of(bar.controls)) for bar in tokens.bars} == {BAR_ATTRIBUTE_NAMES}
    fixed = moving(fixed={"register": 61.0, "velocity_mean": 70.0})
    assert (fixed.targets["register"], fixed.targets["velocity_mean"]) == (61.0, 70.0)
    gone = ("register", "velocity_mean")
    assert fixed.bar_targets == {n: v for n, v in plan.bar_targets.items() if n not in gone}


def test_each_bar_has_the_mode_of_its_emotion_or_that_which_is_asked_for() -> None:
    turns = 0
    for seed in range(20):
        plan = moving(seed=seed)
        own = [plan.is_major_at(bar) for bar in range(8)]
        assert own == [mode >= 0 for mode in plan.bar_targets["mode"]]
        turns += len({*own}) == 2
        for is_major in (True, False):
            held = moving(is_major=is_major, seed=seed)
            modes = held.bar_targets.get("mode", (held.targets["mode"],) * 8)
            assert all(abs(mode) >= 0.25 and (mode > 0) == is_major for mode in modes)
            assert {held.is_major_at(bar) for bar in range(8)} == {is_major}
    assert turns


def test_a_curve_does_not_change_key_form_or_the_number_of_draws() -> None:
    moved, plain = moving(), moving(None)
    assert moved.tonic == plain.tonic and moved.rng.random() == plain.rng.random()
    assert [code % 5 for code in moved.form] == [code % 5 for code in plain.form]
    for emotion, more in ((None, {}), (JOY, {"n_bars": 1, "per_bar": {"register": (60.0,)}})):
        with pytest.raises(ValueError, match="a curve needs an emotion, and no attributes asked"):
            Request(emotion, curve=RISING, **more)


@pytest.mark.parametrize("seconds", [9.0, 20.0, 33.3, 61.0, 240.0])
@pytest.mark.parametrize("beats", [3, 4])
@pytest.mark.parametrize("curve", [None, RISING])
def test_seconds_are_met(seconds: float, beats: int, curve: EmotionCurve | None) -> None:
    for seed in range(12):
        plan = moving(curve, seconds=seconds, beats_per_bar=beats, seed=seed)
        assert len(plan.tempi) == plan.n_bars == len(plan.form)
        length_s, bar_s = sum(60 * beats / np.array(plan.tempi)), 60 * beats / plan.tempo
        most = 2e-3 * seconds if plan.n_bars >= 5 else bar_s / 2  # few cannot be bent to any
        assert abs(length_s - seconds) <= most
        usual = moving(curve, n_bars=8, beats_per_bar=beats, seed=seed).tempo
        assert 1 / TEMPO_BEND - 1e-3 <= plan.tempo / usual <= TEMPO_BEND + 1e-3


@pytest.mark.parametrize("asked", [{"tempo": 88.0}, {"fixed": {"tempo": 88.0}}])
@pytest.mark.parametrize("length", [{"n_bars": 8}, {"seconds": 20.0}])
def test_a_tempo_that_is_asked_for_holds(asked: dict[str, Any], length: dict[str, Any]) -> None:
    plan = moving(**asked, **length)
    assert set(plan.tempi) == {88.0} and plan.targets["tempo"] == plan.tempo == 88.0
    assert "tempo" not in plan.bar_targets and "register" in plan.bar_targets
    assert mean_tempo([60.0, 120.0]) == 80.0 and mean_tempo([88.8]) == 88.8
    assert moving().tempo == pytest.approx(8 / sum(1 / t for t in moving().tempi), abs=0.006)


def test_where_no_length_is_said_a_curve_that_moves_says_it() -> None:
    curve, stays = curve_of((0, 0.5, -0.5), (10.5, -0.5, 0.5)), curve_of((3, 0.5, -0.5))
    assert [plan_of(curve=own).n_bars for own in (curve, stays, None)] == [11, 16, 16]
