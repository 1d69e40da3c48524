from __future__ import annotations

import json
import sys
from collections.abc import Iterator
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

    def taken(self) -> list[str]:
        """Return what was measured since this was last asked."""
        taken, self.names = self.names, []
        return taken


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


def names(report: Report) -> list[str]:
    return [section.name for section in report.found]


def test_a_run_that_was_stopped_goes_on_where_it_was(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    measured.stops_at = "loss"
    with pytest.raises(KeyboardInterrupt):
        run_sections(make_context(tiny_checkpoint, tmp_path))
    assert measured.taken() == ["emotion", "quality"]
    measured.stops_at = ""
    report = run_sections(make_context(tiny_checkpoint, tmp_path), baselines=True)
    assert measured.taken() == ["loss", "baselines"]
    assert names(report) == ["emotion", "quality", "loss", "baselines"]
    assert {own.rows[0].value for own in report.found.values()} == {0.3333}  # kept or not
    assert all(own.remarks == ("Said.",) for own in report.found.values())
    assert not report.left_out
    run_sections(make_context(tiny_checkpoint, tmp_path))
    assert measured.taken() == []


def test_what_depends_on_what_changed_is_made_again(
    measured: Measured, own_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def again(settings: Settings = SETTINGS) -> list[str]:
        run_sections(make_context(own_checkpoint, out, settings=settings))
        return measured.taken()

    assert again() == ["emotion", "quality", "loss"]
    assert again(replace(SETTINGS, count=3)) == ["emotion", "quality"]
    (own_checkpoint / "README.md").write_text("other words", encoding="utf-8")
    assert again(replace(SETTINGS, count=3)) == []
    mapper = json.loads((own_checkpoint / "mapper.json").read_text("utf-8"))
    (own_checkpoint / "mapper.json").write_text(json.dumps(mapper, indent=2), encoding="utf-8")
    assert again() == ["emotion", "quality", "loss"]
    (out / "sections" / "loss.json").write_text("{", encoding="utf-8")  # damaged
    (out / "sections" / "emotion.json").write_text("[]", encoding="utf-8")
    assert again() == ["emotion", "loss"]


def test_without_rows_what_needs_them_is_left_out(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    report = run_sections(make_context(tiny_checkpoint, tmp_path, with_rows=False))
    assert measured.taken() == ["emotion"]
    assert report.left_out["quality"] == "it needs packed rows (--rows)"
    assert list(report.left_out) == ["quality", "loss", "baselines"]


def test_sections_may_be_asked_for_by_name(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    report = run_sections(make_context(tiny_checkpoint, tmp_path), only=["baselines"])
    assert measured.taken() == ["baselines"]
    assert report.left_out["loss"] == "it was not asked for"
    report = run_sections(make_context(tiny_checkpoint, tmp_path), only=["loss"])
    assert measured.taken() == ["loss"]
    assert names(report) == ["loss", "baselines"]  # what is kept is told, too
    with pytest.raises(ValueError, match="unknown section 'noise'; known are emotion, quality"):
        run_sections(make_context(tiny_checkpoint, tmp_path), only=["noise"])


def test_a_simpler_system_is_heard_unless_it_is_quick(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    slow = replace(SETTINGS, quick=False)
    for settings, asked, heard in ((SETTINGS, None, False), (slow, False, False),
                                   (slow, None, True)):  # fmt: skip
        context = make_context(tiny_checkpoint, tmp_path, settings=settings)
        assert ("baselines" in names(run_sections(context, baselines=asked))) == heard


def test_progress_is_told_section_by_section(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int | None]] = []
    context = make_context(tiny_checkpoint, tmp_path)
    run_sections(context, only=["emotion"], progress=lambda *now: told.append(now))
    assert told == [("emotion", 0, None), ("emotion", 1, 2), ("emotion", 1, 1)]


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


def test_steering_may_be_left_out(tiny_checkpoint: Path, tmp_path: Path) -> None:
    off = make_context(tiny_checkpoint, tmp_path, settings=replace(SETTINGS, steering=False))
    on = make_context(tiny_checkpoint, tmp_path)
    assert off.composer is not on.composer and off.composer.engine is not None
    assert off.made_with(("steering",)) != on.made_with(("steering",))
    assert len(off.clips) == 8


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
    assert row(found["emotion"], "best of 2 heard right", of="quadrant", judge="sure").n == 4
    assert row(found["grid"], "ρ", judge="both", over="points", axis="valence").n == 4
    assert row(found["control"], "ρ", asked="bar by bar", attribute="register").n == 2
    assert row(found["given"], "chords found again", of="root").n == 24
    assert row(found["given"], "given notes kept").value == 1.0
    assert any("pop piano" in remark for own in report.found.values() for remark in own.remarks)
    assert row(found["quality"], "precision", among="pop piano", pieces="real").n == 8
    assert row(found["structure"], "minor seconds sounding", pieces="Pop1K7").value >= 0
    assert row(found["memory"], "measures above real music").n == 8
    assert row(found["loss"], "nats a note").value > 0
    assert row(found["baselines"], "heard right", judge="both", of="quadrant").n == 8
    assert row(found["shape"], "whole clips").value == 1.0


def test_what_has_too_few_pieces_says_so(report: Report) -> None:
    remarks = [remark for own in report.found.values() for remark in own.remarks]
    assert any(own.startswith("Diversity left out: at least 8 composed") for own in remarks)


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
