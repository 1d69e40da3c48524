from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report_cases import some_panel

from emomusic.compose.composer import Composer
from emomusic.evaluation.moving.run import measure_moving, n_composed
from emomusic.evaluation.moving.tables import moving_markdown


def test_a_checkpoint_is_measured(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done: list[int] = []
    found = measure_moving(
        Composer(tiny_checkpoint),
        some_panel(tmp_path / "labelled"),
        n_curves=2,
        n_pieces=2,
        seed=4,
        n_bars=4,
        progress=done.append,
    )
    assert sum(done) == n_composed(2, 2) == 2 * 3 + 2 * 15
    assert len(found.composed) == 4 and len(found.still) == 2
    for course, (_, n_bars) in zip(found.still, found.curves, strict=True):
        assert course.asked.shape == (n_bars - 3, 2) and np.ptp(course.asked) <= 2.0
    plain = found.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert [own["move"] for own in plain["moves"]] == [
        "happier", "sadder", "livelier", "calmer", "another take",
    ]  # fmt: skip
    assert len(plain["shown"]) == 2 and len(plain["shown"][0]["heard"]) == 2
    assert plain["gone_on"][0]["what"] == "the same emotion"
    assert moving_markdown(plain).count("\n\n") > 8


def test_too_little_to_measure_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    panel = some_panel(tmp_path / "labelled")
    with pytest.raises(ValueError, match="2 curves and 2 pieces are needed, got 1 and 5"):
        measure_moving(Composer(tiny_checkpoint), panel, n_curves=1, n_pieces=5)
