from __future__ import annotations

import numpy as np
import pytest
from explanation_cases import clip

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.explanation import edits


def chord(n: int = 4) -> Notes:
    onset = np.repeat(np.arange(float(n)), 4)
    pitch = np.tile([48, 60, 64, 67], n)
    return make_notes(onset, np.ones(4 * n), pitch, np.full(4 * n, 70), tempo=60.0)


@pytest.mark.parametrize("tonic", [55, 60, 66])
@pytest.mark.parametrize("major", [True, False])
def test_other_mode_is_the_parallel_key_and_turns_back(tonic: int, major: bool) -> None:
    notes = clip(major=major, tonic=tonic)
    assert edits.heard_key(notes) == (tonic % 12, major)
    turned = edits.in_other_mode(notes, tonic=tonic % 12, is_major=major)
    assert np.array_equal(turned.pitch, clip(major=not major, tonic=tonic).pitch)
    back = edits.in_other_mode(turned, tonic=tonic % 12, is_major=not major)
    assert np.array_equal(back.pitch, notes.pitch)


def test_the_third_moves_alone_if_asked() -> None:
    notes = make_notes(np.arange(3.0), np.ones(3), np.array([64, 69, 71]), np.full(3, 70))
    third = edits.in_other_mode(notes, tonic=0, is_major=True, degrees=("third",))
    assert third.pitch.tolist() == [63, 69, 71]


def test_stretching_changes_seconds_and_not_beats() -> None:
    notes = clip()
    slow = edits.stretched(notes, 2.0)
    assert np.allclose(slow.onset_s, 2 * notes.onset_s)
    assert np.allclose(slow.duration_s, 2 * notes.duration_s)
    assert np.array_equal(slow.onset, notes.onset)
    with pytest.raises(ValueError, match="factor must be above 0, got 0"):
        edits.stretched(notes, 0)


def test_loudness_and_pitch_stay_within_midi() -> None:
    notes = clip(velocity=120)
    assert edits.shifted_loudness(notes, 50).velocity.max() == 127
    assert edits.scaled_loudness(notes, 0.001).velocity.min() == 1
    for semitones in (-100, -60, 12, 60, 100):
        moved = edits.transposed(notes, semitones)
        assert moved.pitch.min() >= 0 and moved.pitch.max() <= 127
        # Octaves nearer, but the same tone.
        assert sorted(moved.pitch % 12) == sorted((notes.pitch + semitones) % 12)


def test_inner_notes_go_before_outer_ones_and_these_before_whole_onsets() -> None:
    assert sorted(set(edits.thinned(chord(), 0.5).pitch)) == [48, 67]
    few = edits.thinned(chord(), 0.2)
    assert len(few) == 3 and few.onset[0] == 0.0
    assert len(edits.thinned(chord(), 1.0)) == 16


def test_notes_thinned_by_chance_are_the_same_for_the_same_seed() -> None:
    first, again, other = (
        edits.thinned_by_chance(clip(), 0.5, seed=seed).onset.tolist() for seed in (0, 0, 1)
    )
    assert first == again != other and len(first) == len(clip()) // 2


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5, 2.0, 3.0])
def test_doubling_adds_octaves_and_keeps_what_there_was(ratio: float) -> None:
    notes = clip()
    more = edits.doubled(notes, ratio)
    assert len(more) == round(min(ratio, 2.0) * len(notes))
    assert set(more.pitch % 12) == set(notes.pitch % 12)
    assert (np.diff(more.onset_s) >= 0).all()


def test_repeating_strikes_again_half_way_and_shortens() -> None:
    notes = chord()
    more = edits.repeated(notes, 2.0)
    assert len(more) == 2 * len(notes)
    assert np.allclose(np.unique(more.onset_s), 0.5 * np.arange(8))
    assert np.allclose(more.duration_s, 0.5)
    assert len(edits.repeated(notes, 1.0)) == len(notes)
    one = make_notes(np.zeros(1), np.ones(1), np.array([60]), np.array([70]))
    assert len(edits.repeated(one, 2.0)) == 1


def test_edits_leave_the_clip_as_it_was() -> None:
    notes, before = clip(), clip()
    edits.in_other_mode(notes, tonic=0, is_major=True)
    edits.repeated(notes, 2.0)
    edits.doubled(notes, 2.0)
    edits.thinned(notes, 0.4)
    for own, old in zip(notes.columns, before.columns, strict=True):
        assert np.array_equal(own, old)
