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

from emomusic.compose.best_of import Realness, features_of
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
    return notes_of(
        score_of(
            [
                (4.0 * bar + beat, 0.5, pitch, 60)
                for bar in range(n_bars)
                for beat, pitch in figures[bar % len(figures)]
            ]
        )
    )


FIGURES = [[(0, 48), (1, 64), (2, 67), (3, 72)], [(0, 50), (0.5, 65), (2.5, 69), (3, 74)],
           [(1, 43), (1.5, 62), (2, 65), (3.5, 71)]]  # fmt: skip


def test_what_returns_is_heard_to_return() -> None:
    same, gains = heard(bars(8, FIGURES[:1])), heard(bars(8, FIGURES[:2]))
    never = heard(bars(8, [[(b + i / 12, p + i) for b, p in FIGURES[0]] for i in range(8)]))
    assert same["notes_again"] == same["rhythm_again"] == same["figure_again"] == 1.0
    assert gains["notes_again"] == 0.0 and gains["notes_return"] > 0.8
    assert never["notes_return"] == 0.0 and never["rhythm_returns"] == 0.0


def test_steps_repeats_and_leaps_of_the_melody() -> None:
    run = heard(bars(2, [[(0, 60), (1, 62), (2, 62), (3, 74)]]), 2)
    assert (run["melody_steps"], run["melody_repeats"], run["melody_leaps"]) == pytest.approx(
        (2 / 7, 2 / 7, 3 / 7)
    )


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


def test_weights_decide() -> None:
    notes = bars(8, FIGURES[:1])
    more = replace(PLAIN, weight={**PLAIN.weight, "notes_again": 4.0})
    plain, real = (own.of(notes, n_beats=32.0, beats_per_bar=4) for own in (PLAIN, more))
    assert plain == pytest.approx(1 / (1 + np.e)) and real == pytest.approx(0.5)


def test_a_saved_one_loads_equal(tmp_path: Path) -> None:
    assert Realness.load(tmp_path) is None
    PLAIN.save(tmp_path)
    assert Realness.load(tmp_path) == PLAIN


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "its format is not"),
        (lambda c: c["mean"].pop("drift"), "different features"),
        (lambda c: c["scale"].update(drift=0), "a scale is not above 0"),
        (lambda c: c["weight"].update(drift=float("nan")), "not finite"),
        (lambda c: c.update(colour=1), "colour"),
        (lambda c: c.update(mean=3), ""),
        (lambda c: c["mean"].update(drift="far"), ""),
        (lambda c: c.update(bias=[0.0]), "not finite numbers"),
        (
            lambda c: [c[t].update(smell=1.0) for t in ("mean", "scale", "weight")],
            "feature 'smell'",
        ),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    PLAIN.save(tmp_path)
    path = tmp_path / "realness.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"cannot read the realness .*{words}"):
        Realness.load(tmp_path)
