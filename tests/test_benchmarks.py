"""What the benchmarks measure, how they are run, and what is told of them."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import engine
from benchmarks import run as run_module
from benchmarks.__main__ import app, chosen
from benchmarks.cases import BEFORE, Case, all_cases
from benchmarks.measure import Bench, Sample, by_round, summarise
from benchmarks.run import FAILED, MEASURED, NOT_INSTALLED, Outcome, Settings, run_case, told
from benchmarks.table import ratios, report
from emomusic.model.checkpoint import tensor_shapes
from emomusic.model.int8.library import is_built
from emomusic.music.tokenizer import built_vocabulary

MACHINE = {"processor": "a CPU", "cores": 2, "memory_gb": 4.0, "features": ["avx2"]}


def outcome(name: str, values: list[float], **changes: Any) -> Outcome:
    case = Case(name, "", "m", **{"peer": name, "work": "one clip", **changes})
    unit = "notes/s" if case.headline == "notes" else "s"
    samples = tuple(Sample(case.headline, unit, v, round=i) for i, v in enumerate(values))
    return Outcome(case, samples=samples)


def test_a_summary_holds_median_quartiles_and_load_of_the_quiet_samples_if_there_are_any() -> None:
    values = ((10.0, 0.2), (20.0, None), (40.0, 0.1), (90.0, 0.9))
    samples = [Sample("ids", "ids/s", value, other_cpu=load) for value, load in values]
    ids, memory = summarise([*samples, Sample("memory", "MB", 5.0)])
    assert (ids.metric, ids.n, ids.n_all) == ("ids", 3, 4)
    assert (ids.low, ids.median, ids.high) == (15.0, 20.0, 30.0)
    assert ids.other_cpu == pytest.approx(0.15) and ids.spread == pytest.approx(0.75)
    assert (memory.median, memory.other_cpu, memory.spread) == (5.0, None, 0.0)
    (noisy,) = summarise(samples[3:])
    assert (noisy.median, noisy.n, noisy.other_cpu) == (90.0, 1, 0.9)
    assert by_round(samples, "ids") == {0: 20.0}


def test_ratios_take_the_best_of_as_many_threads() -> None:
    found = ratios(
        [
            outcome("emomusic", [100.0, 200.0, 300.0], threads=2),
            outcome("slow", [10.0, 10.0, 20.0], threads=1),
            outcome("slow", [20.0, 20.0, 25.0], threads=2),
            outcome("slow", [90.0], threads=4),
            outcome("elsewhere", [1.0], work="32 clips"),
            outcome("emomusic", [2.0, 4.0], work="a further clip", headline="a further clip"),
            outcome("before", [6.0, 6.0], work="a further clip", headline="a further clip"),
        ]
    )
    slow, before = found
    assert (slow.peer, slow.our_median, slow.their_median) == ("slow", 200.0, 20.0)
    assert (slow.times, slow.low, slow.high) == (10.0, 5.0, 12.0)
    assert (before.times, before.low, before.high) == (2.0, 1.5, 3.0)


def test_the_report_shows_what_was_measured_and_what_was_not() -> None:
    absent = Outcome(Case("x/1t", "", "m"), NOT_INSTALLED, "no_library")
    failed = Outcome(Case("y/1t", "", "m"), FAILED, "no more memory")
    partly = Outcome(Case("z", "", "m"), samples=(Sample("a", "s", 1.5),), remarks=("half of it",))
    ours, theirs = outcome("emomusic", [100.0, 120.0]), outcome("torch", [10.0, 10.0])
    text = report(
        [ours, theirs, absent, failed, partly],
        machine=MACHINE,
        versions={"torch": "2", "absent": None},
    )
    for words in ("11 ×", "10 – 12", "not installed", "no_library", "no more memory", "1.5 s",
                  "- z: half of it", "a CPU, 2 cores", "torch 2."):  # fmt: skip
        assert words in text
    assert "absent" not in text


def test_lines_of_a_case_become_its_outcome() -> None:
    case = Case("x", "", "m")
    lines = '{"metric": "ids", "unit": "ids/s", "value": 3.0}\n{"remark": "hm"}\n'
    good = told(case, lines, 0, number=2)
    assert good.samples == (Sample("ids", "ids/s", 3.0, round=2),) and good.remarks == ("hm",)
    assert told(case, '{"missing": ["x"]}\n', 0, number=0).status == NOT_INSTALLED
    assert told(case, '{"failed": "why"}\n', 0, number=0) == Outcome(case, FAILED, "why")
    assert told(case, "", -9, number=0).reason == "ended with status -9"
    half = told(case, lines + '{"failed": "later"}\n', 0, number=0)
    assert (half.status, half.reason, len(half.samples)) == (MEASURED, "later", 1)


def test_names_of_cases_are_their_own_and_a_quick_run_has_every_engine() -> None:
    cases = all_cases([1, 2], against=True)
    assert len({case.name for case in cases}) == len(cases)
    quick = chosen(cases, None, quick=True)
    assert {case.peer for case in quick} == {case.peer for case in cases}
    assert len(quick) < len(cases)
    assert {case.peer for case in chosen(cases, "avx2*1t", quick=False)} == {"avx2"}
    assert BEFORE not in {case.peer for case in all_cases([1])}
    with pytest.raises(ValueError, match="threads must be at least 1"):
        all_cases([0])


def test_an_engine_writes_clips_and_its_notes_are_counted(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    bench = Bench(print, 0.0, True, 1, tmp_path)
    vocabulary, found = built_vocabulary(), dict[str, list[int]]()
    for name in ("torch", "int8", "int8-plain") if is_built() else ("torch",):
        shipped = engine.network(replace(bench, weights=tiny_checkpoint), vocabulary)
        writer = engine.Writer(engine.open_engine(*shipped, bench, name), vocabulary)
        found[name] = [writer.write(writer.whole, 2)[1], writer.write(writer.note, 3)[1]]
        assert 2 * engine.N_BARS <= found[name][0] <= 2 * engine.N_BARS * engine.MAX_NOTES
        assert found[name][1] == 3
    assert found.get("int8") == found.get("int8-plain")
    shape, weights = engine.network(bench, vocabulary)
    assert (shape.dim, shape.n_layers) == (384, 6) and set(weights) == set(tensor_shapes(shape))


def test_another_version_is_run_by_its_own_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, python = tmp_path / "root" / "benchmarks", tmp_path / "python"
    shutil.copytree(Path(run_module.__file__).parent, folder)
    (folder / "path" / "tried.py").write_text(
        "import emomusic\nNEEDS = ()\ndef measure(bench): bench.remark(emomusic.NAME)"
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "emomusic.py").write_text("NAME = 'the other'")
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/other exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(run_module, "ROOT", folder.parent)
    case, settings = Case("x", "", "path.tried", peer=BEFORE), Settings(against=python)
    found = run_case(case, settings, scratch=tmp_path)
    assert found.remarks == ("the other",), found.reason


def test_what_is_not_installed_fails_or_is_slow_is_told_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("x", "", "path.command", "no_such_function")
    failed = run_case(case, Settings(quick=True), scratch=tmp_path)
    assert failed.status == FAILED and "no_such_function" in failed.reason
    slow = run_case(case, Settings(timeout=0.01), scratch=tmp_path)
    assert slow == Outcome(case, FAILED, "not done after 0.01 s")
    (tmp_path / "sitecustomize.py").write_text(
        "from benchmarks.path import command\ncommand.NEEDS = ('no_such_library', 'json')\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{run_module.ROOT}")
    found = run_case(case, Settings(quick=True), scratch=tmp_path)
    assert (found.status, found.reason) == (NOT_INSTALLED, "no_such_library")


def test_the_command_runs_a_case_in_every_round_and_writes_a_table_and_json(tmp_path: Path) -> None:
    command = ["--out", str(tmp_path), "--only", "help", "--quick", "--repeats", "2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "| help | whole process |" in (tmp_path / "results.md").read_text(encoding="utf-8")
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["format"] == "emomusic-benchmark-1"
    (case,) = found["cases"]
    assert (case["status"], case["reason"]) == ("measured", "")
    assert {s["round"] for s in case["samples"]} == {0, 1}
    assert all(s["value"] > 0 for s in case["samples"])
    for mistake in ("--only nothing", "--threads 0", "--threads x", "--repeats 0"):
        assert CliRunner().invoke(app, [*command[:2], *mistake.split()]).exit_code == 2
