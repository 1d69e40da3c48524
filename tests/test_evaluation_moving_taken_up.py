from __future__ import annotations

import json

import numpy as np
import pytest
from moving_cases import made_moved

from emomusic.evaluation.moving.going_on import GoneOn, distances
from emomusic.music.notes import Notes, make_notes


def scale(start: int, *, beat: float = 0.5) -> Notes:
    pitch = start + np.array([0, 2, 4, 5, 7, 9, 11, 12])
    onset = beat * np.arange(8, dtype=np.float64)
    return make_notes(onset, np.full(8, beat), pitch, np.full(8, 64))


def test_a_shift_on_the_axis_asked_is_told_beside_the_other_and_unrelated_clips() -> None:
    told = made_moved().to_dict()
    valence, arousal = told["axes"]["valence"], told["axes"]["arousal"]
    assert valence["asked"] == 0.4 and valence["shift"] == [1.0, 1.0, 1.0]
    assert valence["right"][0] == 1.0 and valence["fresh_right"][0] == 0.0
    assert valence["right_by_chance"][0] == 0.0
    assert "right" not in arousal and arousal["shift"] == [0.0, 0.0, 0.0]
    assert told["likeness"]["events"]["source"][0] == pytest.approx(0.5)
    assert told["likeness"]["events"]["unrelated"][0] == pytest.approx(0.3)
    json.dumps(told, allow_nan=False)


def test_pieces_without_room_are_counted_apart() -> None:
    moved = made_moved()
    moved.before[:3, 0] += 10.0
    valence = moved.to_dict()["axes"]["valence"]
    assert valence["n_with_room"] == int((moved.before[:, 0] < 2.0).sum()) <= 9
    assert valence["right"][0] == pytest.approx(0.75)
    assert valence["right_with_room"][0] == 1.0


def test_another_take_asks_for_no_shift() -> None:
    axes = made_moved("another take", by=0.0).to_dict()["axes"]
    assert all("right" not in own for own in axes.values())


def test_new_bars_near_their_own_piece_are_told_so() -> None:
    near = 2.0 - np.eye(3)
    quadrants = ("Q1", "Q2", "Q3")
    told = GoneOn(
        "same", quadrants, ("Q1",) * 3, ("Q1", "Q4", "Q4"), ("Q1", "Q2", "Q4"), ("", "Q2", "Q3"),
        quadrants, near, near[::-1],
    ).to_dict()  # fmt: skip
    assert told["right"][0] == pytest.approx(2 / 3, abs=1e-3) and told["fresh_right"][0] == 1.0
    assert told["late_right"][0] == 1.0
    assert told["given_right"][0] == pytest.approx(1 / 3, abs=1e-3)
    assert told["axes"]["arousal"]["right"][0] == 1.0
    assert told["axes"]["valence"]["right"][0] == pytest.approx(2 / 3, abs=1e-3)
    assert told["as_before"][0] == pytest.approx(1 / 3, abs=1e-3)
    assert told["to_own"][0] == 1.0 and told["to_others"][0] == 2.0
    assert told["nearest"][0] == 1.0
    assert told["fresh_nearest"][0] == pytest.approx(1 / 3, abs=1e-3)


def test_nothing_heard_gives_no_numbers() -> None:
    none = np.zeros((0, 0))
    told = GoneOn("same", *[()] * 6, none, none).to_dict()
    assert told["n"] == 0 and told["right"] == [] and told["to_own"] == [] == told["to_others"]


def test_distances_are_least_to_the_same_music() -> None:
    given = [scale(60), scale(40, beat=0.25), scale(70, beat=1.0)]
    found = distances(given, given)
    assert found.shape == (3, 3) and found.diagonal() == pytest.approx([0.0] * 3)
    assert (found + 9 * np.eye(3) > 0.1).all()
    assert distances(given[:1], given).tolist() == [[0.0]] * 3
