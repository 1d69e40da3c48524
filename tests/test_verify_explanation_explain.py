from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from explanation_cases import USUAL, Rules, clip

from emomusic.music.notes import Notes
from emomusic.verify.explanation.explain import Explanation, emotion_word, explain
from emomusic.verify.verifier import Verdict


def explained(notes: Notes) -> Explanation:
    return explain(notes, Rules(), usual=USUAL)


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
    loud = next(e for e in explain(notes, rules, usual=USUAL).effects if e.cause == "loudness")
    # Median velocity 105 against the usual 65: 2 log odds the whole way, 1 half of it.
    assert loud.arousal[1:] == pytest.approx((1.0, 2.0), abs=0.03)
    assert loud.valence == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_what_speaks_against_the_verdict_is_told() -> None:
    explanation = explained(clip(major=True, gap_s=0.15, velocity=50))
    assert explanation.quadrant == "Q1"
    assert [effect.words for effect in explanation.objections] == ["very soft"]
    assert "Against it: very soft lowers arousal." in explanation.sentence


def test_words_are_those_of_the_clip() -> None:
    explanation = explained(clip(major=False, gap_s=0.15, velocity=100))
    assert explanation.headline.endswith(f" → {explanation.emotion}")
    for words in ("minor mode lowers valence", "very fast", "raise arousal"):
        assert words in explanation.sentence


def test_an_undecided_axis_is_told() -> None:
    explanation = explained(clip(gap_s=0.5, velocity=86))
    assert "arousal" in explanation.undecided
    assert explanation.sentence.endswith("Arousal is undecided.")


def test_flat_velocities_are_explained_without_loudness() -> None:
    flat = replace(clip(), velocity=np.full(len(clip()), 100))
    assert "loudness" not in [effect.cause for effect in explained(flat).effects]


def test_mode_is_named_only_where_it_does_what_mode_does() -> None:
    class Contrary(Rules):
        def verdict(self, notes: Notes) -> Verdict:
            heard = super().verdict(notes)
            p = heard.probabilities
            turned = {"Q1": p["Q2"], "Q2": p["Q1"], "Q3": p["Q4"], "Q4": p["Q3"]}
            quadrant = max(turned, key=turned.__getitem__)
            return replace(heard, quadrant=quadrant, probabilities=turned, valence=-heard.valence)

    effects = explain(clip(), Contrary(), usual=USUAL).effects
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


def test_no_notes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one note"):
        explained(clip().where(slice(0, 0)))


def test_one_note_is_explained() -> None:
    assert explained(clip().where(slice(0, 1))).effects
