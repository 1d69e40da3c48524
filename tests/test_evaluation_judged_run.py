from __future__ import annotations

from pathlib import Path

import pytest
from judged_cases import make_panel
from synthetic import make_score

from emomusic.compose.composer import Composer
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged import run as module
from emomusic.evaluation.judged.hearing import Panel
from emomusic.evaluation.judged.recipe import Recipe
from emomusic.evaluation.judged.run import (
    Baselines,
    evaluate_baselines,
    evaluate_best_of,
    evaluate_emotion,
)
from emomusic.evaluation.judged.tables import systems_table
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES
from emomusic.music.score import write_score
from emomusic.verify.labels import LabelledClip


@pytest.fixture
def panel(tmp_path: Path) -> Panel:
    """Return a panel with real clips: one of each quadrant, of notes high in Q1 only."""
    made = make_panel()
    real = []
    for quadrant in QUADRANTS:
        path = tmp_path / f"{quadrant}.mid"
        write_score(make_score([72 if quadrant == "Q1" else 48] * 4), path)
        real.append(LabelledClip(path, "emopia", quadrant, quadrant, None, None, "mapper"))
    return Panel(made.judges, [*made.own, *real], made.notes)


def test_first_draws_are_heard_beside_real_clips_and_controls(
    tiny_checkpoint: Path, panel: Panel
) -> None:
    draws = evaluate_emotion(Composer(tiny_checkpoint), panel, count=2, n_bars=2, n_shuffles=2)
    assert len(draws.clips) == 8
    found = {(h.what, h.judge): h for h in draws.hearings}
    judges = ("pitch", "sure", "both", "majority")
    assert set(found) == {(w, j) for w in ("composed", "real EMOPIA") for j in judges}
    assert found["composed", "sure"].confusion[:, 1].tolist() == [2, 2, 2, 2]
    assert found["real EMOPIA", "pitch"].confusion.diagonal().tolist() == [1, 0, 1, 0]
    told = draws.to_dict()
    assert len(told["hearings"]) == 8 and len(told["shuffled"]) == 2
    lines = systems_table(draws.hearings).splitlines()
    assert lines[0] == "| clips | n | pitch | sure | both | majority |"
    assert lines[2].startswith("| composed | 8 | ") and len(lines) == 4


def test_each_judge_chooses_for_the_other(tiny_checkpoint: Path, panel: Panel) -> None:
    told: list[int] = []
    found = evaluate_best_of(
        Composer(tiny_checkpoint), panel, n_candidates=3, count=1, n_bars=2, progress=told.append
    )
    assert sum(told) == 12
    assert [(h.what, h.judge) for h in found] == [
        ("best of 3 by pitch", "sure"),
        ("best of 3 by sure", "pitch"),
    ]
    assert all(h.confusion.sum() == 4 for h in found)
    with pytest.raises(ValueError, match="n_candidates must be at least 1, got 0"):
        evaluate_best_of(Composer(tiny_checkpoint), panel, n_candidates=0)


def test_simpler_systems_are_heard_by_the_same_judges(
    tiny_checkpoint: Path, tmp_path: Path, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = {a.name: a.low for a in ATTRIBUTES}
    high = {a.name: a.high for a in ATTRIBUTES}
    bits = {q: dict.fromkeys(ATTRIBUTE_NAMES, q in ("Q1", "Q2")) for q in QUADRANTS}
    recipe = Recipe(bits, dict.fromkeys(QUADRANTS, "some.mid"), low, high)
    monkeypatch.setattr(module, "find_recipe", lambda *given: recipe)
    baselines = Baselines(Composer(tiny_checkpoint), tiny_checkpoint, tmp_path, count=1, n_bars=2)
    found = evaluate_baselines(baselines, panel)
    systems = list(dict.fromkeys(h.what for h in found))
    assert systems == ["no controls", "rules", "EmoGen's recipe"]
    assert all(h.confusion.sum(axis=1).tolist() == [1, 1, 1, 1] for h in found)
