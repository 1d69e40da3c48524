from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.composing import tune
from midi import score_of

from emomusic.compose.best_of import Realness, best_of, features_of
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of

NAMES = tuple(features_of(notes_of(tune(8)), n_beats=32.0, beats_per_bar=4))
PLAIN = Realness(
    dict.fromkeys(NAMES, 0.5), dict.fromkeys(NAMES, 2.0), dict.fromkeys(NAMES, 0.0), -1.0
)


def heard(notes: Notes, n_bars: int = 8) -> dict[str, float]:
    return features_of(notes, n_beats=4.0 * n_bars, beats_per_bar=4)


def bars(n_bars: int, figures: list[list[tuple[float, int]]]) -> Notes:
    """Return bars that take figures of (beat, pitch) in turn."""
    own = (figures[bar % len(figures)] for bar in range(n_bars))
    notes = [(4.0 * bar + beat, 0.5, pitch, 60) for bar, f in enumerate(own) for beat, pitch in f]
    return notes_of(score_of(notes))


FIGURES = [[(0, 48), (1, 64), (2, 67), (3, 72)], [(0, 50), (0.5, 65), (2.5, 69), (3, 74)],
           [(1, 43), (1.5, 62), (2, 65), (3.5, 71)]]  # fmt: skip


def test_what_returns_is_heard_to_return() -> None:
    same, gains = heard(bars(8, FIGURES[:1])), heard(bars(8, FIGURES[:2]))
    never = heard(bars(8, [[(b + i / 12, p + i) for b, p in FIGURES[0]] for i in range(8)]))
    assert same["notes_again"] == same["rhythm_again"] == same["figure_again"] == 1.0
    assert gains["notes_again"] == 0.0 and gains["notes_return"] > 0.8
    more = replace(PLAIN, weight={**PLAIN.weight, "notes_again": 4.0})
    for realness, logit in ((PLAIN, -1.0), (more, 0.0)):  # (1 - 0.5) / 2 times the weight, less 1
        real = realness.of(bars(8, FIGURES[:1]), n_beats=32.0, beats_per_bar=4)
        assert real == pytest.approx(1 / (1 + np.exp(-logit)))
    assert never["notes_return"] == 0.0 and never["rhythm_returns"] == 0.0


def test_features_are_those_that_are_worked_out_by_hand() -> None:
    found = heard(bars(2, [[(0, 60), (1, 62), (2, 62), (3, 74)]]), 2)
    lines = ("melody_steps", "melody_repeats", "melody_leaps")
    assert [found[name] for name in lines] == pytest.approx([2 / 7, 2 / 7, 3 / 7])
    chord = heard(bars(1, [[(0, 48), (0, 60), (0, 64), (0.5, 67), (2.25, 65), (2.5, 66)]]), 1)
    wanted = {"on_beat": 3 / 6, "on_eighth": 2 / 6, "on_sixteenth": 1 / 6, "left_on_beat": 1.0,
              "lengths": 0.0, "uneven": 0.0, "drift": 0.0, "melody_repeats": 0.0,
              "rubs": 1 / 4, "melody_steps": 2 / 3, "bass_leaps": 0.0}  # fmt: skip
    assert {name: chord[name] for name in wanted} == pytest.approx(wanted)
    over = heard(bars(1, [[(0, 48), (0, 52), (0, 72), (2, 50), (2, 57), (2, 72)]]), 1)
    assert (over["bass_steps"], over["melody_repeats"]) == (1.0, 1.0)


def test_velocity_tempo_and_register_say_nothing() -> None:
    notes = bars(8, FIGURES)
    faster = replace(notes, onset_s=notes.onset_s / 2, duration_s=notes.duration_s / 2)
    for other in (replace(notes, velocity=notes.velocity + 30), faster):
        assert heard(other) == heard(notes)


def test_every_feature_is_finite_for_the_least_of_music() -> None:
    for notes in (bars(1, [[(0, 60)]]), bars(1, [[(3.9, 21)]]), bars(40, [[(0, 108)]])):
        found = heard(notes, 1)
        assert tuple(found) == NAMES and np.isfinite(list(found.values())).all()
        assert 0 < PLAIN.of(notes, n_beats=4.0, beats_per_bar=4) < 1


def test_to_be_real_counts_half_of_being_heard(tiny_checkpoint: Path) -> None:
    composer = Composer(tiny_checkpoint)
    (clip,) = composer.compose(Request(Emotion(0.8, 0.6), n_bars=8), seed=1)
    real, unreal = (
        replace(clip, candidate=at, score=score_of([(4.0 * b + x, 0.5, p, 60) for b, own in
                enumerate(figures) for x, p in own]))
        for at, figures in enumerate((FIGURES[:1] * 8, FIGURES[:2] * 4))
    )  # fmt: skip
    ear = replace(PLAIN, weight={**PLAIN.weight, "notes_again": 400.0}, bias=0.0)
    never = replace(ear, weight={**PLAIN.weight, "notes_again": -400.0})
    heard_as = (
        replace(unreal, verdict=replace(clip.verdict, probabilities={"Q1": p}))
        for p in (clip.verdict.probabilities["Q1"] + own for own in (0.49, 0.51))
    )
    little, much = heard_as
    near = replace(unreal, verdict=replace(clip.verdict, valence=0.8, arousal=0.6))
    for candidates, realness, best in (
        ((unreal, real), None, real), ((unreal, real), ear, real), ((unreal, real), never, unreal),
        ((real, little), ear, real), ((real, much), ear, much), ((unreal,), ear, unreal),
        ((real, near), None, near),
    ):  # fmt: skip
        assert best_of(candidates, composer.verifier, realness) is best


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "its format is not"),
        (lambda c: c["mean"].pop("drift"), "different features"),
        (lambda c: c["scale"].update(drift=0), "a scale is not above 0"),
        (lambda c: c["weight"].update(drift=float("nan")), "not finite"),
        (lambda c: c.update(colour=1), "colour"),
        (lambda c: c.update(mean=3), ""),
        (lambda c: c.update(bias=[0.0]), "not finite numbers"),
        (lambda c: [c[t].update(smell=1.0) for t in ("mean", "scale", "weight")], "'smell'"),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, change: Callable[[Any], object], words: str
) -> None:
    assert Realness.load(tmp_path) is None
    PLAIN.save(tmp_path)
    assert Realness.load(tmp_path) == PLAIN
    path = tmp_path / "realness.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"cannot read the realness .*{words}"):
        Realness.load(tmp_path)
