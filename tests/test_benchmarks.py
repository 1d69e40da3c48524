from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.__main__ import app, chosen
from benchmarks.cases import Case, all_cases
from benchmarks.child import missing
from benchmarks.measure import (
    Bench,
    Clock,
    Sample,
    busy_seconds,
    by_round,
    per,
    quartiles,
    summarise,
    times_better,
)
from benchmarks.network import network
from benchmarks.path.pieces import piece, piece_files
from benchmarks.run import (
    FAILED,
    MEASURED,
    NOT_INSTALLED,
    Outcome,
    Settings,
    run_case,
    run_cases,
    told,
    worth_repeating,
)
from benchmarks.table import markdown, number, ratios, report, results
from benchmarks.writing import N_CLIP, Spent, Work, draw, measure_writer, prompt_ids, work_of
from emomusic.model.checkpoint import save_model
from emomusic.model.engines.engine import Row, Uniforms
from emomusic.model.engines.grammar import Script
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer

VOCABULARY, N_IDS = 50, 12
MACHINE = {"processor": "a CPU", "cores": 2, "memory_gb": 4.0, "features": ["avx2"]}


def tiny() -> Transformer:
    model = network(None, shape=ModelConfig(vocab_size=VOCABULARY, context=64, **SIZES["tiny"]))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(5.0)  # so that attention matters
    return model


def ids_and_logits(model: Transformer) -> tuple[Any, Any]:
    ids = prompt_ids(2, N_IDS, vocab_size=VOCABULARY)
    with torch.inference_mode():
        return ids, model(torch.from_numpy(ids)).numpy()


def alike(found: Any, wanted: Any) -> float:
    return float(np.corrcoef(np.ravel(found), np.ravel(wanted))[0, 1])


def a_bench(records: list[Mapping[str, Any]], scratch: Path, **changes: Any) -> Bench:
    values = {"seconds": 0.0, "quick": True, "threads": 1, **changes}
    return Bench(records.append, scratch=scratch, **values)


def outcome(name: str, values: list[float], **changes: Any) -> Outcome:
    case = Case(name, "", "m", **{"peer": name, "work": "one clip", **changes})
    unit = "notes/s" if case.headline == "notes" else "ids/s"
    samples = tuple(Sample(case.headline, unit, v, round=i) for i, v in enumerate(values))
    return Outcome(case, samples=samples)


def test_quartiles_lie_between_neighbours_linearly() -> None:
    assert quartiles([4.0, 1.0, 3.0, 2.0]) == (1.75, 2.5, 3.25)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)
    with pytest.raises(ValueError, match="at least one value"):
        quartiles([])


def test_a_summary_holds_median_quartiles_and_mean_load_of_each_metric() -> None:
    samples = [
        Sample("ids", "ids/s", value, other_cpu=load, round=i)
        for i, (value, load) in enumerate([(10.0, 0.2), (20.0, None), (40.0, 0.1)])
    ]
    ids, memory = summarise([*samples, Sample("memory", "MB", 5.0)])
    assert (ids.metric, ids.n, ids.low, ids.median, ids.high) == ("ids", 3, 15.0, 20.0, 30.0)
    assert ids.other_cpu == pytest.approx(0.15) and ids.spread == pytest.approx(0.75)
    assert (memory.median, memory.other_cpu, memory.spread) == (5.0, None, 0.0)


def test_noisy_samples_count_only_where_none_is_quiet() -> None:
    loads = [(10.0, 0.1), (90.0, 0.9), (20.0, None)]
    samples = [Sample("ids", "ids/s", value, other_cpu=load) for value, load in loads]
    (found,) = summarise(samples)
    assert (found.median, found.n, found.n_all) == (15.0, 2, 3)
    (noisy,) = summarise(samples[1:2])
    assert (noisy.median, noisy.n, noisy.other_cpu) == (90.0, 1, 0.9)
    assert by_round(samples, "ids") == {0: 15.0}


def test_a_round_is_told_by_its_median() -> None:
    samples = [Sample("ids", "ids/s", v, round=r) for v, r in [(1, 0), (3, 0), (8, 1)]]
    assert by_round([*samples, Sample("other", "s", 9.0)], "ids") == {0: 2.0, 1: 8.0}


def test_more_of_a_rate_is_better_and_less_of_a_time() -> None:
    assert times_better(10.0, 2.0, "ids/s") == 5.0
    assert times_better(10.0, 2.0, "s") == 0.2


def test_an_amount_is_told_as_a_rate_or_as_the_time_of_one() -> None:
    assert per("files/s", 8, 2.0) == 4.0
    assert per("s", 8, 2.0) == 0.25 and per("ms", 8, 2.0) == 250.0


def test_busy_time_leaves_out_idle_and_waiting_and_counts_guests_once() -> None:
    text = "cpu  100 20 30 5000 400 5 6 7 60 2\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert busy_seconds(text, ticks=100) == pytest.approx(1.68)


def test_a_clock_tells_time_and_never_a_negative_load() -> None:
    with Clock() as clock:
        sum(range(10_000))
    assert clock.seconds > 0
    assert clock.other_cpu is None or clock.other_cpu >= 0


def test_work_is_repeated_some_times_after_a_warm_up(tmp_path: Path) -> None:
    records: list[Mapping[str, Any]] = []
    calls: list[int] = []

    def work() -> float:
        calls.append(1)
        return 1.0

    a_bench(records, tmp_path).repeat("clips", "clips/s", work)
    assert len(calls) == 4 and [r["metric"] for r in records] == ["clips"] * 3


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.123"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12 346")]
)
def test_numbers_show_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_columns_of_a_table_are_aligned() -> None:
    assert markdown(("a", "long"), [("one", "2"), ("x|y", "")]) == (
        "| a   | long |\n|-----|------|\n| one | 2    |\n| x/y |      |"
    )


def test_ratios_take_the_best_variant_and_notes_for_ids() -> None:
    found = ratios(
        [
            outcome("emomusic", [100.0, 200.0, 300.0], threads=2),
            outcome("slow", [10.0, 10.0, 20.0], threads=1),
            outcome("slow", [20.0, 20.0, 25.0], threads=2),
            outcome("slow", [90.0], threads=4),
            outcome("notes", [5.0, 5.0, 5.0], headline="notes", threads=1),
            outcome("elsewhere", [1.0], work="32 clips"),
        ]
    )
    slow, notes = found
    assert (slow.peer, slow.our_median, slow.their_median) == ("slow", 200.0, 20.0)
    assert (slow.times, slow.low, slow.high) == (10.0, 5.0, 12.0)
    assert notes.times == pytest.approx(200 / 3.63 / 5)
    assert notes.high == pytest.approx(300 / 3.63 / 5)


def test_the_report_shows_what_was_measured_and_what_was_not() -> None:
    absent = Outcome(Case("x/1t", "", "m"), NOT_INSTALLED, "llama_cpp")
    failed = Outcome(Case("y/1t", "", "m"), FAILED, "no more memory")
    partly = Outcome(Case("z", "", "m"), samples=(Sample("a", "s", 1.5),), remarks=("half of it",))
    ours, theirs = outcome("emomusic", [100.0, 120.0]), outcome("torch", [10.0, 10.0])
    text = report(
        [ours, theirs, absent, failed, partly],
        machine=MACHINE,
        versions={"torch": "2", "onnx": None},
    )
    for words in ("11 ×", "10 – 12", "not installed", "llama_cpp", "no more memory", "1.5 s",
                  "- z: half of it", "a CPU, 2 cores", "torch 2."):  # fmt: skip
        assert words in text
    assert "onnx" not in text


def test_results_keep_every_raw_sample() -> None:
    ours = outcome("emomusic", [100.0, 120.0])
    plain = results([ours], settings={}, machine=MACHINE, versions={})
    (case,) = json.loads(json.dumps(plain))["cases"]
    assert [sample["value"] for sample in case["samples"]] == [100.0, 120.0]
    assert case["summary"][0]["median"] == 110.0 and case["status"] == MEASURED


def test_only_variants_near_their_peers_best_are_repeated() -> None:
    near = [outcome("a", [v], threads=t) for v, t in [(10.0, 1), (9.5, 1), (5.0, 2)]]
    far = outcome("a", [7.0], threads=1)
    noisy = replace(far, samples=tuple(replace(s, other_cpu=1.0) for s in far.samples))
    lone = Outcome(Case("path", "", "m"), samples=(Sample("memory", "MB", 1.0),))
    broken = Outcome(Case("b", "", "m"), FAILED, "why")
    kept = [*near, noisy, lone]
    assert worth_repeating([*near, far, noisy, lone, broken]) == [o.case for o in kept]


def test_lines_of_a_case_become_its_outcome() -> None:
    case = Case("x", "", "m")
    lines = '{"metric": "ids", "unit": "ids/s", "value": 3.0}\n{"remark": "hm"}\n'
    good = told(case, lines, 0, number=2)
    assert good.samples == (Sample("ids", "ids/s", 3.0, round=2),) and good.remarks == ("hm",)
    assert told(case, '{"missing": ["onnx"]}\n', 0, number=0).status == NOT_INSTALLED
    assert told(case, '{"failed": "why"}\n', 0, number=0) == Outcome(case, FAILED, "why")
    assert told(case, "", -9, number=0).reason == "ended with status -9"
    half = told(case, lines + '{"failed": "later"}\n', 0, number=0)
    assert (half.status, half.reason, len(half.samples)) == (MEASURED, "later", 1)


class _Writer:
    def __init__(self) -> None:
        self.done: list[Work] = []

    def write(self, work: Work) -> Spent:
        self.done.append(work)
        return Spent(1e-6 * work.n_ids, work.n_ids)


def test_a_writer_is_measured_on_the_same_work_as_all_others(tmp_path: Path) -> None:
    records: list[Mapping[str, Any]] = []
    writer = _Writer()
    measure_writer(a_bench(records, tmp_path, quick=False, seconds=1e-2), writer, n_clips=1)
    rates = [r["value"] for r in records if r.get("metric") == "ids"]
    assert Work(1, N_CLIP, 24, 0) in writer.done and rates[0] == pytest.approx(1e6)
    assert work_of(32, quick=False) == Work(32, 128, 1, 310)


def test_a_writer_that_is_too_slow_writes_a_part_and_says_so(tmp_path: Path) -> None:
    records: list[Mapping[str, Any]] = []
    writer = _Writer()
    measure_writer(a_bench(records, tmp_path, quick=False), writer, n_clips=1)
    assert max(work.n_ids for work in writer.done) < N_CLIP
    assert any("part of a clip only" in record.get("remark", "") for record in records)


def test_a_draw_keeps_to_the_likeliest_ids() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.15, 0.05]], dtype=np.float32)).repeat(4000, axis=0)
    drawn = draw(logits, np.random.default_rng(0), top_p=0.9)
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, [0.526, 0.316, 0.158, 0.0], atol=0.03)
    assert draw(logits[:1], np.random.default_rng(0), top_p=1e-6).tolist() == [0]


def test_names_of_cases_are_their_own_and_a_quick_run_has_every_peer() -> None:
    cases = all_cases([1, 2])
    assert len({case.name for case in cases}) == len(cases)
    quick = chosen(cases, None, quick=True)
    assert {case.peer for case in quick} == {case.peer for case in cases}
    assert len(quick) < len(cases) / 2
    assert {case.peer for case in chosen(cases, "llama*1t", quick=False)} == {"llama.cpp"}
    with pytest.raises(ValueError, match="threads must be at least 1"):
        all_cases([0])


def test_a_tiny_case_runs_in_its_own_process_and_in_every_round(tmp_path: Path) -> None:
    case = Case("help", "", "path.command", "measure_help")
    (found,) = run_cases([case], Settings(seconds=0, rounds=2, quick=True), scratch=tmp_path)
    assert (found.status, found.reason) == (MEASURED, "")
    assert {s.round for s in found.samples} == {0, 1} and all(s.value > 0 for s in found.samples)


def test_what_is_not_installed_is_reported_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from benchmarks.path import command\ncommand.NEEDS = ('no_such_library', 'json')\n",
        encoding="utf-8",
    )
    root = Path(__file__).resolve().parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    found = run_case(Case("x", "", "path.command"), Settings(quick=True), scratch=tmp_path)
    assert (found.status, found.reason) == (NOT_INSTALLED, "no_such_library")
    assert missing(("json", "no_such_library")) == ["no_such_library"]


def test_a_case_that_fails_says_why_and_a_slow_one_is_given_up(tmp_path: Path) -> None:
    case = Case("x", "", "path.command", "no_such_function")
    failed = run_case(case, Settings(quick=True), scratch=tmp_path)
    assert failed.status == FAILED and "no_such_function" in failed.reason
    slow = run_case(case, Settings(timeout=0.01), scratch=tmp_path)
    assert slow == Outcome(case, FAILED, "not done after 0.01 s")


def test_the_command_writes_a_table_and_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--out", str(tmp_path), "--only", "help", "--quick"])
    assert result.exit_code == 0, result.output
    assert "| help | whole process |" in (tmp_path / "results.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "results.json").read_text())["format"] == "emomusic-benchmark-1"


@pytest.mark.parametrize(
    "arguments", [["--only", "nothing"], ["--threads", "0"], ["--threads", "x"], ["--repeats", "0"]]
)
def test_a_mistake_on_the_command_line_ends_with_status_2(
    arguments: list[str], tmp_path: Path
) -> None:
    assert CliRunner().invoke(app, ["--out", str(tmp_path), *arguments]).exit_code == 2


def test_pieces_are_the_same_each_time_and_fill_their_bars(tmp_path: Path) -> None:
    notes = piece(3, n_bars=8).tracks[0].notes
    assert [n.pitch for n in notes] == [n.pitch for n in piece(3, n_bars=8).tracks[0].notes]
    assert {n.time // 1920 for n in notes} == set(range(8))
    paths = piece_files(tmp_path / "files", 2, n_bars=4)
    assert [path.is_file() for path in paths] == [True, True]


def test_transformers_says_what_our_network_says() -> None:
    pytest.importorskip("transformers")
    from benchmarks.peers.transformers_generate import GenerateWriter, llama

    model = tiny()
    ids, wanted = ids_and_logits(model)
    made = llama(model)
    with torch.inference_mode():
        found = made(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    for cache in ("dynamic", "static"):
        writer = GenerateWriter(made, cache=cache)
        assert writer.write(Work(2, 6, n_given=4)).n_ids == 6
        assert writer.write(Work(2, 6, n_given=1, n_held=4)).n_ids == 5


def test_onnx_runtime_says_what_our_network_says(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx_ir")
    from benchmarks.peers.onnx_int8 import QUANTISERS, OnnxWriter, export

    model = tiny()
    ids, wanted = ids_and_logits(model)
    export(model, tmp_path / "exact.onnx")
    for name, quantise in QUANTISERS.items():
        quantise(tmp_path / "exact.onnx", tmp_path / f"{name}.onnx")
    steps = [ids[:, :5], *(ids[:, t : t + 1] for t in range(5, N_IDS))]
    said = {}
    for name in ("exact", *QUANTISERS):
        writer = OnnxWriter(tmp_path / f"{name}.onnx", model.config, threads=1)
        decoding = writer.start(2, capacity=N_IDS)
        said[name] = np.concatenate([decoding.step(step).copy() for step in steps], axis=1)
        assert writer.write(Work(2, 6, n_given=1, n_held=4)).n_ids == 6
    np.testing.assert_allclose(said["exact"], wanted, atol=1e-4)
    assert all(alike(said[name], wanted) > 0.999 for name in QUANTISERS)


def test_llama_cpp_says_what_our_network_says(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp")
    from benchmarks.peers.llama_cpp import LlamaCppWriter, export

    model = tiny()
    ids, wanted = ids_and_logits(model)
    for quantised, least in ((False, 0.99999), (True, 0.999)):
        path = tmp_path / f"{quantised}.gguf"
        export(model, path, quantised=quantised)
        writer = LlamaCppWriter(path, threads=1, vocab_size=VOCABULARY)
        context = writer.start(2, capacity=N_IDS, n_first=5)
        found = []
        for start, end in [(0, 5), *((t, t + 1) for t in range(5, N_IDS))]:
            writer.step(context, ids[:, start:end], at=start)
            found.append(writer.logits(context, 2))
        assert alike(np.stack(found, axis=1), wanted[:, 4:]) > least
        assert writer.write(Work(2, 6, n_given=4)).n_ids == 6


def test_eager_torch_says_what_our_network_says() -> None:
    from benchmarks.llama import as_llama
    from benchmarks.peers.torch_eager import TorchWriter

    model = tiny()
    ids, wanted = ids_and_logits(model)
    net = as_llama(model)
    past = net.start(2, capacity=N_IDS)
    steps = [ids[:, :5], *(ids[:, t : t + 1] for t in range(5, N_IDS))]
    with torch.inference_mode():
        found = torch.cat([net.logits(torch.from_numpy(step), past) for step in steps], dim=1)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    writer = TorchWriter(net)
    assert writer.write(Work(2, 6, n_given=4)).n_ids == 6
    assert writer.write(Work(2, 6, n_given=1, n_held=5)).n_ids == 6


@pytest.mark.parametrize("name", ["auto", "torch"])
def test_our_engines_write_as_many_ids_as_asked(name: str, tmp_path: Path) -> None:
    from benchmarks.peers.emomusic_engine import EngineWriter, pairs
    from emomusic.model.engines.choose import open_engine

    save_model(tmp_path, tiny(), recipe={})
    writer = EngineWriter(open_engine(tmp_path, name))
    assert writer.write(Work(2, 6, n_given=4)).n_ids == 6
    assert writer.write(Work(2, 8, n_given=1, n_held=4)).n_ids == 6
    row = Row(
        Script((1, 2), ((),) * 5, ((1,),) * 5, max_free=2), Uniforms(np.random.default_rng(0))
    )
    ((_, segments),) = writer.engine.write([row], pairs(VOCABULARY))
    assert [len(segment) for segment in segments] == [1] * 5  # and an end id after each


@torch.inference_mode()
def test_linear_attention_with_a_state_says_what_it_says_without() -> None:
    from benchmarks.peers.emogen import EmoGenNet, recompute_seconds, recurrent_seconds

    torch.manual_seed(0)
    model = EmoGenNet(vocab_size=30, dim=32, n_layers=2, n_heads=4, hidden=48, context=40).eval()
    ids = torch.randint(30, (2, 9))
    asked, state = model.begin(2)
    steps = [model.step(ids[:, t : t + 1], t, asked, state) for t in range(9)]
    torch.testing.assert_close(torch.cat(steps, dim=1), model(ids), atol=1e-4, rtol=1e-4)
    assert recompute_seconds(model, 20, strata=2) > 0 and recurrent_seconds(model, 4) > 0


def test_networks_of_others_have_their_published_sizes() -> None:
    from benchmarks.peers.emogen import EmoGenNet
    from benchmarks.peers.midi_model import MidiModel

    with torch.device("meta"):
        sizes = [sum(p.numel() for p in net().parameters()) for net in (MidiModel, EmoGenNet)]
    assert sizes == [233_842_688, 20_206_208]


@torch.inference_mode()
def test_a_note_of_the_event_network_is_a_kind_and_seven_parameters() -> None:
    from benchmarks.peers.midi_model import NOTE, MidiModel, notes_a_second

    shape = {"vocab_size": 3406, "dim": 32, "n_layers": 1, "n_heads": 2, "n_kv_heads": 2}
    small = ModelConfig(**shape, hidden=32, context=32)
    model = MidiModel(small, small).eval()
    past = model.events.start(1, capacity=2)
    note = model.note(torch.zeros(1, 8, dtype=torch.long), past)[0].tolist()
    assert note[0] == NOTE and past.length == 1
    for token, (first, end) in zip(note, model.ranges, strict=True):
        assert first <= token < end
    assert notes_a_second(model, 2, n_held=3) > 0
