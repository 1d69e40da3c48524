from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from inside_cases import FILES, some_excerpts, some_labels, some_rows

from emomusic.evaluation.inside.music import labelled_excerpts
from emomusic.music.attributes import ATTRIBUTE_NAMES


def test_labelled_clips_are_found_with_what_is_known_of_them(tmp_path: Path) -> None:
    excerpts = some_excerpts(tmp_path)
    assert len(excerpts) == len(FILES)  # the clip that the rows do not hold is passed over
    by_song = {excerpt.group: excerpt for excerpt in excerpts}
    for i, (_, quadrant, song) in enumerate(FILES):
        found = by_song[f"emopia/{song}"]
        assert found.quadrant == quadrant
        assert np.isnan(found.valence) and found.arousal == pytest.approx(0.1 * i)


def test_no_control_is_read_and_notes_are_told_apart(tmp_path: Path) -> None:
    texts = np.array(some_rows().meta["vocabulary"])
    for excerpt in some_excerpts(tmp_path):
        read = texts[excerpt.ids]
        assert read[0] == "BOS_None"
        assert not any(text.startswith(("Control-", "BarControl-", "Ending_")) for text in read)
        notes = {text.partition("_")[0] for text in read[excerpt.is_note]}
        others = {text.partition("_")[0] for text in read[~excerpt.is_note]}
        assert notes == {"Position", "Pitch", "Velocity", "Duration"}
        assert others == {"BOS", "Bar", "TimeSig"}


def test_values_are_those_of_the_music_as_it_is_read(tmp_path: Path) -> None:
    texts = np.array(some_rows().meta["vocabulary"])
    register = ATTRIBUTE_NAMES.index("register")
    for excerpt in some_excerpts(tmp_path):
        pitches = [int(t.split("_")[1]) for t in texts[excerpt.ids] if t.startswith("Pitch_")]
        assert np.mean(pitches) == pytest.approx(excerpt.values[register], abs=1e-4)


def test_flat_velocities_have_no_value(tmp_path: Path) -> None:
    velocity = ATTRIBUTE_NAMES.index("velocity_mean")
    flat = {
        excerpt.group: np.isnan(excerpt.values[velocity]) for excerpt in some_excerpts(tmp_path)
    }
    assert flat.pop(f"emopia/{FILES[0][2]}") and not any(flat.values())


def test_an_excerpt_is_no_longer_than_asked(tmp_path: Path) -> None:
    rows, labels = some_rows(), some_labels(tmp_path)
    bar = rows.meta["vocabulary"].index("Bar_None")
    for excerpt in labelled_excerpts(rows, labels, max_bars=8):
        assert 4 <= (excerpt.ids == bar).sum() <= 8


def test_rows_without_the_labelled_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hold none of the labelled clips"):
        labelled_excerpts(some_rows(), some_labels(tmp_path)[-1:])
