from __future__ import annotations

import json
from pathlib import Path

import pytest

from emomusic.training.state import LOG_NAME, Log


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / LOG_NAME).read_text().splitlines()]


def logged(folder: Path, step: int, *at: int) -> None:
    log = Log(folder, step)
    for place in at:
        log.write({"step": place}, {"loss": 1 / 3})


def test_values_are_rounded_and_stand_behind_their_place(tmp_path: Path) -> None:
    record = Log(tmp_path, 0).write({"step": 3, "epoch": 1}, {"loss": 2 / 3, "lr": 0.1})
    assert record == {"step": 3, "epoch": 1, "loss": 0.666667, "lr": 0.1}
    assert json.loads((tmp_path / LOG_NAME).read_text()) == record


def test_what_was_logged_after_the_state_is_logged_anew(tmp_path: Path) -> None:
    logged(tmp_path, 0, 0, 10, 20, 30)
    logged(tmp_path, 20, 30, 40)
    assert steps(tmp_path) == [0, 10, 20, 30, 40]
    logged(tmp_path, 0, 0, 10)
    assert steps(tmp_path) == [0, 10]


def test_a_step_has_one_record_of_each_kind_however_often_it_is_written(tmp_path: Path) -> None:
    logged(tmp_path, 0, 10)
    for _ in range(2):
        log = Log(tmp_path, 10)
        for values in ({"loss": 1.0}, {"validation_advance": 1.0}, {"precision": "fp32"}) * 2:
            log.write({"step": 10}, values)
    assert steps(tmp_path) == [10, 10, 10]


@pytest.mark.parametrize("tail", ['{"step": 3', "[1]\n", '{"loss": 1}\n', "\n", "\xff"])
def test_a_line_cut_short_is_dropped(tmp_path: Path, tail: str) -> None:
    logged(tmp_path, 0, 1, 2)
    with (tmp_path / LOG_NAME).open("a", encoding="latin-1") as file:
        file.write(tail)
    logged(tmp_path, 5, 6)
    assert steps(tmp_path) == [1, 2, 6]
