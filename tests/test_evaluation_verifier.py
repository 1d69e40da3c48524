from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation import N_SONGS, row, write_clip, write_folder
from synthetic import make_verifier
from typer.testing import CliRunner

from emomusic.cli import app
from emomusic.evaluation import verifier
from emomusic.evaluation.rows import Row
from emomusic.verify.labels import LabelError
from emomusic.verify.verifier import Predictions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    write_folder(folder)
    make_verifier().save(folder)
    return folder


def test_emotions_made_in_code_are_learned_and_held_against_listeners(folder: Path) -> None:
    given = verifier.VerifierCheck(folder, n_seeds=1, n_folds=2, processes=1)
    found = list(verifier.learned.measure(given))
    for source in ("emopia", "vgmidi"):
        right = row(found, "right", heard=source, of="quadrant")
        assert right.n == N_SONGS and right.value >= 0.8
    assert "emopia: 40 clips of 40 songs" in str(found[-1])
    axes = [own.by for own in found if isinstance(own, Row) and own.name == "r with listeners"]
    assert axes == [{"heard": "vgmidi", "axis": axis} for axis in ("valence", "arousal")]
    assert row(found, "r with listeners", axis="arousal").value > 0.5
    within = [row(found, f"within {sd} sd", axis="arousal").value for sd in ("1", "1.64")]
    assert 0.0 <= within[0] <= within[1] <= 1.0


def test_the_trained_verifier_hears_any_folder(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    given = verifier.VerifierCheck(folder, folder, progress=lambda *now: told.append(now))
    found, n = list(verifier.trained.measure(given)), 2 * N_SONGS
    assert told[0] == (0, n) and told[-1] == (n, n)
    assert {own.by["heard"] for own in found if isinstance(own, Row)} == {"emopia", "vgmidi", "all"}
    assert row(found, "right", heard="all", of="arousal").n == n
    assert "Skipped: none." in found and f"{n} clips heard." in str(found[-3])


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mid", "Q1", np.random.default_rng(0), seconds=10.0)
    (tmp_path / "bad.mid").write_bytes(b"no music")
    lines = ["good.mid,made,a,Q1,,", "good.mid,made,b,,0.5,-0.1", "good.mid,made,c,,,",
             "good.mid,made,d,Q5,,", "good.mid,made,e,Q1,loud,", "good.mid,made,f,Q1,1.5,",
             "good.mid,made,,Q1,,", "good.mid,made,h,Q1,nan,", "bad.mid,made,g,Q1,,",
             "gone.mid,made,h,Q1,,"]  # fmt: skip
    table = "\n".join(["path,source,song,quadrant,valence,arousal", *lines])
    (tmp_path / "labels.csv").write_text(table + "\n")
    make_verifier().save(tmp_path)
    found = list(verifier.trained.measure(verifier.VerifierCheck(tmp_path, tmp_path)))
    assert row(found, "right", of="quadrant").n == 1 and "2 clips heard" in str(found[-3])
    kinds = dict(part.split(" × ")[::-1] for part in str(found[-2])[9:].rstrip(".").split("; "))
    assert kinds["valence and arousal must be numbers in [-1, 1]"] == "3"
    assert sum(map(int, kinds.values())) == 8 and any("not a MIDI file" in own for own in kinds)


@pytest.mark.parametrize(
    ("table", "words"),
    [("path,source\n", "lacks the columns"), (None, "cannot read"),
     ("path,source,song,quadrant\n", "can be used: it is empty")],
)  # fmt: skip
def test_a_wrong_table_is_told(tmp_path: Path, table: str | None, words: str) -> None:
    if table is not None:
        (tmp_path / "labels.csv").write_text(table)
    make_verifier().save(tmp_path)
    with pytest.raises(LabelError, match=words):
        list(verifier.trained.measure(verifier.VerifierCheck(tmp_path, tmp_path)))


def test_answers_are_scored_as_worked_by_hand() -> None:
    said = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.1, 0.7, 0.1, 0.1]])
    answers = Predictions(said, np.zeros((3, 2)), np.full((3, 2), 0.5), np.ones(3))
    truth = verifier.Truth(
        np.array([0, 3, -1]), np.full((3, 2), np.nan), np.array(list("abc")), np.array(["x"] * 3)
    )
    found = list(verifier.score_rows([answers], truth))
    right = [row(found, "right", of=axis).value for axis in ("quadrant", "arousal", "valence")]
    assert right == [0.5, 1.0, 0.5]
    assert row(found, "calibration error").value == pytest.approx(0.2)
    assert row(found, "log loss").value == pytest.approx(-np.log([0.7, 0.1]).mean())
    brier = (0.3**2 + 3 * 0.1**2 + 0.9**2 + 0.7**2 + 2 * 0.1**2) / 2
    assert row(found, "Brier score").value == pytest.approx(brier)
    assert "r with listeners" not in {own.name for own in found}
    # A second run that hears the first as Q2, answered part by part, counts as much.
    other = Predictions(said[[2, 2, 0]], answers.values, answers.spreads, answers.trust)
    places, again = verifier.in_order(
        [(np.array([2, 0]), verifier.taken(other, np.array([2, 0]))),
         (np.array([1]), verifier.taken(other, np.array([1])))]
    )  # fmt: skip
    assert places.tolist() == [0, 1, 2] and (again.probabilities == other.probabilities).all()
    found = list(verifier.score_rows([answers, again], truth))
    assert row(found, "right", of="quadrant").value == 0.25
    cells = {said: row(found, "confusion", label="Q1", said=said).value for said in ("Q1", "Q2")}
    assert cells == {"Q1": 0.5, "Q2": 0.5}
    confidence = np.array([0.55, 0.58, 0.95, 0.95])  # apart bin by bin
    assert verifier.calibration_error(confidence, np.array([1, 0, 1, 1])) == pytest.approx(
        (abs(1 - 1.13) + abs(2 - 1.9)) / 4
    )


def test_a_correlation_is_that_of_resampled_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(60) + 5.0
    y = x + rng.standard_normal(60)
    drawn = rng.integers(0, 60, (50, 60))
    counts = np.array([np.bincount(own, minlength=60) for own in drawn]).astype(float)
    by_hand = [np.corrcoef(x[own], y[own])[0, 1] for own in drawn]
    assert verifier.weighted_correlation(x, y, counts) == pytest.approx(by_hand)
    assert np.isnan(verifier.weighted_correlation(np.ones(60), y, counts)).all()


def test_users_labels_are_heard_and_learned_by_one_command(folder: Path, tmp_path: Path) -> None:
    command = ["check-verifier", "--data", str(folder), "--checkpoint", str(folder)]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "clips heard" in done.stdout and "Skipped:" in done.stdout
    assert (tmp_path / "trained.md").read_text("utf-8") == done.stdout.rstrip("\n") + "\n"
    assert json.loads((tmp_path / "trained.json").read_text("utf-8"))["sections"]["trained"]["rows"]
    command = ["check-verifier", "--source", str(folder), "--quick", "--folds", "2"]
    done = CliRunner().invoke(app, [*command, "--processes", "1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "## Songs left out" in (tmp_path / "verifier.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--source", "none"], 1, "cannot read none"),
        (["--data", ".", "--checkpoint", "none"], 2, "no such checkpoint folder: none"),
        ([], 2, "name --source, to measure by folds, or --data, or both"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], status: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["check-verifier", *options, "--out", "out"])
    assert done.exit_code == status
    assert words in done.stderr and done.stderr.count("\n") == 1
