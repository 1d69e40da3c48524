from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from helpers.evaluation import N_SONGS, row, write_clip, write_folder
from helpers.explanation import USUAL, Rules, clip

from emomusic.emotion import QUADRANTS
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import notes_of, read_score
from emomusic.verify.counterfactuals import FACTORS
from emomusic.verify.labels import Curve
from emomusic.verify.verifier import Verdict
from studies import run_study
from studies.verifier import study
from studies.verifier.faithful import OTHER_EDITS, Trial, moved_rows, undo_causes

CLIPS = [
    clip(major=major, gap_s=gap_s, velocity=velocity, tonic=tonic)
    for major in (True, False)
    for gap_s, velocity, tonic in ((0.2, 100, 50), (1.0, 40, 75), (0.2, 40, 60))
]
HARMLESS = ("ticks doubled", "beats unknown")
TRIED = (*HARMLESS, "tempo misread x 0.5")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> study.Given:
    folder = tmp_path_factory.mktemp("labelled")
    write_folder(folder)
    return study.Given(folder, n_seeds=1, n_folds=2, processes=1)


def test_what_is_learned_is_heard_elsewhere_but_not_by_controls_nor_when_misread(
    given: study.Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(study.transfer.measure(given))
    for own, other in (("emopia", "vgmidi"), ("vgmidi", "emopia")):
        assert row(found, "right", learned=own, heard=other, of="quadrant").value >= 0.7
    monkeypatch.setattr(study, "N_TREES", 20)
    found = list(study.controls.measure(given))
    right = {
        what: row(found, "right", what=what, of="quadrant", heard="emopia").value
        for what in ("random forest", "majority", "verifier, labels dealt to other songs")
    }
    assert right["random forest"] >= 0.6 and right["majority"] <= 0.4
    assert right["verifier, labels dealt to other songs"] < 0.6
    monkeypatch.setattr(study, "CHANGES", {name: study.CHANGES[name] for name in TRIED})
    found = list(study.robustness.measure(given))
    changed = {name: row(found, "verdicts changed", change=name, heard="emopia").value
               for name in TRIED}  # fmt: skip
    assert all(changed[name] == 0.0 for name in HARMLESS)
    assert changed["tempo misread x 0.5"] > 0.2


def test_a_share_of_the_songs_holds_every_quadrant_and_the_smaller_shares(
    given: study.Given,
) -> None:
    every = np.arange(2 * N_SONGS)
    few, more = (study.drawn_songs(given.corpus, every, percent, seed=0) for percent in (1, 50))
    assert len(few) == 4 and set(given.corpus.truth.y[few].tolist()) == {0, 1, 2, 3}
    assert set(few.tolist()) < set(more.tolist()) and len(more) == N_SONGS


def test_a_study_is_reported_and_a_mistake_is_one_line(
    given: study.Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run_study("A study", [study.course], given, about={}, out=tmp_path, only=["course"])
    assert "another piece's" in text and (tmp_path / "study.json").is_file()
    with pytest.raises(ValueError, match="unknown part 'tea'; known: course"):
        run_study("A study", [study.course], given, about={}, out=tmp_path, only=["tea"])
    monkeypatch.setattr(sys, "argv", ["study", "--source", "none", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^Error: cannot read none.labels\.csv"):
        study.main()


def test_clips_are_changed_as_named(tmp_path: Path) -> None:
    notes = make_notes(
        np.array([0.01, 0.26]), np.array([0.005, 0.3]), np.array([60, 126]), np.array([20, 110])
    )
    assert study.louder(notes, 1.3).velocity.tolist() == [26, 127]
    assert study.transposed(notes, 2).pitch.tolist() == [62, 127]
    assert study.misread(notes, 2.0).onset_s.tolist() == pytest.approx((notes.onset_s / 2).tolist())
    assert study.misread(notes, 2.0).onset.tolist() == notes.onset.tolist()
    coarse = study.quantised(notes)  # half a second a beat, 24 steps a second
    assert (coarse.onset_s * 24).tolist() == pytest.approx([0, 3])
    assert (coarse.duration_s * 24).tolist() == pytest.approx([1, 4])
    slow = make_notes(np.arange(2.0), np.ones(2), np.array([60, 62]), np.array([50, 50]), tempo=60)
    assert study.beats_unknown(slow).onset.tolist() == [0.0, 2.0]  # of half a second
    assert study.beats_unknown(slow).onset_s.tolist() == slow.onset_s.tolist()
    path = tmp_path / "clip.mid"
    write_clip(path, "Q1", np.random.default_rng(0), seconds=4.0)
    plain = notes_of(read_score(path))
    for one, other in zip(plain.columns, study.with_more_ticks(path).columns, strict=True):
        np.testing.assert_allclose(one, other)


def test_curves_of_windows_are_followed_or_are_those_of_other_pieces() -> None:
    onset = np.arange(0.0, 20.0, 0.5)  # 0.5 s each: 40 notes over 20 s
    notes = make_notes(onset, np.full(40, 0.5), np.full(40, 60), np.full(40, 64), tempo=60.0)
    valence = tuple(np.repeat([0.1, 0.3, 0.5], [4, 4, 2]).tolist())
    windows = study.windows_of(notes, Curve(20.0, valence, (0.1,) * 10, valence, (0.1,) * 10))
    assert [len(own) for own, _ in windows] == [16, 16, 8]
    assert [said[0] for _, said in windows] == pytest.approx([0.1, 0.3, 0.5])
    rng = np.random.default_rng(0)
    curves = [rng.standard_normal((8, 2)) * 0.1 for _ in range(20)]
    found = list(study.followed_rows([(x + 0.05 * rng.standard_normal((8, 2)), x) for x in curves]))
    for axis in ("valence", "arousal"):
        own, other = (row(found, "r within a piece", axis=axis, **{"with": kind})
                      for kind in ("its own curve", "another piece's"))  # fmt: skip
        assert own.low is not None and own.low > 0.6
        assert other.high is not None and other.high < 0.5


@pytest.mark.parametrize("cause", FACTORS)
@pytest.mark.parametrize("side", [1, -1])
def test_other_edits_move_their_cause_to_the_other_side(cause: str, side: int) -> None:
    notes = clip(velocity=90 if side > 0 else 40, tonic=60 if cause == "mode" else 64,
                 major=side > 0)  # fmt: skip
    before = FACTORS[cause].measure(notes)
    for edit in OTHER_EDITS[cause].values():
        after = FACTORS[cause].measure(edit(notes, side))
        assert before is not None and after is not None and (before - after) * side > 0


class Chance(Rules):
    def verdict(self, notes: Notes) -> Verdict:
        seed = crc32(notes.onset_s.tobytes() + notes.pitch.tobytes() + notes.velocity.tobytes())
        drawn = np.random.default_rng(seed).dirichlet(np.ones(4)).tolist()
        shares = dict(zip(QUADRANTS, drawn, strict=True))
        return Verdict(max(shares, key=shares.__getitem__), shares, 0.0, 0.0, 0.2, 0.2, 1.0)


def test_explanations_of_a_plain_verifier_hold_and_one_of_chance_is_seen_through() -> None:
    trials = undo_causes(Rules(), CLIPS, usual=USUAL)
    found = list(moved_rows(trials))
    for name in ("axis moves as said", "quadrant moves as said"):
        first = row(found, name, undone="first cause")
        assert first.n == len(CLIPS) and first.value == 1.0
    assert {own.by["undone"].split(":")[0] for own in found} >= {"mode", "tempo"}
    registers = [trial for trial in trials if trial.cause == "register"]
    assert registers and not any(trial.role in ("for", "against") for trial in registers)
    assert max(abs(trial.moved) for trial in registers) < 1e-9
    clips = [replace(c, onset_s=c.onset_s * (1 + i / 100)) for i in range(8) for c in CLIPS]
    trials = undo_causes(Chance(), clips, usual=USUAL)
    named = [trial.moved > 0 for trial in trials if trial.role in ("for", "against")]
    assert len(named) > 50 and np.mean(named) < 0.9


def test_each_clip_counts_once() -> None:
    trials = [
        Trial(clip, "tempo", "for", 0, edit, moved, moved, flipped=False)
        for clip, moved in ((0, 1.0), (1, -1.0))
        for edit in ("quarter", "double", "onsets")
    ]
    found = [own for own in moved_rows(trials) if own.name == "axis moves as said"]
    undone = ["first cause", "tempo: quarter", "tempo: double", "tempo: onsets"]
    assert [(o.by["undone"], o.n, o.value) for o in found] == [(name, 2, 0.5) for name in undone]
