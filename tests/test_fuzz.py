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
TOLD = re.compile(
    r"(\w+), (\w+): (\d+) inputs, (\d+)% .* slowest \d+ ms .* crashes 0, hangs 0, findings 0"
)


def tried(*arguments: object) -> tuple[str, str, int, int]:
    """Run the fuzzer; return target, way, inputs and the share of them read to the end."""
    ended = subprocess.run(
        [sys.executable, "-m", "fuzz", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = TOLD.search(ended.stdout)
    assert told, ended.stdout
    return told[1], told[2], int(told[3]), int(told[4])


@pytest.mark.parametrize(
    ("target", "n_inputs"),
    [("midi", 1_500), ("checkpoint", 300), ("settings", 1_000), ("curve", 1_000), ("mix", 1_000),
     ("key", 1_000), ("jobs", 1_000)],
)  # fmt: skip
def test_nothing_but_documented_errors_comes_of_mutated_inputs(
    target: str, n_inputs: int, tmp_path: Path
) -> None:
    told = tried(target, "--blind", "--inputs", n_inputs, "--seconds", 60, "--keep", tmp_path)
    assert told[:2] == (target, "blind") and told[2] > 0
    if target == "midi":
        assert told[3] >= 34  # a third of the files reach the note parser


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is there on Linux only")
def test_nothing_but_documented_errors_comes_of_guided_inputs(tmp_path: Path) -> None:
    told = tried("midi", "--seconds", 3, "--keep", tmp_path)
    assert told[:2] == ("midi", "guided")
    assert told[2] > 0 and told[3] >= 34


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_read_to_the_end(name: str) -> None:
    run = TARGETS[name].load()
    assert all(run(seed) for seed in TARGETS[name].seeds())


def test_a_midi_file_is_taken_apart_and_put_together_again() -> None:
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
    assert [trial(data) for data in (b"good", b"bad", b"bad", b"other")] == [
        True, False, False, False,
    ]  # fmt: skip
    assert ledger.counts[N_INPUTS] == 4 and ledger.counts[N_REACHED] == 1
    kept = sorted((tmp_path / "found").iterdir())  # alike findings are kept once
    assert [path.suffix for path in kept] == ["", ".txt"]
    assert kept[0].read_bytes() == b"bad" and "undocumented" in kept[1].read_text()


DYING = """
import os, sys
from pathlib import Path
from fuzz.trial import Ledger, Trial
def run(data):
    {what}
trial = Trial(run, Ledger(Path("ledger")), Path("found"))
trial.begin([])
trial(b"the last one")
"""


@pytest.mark.parametrize(
    ("what", "died_of"),
    [("while True: pass", signal.SIGPROF), ("os.kill(os.getpid(), 11)", signal.SIGSEGV)],
)
def test_the_input_of_a_hang_or_a_crash_outlives_the_process(
    what: str, died_of: int, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DYING.format(what=what)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert ended.returncode == -died_of
    assert Ledger(tmp_path / "ledger").input == b"the last one"
