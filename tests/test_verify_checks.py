from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import symusic

from emomusic.music.notes import make_notes
from emomusic.verify.checks import Check, calibration_error, flattened, quantised, wilson
from emomusic.verify.labels import read_labels

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_verifier.py"


def test_wilson_interval() -> None:
    low, high = wilson(0.5, 100)  # worked by hand: 0.5 +- 0.0962
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0.0, 10)[0] == pytest.approx(0.0)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.8, 0.1, 0.05, 0.05]] * 10)
    assert calibration_error(probabilities, np.array([0] * 8 + [1, 2])) == pytest.approx(0.0)
    assert calibration_error(probabilities, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.3)


def test_clips_are_flattened_and_quantised() -> None:
    notes = make_notes(
        np.array([0.01, 0.26]), np.array([0.005, 0.3]), np.array([60, 50]), np.array([20, 90])
    )
    assert flattened(notes).velocity.tolist() == [64, 64]
    coarse = quantised(notes)  # half a second a beat, 24 steps a second
    assert (coarse.onset_s * 24).tolist() == pytest.approx([0, 3])
    assert (coarse.duration_s * 24).tolist() == pytest.approx([1, 4])


def write_clip(path: Path, quadrant: str, rng: np.random.Generator) -> None:
    score = symusic.Score(480)
    track = symusic.Track()
    third = 4 if quadrant in ("Q1", "Q4") else 3
    gap = 120 if quadrant in ("Q1", "Q2") else 720
    for k in range(20):
        pitch = 60 + int(rng.choice([0, third, 7, -12]))
        track.notes.append(symusic.Note(k * gap, gap, pitch, int(rng.integers(40, 90))))
    score.tracks.append(track)
    path.write_bytes(score.dumps_midi())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    lines = ["path,source,song,quadrant,split,valence,arousal"]
    for source, value in (("emopia", ""), ("vgmidi", "0.2")):
        for k in range(32):
            quadrant = f"Q{k % 4 + 1}"
            write_clip(folder / f"{source}{k}.mid", quadrant, rng)
            sign = "-" if value and quadrant in ("Q2", "Q3") else ""
            lines.append(f"{source}{k}.mid,{source},{k},{quadrant},train,{sign}{value},{value}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_check_reports_every_predictor_and_control(folder: Path) -> None:
    check = Check(read_labels(folder), n_folds=2, n_seeds=1)
    results = {(result.what, result.source): result for result in check.results()}
    verifier = results["verifier, as they are", "emopia"]
    assert verifier.n == 32
    assert verifier.quadrant >= 0.8
    assert verifier.quadrant_low < verifier.quadrant <= verifier.quadrant_high
    assert verifier.listener_valence is None
    asked = results["verifier, as they are", "vgmidi"].listener_valence
    assert asked is not None
    assert asked > 0.5
    assert results["majority", "emopia"].quadrant <= 0.3
    assert results["verifier, labels shuffled", "emopia"].quadrant < 0.6
    named = {what for what, _ in results}
    assert {"feature judge", "sequence judge", "verifier, fitted on EMOPIA"} <= named
    assert {
        f"{judge} judge, judge part to mapper part" for judge in ("feature", "sequence")
    } <= named
    json.dumps([result.as_dict() for result in results.values()])


@pytest.mark.parametrize(("option", "words"), [("none", "cannot read"), (".", "need folds >= 2")])
def test_mistakes_are_one_line_and_status_2(folder: Path, option: str, words: str) -> None:
    command = [sys.executable, SCRIPT, "--source", folder / option, "--folds", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("check_verifier: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
