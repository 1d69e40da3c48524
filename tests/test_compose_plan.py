"""From a request to a plan, its control ids, and the script that an engine follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.composing import JOY, TOKENIZER, VOCABULARY, curve_of, given, ids, tune
from synthetic import make_mapper

from emomusic.compose.plan import SAID_BY_CHORDS, TEMPO_BEND, ClipPlan, mean_tempo, plan_clip
from emomusic.compose.primer import read_primer
from emomusic.compose.request import Request
from emomusic.compose.token_plan import (
    MAX_BAR_NOTES,
    REPEATED,
    BarPlan,
    Controls,
    Tables,
    TokenPlan,
    clip_grammar,
    decode_bars,
    to_script,
    transposition,
)
from emomusic.emotion import QUADRANT_CENTRES, Emotion, EmotionCurve
from emomusic.model.grammar import FREE, Script, Walk
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import NO_CHORD, format_chords
from emomusic.music.form import FORM_BARS, FormTable, bars_back
from emomusic.music.score import notes_of
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
        kept = tokens_of(n_bars=4, n_kept=2, time_signature="3/4", two_hands=two_hands)
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
    primer = read_primer(music, TOKENIZER, hear=lambda notes: "Q1" if sees else "Q3")
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
        plan = moving(curve, seconds=seconds, time_signature=f"{beats}/4", seed=seed)
        assert len(plan.tempi) == plan.n_bars == len(plan.form)
        length_s, bar_s = sum(60 * beats / np.array(plan.tempi)), 60 * beats / plan.tempo
        most = 2e-3 * seconds if plan.n_bars >= 5 else bar_s / 2  # few cannot be bent to any
        assert abs(length_s - seconds) <= most
        usual = moving(curve, n_bars=8, time_signature=f"{beats}/4", seed=seed).tempo
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


GRAMMAR = clip_grammar(VOCABULARY)
TEXTS = VOCABULARY.texts
CONTROLS = tuple(VOCABULARY.control_ids(("tempo", "register")).tolist())


NOTE = tuple(ids("Position_0 Pitch_60 Velocity_63 Duration_1.0.12"))


def plan(n_bars: int, bar: BarPlan | None = None, **changes: Any) -> TokenPlan:
    return TokenPlan(CONTROLS, (bar or BarPlan(),) * n_bars, **changes)


def script(the_plan: TokenPlan, context: int = 2048) -> Script:
    return to_script(the_plan, VOCABULARY, GRAMMAR, context=context)


def texts(found: Any) -> list[str]:
    return [TEXTS[token] for token in found]


def led(the_plan: TokenPlan, seed: int = 0) -> Walk:
    """Write as a random model would."""
    rng = np.random.default_rng(seed)
    walk = Walk(GRAMMAR, replace(script(the_plan), max_notes=8))
    while not walk.done:
        walk.push(int(rng.choice(np.flatnonzero(walk.allowed()))))
    return walk


@pytest.mark.parametrize("beats", [2, 3, 4])
@pytest.mark.parametrize(("n_bars", "bounds"), [(1, (21, 108)), (3, (60, 60)), (7, (40, 72))])
def test_every_sequence_is_music(beats: int, n_bars: int, bounds: tuple[int, int]) -> None:
    for seed in range(4):
        limited = plan(n_bars, beats_per_bar=beats, lowest=bounds[0], highest=bounds[1])
        walk = led(limited, seed)
        assert len(walk.segments) == n_bars and script(limited).max_notes == MAX_BAR_NOTES
        score = decode_bars(TOKENIZER, walk.segments, beats_per_bar=beats, tempo=90.0)
        notes = notes_of(score)
        assert notes.pitch.min() >= bounds[0] and notes.pitch.max() <= bounds[1]
        assert sorted({*(notes.onset // beats).tolist()}) == list(range(n_bars))
        assert (notes.onset + notes.duration).max() <= n_bars * beats
        signature = score.time_signatures[0]
        assert (signature.numerator, signature.denominator) == (beats, 4)
        assert [round(tempo.qpm, 2) for tempo in score.tempos] == [90.0]
        assert len(TOKENIZER.encode(score)) == n_bars


def test_each_bar_begins_with_its_chords_unless_they_are_given() -> None:
    for bar in led(plan(4)).segments:
        assert [text.split("_")[0] for text in texts(bar[:3])] == ["ChordA", "ChordB", "Position"]
    for bar in led(plan(4, BarPlan(chords=(0, 0)))).segments:
        assert TEXTS[bar[0]].startswith("Position")


def test_a_head_says_all_that_is_asked_of_its_bar_in_one_order() -> None:
    control = int(VOCABULARY.control_ids(("note_density",), per_bar=True)[0])
    given = (NOTE, (*ids("Position_12 Pitch_64"), FREE, FREE))
    bar = BarPlan((control,), form=3, chords=(10, NO_CHORD), given=given)  # type: ignore[arg-type]
    found = script(TokenPlan((), (bar,)))
    assert " ".join(texts(found.bars[0].head)) == (
        "Bar_None TimeSig_4/4 Ending_1 Form-whole_4 BarControl-note-density_0 "
        "Given_None Position_0 Pitch_60 Velocity_63 Duration_1.0.12 "
        "Given_None Position_12 Pitch_64 ChordA_1:min ChordB_none"
    )
    assert found.bars[0].given == given and not found.bars[0].writes_chords
    codes = [script(plan(1, BarPlan(form=code))).bars[0].head[-1] for code in range(1, 11)]
    assert codes == VOCABULARY.form_ids().tolist()


@pytest.mark.parametrize(("n_bars", "told"), [(2, "21"), (4, "4321"), (6, "4321")])
def test_the_last_bars_are_announced(n_bars: int, told: str) -> None:
    found = [text for bar in script(plan(n_bars)).bars for text in texts(bar.head)]
    assert [t for t in found if t.startswith("Ending_")] == [f"Ending_{n}" for n in told]
    ends = [(bar.ends_bar, bar.ends_all) for bar in script(plan(n_bars)).bars]
    assert ends == [(True, False)] * (n_bars - 1) + [(False, True)]


# what is there already

BEFORE = tuple(
    tuple(
        ids(
            "ChordA_0:maj ChordB_none"
            + f" Position_0 Pitch_{pitch} Velocity_63 Duration_1.0.12" * n
        )
    )
    for n, pitch in ((1, 60), (2, 62), (3, 64))
)
HEAD = tuple(ids("Bar_None TimeSig_4/4"))


@pytest.mark.parametrize(("room", "n_held"), [(0, 0), (4, 0), (5, 1), (8, 1), (9, 2), (12, 3)])
def test_bars_that_are_there_stand_before_the_first_as_many_as_fit(room: int, n_held: int) -> None:
    plain = script(plan(3))
    needed = 3 + MAX_BAR_NOTES + 2  # the clip's head, a bar's head, its notes, chords and end
    context = next(c for c in range(999) if c - needed - int(REPEATED * c) == room)
    found = script(plan(3, before=BEFORE), context)
    held = [token for bar in BEFORE[3 - n_held :] for token in (*HEAD, *bar)]
    assert list(found.bars[0].head) == [*held, *plain.bars[0].head]
    assert found.bars[1:] == plain.bars[1:]
    assert found.opening([]) == [*plain.prompt, *held, *plain.bars[0].head]


def test_where_the_context_is_full_the_last_bars_that_fit_are_repeated() -> None:
    found = replace(script(plan(7, before=BEFORE)), max_repeated=20)
    last = [*HEAD, *BEFORE[1]]
    opening = found.opening([[*BEFORE[0]], [*BEFORE[1]]])
    assert opening == [*found.prompt, *last, *found.bars[2].head]


@pytest.mark.parametrize("n_kept", [1, 3, 5])
def test_the_writing_stops_after_the_bars_that_are_kept(n_kept: int) -> None:
    whole, part = script(plan(5)), script(plan(5, n_kept=n_kept))
    assert part.bars == whole.bars[:n_kept]
    assert script(plan(5, n_kept=9)) == whole and script(plan(5, reach=7)).reach == 7
    assert len(led(plan(5, n_kept=n_kept)).segments) == n_kept


# a gap


@pytest.mark.parametrize("n_bars", [1, 3, 6])
def test_a_gap_is_filled_between_bars_that_are_shown(n_bars: int) -> None:
    between = plan(n_bars, before=BEFORE[:2], behind=BEFORE[1:])
    found = script(between)
    behind = [*ids("Bar_None TimeSig_4/4 Ending_2"), *BEFORE[1],
              *ids("Bar_None TimeSig_4/4 Ending_1"), *BEFORE[2]]  # fmt: skip
    assert list(found.prompt) == [
        *ids("BOS_None"), *CONTROLS, *ids("Behind_None"), *behind, *ids("Here_None")
    ]  # fmt: skip
    assert found.bars[0].head[: len(HEAD) + len(BEFORE[0])] == (*HEAD, *BEFORE[0])
    marks = [text for bar in found.bars for text in texts(bar.head) if text.startswith("Join_")]
    assert marks == [f"Join_{left}" for left in (4, 3, 2, 1) if left <= n_bars]
    assert [(bar.ends_bar, bar.ends_all) for bar in found.bars][-1] == (False, True)
    walk = led(between)
    assert len(walk.segments) == n_bars  # what is around it is not written again
    assert len(TOKENIZER.encode(decode_bars(TOKENIZER, walk.segments))) == n_bars


def test_bars_near_a_pieces_end_say_so_on_both_sides_of_a_gap() -> None:
    found = script(plan(3, behind=BEFORE[:2]))
    told = [[t for t in texts(bar.head) if "_" in t][2:] for bar in found.bars]
    assert told == [["Join_3"], ["Join_2", "Ending_4"], ["Join_1", "Ending_3"]]
    assert found.opening([[1], [2]])[: len(found.prompt)] == list(found.prompt)  # they stay


@pytest.mark.parametrize(
    ("given", "context", "words"),
    [
        ((), 100, "leaves no room for a bar: the network looks back on 100 notes and bars"),
        ((NOTE, NOTE), 2048, "must rise"),
        ((NOTE,) * 129, 2048, "at most 128 notes of a bar can be given, bar 2 has 129"),
    ],
)
def test_what_cannot_be_written_is_refused(given: Any, context: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        script(TokenPlan((), (BarPlan(), BarPlan(given=given))), context)
