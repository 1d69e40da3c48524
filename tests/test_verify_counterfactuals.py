from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.explanation import USUAL, clip

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.counterfactuals import (
    FACTORS,
    Counterfactual,
    Reference,
    default_reference,
    double_notes,
    find_counterfactuals,
    find_key,
    repeat_onsets,
    set_loudness,
    stretch,
    switch_mode,
    thin,
    thin_randomly,
    transpose,
)


def chord(n: int = 4) -> Notes:
    onset = np.repeat(np.arange(float(n)), 4)
    pitch = np.tile([48, 60, 64, 67], n)
    return make_notes(onset, np.ones(4 * n), pitch, np.full(4 * n, 70), tempo=60.0)


@pytest.mark.parametrize("tonic", [55, 60, 66])
@pytest.mark.parametrize("major", [True, False])
def test_other_mode_is_the_parallel_key_and_turns_back(tonic: int, major: bool) -> None:
    notes = clip(major=major, tonic=tonic)
    assert find_key(notes) == (tonic % 12, major)
    turned = switch_mode(notes, tonic=tonic % 12, is_major=major)
    assert np.array_equal(turned.pitch, clip(major=not major, tonic=tonic).pitch)
    back = switch_mode(turned, tonic=tonic % 12, is_major=not major)
    assert np.array_equal(back.pitch, notes.pitch)


def test_the_third_moves_alone_if_asked() -> None:
    notes = make_notes(np.arange(3.0), np.ones(3), np.array([64, 69, 71]), np.full(3, 70))
    third = switch_mode(notes, tonic=0, is_major=True, degrees=("third",))
    assert third.pitch.tolist() == [63, 69, 71]


def test_stretching_changes_seconds_and_not_beats() -> None:
    notes = clip()
    slow = stretch(notes, 2.0)
    assert np.allclose(slow.onset_s, 2 * notes.onset_s)
    assert np.allclose(slow.duration_s, 2 * notes.duration_s)
    assert np.array_equal(slow.onset, notes.onset)
    with pytest.raises(ValueError, match="factor must be above 0, got 0"):
        stretch(notes, 0)


def test_loudness_and_pitch_stay_within_midi() -> None:
    notes = clip(velocity=120)
    assert set_loudness(notes, notes.velocity + 50.0).velocity.max() == 127
    assert set_loudness(notes, notes.velocity * 0.001).velocity.min() == 1
    for semitones in (-100, -60, 12, 60, 100):
        moved = transpose(notes, semitones)
        assert moved.pitch.min() >= 0 and moved.pitch.max() <= 127
        # Octaves nearer, but the same tone.
        assert sorted(moved.pitch % 12) == sorted((notes.pitch + semitones) % 12)


def test_inner_notes_go_before_outer_ones_and_these_before_whole_onsets() -> None:
    assert sorted(set(thin(chord(), 0.5).pitch)) == [48, 67]
    few = thin(chord(), 0.2)
    assert len(few) == 3 and few.onset[0] == 0.0
    assert len(thin(chord(), 1.0)) == 16


def test_notes_thinned_by_chance_are_the_same_for_the_same_seed() -> None:
    first, again, other = (
        thin_randomly(clip(), 0.5, seed=seed).onset.tolist() for seed in (0, 0, 1)
    )
    assert first == again != other and len(first) == len(clip()) // 2


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5, 2.0, 3.0])
def test_doubling_adds_octaves_and_keeps_what_there_was(ratio: float) -> None:
    notes = clip()
    more = double_notes(notes, ratio)
    assert len(more) == round(min(ratio, 2.0) * len(notes))
    assert set(more.pitch % 12) == set(notes.pitch % 12)
    assert (np.diff(more.onset_s) >= 0).all()


def test_repeating_strikes_again_half_way_and_shortens() -> None:
    notes = chord()
    more = repeat_onsets(notes, 2.0)
    assert len(more) == 2 * len(notes)
    assert np.allclose(np.unique(more.onset_s), 0.5 * np.arange(8))
    assert np.allclose(more.duration_s, 0.5)
    assert len(repeat_onsets(notes, 1.0)) == len(notes)
    one = make_notes(np.zeros(1), np.ones(1), np.array([60]), np.array([70]))
    assert len(repeat_onsets(one, 2.0)) == 1


def test_edits_leave_the_clip_as_it_was() -> None:
    notes, before = clip(), clip()
    switch_mode(notes, tonic=0, is_major=True)
    repeat_onsets(notes, 2.0)
    double_notes(notes, 2.0)
    thin(notes, 0.4)
    for own, old in zip(notes.columns, before.columns, strict=True):
        assert np.array_equal(own, old)


def found_in(notes: Notes) -> dict[str, Counterfactual]:
    return {found.factor.name: found for found in find_counterfactuals(notes, USUAL)}


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
    assert len(found.edits) >= 3
    for edited in found.edits:
        value = FACTORS[name].measure(edited)
        assert value is not None and (found.value - value) * found.distance > 0


@pytest.mark.parametrize("major", [True, False])
def test_mode_is_undone_by_the_other_mode(major: bool) -> None:
    found = found_in(clip(major=major))["mode"]
    assert found.words == ("major mode" if major else "minor mode")
    other = clip(major=not major)
    assert any(np.array_equal(edited.pitch, other.pitch) for edited in found.edits)


def test_what_is_usual_is_not_undone() -> None:
    found = found_in(clip(velocity=65))
    assert not found["loudness"].edits
    assert found["mode"].edits


def test_flat_velocities_leave_loudness_out() -> None:
    flat = replace(clip(), velocity=np.full(len(clip()), 100))
    assert "loudness" not in found_in(flat)


def test_percentiles_follow_the_clips_measured() -> None:
    usual = Reference.measure([clip(velocity=40 + step) for step in range(41)])
    assert usual.middle("loudness") == 60
    assert usual.percentile("loudness", 50) == pytest.approx(0.25)
    assert usual.percentile("loudness", 10) == 0 and usual.percentile("loudness", 120) == 1
    assert usual.n_clips == 41
    with pytest.raises(ValueError, match="no clip to measure mode on, of 0 clips"):
        Reference.measure([])


def test_a_table_with_a_cause_missing_is_refused() -> None:
    rest = {name: values for name, values in USUAL.quantiles.items() if name != "tempo"}
    with pytest.raises(ValueError, match="quantiles of tempo must be 21 rising numbers"):
        Reference(rest, 5)


def test_shipped_table_is_of_music() -> None:
    usual = default_reference()
    assert usual.n_clips > 1000
    assert 50 < usual.middle("loudness") < 90 and 55 < usual.middle("register") < 70
    assert usual.middle("density") > usual.middle("tempo")
