"""What may carry the emotion of a clip, what undoing it takes away, and where in the piece."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.explanation import USUAL, Rules, clip

from emomusic.emotion import parse_curve
from emomusic.music.notes import Notes, make_notes
from emomusic.verify import counterfactuals as cf
from emomusic.verify.calibration import AXES
from emomusic.verify.counterfactuals import Counterfactual, Reference
from emomusic.verify.explain import (
    Effect,
    Explanation,
    Movement,
    Trajectory,
    Window,
    explain,
    hear_movement,
    trace_emotion,
)
from emomusic.verify.plots import plot_explanation
from emomusic.verify.verifier import Verdict

CHORDS = make_notes(np.repeat(np.arange(4.0), 4), np.ones(16), np.tile([48, 60, 64, 67], 4),
                    np.full(16, 70), tempo=60.0)  # fmt: skip
ONE = clip().where(slice(0, 1))


@pytest.mark.parametrize("tonic", [55, 60, 66])
@pytest.mark.parametrize("major", [True, False])
def test_other_mode_is_the_parallel_key_and_turns_back(tonic: int, major: bool) -> None:
    notes = clip(major=major, tonic=tonic)
    assert cf.find_key(notes) == (tonic % 12, major)
    turned = cf.switch_mode(notes, tonic=tonic % 12, is_major=major)
    assert np.array_equal(turned.pitch, clip(major=not major, tonic=tonic).pitch)
    back = cf.switch_mode(turned, tonic=tonic % 12, is_major=not major)
    assert np.array_equal(back.pitch, notes.pitch)
    third = cf.switch_mode(notes, tonic=tonic % 12, is_major=major, degrees=("third",))
    moved = np.flatnonzero(third.pitch != notes.pitch)
    assert set((notes.pitch[moved] - tonic) % 12) == {4 if major else 3}


def test_stretching_leaves_beats_and_loudness_and_pitch_stay_within_midi() -> None:
    notes = clip(velocity=120)
    slow = cf.stretch(notes, 2.0)
    assert np.allclose(
        [*slow.onset_s, *slow.duration_s], 2 * np.r_[notes.onset_s, notes.duration_s]
    )
    assert np.array_equal(slow.onset, notes.onset)
    assert cf.set_loudness(notes, notes.velocity + 50.0).velocity.max() == 127
    assert cf.set_loudness(notes, notes.velocity * 0.001).velocity.min() == 1
    for semitones in (-100, -60, 12, 60, 100):
        moved = cf.transpose(notes, semitones).pitch
        assert moved.min() >= 0 and moved.max() <= 127
        # Octaves nearer, but the same tone.
        assert sorted(moved % 12) == sorted((notes.pitch + semitones) % 12)


def test_inner_notes_go_before_outer_ones_and_these_before_whole_onsets() -> None:
    assert sorted(set(cf.thin(CHORDS, 0.5).pitch)) == [48, 67]
    few = cf.thin(CHORDS, 0.2)
    assert len(few) == 3 and few.onset[0] == 0.0
    assert len(cf.thin(CHORDS, 1.0)) == 16
    first, again, other = (
        cf.thin_randomly(clip(), 0.5, seed=seed).onset.tolist() for seed in (0, 0, 1)
    )
    assert first == again != other and len(first) == len(clip()) // 2


def test_doubling_adds_octaves_and_repeating_strikes_again_half_way() -> None:
    for ratio, n in ((1.0, 84), (1.25, 105), (2.0, 168), (3.0, 168)):
        more = cf.double_notes(clip(), ratio)
        assert len(more) == n and set(more.pitch % 12) == set(clip().pitch % 12)
        assert (np.diff(more.onset_s) >= 0).all()
    assert set(cf.double_notes(replace(ONE, pitch=np.array([5])), 2.0).pitch) == {5, 17}
    more = cf.repeat_onsets(CHORDS, 2.0)
    assert np.allclose(np.unique(more.onset_s), 0.5 * np.arange(8))
    assert np.allclose(more.duration_s, 0.5)
    for notes, ratio, n in ((CHORDS, 2.0, 32), (CHORDS, 1.0, 16), (ONE, 2.0, 1)):
        assert len(cf.repeat_onsets(notes, ratio)) == n


def found_in(notes: Notes) -> dict[str, Counterfactual]:
    return {found.factor.name: found for found in cf.find_counterfactuals(notes, USUAL)}


EXTREMES = {
    "tempo": ({"gap_s": 0.15}, {"gap_s": 1.5}, "fast", "slow"),
    "loudness": ({"velocity": 110}, {"velocity": 20}, "loud", "soft"),
    "register": ({"tonic": 90}, {"tonic": 40}, "high register", "low register"),
    "density": ({"gap_s": 0.15}, {"gap_s": 1.5}, "dense", "sparse"),
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("end", [0, 1])
def test_undoing_a_factor_brings_it_nearer_to_what_is_usual(name: str, end: int) -> None:
    made: Any = EXTREMES[name][end]
    notes, before = clip(**made), clip(**made)
    found = found_in(notes)[name]
    assert found.words == f"very {EXTREMES[name][2 + end]}"
    assert len(found.edits) >= 3
    for edited in found.edits:
        value = cf.FACTORS[name].measure(edited)
        assert value is not None and (found.value - value) * found.distance > 0
    assert all(map(np.array_equal, notes.columns, before.columns)), "the clip is left as it was"


def test_mode_is_undone_by_the_other_mode_and_what_is_usual_is_not_undone() -> None:
    for major in (True, False):
        found = found_in(clip(major=major))["mode"]
        assert found.words == ("major mode" if major else "minor mode")
        other = clip(major=not major)
        assert any(np.array_equal(edited.pitch, other.pitch) for edited in found.edits)
    usual = found_in(clip(velocity=65))["loudness"]
    assert not usual.edits and usual.words == "usual loudness"
    assert "loudness" not in found_in(replace(clip(), velocity=np.full(len(clip()), 100)))  # flat


def test_percentiles_follow_the_clips_measured() -> None:
    usual = Reference.measure([clip(velocity=40 + step) for step in range(41)])
    assert usual.middle("loudness") == 60
    assert usual.percentile("loudness", 50) == pytest.approx(0.25)
    assert usual.percentile("loudness", 10) == 0 and usual.percentile("loudness", 120) == 1
    assert usual.n_clips == 41
    with pytest.raises(ValueError, match="no clip to measure mode on, of 0 clips"):
        Reference.measure([])
    usual = cf.default_reference()  # of music
    assert usual.n_clips > 1000 and usual.quantiles.keys() == cf.FACTORS.keys()
    assert all(len(own) == 21 and (np.diff(own) >= 0).all() for own in usual.quantiles.values())
    assert 50 < usual.middle("loudness") < 90 and 55 < usual.middle("register") < 70


def explained(notes: Notes) -> Explanation:
    return explain(notes, Rules(), reference=USUAL)


def test_factors_that_move_the_verdict_are_named_with_their_axis() -> None:
    explanation = explained(clip(major=False, gap_s=0.15, velocity=100, tonic=48))
    assert explanation.quadrant == "Q2"
    reasons = explanation.in_role("for")
    moved = {own.cause: (own.axis, getattr(own, str(own.axis))[0] > 0) for own in reasons}
    up = ("arousal", True)
    assert moved == {"mode": ("valence", False), "tempo": up, "loudness": up, "density": up}
    strengths = [effect.strength for effect in reasons]
    assert strengths == sorted(strengths, reverse=True)
    plain = explanation.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert {"headline", "sentence", "effects", "quadrant"} <= plain.keys()


def test_effects_are_what_undoing_takes_away_and_some_speak_against_the_verdict() -> None:
    effects = {effect.cause: effect for effect in explained(clip(velocity=105, tonic=90)).effects}
    # Median velocity 105 against the usual 65: 2 log odds the whole way, 1 half of it.
    assert effects["loudness"].arousal[1:] == pytest.approx((1.0, 2.0), abs=0.03)
    assert effects["loudness"].valence == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
    unheard = effects["register"]  # by these rules
    assert (unheard.role, unheard.axis, unheard.strength) == ("no matter", None, 0)
    explanation = explained(clip(major=True, gap_s=0.15, velocity=50))
    assert explanation.quadrant == "Q1"
    assert [effect.words for effect in explanation.in_role("against")] == ["very soft"]
    explanation = explained(clip(gap_s=0.5, velocity=86))
    assert explanation.sentence.endswith("Arousal is undecided.")
    assert explained(ONE).effects


def test_mode_is_named_only_where_it_does_what_mode_does() -> None:
    class Contrary(Rules):
        def verdict(self, notes: Notes) -> Verdict:
            p = super().verdict(notes).probabilities
            turned = {"Q1": p["Q2"], "Q2": p["Q1"], "Q3": p["Q4"], "Q4": p["Q3"]}
            return Verdict(max(turned, key=turned.__getitem__), turned, 0.0, 0.0, 0.2, 0.2, 1.0)

    effects = explain(clip(), Contrary(), reference=USUAL).effects
    assert [effect.role for effect in effects if effect.cause == "mode"] == ["no matter"]


def test_emotion_word_is_of_the_quadrant_heard() -> None:
    for q, p, words in (
        ("Q2", (0.25, 0.6, 0.1, 0.05), {"tense", "distressed"}),
        ("Q4", (0.05, 0.03, 0.1, 0.82), {"calm", "content", "relaxed", "serene"}),
    ):
        shares = dict(zip(("Q1", "Q2", "Q3", "Q4"), p, strict=True))
        verdict = Verdict(q, shares, 0.0, 0.0, 0.2, 0.2, 1.0)
        assert explain(ONE, Rules(), reference=USUAL, verdict=verdict).emotion in words


def effect(words: str, axis: str, *, by: float, role: str = "for") -> Effect:
    none, moved = (0.0, 0.0, 0.0), (by, by, by)
    valence, arousal = (moved if name == axis else none for name in AXES)
    return Effect("x", words, 1.0, 0.0, 0.9, role, axis, abs(by), valence, arousal, none)


def test_sentences_join_what_moves_one_axis() -> None:
    up = (effect(words, "arousal", by=1.0) for words in ("fast", "loud", "dense"))
    against = effect("high register", "valence", by=1.0, role="against")
    effects = (effect("minor mode", "valence", by=-1.0), *up, against)
    explanation = Explanation("Q2", 0.714, "tense", -0.5, 0.5, (), effects)
    assert explanation.headline == "minor mode, fast, loud, dense → tense"
    assert explanation.sentence == (
        "Tense (Q2, 0.71 sure): minor mode lowers valence; fast, loud and dense raise arousal. "
        "Against it: high register raises valence."
    )
    explanation = Explanation("Q4", 0.3, "calm", 0.0, 0.0, ("valence", "arousal"), ())
    assert explanation.headline == "no single cause by itself → calm"
    assert "Valence and arousal are undecided." in explanation.sentence


def followed(first: Notes, second: Notes) -> Notes:
    """Return one clip after the other, 48 beats later."""
    onset_s = second.onset_s + first.onset_s[-1] + first.onset_s[1]
    later = replace(second, onset=second.onset + 48.0, onset_s=onset_s)
    columns = zip(first.columns, later.columns, strict=True)
    return cf.sort_notes(Notes(*map(np.concatenate, columns)))


PIECE = followed(clip(gap_s=0.25, velocity=90), clip(gap_s=0.5, velocity=60))


def traced(notes: Notes) -> Trajectory:
    n_bars = int(np.ceil((notes.onset + notes.duration).max() / 4.0))
    return trace_emotion(notes, Rules(), bars=4.0 * np.arange(n_bars + 1.0))


def named(windows: tuple[Window, ...]) -> list[str]:
    return [window.name_to(window) for window in windows]


def test_windows_are_four_bars_or_eight_seconds() -> None:
    windows = traced(clip()).windows
    assert [window.bars for window in windows] == [(1, 4), (5, 8), (9, 12)]
    assert [(w.start_s, w.end_s) for w in windows] == [(0, 8), (8, 16), (16, 24)]
    assert replace(windows[0], bars=(3, 3)).name_to(replace(windows[0], bars=(3, 3))) == "bar 3"
    times = ["0:00 to 0:08", "0:08 to 0:16", "0:16 to 0:24"]
    assert named(trace_emotion(clip(), Rules()).windows) == times
    # Those without music are left out, and those of long pieces are wider.
    gap = PIECE.where((PIECE.onset < 16) | (PIECE.onset >= 48))
    bars = [window.bars for window in traced(gap).windows]
    assert bars == [(1, 4), (13, 16), (17, 20), (21, 24)]
    assert 2 <= len(trace_emotion(clip(gap_s=20.0), Rules()).windows) <= 24


def test_the_aroused_half_is_found_and_pull_is_what_the_whole_loses_without_it() -> None:
    course = traced(PIECE)
    assert course.quadrant == "Q1" and len(course.windows) == 6
    first, second = course.windows[:3], course.windows[3:]
    assert min(w.arousal for w in first) > max(w.arousal for w in second)
    assert course.most_typical in first and course.most_influential in first
    assert "Heard as Q4: bars 13 to 24." in course.sentence
    without, whole = (
        Rules().verdict(notes).probabilities["Q1"]
        for notes in (PIECE.where(PIECE.onset < 80), PIECE)
    )
    lost = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert course.windows[5].pull == pytest.approx(lost)


def test_sentences_tell_where_a_verdict_comes_from() -> None:
    one = Window(0.0, 8.0, (1, 4), "Q1", 0.1, 0.1, fit=2.0, pull=0.2)
    other = Window(8.0, 16.0, (5, 8), "Q1", 0.1, 0.1, fit=1.0, pull=0.2)
    both = Trajectory("Q1", "happy", (one, other)).sentence
    assert both == "Most happy, and moves the verdict most: bars 1 to 4."
    apart = Trajectory("Q1", "happy", (replace(one, pull=0.1), replace(other, quadrant="Q2")))
    assert apart.sentence == (
        "Most happy: bars 1 to 4. Moves the verdict most: bars 5 to 8. Heard as Q2: bars 5 to 8."
    )
    none = Trajectory("Q1", "happy", (replace(one, pull=0.0), replace(other, pull=0.0)))
    assert none.most_influential is None and none.sentence == "Most happy: bars 1 to 4."
    for notes in (clip().where(slice(0, 8)), ONE):  # too short for two windows
        course = traced(notes)
        assert len(course.windows) <= 1 and course.sentence == ""
        assert course.most_typical is None and course.most_influential is None


@pytest.mark.parametrize(
    ("notes", "course"), [(ONE, traced(ONE)), (PIECE, trace_emotion(PIECE, Rules()))]
)
def test_a_picture_is_drawn(tmp_path: Path, notes: Notes, course: Trajectory) -> None:
    plot_explanation(tmp_path / "why.png", notes, explanation=explained(notes), trajectory=course)
    data = (tmp_path / "why.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)] == [1200, 900]


def heard_moving(curve: str, *velocities: int, n_bars: int = 12) -> Movement | None:
    """Hear twelve bars in C major in as many parts as velocities, as loud as they say."""
    notes = clip()
    part = (notes.onset * len(velocities) / 48.0).astype(int)
    notes = replace(notes, velocity=notes.velocity - 65 + np.array(velocities)[part])
    how: dict[str, Any] = {"n_bars": n_bars, "quarters_per_bar": 4, "trust": 1.0}
    return hear_movement(notes, Rules(), parse_curve(curve), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("curve", "velocities", "bars", "words"),
    [
        ("0:0.5,-0.6 12:0.5,0.6", (40, 65, 95), ((1, 4), (9, 12)), "moved as asked: arousal -0"),
        ("0:0.5,-0.6 12:0.5,0.6", (65, 65, 65), ((1, 4), (9, 12)), "did not move: arousal "),
        ("0:0.5,-0.6 12:0.5,0.6", (95, 65, 40), ((1, 4), (9, 12)), "did not move: arousal +0"),
        ("0:0.5,0.6 12:0.5,-0.6", (95, 65, 40), ((1, 4), (9, 12)), "moved as asked: arousal +0"),
        # There and back: between the turn and an end.
        ("0:0.5,-0.6 4:0.5,0.6 8:0.5,0.6 12:0.5,-0.6", (40, 95, 40), ((1, 4), (5, 8)), "moved as"),
        ("0:-0.5,-0.6 12:0.5,0.6", (40, 65, 95), ((1, 4), (9, 12)), "moved in part: arousal -0"),
        ("0:-0.6,0.1 12:0.6,0", (65, 65, 65), ((1, 4), (9, 12)), "did not move: valence +0"),
    ],
)
def test_a_curve_is_heard_to_move_or_not_between_the_parts_that_differ_most(
    curve: str, velocities: tuple[int, ...], bars: Any, words: str
) -> None:
    found = heard_moving(curve, *velocities)
    assert found is not None and found.bars == bars and found.sentence.startswith(words)
    told = found.to_dict()
    assert told["as_asked"] is found.sentence.startswith("moved as asked")
    asked = [(point["valence"], point["arousal"]) for point in told["asked"]]
    middle = [np.mean([bar - 1, bar_to]) for bar, bar_to in bars]
    if "4:" not in curve:
        points = [parse_curve(curve).at(bar) for bar in middle]
        assert asked == [pytest.approx((e.valence, e.arousal), abs=1e-4) for e in points]
    assert json.loads(json.dumps(told))["heard"][0].keys() == {"valence", "arousal"}
    for axis, (a, b) in {"arousal": [p[1] for p in found.heard]}.items():
        assert axis not in found.axes or f"{axis} {a:+.2f} to {b:+.2f} (asked " in found.sentence


def test_what_hardly_moves_is_one_bar_or_is_silent_is_not_said_to_move() -> None:
    assert heard_moving("0:0.5,0.5", 65) is None
    assert heard_moving("0:0.5,0.5 12:0.5,0.56", 40, 95) is None
    assert heard_moving("0:0.5,-0.5 1:0.5,0.5", 65, n_bars=1) is None
    assert heard_moving("0:0.5,-0.5 24:0.5,0.5", 65, n_bars=24) is None  # silent from bar 13 on
    halves = heard_moving("0:0.5,-0.5 6:0.5,0.5", 40, 95, n_bars=6)
    assert halves is not None and halves.bars == ((1, 3), (4, 6))
