from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from report_cases import TINY

from emomusic.compose.composer import Composer
from emomusic.evaluation.control.real import real_music
from emomusic.evaluation.control.run import evaluate_control
from emomusic.evaluation.control.tables import control_section
from emomusic.evaluation.judged.hearing import Hearing
from emomusic.evaluation.report.rendering import told_interval
from emomusic.evaluation.report.tables import (
    confusion_table,
    control_report_of,
    hearing_of,
    hearing_table,
)

HEARINGS = [
    Hearing("both", "composed", np.diag([5, 5, 5, 5])),
    Hearing("both", "real EMOPIA", np.full((4, 4), 2)),
]


def test_hearings_are_told_in_tables() -> None:
    lines = hearing_table(HEARINGS).splitlines()
    assert lines[2].startswith("| composed | both | 20 | 1.00 (0.84–1.00) |")
    assert lines[3].startswith("| real EMOPIA | both | 32 | 0.25 (")
    assert confusion_table(HEARINGS[0]).splitlines()[2] == "| Q1 | 5 | 0 | 0 | 0 |"


def test_intervals_below_zero_are_told_without_a_dash() -> None:
    assert told_interval((0.1, -0.2, 0.4)) == "0.10 (-0.20 to 0.40)"
    assert told_interval((0.3, 0.2, 0.4)) == "0.30 (0.20–0.40)"


def test_hearings_come_back_from_plain_values() -> None:
    plain = json.loads(json.dumps(HEARINGS[1].to_dict()))
    assert hearing_of(plain).to_dict() == HEARINGS[1].to_dict()


def test_control_comes_back_from_plain_values(tiny_checkpoint: Path) -> None:
    reports = evaluate_control(
        Composer(tiny_checkpoint), real_music(tiny_checkpoint), design=TINY.design, n_bars=2
    )
    plain = json.loads(json.dumps([report.to_dict() for report in reports]))
    again = [control_report_of(one) for one in plain]
    assert [one.to_dict() for one in again] == plain
    assert control_section(again[0], again[1]) == control_section(*reports)
