from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import make_verifier
from trust_cases import N_SONGS, write_folder
from typer.testing import CliRunner

from emomusic.cli import app
from emomusic.evaluation.trust.parts import crossed
from emomusic.evaluation.trust.run import PARTS, QUICK, Check, check_verifier
from emomusic.evaluation.trust.shown.demands import HARMLESS, demands
from emomusic.evaluation.trust.shown.tables import TITLES, check_markdown
from emomusic.evaluation.trust.unseen import robustness
from emomusic.evaluation.trust.unseen.changes import CHANGES
from emomusic.evaluation.trust.write import write_check
from emomusic.verify.labels import read_labels

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_verifier.py"
TRIED = (*HARMLESS, "beats unknown", "tempo misread x 0.5")
SETTINGS = type(QUICK)(n_seeds=1, n_folds=2, n_ablation_seeds=1, n_draws=1, quick=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    write_folder(folder)
    make_verifier().save(folder)
    return folder


@pytest.fixture(scope="module")
def check(folder: Path) -> Check:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossed, "N_TREES", 20)
        patch.setattr(robustness, "CHANGES", {name: CHANGES[name] for name in TRIED})
        return check_verifier(
            folder, folder / "out", settings=SETTINGS, checkpoint=folder, data=folder, processes=1
        )


def rows(check: Check, part: str) -> dict[tuple[str, str, str], dict[str, object]]:
    plain = check.to_dict()["parts"][part]["rows"]
    return {(row["what"], row["learned"], row["source"]): row for row in plain}


def right(row: dict[str, dict[str, dict[str, float]]]) -> float:
    return row["shares"]["quadrant"]["mean"]


def test_emotions_made_in_code_are_heard_and_controls_are_not(check: Check) -> None:
    found = rows(check, "crossed")
    verifier = found["verifier", "all sources, by song", "emopia"]
    assert verifier["n"] == N_SONGS
    assert right(verifier) >= 0.8
    assert right(found["verifier", "emopia alone, by song", "emopia"]) >= 0.8
    assert right(found["random forest, 92 features", "emopia alone, by song", "emopia"]) >= 0.6
    assert right(found["majority", "own source, by song", "emopia"]) <= 0.4
    dealt = found["verifier, labels dealt to other songs", "all sources, by song", "emopia"]
    assert right(dealt) < 0.6
    assert dealt["calibration"] is None
    official = found["verifier", "all sources, published train to val", "emopia"]
    assert official["n"] == 4


def test_values_are_held_against_listeners_where_these_were_asked(check: Check) -> None:
    found = rows(check, "crossed")
    assert found["verifier", "all sources, by song", "emopia"]["values"] == {}
    asked = found["verifier", "all sources, by song", "vgmidi"]["values"]
    assert set(asked) == {"valence", "arousal"}
    assert asked["arousal"]["r"] > 0.5
    assert 0.0 <= asked["arousal"]["within_1_sd"] <= asked["arousal"]["within_1.64_sd"] <= 1.0


def test_what_is_learned_on_one_source_is_heard_in_the_other(check: Check) -> None:
    found = rows(check, "transfer")
    assert right(found["verifier", "emopia, shipped parameters", "vgmidi"]) >= 0.7
    assert right(found["verifier", "vgmidi, shipped parameters", "emopia"]) >= 0.7


def test_a_sense_alone_may_be_deaf(check: Check) -> None:
    found = rows(check, "ablation")
    arousal = {
        what: row["shares"]["arousal"]["mean"]
        for (what, _, source), row in found.items()
        if source == "emopia"
    }
    assert arousal["motion alone"] > 0.85 > arousal["dynamics alone"]


def test_the_learning_curve_counts_what_was_learned(check: Check) -> None:
    own = check.parts["learning"]["rows"]
    counts = [row["n_songs_learned"] for row in own if row["source"] == "emopia"]
    assert counts[0] == 4
    assert counts == sorted(counts)
    assert counts[-1] == N_SONGS


def test_harmless_changes_change_no_verdict_and_a_wrong_tempo_may(check: Check) -> None:
    own = check.parts["robustness"]["rows"]
    changed = {row["change"]: row["changed"][0] for row in own if row["source"] == "emopia"}
    assert changed["as it is"] == changed["ticks doubled"] == changed["beats unknown"] == 0.0
    assert changed["tempo misread x 0.5"] > 0.2


def test_the_report_shows_every_part(check: Check, tmp_path: Path) -> None:
    write_check(check, tmp_path)
    text = (tmp_path / "verifier.md").read_text()
    assert set(TITLES) == set(PARTS) == set(check.parts)
    for title in (*TITLES.values(), "What others report", "The trained verifier on other clips"):
        assert f"## {title}" in text
    assert "nan" not in text
    plain = json.loads((tmp_path / "verifier.json").read_text())
    assert plain == json.loads(json.dumps(check.to_dict(), allow_nan=False))
    assert len(list(demands(plain["parts"]))) == 3 + 3 + 2 + 2 + 1 + 6


def test_a_stopped_run_goes_on(folder: Path, check: Check) -> None:
    told = []
    again = check_verifier(
        folder, folder / "out", settings=SETTINGS, only=["transfer"], processes=1,
        progress=lambda *state: told.append(state),
    )  # fmt: skip
    assert told == [("kept", 4, 4)]
    assert again.parts["transfer"] == check.parts["transfer"]
    assert set(again.left_out) == set(PARTS) - {"transfer"}
    assert "## Left out" in check_markdown(again.to_dict(), {})


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--source", "none"], 1, "cannot read none"),
        (["--source", ".", "--only", "tea"], 2, "unknown part 'tea'; known: crossed"),
        (["--data", ".", "--checkpoint", "none"], 2, "no such checkpoint folder: none"),
        ([], 2, "name --source, to measure by folds, or --data, or both"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, options: list[str], status: int, words: str
) -> None:
    command = [sys.executable, SCRIPT, *options, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == status
    assert done.stderr.startswith("Error: ") and words in done.stderr
    assert done.stderr.count("\n") == 1


def test_trained_verifier_hears_a_folder_by_one_command(folder: Path, tmp_path: Path) -> None:
    make_verifier().save(tmp_path)
    command = ["check-verifier", "--data", str(folder), "--checkpoint", str(tmp_path)]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "clips heard" in done.stdout and "Skipped:" in done.stdout
    assert (tmp_path / "out" / "trained.md").read_text("utf-8") == done.stdout.rstrip("\n") + "\n"
    found = json.loads((tmp_path / "out" / "trained.json").read_text("utf-8"))
    assert found["n"] == len(read_labels(folder))
