from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from emomusic.evaluation.judged.hearing import Hearing
from emomusic.evaluation.report import (
    confusion_table,
    control_table,
    hearing_table,
    shape_table,
    write_report,
)
from emomusic.evaluation.shape import Shape

HEARINGS = [
    Hearing("both", "composed", np.diag([5, 5, 5, 5])),
    Hearing("both", "real EMOPIA", np.full((4, 4), 2)),
]
SHAPE = Shape("composed", 20, 0, 0, (1.0,) * 5, (2.0,) * 5, (4.0,) * 5)


def test_tables() -> None:
    lines = hearing_table(HEARINGS).splitlines()
    assert lines[2].startswith("| composed | both | 20 | 1.00 (0.84–1.00) |")
    assert lines[3].startswith("| real EMOPIA | both | 32 | 0.25 (")
    assert control_table({"mode": 0.1, "register": 0.9}).splitlines()[2] == "| 0.90 | 0.10 |"
    assert shape_table([SHAPE]).splitlines()[2].startswith("| composed | 20 | 0 | 0 | 1 / 1 /")
    assert confusion_table(HEARINGS[0]).splitlines()[2] == "| Q1 | 5 | 0 | 0 | 0 |"


def test_report_is_written_as_markdown_and_json(tmp_path: Path) -> None:
    text = write_report(tmp_path, HEARINGS, {"mode": 0.5}, [SHAPE], {"seed": 3})
    assert (tmp_path / "evaluation.md").read_text(encoding="utf-8") == text + "\n"
    content = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert content["control"] == {"mode": 0.5}
    assert content["about"] == {"seed": 3}
    assert content["hearings"][0]["quadrant"][0] == 1.0
    assert content["shapes"][0]["n_empty"] == 0
