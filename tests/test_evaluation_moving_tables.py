from __future__ import annotations

from pathlib import Path

import pytest
from moving_cases import made_moving

from emomusic.evaluation.moving.tables import moving_markdown
from emomusic.evaluation.report.plots import draw_pictures


def test_the_section_tells_curves_moves_and_continuations() -> None:
    text = moving_markdown(made_moving().to_dict())
    assert "judges `ear` and `eye`" in text
    assert "| r of asked and heard, within pieces | 0.9" in text
    assert (
        "| happier | +0.40 | 1.00 (1.00–1.00) | 0.00 (0.00–0.00) | 1.00 (0.76–1.00) against 0.00 |"
        in text
    )
    assert "| another take: arousal |" in text
    assert "| happier | 0.50 (0.50–0.50) against 0.30 |" in text
    assert "| quadrant asked, heard in the new bars | 1.00 (" in text


def test_each_table_has_as_many_cells_in_all_rows() -> None:
    for gain in (0.0, 4.0):
        blocks = moving_markdown(made_moving(gain=gain).to_dict()).split("\n\n")
        tables = [block.splitlines() for block in blocks if block.startswith("|")]
        assert len(tables) == 4
        for lines in tables:
            assert len({line.count("|") for line in lines}) == 1


def test_pictures_are_drawn_from_plain_values(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = draw_pictures({"moving": made_moving().to_dict()}, tmp_path)
    assert set(drawn) == {"moving_curves", "moving_moves", "moving_likeness"}
    for name in drawn.values():
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
