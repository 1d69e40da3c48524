from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from granularity_cases import made_granularity

from emomusic.evaluation.granularity.plots import around, draw_map, spread
from emomusic.evaluation.report.plots import draw_pictures


def test_pictures_are_drawn_from_plain_values(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = draw_pictures({"granularity": made_granularity().to_dict()}, tmp_path)
    assert set(drawn) == {"granularity_matrix", "granularity_map", "granularity_distance"}
    for name in drawn.values():
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_every_emotion_is_named_on_the_map_once() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    draw_map(figure, made_granularity().to_dict())
    written = [text.get_text() for text in figure.axes[0].texts]
    assert all(written.count(name) == 1 for name in ("joy", "glee", "anger", "grief", "calm"))


def test_the_circle_is_walked_from_calm_to_sad() -> None:
    asked = np.array([(-0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (0.5, -0.5)])
    assert around(asked).tolist() == [3, 1, 2, 0]


def test_names_lie_a_gap_apart_and_move_no_more_than_they_must() -> None:
    moved = spread([0.9, 0.89, 0.88, -0.5], gap=0.1, low=-1.0, high=1.0)
    assert (-np.diff(moved) >= 0.1 - 1e-9).all() and moved[3] == pytest.approx(-0.5)
    assert moved[1] == pytest.approx(0.89)
    crowded = spread([0.99] * 5, gap=9.0, low=-1.0, high=1.0)
    assert crowded == pytest.approx([1.0, 0.5, 0.0, -0.5, -1.0])
    assert spread([2.0], gap=0.1, low=-1.0, high=1.0) == [1.0]
    assert spread([], gap=0.1, low=-1.0, high=1.0) == []
