from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from explanation_cases import USUAL, Rules, clip, even_bars

from emomusic.verify.explanation import course_of, explain
from emomusic.verify.explanation.drawing import draw_explanation


@pytest.mark.parametrize("n_notes", [1, 84])
@pytest.mark.parametrize("known", [True, False])
def test_a_picture_is_drawn(tmp_path: Path, n_notes: int, known: bool) -> None:
    notes = clip(major=False).where(slice(0, n_notes))
    course = course_of(notes, Rules(), bars=even_bars(notes) if known else None)
    path = tmp_path / "why.png"
    draw_explanation(notes, explain(notes, Rules(), usual=USUAL), course, path, width=800)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    size = [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)]
    assert size == [800, 900]


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    notes = clip()
    parts = (notes, explain(notes, Rules(), usual=USUAL), course_of(notes, Rules()))
    with pytest.raises(ValueError, match=r"must end in \.png, got 'why.jpg'"):
        draw_explanation(*parts, "why.jpg")
    with pytest.raises(ValueError, match="400 to 8000 pixels a side, got 100×900"):
        draw_explanation(*parts, tmp_path / "why.png", width=100)


def test_explaining_needs_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys\n"
        "import emomusic.verify.explanation, emomusic.verify.explanation.typical as t\n"
        "t.typical()\n"
        "print(sorted({'matplotlib', 'torch', 'sklearn', 'scipy', 'symusic'} & set(sys.modules)))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
