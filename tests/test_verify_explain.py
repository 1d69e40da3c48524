from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers.explanation import USUAL, Rules, clip

from emomusic.music.notes import Notes
from emomusic.verify.calibration import AXES
from emomusic.verify.explain import Effect, Explanation, emotion_word, explain
from emomusic.verify.verifier import Verdict


def explained(notes: Notes) -> Explanation:
    return explain(notes, Rules(), reference=USUAL)


def test_causes_that_move_the_verdict_are_named_with_their_axis() -> None:
    explanation = explained(clip(major=False, gap_s=0.15, velocity=100, tonic=48))
    assert explanation.quadrant == "Q2"
    reasons = {effect.cause: effect for effect in explanation.reasons}
    assert reasons.keys() == {"mode", "tempo", "loudness", "density"}
    assert reasons["mode"].axis == "valence" and not reasons["mode"].raises
    assert all(reasons[name].axis == "arousal" for name in ("tempo", "loudness", "density"))
    assert all(reasons[name].raises for name in ("tempo", "loudness", "density"))
    strengths = [effect.strength for effect in explanation.reasons]
    assert strengths == sorted(strengths, reverse=True)


def test_a_cause_that_the_verifier_does_not_hear_does_not_matter() -> None:
    register = next(e for e in explained(clip(tonic=90)).effects if e.cause == "register")
    assert register.role == "no matter" and register.axis is None and register.strength == 0


def test_effects_are_what_undoing_takes_away() -> None:
    rules, notes = Rules(), clip(velocity=105)
    loud = next(e for e in explain(notes, rules, reference=USUAL).effects if e.cause == "loudness")
    # Median velocity 105 against the usual 65: 2 log odds the whole way, 1 half of it.
    assert loud.arousal[1:] == pytest.approx((1.0, 2.0), abs=0.03)
    assert loud.valence == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_what_speaks_against_the_verdict_is_told() -> None:
    explanation = explained(clip(major=True, gap_s=0.15, velocity=50))
    assert explanation.quadrant == "Q1"
    assert [effect.words for effect in explanation.objections] == ["very soft"]
    assert "Against it: very soft lowers arousal." in explanation.sentence


def test_an_undecided_axis_is_told() -> None:
    explanation = explained(clip(gap_s=0.5, velocity=86))
    assert "arousal" in explanation.undecided
    assert explanation.sentence.endswith("Arousal is undecided.")


def test_mode_is_named_only_where_it_does_what_mode_does() -> None:
    class Contrary(Rules):
        def verdict(self, notes: Notes) -> Verdict:
            heard = super().verdict(notes)
            p = heard.probabilities
            turned = {"Q1": p["Q2"], "Q2": p["Q1"], "Q3": p["Q4"], "Q4": p["Q3"]}
            quadrant = max(turned, key=turned.__getitem__)
            return replace(heard, quadrant=quadrant, probabilities=turned, valence=-heard.valence)

    effects = explain(clip(), Contrary(), reference=USUAL).effects
    assert next(e for e in effects if e.cause == "mode").role == "no matter"


def test_emotion_word_is_of_the_quadrant_heard() -> None:
    def heard(q: str, p: tuple[float, float, float, float]) -> Verdict:
        return Verdict(
            q, dict(zip(("Q1", "Q2", "Q3", "Q4"), p, strict=True)), 0.0, 0.0, 0.2, 0.2, 1.0
        )

    assert emotion_word(heard("Q2", (0.25, 0.6, 0.1, 0.05))) in ("tense", "distressed")
    assert emotion_word(heard("Q4", (0.05, 0.03, 0.1, 0.82))) in (
        "calm",
        "content",
        "relaxed",
        "serene",
    )


def test_dict_is_plain() -> None:
    found = explained(clip(major=False)).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert {"headline", "sentence", "effects", "quadrant"} <= found.keys()


def test_one_note_is_explained() -> None:
    assert explained(clip().where(slice(0, 1))).effects


def effect(words: str, axis: str, *, by: float, role: str = "for") -> Effect:
    moved = {name: (by, by, by) if name == axis else (0.0, 0.0, 0.0) for name in AXES}
    none = (0.0, 0.0, 0.0)
    return Effect("tempo", words, 1.0, 0.0, 0.9, role, axis, abs(by), **moved, quadrant=none)


def test_sentence_joins_what_moves_one_axis() -> None:
    effects = (
        effect("minor mode", "valence", by=-1.0),
        effect("fast", "arousal", by=1.0),
        effect("loud", "arousal", by=1.0),
        effect("dense", "arousal", by=1.0),
        effect("high register", "valence", by=1.0, role="against"),
    )
    explanation = Explanation("Q2", 0.714, "tense", -0.5, 0.5, (), effects)
    assert explanation.sentence == (
        "Tense (Q2, 0.71 sure): minor mode lowers valence; fast, loud and dense raise arousal. "
        "Against it: high register raises valence."
    )
    assert explanation.headline == "minor mode, fast, loud, dense → tense"


def test_sentence_tells_what_is_undecided() -> None:
    explanation = Explanation("Q4", 0.3, "calm", 0.0, 0.0, ("valence", "arousal"), ())
    assert explanation.headline == "no single cause by itself → calm"
    assert explanation.sentence == (
        "Calm (Q4, 0.30 sure): no single cause by itself carries it. "
        "Valence and arousal are undecided."
    )


def test_a_known_verdict_is_not_asked_for_again() -> None:
    class Once(Rules):
        def verdict(self, notes: Notes) -> Verdict:
            raise AssertionError

        def verdicts(self, clips: Sequence[Notes]) -> list[Verdict]:
            return [Rules().verdict(notes) for notes in clips]

    known = Rules().verdict(clip())
    assert explain(clip(), Once(), reference=USUAL, verdict=known) == explained(clip())


def test_explaining_needs_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys\n"
        "import emomusic.verify.timeline, emomusic.verify.counterfactuals as c\n"
        "c.default_reference()\n"
        "print(sorted({'matplotlib', 'torch', 'sklearn', 'scipy', 'symusic'} & set(sys.modules)))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
