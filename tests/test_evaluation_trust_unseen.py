from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_verifier
from trust_cases import write_clip, write_folder

from emomusic.evaluation.trust.unseen.changes import (
    beats_unknown,
    flattened,
    louder,
    misread,
    quantised,
    transposed,
    with_more_ticks,
)
from emomusic.evaluation.trust.unseen.course import found_of, windows_of
from emomusic.evaluation.trust.unseen.trained import check_trained, labelled_rows
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import notes_of, read_score
from emomusic.verify.labels import Curve, LabelError, read_labels


@pytest.fixture
def notes() -> Notes:
    return make_notes(
        np.array([0.01, 0.26]), np.array([0.005, 0.3]), np.array([60, 126]), np.array([20, 110])
    )


def test_clips_are_changed_as_named(notes: Notes) -> None:
    assert flattened(notes).velocity.tolist() == [64, 64]
    assert louder(notes, 1.3).velocity.tolist() == [26, 127]
    assert transposed(notes, 2).pitch.tolist() == [62, 127]
    assert misread(notes, 2.0).onset_s.tolist() == pytest.approx((notes.onset_s / 2).tolist())
    assert misread(notes, 2.0).onset.tolist() == notes.onset.tolist()
    coarse = quantised(notes)  # half a second a beat, 24 steps a second
    assert (coarse.onset_s * 24).tolist() == pytest.approx([0, 3])
    assert (coarse.duration_s * 24).tolist() == pytest.approx([1, 4])


def test_a_recording_has_beats_of_half_a_second() -> None:
    notes = make_notes(np.arange(2.0), np.ones(2), np.array([60, 62]), np.array([50, 50]), tempo=60)
    unknown = beats_unknown(notes)
    assert unknown.onset.tolist() == [0.0, 2.0]
    assert unknown.onset_s.tolist() == notes.onset_s.tolist()


def test_twice_the_ticks_are_the_same_music(tmp_path: Path) -> None:
    path = tmp_path / "clip.mid"
    write_clip(path, "Q1", np.random.default_rng(0), seconds=4.0)
    plain = notes_of(read_score(path))
    for one, other in zip(plain.columns, with_more_ticks(path).columns, strict=True):
        np.testing.assert_allclose(one, other)


def test_windows_are_four_bars_of_the_listeners() -> None:
    onset = np.arange(0.0, 20.0, 0.5)  # 0.5 s each: 40 notes over 20 s
    notes = make_notes(onset, np.full(40, 0.5), np.full(40, 60), np.full(40, 64), tempo=60.0)
    valence = tuple(np.repeat([0.1, 0.3, 0.5], [4, 4, 2]).tolist())
    curve = Curve(20.0, valence, (0.1,) * 10, valence, (0.1,) * 10)
    windows = windows_of(notes, curve)
    assert [len(own) for own, _ in windows] == [16, 16, 8]
    assert [said[0] for _, said in windows] == pytest.approx([0.1, 0.3, 0.5])


def test_curves_that_are_followed_are_told_from_those_of_other_pieces() -> None:
    rng = np.random.default_rng(0)
    pieces = []
    for _ in range(20):
        said = rng.standard_normal((8, 2)) * 0.1
        heard = said + 0.05 * rng.standard_normal((8, 2))
        pieces.append({"row": 0, "heard": heard.tolist(), "said": said.tolist()})
    found = found_of({"course-0-0": {"pieces": pieces}})
    for own in found["axes"].values():
        assert own["within"]["r"][1] > 0.6
        assert own["other_piece"]["r"][2] < 0.5
    assert found_of({})["n_pieces"] == 0


def test_the_trained_verifier_hears_any_folder(tmp_path: Path) -> None:
    write_folder(tmp_path)
    make_verifier().save(tmp_path)
    found = check_trained(tmp_path, tmp_path).to_dict()
    assert found["n"] == len(read_labels(tmp_path))
    assert set(found["scores"]) == {"emopia", "vgmidi", "all"}
    assert found["scores"]["vgmidi"]["values"]["valence"]["n"] == found["scores"]["vgmidi"]["n"]
    assert found["scores"]["emopia"]["values"] == {}
    assert found["skipped"] == {}
    assert found["clips_per_second"] > 0
    json.dumps(found)


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mid", "Q1", np.random.default_rng(0), seconds=10.0)
    (tmp_path / "bad.mid").write_bytes(b"no music")
    (tmp_path / "labels.csv").write_text(
        "path,source,song,quadrant,valence,arousal\n"
        "good.mid,made,a,Q1,,\n"
        "good.mid,made,b,,0.5,-0.1\n"
        "good.mid,made,c,,,\n"
        "good.mid,made,d,Q5,,\n"
        "good.mid,made,e,Q1,loud,\n"
        "good.mid,made,f,Q1,1.5,\n"
        "bad.mid,made,g,Q1,,\n"
        "gone.mid,made,h,Q1,,\n"
    )
    make_verifier().save(tmp_path)
    found = check_trained(tmp_path, tmp_path)
    assert found.n == 2
    assert found.scores["made"].n == 1
    assert sum(found.skipped.values()) == 6
    assert found.skipped["not a MIDI file"] == 1
    assert len(found.skipped_clips) == 6


@pytest.mark.parametrize(
    ("table", "words"), [("path,source\n", "lacks the columns"), (None, "cannot read")]
)
def test_a_wrong_table_is_told(tmp_path: Path, table: str | None, words: str) -> None:
    if table is not None:
        (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(LabelError, match=words):
        labelled_rows(tmp_path)
