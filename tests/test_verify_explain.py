from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.explanation import USUAL, Rules, clip, even_bars

from emomusic.music.notes import Notes
from emomusic.verify.calibration import AXES
from emomusic.verify.counterfactuals import sort_notes
from emomusic.verify.explain import Effect, Explanation, emotion_word, explain
from emomusic.verify.plots import plot_explanation
from emomusic.verify.timeline import MAX_WINDOWS, name_bars, name_seconds, trace_emotion
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


def followed(first: Notes, second: Notes) -> Notes:
    """Return one clip after the other, 48 beats later."""
    later = (second.onset + 48.0, second.onset_s + first.onset_s[-1] + first.onset_s[1])
    columns = zip(
        first.columns, (later[0], second.duration, later[1], *second.columns[3:]), strict=True
    )
    return sort_notes(Notes(*(np.concatenate(pair) for pair in columns)))


PIECE = followed(clip(gap_s=0.25, velocity=90), clip(gap_s=0.5, velocity=60))


def test_windows_are_four_bars_where_bars_are_known() -> None:
    course = trace_emotion(clip(), Rules(), bars=even_bars(clip()))
    assert [window.bars for window in course.windows] == [(1, 4), (5, 8), (9, 12)]
    assert [window.start_s for window in course.windows] == pytest.approx([0.0, 8.0, 16.0])
    assert course.windows[-1].end_s == pytest.approx(24.0)
    assert course.windows[0].name_to(course.windows[0]) == "bars 1 to 4"


def test_windows_are_eight_seconds_where_bars_are_not_known() -> None:
    course = trace_emotion(clip(), Rules())
    assert [window.name_to(window) for window in course.windows] == [
        "0:00 to 0:08",
        "0:08 to 0:16",
        "0:16 to 0:24",
    ]


def test_the_aroused_half_is_found() -> None:
    course = trace_emotion(PIECE, Rules(), bars=even_bars(PIECE))
    assert course.quadrant == "Q1"
    assert len(course.windows) == 6
    first, second = course.windows[:3], course.windows[3:]
    assert min(w.arousal for w in first) > max(w.arousal for w in second)
    assert course.most_typical in first and course.most_influential in first
    assert "Heard as Q4: bars 13 to 24." in course.sentence


def test_pull_is_what_the_whole_loses_without_the_window() -> None:
    rules, bars = Rules(), even_bars(PIECE)
    window = trace_emotion(PIECE, rules, bars=bars).windows[5]
    without = rules.verdict(PIECE.where(PIECE.onset < 80)).probabilities["Q1"]
    whole = rules.verdict(PIECE).probabilities["Q1"]
    lost = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert window.pull == pytest.approx(lost)


def test_short_pieces_have_one_window_and_nothing_to_tell() -> None:
    for notes in (clip().where(slice(0, 8)), clip().where(slice(0, 1))):
        course = trace_emotion(notes, Rules(), bars=even_bars(notes))
        assert len(course.windows) <= 1 and course.sentence == ""
        assert course.most_typical is None and course.most_influential is None


def test_windows_without_music_are_left_out() -> None:
    gap = PIECE.where((PIECE.onset < 16) | (PIECE.onset >= 48))
    course = trace_emotion(gap, Rules(), bars=even_bars(gap))
    assert [window.bars for window in course.windows] == [(1, 4), (13, 16), (17, 20), (21, 24)]


def test_long_pieces_have_wider_windows() -> None:
    notes = clip(gap_s=20.0)
    assert 2 <= len(trace_emotion(notes, Rules()).windows) <= MAX_WINDOWS


def test_places_are_named() -> None:
    assert (name_bars(9, 12), name_bars(3, 3)) == ("bars 9 to 12", "bar 3")
    assert name_seconds(7.6, 64.2) == "0:08 to 1:04"


def draw(path: Path, notes: Notes, *, bars: bool = True) -> None:
    course = trace_emotion(notes, Rules(), bars=even_bars(notes) if bars else None)
    explanation = explain(notes, Rules(), reference=USUAL)
    plot_explanation(path, notes, explanation=explanation, trajectory=course)


@pytest.mark.parametrize("n_notes", [1, 84])
@pytest.mark.parametrize("bars", [True, False])
def test_a_picture_is_drawn(tmp_path: Path, n_notes: int, bars: bool) -> None:
    draw(tmp_path / "why.png", clip(major=False).where(slice(0, n_notes)), bars=bars)
    data = (tmp_path / "why.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)] == [1200, 900]


def test_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must end in \.png, got 'why.jpg'"):
        draw(Path("why.jpg"), clip())
