from __future__ import annotations

import numpy as np
import pytest
from judged_cases import labelled

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.controls import majority, shuffled_controls
from emomusic.music.notes import Notes, make_notes


def scales(n: int) -> list[Notes]:
    """Return n clips of each quadrant that differ plainly."""
    rng = np.random.default_rng(1)
    onset = np.arange(16.0)
    return [
        make_notes(onset, np.ones(16), 36 + 16 * i + rng.integers(0, 8, 16), np.full(16, 64))
        for i in range(len(QUADRANTS))
        for _ in range(n)
    ]


def test_the_commonest_quadrant_is_heard_in_everything() -> None:
    clips = labelled(2, "judge")[1:]  # one Q1, two of the others
    found = majority(clips, "some", ["Q1", "Q2", "Q2", "Q4"])
    assert found.confusion[:, 1].tolist() == [1, 2, 0, 1]
    assert found.share("quadrant")[0] == 0.5


def test_judges_that_learnt_from_shuffled_labels_hear_by_chance() -> None:
    clips, notes = labelled(6, "judge"), scales(6)
    asked = [clip.quadrant for clip in clips]
    (found,) = shuffled_controls(clips, notes, [("these", notes, asked)], n_shuffles=3, seed=2)
    mean, least, greatest = found.share("quadrant")
    assert least <= mean <= greatest
    assert mean < 0.9  # they learnt these very clips by heart, under other labels
    assert len({h.confusion.tobytes() for h in found.hearings}) > 1
    told = found.to_dict()
    assert (told["what"], told["n_shuffles"]) == ("these", 3)
    again = shuffled_controls(clips, notes, [("these", notes, asked)], n_shuffles=3, seed=2)
    assert again[0].to_dict() == told


def test_a_shuffle_is_needed() -> None:
    with pytest.raises(ValueError, match="n_shuffles must be at least 1, got 0"):
        shuffled_controls([], [], [], n_shuffles=0)
