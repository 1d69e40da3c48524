"""Mutated inputs for a few seconds: what is found by more is made in code where it belongs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from emomusic.music.score import notes_of, parse_score
from fuzz import midi
from fuzz.targets import TARGETS
from fuzz.trial import N_INPUTS, N_REACHED, Ledger, Trial

ROOT = Path(__file__).resolve().parents[1]
NEEDS_ATHERIS = pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris is there on Linux only"
)
TOLD = re.compile(
    r"(\w+), (\w+): (\d+) inputs, (\d+)% .* slowest \d+ ms .* crashes 0, hangs 0, findings 0"
)


@pytest.mark.parametrize(
    ("target", "way", "n_inputs"),
    [
        ("midi", "blind", 1_500),
        pytest.param("midi", "guided", None, marks=NEEDS_ATHERIS),
        ("checkpoint", "blind", 300),
        *((target, "blind", 1_000) for target in ("settings", "curve", "mix", "key", "jobs")),
    ],
)
def test_nothing_but_documented_errors_comes_of_mutated_inputs(
    target: str, way: str, n_inputs: int | None, tmp_path: Path
) -> None:
    how = ["--seconds", "3"] if n_inputs is None else ["--blind", "--inputs", str(n_inputs)]
    command = [sys.executable, "-m", "fuzz", target, *how, "--keep", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    told = TOLD.search(ended.stdout)
    assert ended.returncode == 0 and told, ended.stdout + ended.stderr
    assert (told[1], told[2]) == (target, way) and int(told[3]) > 0
    assert target != "midi" or int(told[4]) >= 34  # a third of the files reach the note parser


def test_every_seed_is_read_to_the_end_and_midi_is_put_together_again() -> None:
    for target in TARGETS.values():
        run = target.load()
        assert all(run(seed) for seed in target.seeds())
    for seed in midi.SEEDS:
        parsed = midi.parsed(seed)
        assert parsed is not None
        before, after = (notes_of(parse_score(data)) for data in (seed, midi.dumped(parsed)))
        for column, again in zip(before.columns, after.columns, strict=True):
            np.testing.assert_array_equal(again, column)


def test_what_is_not_documented_is_kept_with_its_reason(tmp_path: Path) -> None:
    def run(data: bytes) -> bool:
        if data == b"bad":
            raise KeyError("undocumented")
        return data == b"good"

    ledger = Ledger(tmp_path / "ledger")
    trial = Trial(run, ledger, tmp_path / "found")
    trial.begin([])
    assert [*map(trial, (b"good", b"bad", b"bad", b"other"))] == [True, False, False, False]
    assert ledger.counts[N_INPUTS] == 4 and ledger.counts[N_REACHED] == 1
    data, told = sorted((tmp_path / "found").iterdir())  # alike findings are kept once
    assert data.read_bytes() == b"bad" and "undocumented" in told.read_text()


@pytest.mark.parametrize(
    ("what", "died_of"),
    [("while True: pass", signal.SIGPROF), ("os.kill(os.getpid(), 11)", signal.SIGSEGV)],
)
def test_the_input_of_a_hang_or_a_crash_outlives_the_process(
    what: str, died_of: int, tmp_path: Path
) -> None:
    code = f"""
import os
from pathlib import Path
from fuzz.trial import Ledger, Trial
def run(data):
    {what}
trial = Trial(run, Ledger(Path("ledger")), Path("found"))
trial.begin([])
trial(b"the last one")
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=False)
    assert ended.returncode == -died_of
    assert Ledger(tmp_path / "ledger").input == b"the last one"
