from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_cases import SETTINGS, TINY, make_context

from emomusic.evaluation.judged.hearing import Hearing
from emomusic.evaluation.judged.run import Baselines
from emomusic.evaluation.report import context as context_module
from emomusic.evaluation.report import sections as module
from emomusic.evaluation.report.plots import PICTURES
from emomusic.evaluation.report.run import Evaluation, run_sections
from emomusic.evaluation.report.tables import TITLES
from emomusic.evaluation.report.write import write_report

# The few songs made in code have an attribute that is always the same.
pytestmark = pytest.mark.filterwarnings("ignore:An input array is constant")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def evaluation(tiny_checkpoint: Path, folder: Path) -> Evaluation:
    """Return all sections of a tiny checkpoint, the simpler systems made up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context_module, "QUICK_EXTENT", TINY)
        made_up = [Hearing("both", "rules", np.full((4, 4), 1))]
        patch.setattr(module, "evaluate_baselines", lambda *given, **more: made_up)
        return run_sections(make_context(tiny_checkpoint, folder), baselines=True)


BY_NAME = [section.name for section in module.SECTIONS if section.by_name]


def test_every_section_is_measured(evaluation: Evaluation) -> None:
    assert [*evaluation.sections, *BY_NAME] == list(TITLES)
    assert evaluation.left_out == {name: f"it takes minutes (--only {name})" for name in BY_NAME}
    found = evaluation.sections
    assert {h["what"] for h in found["emotion"]["hearings"]} == {"composed", "real EMOPIA"}
    assert [h["n"] for h in found["emotion"]["best_of"]] == [4, 4]
    assert len(found["grid"]["levels"]) == 2
    assert found["control"]["clip"]["n_clips"] == 8 and found["control"]["bar"]["n_clips"] == 2
    real = found["quality"]["n_real"]
    assert real["pop piano"] == 2 * real["EMOPIA"] >= 16  # in equal shares
    assert found["memory"]["n_clips"] == 8 and found["memory"]["sources"] == ["emopia", "pop1k7"]
    assert found["loss"]["n_notes"] > 0
    assert found["shape"]["whole"]["n_whole"] == 8
    assert [s["what"] for s in found["shape"]["shapes"]] == ["composed", "emopia", "pop1k7"]


def test_what_has_too_few_pieces_says_so(evaluation: Evaluation) -> None:
    quality = evaluation.sections["quality"]
    assert quality["manifold"]["pop piano"]["n"] == 8
    assert "at least 8 composed pieces of Q1" in quality["diversity"]["left_out"]


def test_the_report_is_markdown_json_and_pictures(evaluation: Evaluation, tmp_path: Path) -> None:
    text = write_report(evaluation.to_dict(), tmp_path)
    assert (tmp_path / "evaluation.md").read_text("utf-8") == text
    assert text.index("## Asked and measured") < text.index("## Emotion")
    assert all((f"## {TITLES[name]}" in text) == (name not in BY_NAME) for name in TITLES)
    assert "Left out: at least 8 composed pieces of Q1" in text
    content = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert content["sections"] == json.loads(json.dumps(evaluation.sections))
    assert content["summary"][0]["what"].startswith("first draws: quadrant, judge")
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    own = {name for name in PICTURES if not name.startswith(tuple(BY_NAME))}
    assert drawn == own - {"quality_diversity"}
    for name in drawn:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"]({name}.png)" in text


def test_a_report_is_written_anew_from_its_json(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # pictures take seconds
    text = write_report(evaluation.to_dict(), tmp_path)
    (tmp_path / "evaluation.md").unlink()
    content = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert write_report(content, tmp_path) == text


def test_without_matplotlib_the_report_says_so(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = write_report(evaluation.to_dict(), tmp_path)
    assert "- pictures: no pictures: matplotlib is not installed" in text
    assert not list(tmp_path.glob("*.png")) and ".png" not in text


def test_without_rows_there_is_a_report_too(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_module, "QUICK_EXTENT", TINY)
    context = make_context(tiny_checkpoint, tmp_path, with_rows=False)
    evaluation = run_sections(context, only=["control", "shape", "loss"])
    text = write_report(evaluation.to_dict(), tmp_path)
    assert "- loss: it needs packed rows (--rows)" in text
    assert "| composed | 8 | 0 | 0 |" in text


def test_rows_without_pop_piano_leave_quality_out(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(tiny_checkpoint, tmp_path)
    monkeypatch.setitem(context.rows.meta, "sources", ["mine", "pop1k7"])
    evaluation = run_sections(context, only=["quality"])
    assert evaluation.left_out["quality"] == "the packed rows hold no songs of emopia"
    assert not evaluation.sections


def test_each_checkpoint_fits_its_own_simpler_systems(
    own_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Baselines] = []

    def keep(baselines: Baselines, *others: Any, **more: Any) -> list[Hearing]:
        given.append(baselines)
        return []

    monkeypatch.setattr(module, "evaluate_baselines", keep)
    for _ in range(2):
        module.baselines(make_context(own_checkpoint, tmp_path / "out"))
        (own_checkpoint / "other.json").write_text("{}", encoding="utf-8")
    first, second = given
    assert first.out_dir != second.out_dir
    assert first.out_dir.parent == second.out_dir.parent == tmp_path / "out" / "baselines"
    assert (first.count, first.n_bars, first.seed) == (SETTINGS.count, SETTINGS.bars, SETTINGS.seed)


def test_a_long_section_is_measured_where_it_is_named(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    class Found:
        def to_dict(self) -> dict[str, Any]:
            return {"n": 1}

    def measured(*given: Any, **more: Any) -> Found:
        asked.append(more)
        return Found()

    monkeypatch.setattr(module, "measure_moving", measured)
    context = make_context(tiny_checkpoint, tmp_path)
    found = run_sections(context, only=BY_NAME).sections
    assert BY_NAME == ["moving"] and found["moving"]["n"] == 1
    (more,) = asked
    assert (more["seed"], more["n_bars"]) == (SETTINGS.seed, SETTINGS.bars)
    assert more["n_curves"] == context.extent.n_curves
