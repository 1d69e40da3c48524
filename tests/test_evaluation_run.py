from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.evaluation import SETTINGS, TINY, make_context, row

from emomusic.compose.composer import Composer
from emomusic.evaluation import run as module
from emomusic.evaluation.render import Report
from emomusic.evaluation.rows import Row, Section
from emomusic.evaluation.run import Context, Settings, run_sections

Run = Callable[..., tuple[list[str], Report]]


class Measured:
    """Stand in for the sections: count what is measured, and stop where told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.stops_at = ""

    def section(self, name: str, *uses: str, needs_rows: bool = False) -> Section:
        def measure(context: Context) -> Iterator[Row | str]:
            if name == self.stops_at:
                raise KeyboardInterrupt
            self.names.append(name)
            context.tell(1, 2)
            yield Row("third", 1 / 3, n=len(self.names))
            yield "Said."

        return Section(name, name.capitalize(), measure, uses=uses, needs_rows=needs_rows)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    made = Measured()
    sections = (
        made.section("emotion", "count"),
        made.section("quality", "count", "rows", needs_rows=True),
        made.section("loss", "rows", needs_rows=True),
        made.section("baselines", "count"),
    )
    monkeypatch.setattr(module, "SECTIONS", sections)
    return made


@pytest.fixture
def run(measured: Measured, own_checkpoint: Path, tmp_path: Path) -> Run:
    """Return what runs an evaluation in one folder, and tells what of it was measured now."""

    def again(
        settings: Settings = SETTINGS, *, with_rows: bool = True, **given: Any
    ) -> tuple[list[str], Report]:
        context = make_context(
            own_checkpoint, tmp_path / "out", settings=settings, with_rows=with_rows
        )
        try:
            report = run_sections(context, **given)
        finally:
            taken, measured.names = measured.names, []
        return taken, report

    return again


def test_a_run_that_was_stopped_goes_on_where_it_was(measured: Measured, run: Run) -> None:
    measured.stops_at = "loss"
    with pytest.raises(KeyboardInterrupt):
        run()
    measured.stops_at = ""
    taken, report = run(baselines=True)
    assert taken == ["loss", "baselines"] and not report.left_out
    assert [section.name for section in report.found] == ["emotion", "quality", *taken]
    assert {own.rows[0].value for own in report.found.values()} == {0.3333}  # kept or not
    assert all(own.remarks == ("Said.",) for own in report.found.values())
    assert run()[0] == []


def test_what_depends_on_what_changed_is_made_again(
    run: Run, own_checkpoint: Path, tmp_path: Path
) -> None:
    assert run()[0] == ["emotion", "quality", "loss"]
    assert run(replace(SETTINGS, count=3))[0] == ["emotion", "quality"]
    (own_checkpoint / "README.md").write_text("other words", encoding="utf-8")
    assert run(replace(SETTINGS, count=3))[0] == []
    mapper = json.loads((own_checkpoint / "mapper.json").read_text("utf-8"))
    (own_checkpoint / "mapper.json").write_text(json.dumps(mapper, indent=2), encoding="utf-8")
    assert run()[0] == ["emotion", "quality", "loss"]
    kept = tmp_path / "out" / "sections"
    (kept / "loss.json").write_text("{", encoding="utf-8")  # damaged
    (kept / "emotion.json").write_text("[]", encoding="utf-8")
    assert run()[0] == ["emotion", "loss"]


def test_without_rows_what_needs_them_is_left_out(run: Run) -> None:
    taken, report = run(with_rows=False)
    assert taken == ["emotion"]
    assert report.left_out["quality"] == "it needs packed rows (--rows)"
    assert list(report.left_out) == ["quality", "loss", "baselines"]


def test_sections_may_be_asked_for_by_name(run: Run) -> None:
    told: list[tuple[str, int, int | None]] = []
    taken, report = run(only=["baselines"], progress=lambda *now: told.append(now))
    assert taken == ["baselines"] and report.left_out["loss"] == "it was not asked for"
    assert told == [("baselines", 0, None), ("baselines", 1, 2), ("baselines", 1, 1)]
    taken, report = run(only=["loss"])
    assert taken == ["loss"]  # what is kept is told, too
    assert [section.name for section in report.found] == ["loss", "baselines"]
    with pytest.raises(ValueError, match="unknown section 'noise'; known are emotion, quality"):
        run(only=["noise"])


@pytest.mark.parametrize(
    ("quick", "asked", "heard"), [(True, None, False), (False, False, False), (False, None, True)]
)
def test_a_simpler_system_is_heard_unless_it_is_quick(
    run: Run, quick: bool, asked: bool | None, heard: bool
) -> None:
    assert ("baselines" in run(replace(SETTINGS, quick=quick), baselines=asked)[0]) == heard


def test_first_draws_are_composed_once_and_written(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed: list[int] = []
    compose = Composer.compose_each

    def counted(composer: Composer, requests: Any, **given: Any) -> Any:
        composed.append(len(requests))
        return compose(composer, requests, **given)

    monkeypatch.setattr(Composer, "compose_each", counted)
    context = make_context(tiny_checkpoint, tmp_path)
    assert len(context.clips) == len(context.pieces) == 8 and composed == [8]
    assert len(list(tmp_path.glob("clip_*.mid"))) == 8
    assert len((tmp_path / "manifest.jsonl").read_text("utf-8").splitlines()) == 8
    off = make_context(tiny_checkpoint, tmp_path, settings=replace(SETTINGS, steering=False))
    assert off.made_with(("steering",)) != context.made_with(("steering",))
    assert [clip.request.steering for clip in off.clips] == [False] * 8


@pytest.fixture(scope="module")
def report(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return all sections of a tiny checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "QUICK_EXTENT", TINY)
        context = make_context(tiny_checkpoint, tmp_path_factory.mktemp("evaluation"))
        return run_sections(context, baselines=True)


def test_every_section_is_measured(report: Report) -> None:
    assert list(report.found) == list(module.SECTIONS) and not report.left_out
    found = {section.name: own.rows for section, own in report.found.items()}
    heard = [own for own in found["emotion"] if own.name == "heard right"]
    assert {own.by["clips"] for own in heard} == {"composed", "real EMOPIA"}
    assert {own.by["judge"] for own in heard} >= {"both", "majority"}
    for section, name, n, by in (
        ("grid", "ρ", 4, {"judge": "both", "over": "points", "axis": "valence"}),
        ("control", "ρ", 2, {"asked": "bar by bar", "attribute": "register"}),
        ("given", "chords found again", 24, {"of": "root"}),
        ("quality", "precision", 8, {"among": "pop piano", "pieces": "real"}),
        ("memory", "measures above real music", 8, {}),
        ("baselines", "heard right", 8, {"judge": "both", "of": "quadrant"}),
    ):
        assert row(found[section], name, **by).n == n
    assert row(found["given"], "given notes kept").value == 1.0
    assert row(found["structure"], "minor seconds sounding", pieces="Pop1K7").value >= 0
    assert row(found["loss"], "nats a note").value > 0
    assert row(found["shape"], "whole clips").value == 1.0
    remarks = [remark for own in report.found.values() for remark in own.remarks]
    assert any("pop piano" in own for own in remarks)
    assert any(own.startswith("Diversity left out: at least 8 composed") for own in remarks)
    cells = [(own.by["arousal"], own.by["valence"]) for own in found["grid"]
             if own.name == "judged"]  # fmt: skip
    assert cells[:4] == [("+1.00", "-1.00"), ("+1.00", "+1.00"), ("-1.00", "-1.00"),
                         ("-1.00", "+1.00")]  # fmt: skip


def test_the_report_shows_every_section(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = report.write(tmp_path)
    assert (tmp_path / "evaluation.md").read_text("utf-8") == text
    assert text.index("## Asked and measured") < text.index("## Emotion")
    assert all(f"## {section.title}" in text for section in module.SECTIONS)
    content = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert list(content["sections"]) == [section.name for section in module.SECTIONS]
    assert "nan" not in text.replace("sonance", "") and "NaN" not in json.dumps(content)
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == {"emotion_confusion", "grid_judged", "control_ρ"}
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "- pictures: no pictures: matplotlib is not installed" in report.write(tmp_path)


def test_rows_without_pop_piano_leave_quality_out(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(tiny_checkpoint, tmp_path)
    monkeypatch.setitem(context.rows.meta, "sources", ["mine", "pop1k7"])
    report = run_sections(context, only=["quality"])
    assert report.left_out["quality"] == "the packed rows hold no songs of emopia"
    assert not report.found
