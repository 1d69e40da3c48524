from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.composing import JOY, TOKENIZER, VOCABULARY, curve_of, given, ids, tune
from numpy.typing import NDArray
from synthetic import make_mapper, make_response

from emomusic.compose.directions import Pairs
from emomusic.compose.plan import ClipPlan, plan_clip
from emomusic.compose.primer import read_primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.compose.steerer import FeedbackController, RepetitionBias, Steerer, attribute_weights
from emomusic.emotion import Emotion
from emomusic.model.engine import LogitBias
from emomusic.music.attributes import ATTRIBUTE_NAMES, Passage

TEXTS = (*VOCABULARY.texts, "SAME", "")
SAME, END = len(VOCABULARY), VOCABULARY.id_of("Bar_None")
REPETITION = RepetitionBias(VOCABULARY)
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
    "asked", [{"beats_per_bar": 3, "tempo": 90}, {"curve": CURVE, "n_bars": 20}, {"n_bars": 20}]
)
def test_it_hears_the_last_bars(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Passage] = []
    pulls = FeedbackController.pulls

    def hear(self: FeedbackController, bar: int, own: Any, *, in_major: bool) -> Any:
        heard.append(own)
        return pulls(self, bar, own, in_major=in_major)

    monkeypatch.setattr(FeedbackController, "pulls", hear)
    plan = plan_of(**asked)
    n, beats = plan.n_bars - 1, plan.request.beats_per_bar
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
