from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from explanation_cases import USUAL, clip

from emomusic.music.notes import Notes
from emomusic.verify.explanation.causes import CAUSES, Found, causes_in
from emomusic.verify.explanation.typical import MEASURES


def found_in(notes: Notes) -> dict[str, Found]:
    return {found.cause.name: found for found in causes_in(notes, USUAL)}


def test_every_measure_is_a_cause() -> None:
    assert list(CAUSES) == list(MEASURES)


EXTREMES = {
    "tempo": ({"gap_s": 0.15}, {"gap_s": 1.5}, "fast", "slow"),
    "loudness": ({"velocity": 110}, {"velocity": 20}, "loud", "soft"),
    "register": ({"tonic": 90}, {"tonic": 40}, "high register", "low register"),
    "density": ({"gap_s": 0.15}, {"gap_s": 1.5}, "dense", "sparse"),
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("end", [0, 1])
def test_undoing_a_cause_brings_it_nearer_to_what_is_usual(name: str, end: int) -> None:
    notes = clip(**EXTREMES[name][end])  # type: ignore[arg-type]
    found = found_in(notes)[name]
    assert found.words == f"very {EXTREMES[name][2 + end]}"
    assert len(found.undone) >= 3
    for edited in found.undone:
        value = MEASURES[name](edited)
        assert value is not None and (found.value - value) * found.distance > 0


@pytest.mark.parametrize("major", [True, False])
def test_mode_is_undone_by_the_other_mode(major: bool) -> None:
    found = found_in(clip(major=major))["mode"]
    assert found.words == ("major mode" if major else "minor mode")
    other = clip(major=not major)
    assert any(np.array_equal(edited.pitch, other.pitch) for edited in found.undone)


def test_what_is_usual_is_not_undone() -> None:
    found = found_in(clip(velocity=65))
    assert not found["loudness"].undone
    assert found["mode"].undone


def test_flat_velocities_leave_loudness_out() -> None:
    flat = replace(clip(), velocity=np.full(len(clip()), 100))
    assert "loudness" not in found_in(flat)
