from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.composing import curve_of
from synthetic import make_mapper

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.generate import PartialClip
from emomusic.compose.plan import TEMPO_BEND, ClipPlan, plan_clip
from emomusic.compose.request import Request
from emomusic.emotion import QUADRANT_CENTRES, Emotion, EmotionCurve
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.form import FormTable, bars_back
from emomusic.music.score import dump_score, notes_of

JOY = Emotion(0.8, 0.6, "joy")
MAPPER = make_mapper()
FORMS = FormTable(("0006333344440006",))
RISING = curve_of((0, -0.6, -0.6), (8, 0.6, 0.6))


@pytest.fixture(scope="module")
def composer(steered_checkpoint: Path) -> Composer:
    return Composer(steered_checkpoint)


def draft_of(curve: EmotionCurve | None = RISING, *, seed: int = 1, **asked: Any) -> ClipPlan:
    asked = {"n_bars": 8, **asked} if "seconds" not in asked else asked
    request = Request(JOY, curve=curve, **asked)
    return plan_clip(request, MAPPER, seed=seed, index=0, forms=FORMS)


def clips(composer: Composer, count: int = 1, **asked: Any) -> list[Clip]:
    request = Request(asked.pop("emotion", JOY), **asked)
    return list(composer.compose(request, seed=1, count=count))


def length_s(plan: ClipPlan) -> float:
    return float(sum(60 * plan.request.beats_per_bar / np.array(plan.tempi)))


# one emotion


def test_a_curve_of_one_point_is_the_emotion(composer: Composer) -> None:
    for bar, asked in ((2.5, {"n_bars": 5, "take": 1}), (300.0, {"seconds": 13.0})):
        stays = curve_of((bar, JOY.valence, JOY.arousal))
        (plain,), (moved,) = clips(composer, **asked), clips(composer, curve=stays, **asked)
        assert dump_score(moved.score) == dump_score(plain.score)
        assert moved.targets == pytest.approx(plain.targets, rel=1e-12)
        assert (moved.key, moved.tempo) == (plain.key, plain.tempo)


# targets


@pytest.mark.parametrize(("one", "other"), [("Q1", "Q2"), ("Q1", "Q4"), ("Q3", "Q2"), ("Q3", "Q4")])
def test_targets_move_one_way_between_neighbouring_centres(one: str, other: str) -> None:
    (v, a), (w, b) = QUADRANT_CENTRES[one], QUADRANT_CENTRES[other]
    for seed in range(5):
        plan = draft_of(curve_of((2, v, a), (14, w, b)), n_bars=16, seed=seed)
        assert len(plan.bar_targets) > len(ATTRIBUTE_NAMES) // 2
        for values in plan.bar_targets.values():
            steps = np.diff(values) * np.sign(values[-1] - values[0])
            assert (steps >= -1e-9).all() and len(values) == 16
            assert values[0] == values[1] and values[-2] == values[-1]
        steps = np.diff(plan.tempi) * np.sign(plan.tempi[-1] - plan.tempi[0])
        assert (steps >= 0).all()


def test_the_clips_targets_are_the_mean_of_the_bars() -> None:
    plan = draft_of()
    for name, values in plan.bar_targets.items():
        assert plan.targets[name] == pytest.approx(np.mean(values))
    assert tuple(plan.targets) == ATTRIBUTE_NAMES and plan.targets["tempo"] == plan.tempo


def test_a_curve_there_and_back_is_alike_in_both_halves() -> None:
    plan = draft_of(curve_of((0, -0.5, 0.1), (4, 0.6, 0.6), (8, -0.5, 0.1)))
    for values in (*plan.bar_targets.values(), plan.tempi):
        assert values == pytest.approx(values[::-1])


def test_a_bar_is_what_its_emotion_is_whatever_the_length() -> None:
    """The part of a curve that is beyond the clip is not composed."""
    short, long = draft_of(n_bars=4), draft_of(n_bars=8)
    assert short.n_bars == 4 and all(len(v) == 4 for v in short.bar_targets.values())
    beyond = draft_of(n_bars=12)
    for values in beyond.bar_targets.values():
        assert len(set(values[8:])) == 1
    assert set(long.bar_targets) == set(beyond.bar_targets)


def test_what_is_fixed_does_not_move() -> None:
    plan = draft_of(fixed={"register": 61.0, "velocity_mean": 70.0})
    assert not {"register", "velocity_mean", "tempo"} & set(plan.bar_targets)
    assert (plan.targets["register"], plan.targets["velocity_mean"]) == (61.0, 70.0)
    free = draft_of()
    others = {name: v for name, v in free.bar_targets.items() if name in plan.bar_targets}
    assert plan.bar_targets == others


@pytest.mark.parametrize("is_major", [True, False])
def test_a_mode_that_is_asked_for_holds_in_every_bar(is_major: bool) -> None:
    for seed in range(5):
        plan = draft_of(is_major=is_major, seed=seed)
        modes = plan.bar_targets.get("mode", (plan.targets["mode"],) * 8)
        assert all(abs(mode) >= 0.25 and (mode > 0) == is_major for mode in modes)
        assert {plan.is_major_at(bar) for bar in range(8)} == {is_major}


def test_each_bar_has_the_mode_of_its_emotion() -> None:
    modes = [draft_of(seed=seed) for seed in range(20)]
    for plan in modes:
        assert [plan.is_major_at(bar) for bar in range(8)] == [
            m >= 0 for m in plan.bar_targets["mode"]
        ]
    assert any(len({d.is_major_at(bar) for bar in range(8)}) == 2 for d in modes)


def test_bars_are_told_what_moves_if_bars_can_be_told_it() -> None:
    class Told:
        def ids(self, values: dict[str, float], *, shift: int) -> tuple[str, ...]:
            return tuple(values)

    plan = draft_of()
    tokens = plan.to_tokens(Told(), Told())  # type: ignore[arg-type]
    assert set(tokens.controls) == set(ATTRIBUTE_NAMES)
    assert {frozenset(bar.controls) for bar in tokens.bars} == {frozenset(plan.bar_targets)}
    assert set(BAR_ATTRIBUTE_NAMES) <= set(plan.bar_targets)


def test_a_curve_does_not_change_key_form_or_the_number_of_draws() -> None:
    moved, plain = draft_of(), draft_of(None)
    assert moved.tonic == plain.tonic
    assert [code and bars_back(code) for code in moved.form] == [
        code and bars_back(code) for code in plain.form
    ]
    assert moved.rng.random() == plain.rng.random()


def test_a_curve_needs_an_emotion_that_stands_for_it_and_nothing_bar_by_bar() -> None:
    for emotion, more in ((None, {}), (JOY, {"n_bars": 1, "per_bar": {"register": (60.0,)}})):
        with pytest.raises(ValueError, match="a curve needs an emotion, and no attributes asked"):
            Request(emotion, curve=RISING, **more)


# tempo and length


@pytest.mark.parametrize("seconds", [9.0, 20.0, 33.3, 61.0, 240.0])
@pytest.mark.parametrize("beats", [3, 4])
@pytest.mark.parametrize("curve", [None, RISING])
def test_seconds_are_met_by_bars_and_a_little_tempo(
    seconds: float, beats: int, curve: EmotionCurve | None
) -> None:
    for seed in range(12):
        plan = draft_of(curve, seconds=seconds, beats_per_bar=beats, seed=seed)
        assert len(plan.tempi) == plan.n_bars == len(plan.form)
        if plan.n_bars >= 5:  # so many can be bent to any length
            assert length_s(plan) == pytest.approx(seconds, rel=2e-3)
        else:
            bar_s = 60 * beats / plan.tempo
            assert abs(length_s(plan) - seconds) <= bar_s / 2
        usual = draft_of(curve, n_bars=8, beats_per_bar=beats, seed=seed).tempo
        assert 1 / TEMPO_BEND - 1e-3 <= plan.tempo / usual <= TEMPO_BEND + 1e-3


@pytest.mark.parametrize("asked", [{"tempo": 88.0}, {"fixed": {"tempo": 88.0}}])
@pytest.mark.parametrize("length", [{"n_bars": 8}, {"seconds": 20.0}])
def test_a_tempo_that_is_asked_for_holds(asked: dict[str, Any], length: dict[str, Any]) -> None:
    plan = draft_of(**asked, **length)
    assert set(plan.tempi) == {88.0} and plan.targets["tempo"] == plan.tempo == 88.0
    assert "tempo" not in plan.bar_targets and "register" in plan.bar_targets


def test_the_tempo_of_a_part_is_the_mean_of_its_bars() -> None:
    plan = draft_of()
    for n in range(1, 9):
        mean = n / sum(1 / tempo for tempo in plan.tempi[:n])
        assert plan.tempo_until(n) == pytest.approx(mean, abs=0.006)
    assert plan.tempo_until(1) == plan.tempi[0] and plan.tempo_until(8) == plan.tempo


# takes and candidates


@pytest.mark.parametrize("curve", [None, RISING])
def test_a_take_is_of_the_same_plan_with_other_notes(
    composer: Composer, curve: EmotionCurve | None
) -> None:
    found = [clips(composer, curve=curve, n_bars=8, take=take)[0] for take in (0, 1, 2, 2**31 - 1)]
    assert len({dump_score(clip.score) for clip in found}) == 4
    for clip in found[1:]:
        assert clip.targets == found[0].targets
        assert (clip.key, clip.tempo, clip.n_bars) == (found[0].key, found[0].tempo, 8)
        assert [(t.time, t.mspq) for t in clip.score.tempos] == [
            (t.time, t.mspq) for t in found[0].score.tempos
        ]
    first, other = draft_of(curve), draft_of(curve, take=1)
    assert (first.bar_targets, first.tempi, first.form) == (
        other.bar_targets,
        other.tempi,
        other.form,
    )
    assert found[3].card()["take"] == 2**31 - 1


def test_the_best_of_several_is_the_one_that_is_heard_to_follow_the_curve(
    composer: Composer,
) -> None:
    curve = curve_of((0, -0.6, 0.6), (8, 0.6, -0.6))

    def away(clip: Clip) -> float:
        notes, found = notes_of(clip.score), []
        for start in (0, 16):
            half = notes.where((notes.onset >= start) & (notes.onset < start + 16))
            heard, asked = composer.verifier.verdict(half), curve.at(start / 4 + 2)
            found.append(np.hypot(heard.valence - asked.valence, heard.arousal - asked.arousal))
        return float(np.mean(found))

    request = Request(curve.mean(8), curve=curve, n_bars=8, best_of=4)
    for index in range(3):
        news = list(composer.stream([request], seed=1, start=index))
        candidates = [composer.settle(n) for n in news if isinstance(n, PartialClip) and n.is_whole]
        (clip,) = (n for n in news if isinstance(n, Clip))
        assert len(candidates) == 4 and len(clip.score.tempos) == 8
        assert away(clip) == pytest.approx(min(map(away, candidates)))


# whole clips


def test_the_music_goes_where_the_curve_goes(composer: Composer) -> None:
    """By the levers of a random model, that of the register above all."""
    gains = []
    for seed in range(8):
        (v, a), (w, b) = QUADRANT_CENTRES["Q3"], QUADRANT_CENTRES["Q1"]
        request = Request(JOY, curve=curve_of((3, v, a), (5, w, b)), n_bars=8, tonic=0)
        plan = plan_clip(request, composer.mapper, seed=seed, index=0)
        (clip,) = composer.compose(request, seed=seed)
        notes = notes_of(clip.score)
        late = notes.onset >= 16
        asked = plan.bar_targets["register"][-1] - plan.bar_targets["register"][0]
        gains.append((asked, notes.pitch[late].mean() - notes.pitch[~late].mean()))
    asked_, heard = np.array(gains).T
    assert (asked_ * heard).sum() > 0


def test_where_no_length_is_said_a_curve_says_it() -> None:
    curve = curve_of((0, 0.5, -0.5), (10.5, -0.5, 0.5))
    assert curve.n_bars == 11
    assert Request(curve.mean(11), curve=curve).default_bars == 11
    stays = curve_of((3, 0.5, -0.5))
    assert Request(stays.mean(3), curve=stays).default_bars == 16
