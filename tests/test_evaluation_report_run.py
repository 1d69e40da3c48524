from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_cases import SETTINGS, make_context

from emomusic.compose.composer import Composer
from emomusic.evaluation.report import run as module
from emomusic.evaluation.report.context import Context
from emomusic.evaluation.report.run import run_sections
from emomusic.evaluation.report.sections import Section


class Measured:
    """Stand in for the sections: count what is measured, and stop where told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.stops_at = ""

    def section(self, name: str, *uses: str, needs_rows: bool = False) -> Section:
        def measure(context: Context) -> dict[str, Any]:
            if name == self.stops_at:
                raise KeyboardInterrupt
            self.names.append(name)
            context.tell(1, 2)
            return {"n": len(self.names), "pair": (1, 2)}

        return Section(name, measure, uses, needs_rows)

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
    monkeypatch.setattr(module, "NAMES", tuple(section.name for section in sections))
    return made


def test_a_run_that_was_stopped_goes_on_where_it_was(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    measured.stops_at = "loss"
    with pytest.raises(KeyboardInterrupt):
        run_sections(make_context(tiny_checkpoint, tmp_path))
    assert measured.taken() == ["emotion", "quality"]
    measured.stops_at = ""
    evaluation = run_sections(make_context(tiny_checkpoint, tmp_path), baselines=True)
    assert measured.taken() == ["loss", "baselines"]
    assert list(evaluation.sections) == ["emotion", "quality", "loss", "baselines"]
    assert evaluation.sections["emotion"]["pair"] == evaluation.sections["loss"]["pair"] == [1, 2]
    assert not evaluation.left_out
    run_sections(make_context(tiny_checkpoint, tmp_path))
    assert measured.taken() == []


def test_another_setting_makes_again_what_depends_on_it(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    run_sections(make_context(tiny_checkpoint, tmp_path))
    measured.taken()
    more = replace(SETTINGS, count=3)
    run_sections(make_context(tiny_checkpoint, tmp_path, settings=more))
    assert measured.taken() == ["emotion", "quality"]


def test_another_checkpoint_makes_all_again(
    measured: Measured, own_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_sections(make_context(own_checkpoint, out))
    measured.taken()
    (own_checkpoint / "README.md").write_text("other words", encoding="utf-8")
    run_sections(make_context(own_checkpoint, out))
    assert measured.taken() == []
    mapper = json.loads((own_checkpoint / "mapper.json").read_text("utf-8"))
    (own_checkpoint / "mapper.json").write_text(json.dumps(mapper, indent=2), encoding="utf-8")
    run_sections(make_context(own_checkpoint, out))
    assert measured.taken() == ["emotion", "quality", "loss"]


def test_a_damaged_section_is_made_again(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    run_sections(make_context(tiny_checkpoint, tmp_path))
    measured.taken()
    (tmp_path / "sections" / "loss.json").write_text("{", encoding="utf-8")
    (tmp_path / "sections" / "emotion.json").write_text("[]", encoding="utf-8")
    run_sections(make_context(tiny_checkpoint, tmp_path))
    assert measured.taken() == ["emotion", "loss"]


def test_without_rows_what_needs_them_is_left_out(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    evaluation = run_sections(make_context(tiny_checkpoint, tmp_path, with_rows=False))
    assert measured.taken() == ["emotion"]
    assert evaluation.left_out["quality"] == "it needs packed rows (--rows)"
    assert list(evaluation.left_out) == ["quality", "loss", "baselines"]


def test_sections_may_be_asked_for_by_name(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    evaluation = run_sections(make_context(tiny_checkpoint, tmp_path), only=["baselines"])
    assert measured.taken() == ["baselines"]
    assert evaluation.left_out["loss"] == "it was not asked for"
    evaluation = run_sections(make_context(tiny_checkpoint, tmp_path), only=["loss"])
    assert measured.taken() == ["loss"]
    assert list(evaluation.sections) == ["loss", "baselines"]  # what is kept is told, too
    with pytest.raises(ValueError, match="unknown section 'noise'; known are emotion, quality"):
        run_sections(make_context(tiny_checkpoint, tmp_path), only=["noise"])


def test_simpler_systems_are_heard_unless_it_is_quick(
    measured: Measured, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    slow = replace(SETTINGS, quick=False)
    for settings, asked, heard in ((SETTINGS, None, False), (slow, False, False),
                                   (slow, None, True)):  # fmt: skip
        context = make_context(tiny_checkpoint, tmp_path, settings=settings)
        evaluation = run_sections(context, baselines=asked)
        assert ("baselines" in evaluation.sections) == heard


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
    draws = context.first_draws()
    assert list(draws.clips) == context.clips and len(context.notes) == 8
    assert composed == [8]
    alone = make_context(tiny_checkpoint, tmp_path / "alone")
    assert [clip.card() for clip in alone.clips] == [clip.card() for clip in context.clips]
    for folder in (tmp_path, tmp_path / "alone"):
        assert len(list(folder.glob("clip_*.mid"))) == 8
        assert len((folder / "manifest.jsonl").read_text("utf-8").splitlines()) == 8


def test_steering_may_be_left_out(tiny_checkpoint: Path, tmp_path: Path) -> None:
    off = make_context(tiny_checkpoint, tmp_path, settings=replace(SETTINGS, steering=False))
    on = make_context(tiny_checkpoint, tmp_path)
    assert off.composer is not on.composer and off.composer.engine is not None
    assert off.made_with(("steering",)) != on.made_with(("steering",))
    assert len(off.clips) == 8
