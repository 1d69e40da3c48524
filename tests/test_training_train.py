"""Runs: what they leave and keep, how they end, stop, go on and branch, what they refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic import make_rows
from training_cases import SMALL, TEXTS, alike, curve, scalars, state

from emomusic.model.checkpoint import SIZES, ModelConfig, load_model, save_model
from emomusic.model.events import EventLayout
from emomusic.model.transformer import Transformer
from emomusic.training import train as room
from emomusic.training.config import TrainConfig, make_config
from emomusic.training.distributed import Ranks
from emomusic.training.state import LOG_NAME, STATE_NAME, Log, load_state, save_state
from emomusic.training.train import make_optimisers, start_from, train

SETTINGS = {**SMALL, "max_steps": 24, "lr": 0.01, "dropout": 0.1, "save_minutes": 1e-6}


class Stopped(Exception):  # noqa: N818 - no error
    """A run stops here."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    make_rows(n_songs=12).save(path)
    return path


def run(rows: Path, out: Path, **changes: Any) -> list[dict[str, Any]]:
    """Train, and return what was reported."""
    records: list[dict[str, Any]] = []
    train(rows, out, make_config(None, {**SETTINGS, **changes}), report=records.append)
    return records


def stopped_run(
    rows: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *at: int, **changes: Any
) -> None:
    """Train, stopped in the steps with these numbers, and go on to the end."""
    taken, left = room._Run._step, list(at)

    def step(self: Any, stream: Any) -> torch.Tensor:
        if left and self.step == left[0]:
            left.pop(0)
            raise Stopped
        return taken(self, stream)

    with monkeypatch.context() as patched:
        patched.setattr(room._Run, "_step", step)
        for _ in at:
            with pytest.raises(Stopped):
                run(rows, out, **changes)
        run(rows, out, **changes)


@pytest.fixture(scope="module")
def undisturbed(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    run(rows, out)
    return out


def test_a_few_steps_lower_the_loss_and_are_told(rows: Path, tmp_path: Path) -> None:
    records = run(rows, tmp_path, max_steps=40, precision="auto")
    assert [record["step"] for record in records] == [0, 10, 20, 30, 40, 40]
    assert records[0]["precision"] in ("bf16", "fp32") and "CPU" in records[0]["machine"]
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses[-1] < 0.7 * losses[0]
    assert records[-1]["validation_nats_per_note"] < losses[0]
    assert all(record["notes_per_s"] > 0 for record in records[1:-1])
    assert records[-1]["notes"] == scalars(tmp_path)["notes"] > 40 * 48


def test_a_run_leaves_a_checkpoint(undisturbed: Path) -> None:
    assert {path.name for path in undisturbed.iterdir()} == {
        "config.json", "model-01-of-01.safetensors", "tables.json", "run"
    }  # fmt: skip
    recipe = json.loads((undisturbed / "config.json").read_text())["recipe"]
    assert recipe["steps"] == 24 and recipe["config"]["lr"] == 0.01
    assert recipe["precision"] in ("bf16", "fp32") and recipe["evaluation"]["pitch"] > 0
    tables = json.loads((undisturbed / "tables.json").read_text())
    assert tables["attributes"] == ["tempo", "note_density", "velocity_mean", "register"]
    model = load_model(undisturbed).state_dict()
    for name, tensor in state(undisturbed).items():
        if name.startswith("model."):
            assert torch.equal(model[name.removeprefix("model.")], tensor.bfloat16().float())


def test_a_run_that_is_stopped_or_made_longer_ends_as_if_undisturbed(
    rows: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An epoch has ten batches, two a step, or eleven: stops are in the middle of one.
    out = tmp_path / "stopped"
    stopped_run(rows, out, monkeypatch, 3, 7, 7, 17)
    assert alike(out, undisturbed) and curve(out) == curve(undisturbed)
    assert scalars(out)["epoch"] > 1 and scalars(out)["index"] > 0
    assert list(curve(out, "precision")) == [0, 3, 7, 17]  # each start says on what it runs
    out = tmp_path / "longer"
    for _ in range(2):  # a finished run is left as it is
        run(rows, out, max_steps=11)
        assert list(curve(out)) == [10]
    run(rows, out)
    assert alike(out, undisturbed) and curve(out) == curve(undisturbed)


def test_the_rate_rises_stays_and_falls(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOG_EVERY", 1)
    run(rows, tmp_path, max_steps=12, warmup_steps=4, decay_steps=5, lr=0.02)
    # What is logged is the rate of the step to come.
    expected = [0.5, 0.75, *[1.0] * 5, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert list(curve(tmp_path, "lr").values()) == pytest.approx([0.02 * x for x in expected])


def test_a_branch_begins_where_the_run_was_and_leaves_it_alone(
    rows: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (undisturbed / "run" / STATE_NAME).read_bytes()
    branch: dict[str, Any] = {"branch_from": str(undisturbed), "max_steps": 8}
    records = run(rows, tmp_path / "same", **branch)
    assert records[0]["step"] == 24 and records[0]["notes"] == scalars(undisturbed)["notes"]
    longer = Path(shutil.copytree(undisturbed, tmp_path / "longer"))
    run(rows, longer, max_steps=32)
    assert alike(tmp_path / "same", longer)  # nothing was lost on the way
    run(rows, tmp_path / "decay", **branch, decay_steps=8)
    recipe = json.loads((tmp_path / "decay" / "config.json").read_text())["recipe"]
    assert recipe["config"]["branch_from"] == undisturbed.name
    assert (undisturbed / "run" / STATE_NAME).read_bytes() == before
    told = scalars(tmp_path / "decay")
    assert (told["step"], told["first_step"]) == (32, 24)
    assert curve(tmp_path / "decay", "lr") == {30: pytest.approx(0.01 * 2 / 8)}
    assert curve(tmp_path / "decay", "progress")[32] == 1
    stopped_run(rows, tmp_path / "parts", monkeypatch, 27, 30, **branch, decay_steps=8)
    assert alike(tmp_path / "decay", tmp_path / "parts")  # with its own state


def test_other_settings_or_rows_do_not_take_over_a_run_and_a_branch_when_told(
    rows: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(undisturbed, tmp_path / "out"))
    other, moved = make_rows(n_songs=12), tmp_path / "rows.npz"
    edges = [[1.0 + edge for edge in own] for own in other.meta["edges"]]
    replace(other, meta={**other.meta, "edges": edges}).save(moved)
    longer, begun = tmp_path / "longer.npz", {"init_from": str(undisturbed)}
    replace(other, clip_is_end=~other.clip_is_end).save(longer)
    changes: dict[str, Any]
    others = {"seed": 5, "batch_events": 201, "micro_batches": 1, "lr": 0.02, "size": "half",
              "warmup_steps": 9, "weight_decay": 0, "dropout": 0.2, "clip_norm": 2, "context": 100,
              "decay_steps": 3, "source_weights": {"odd": 0.5}}  # fmt: skip
    was = vars(make_config(None, SETTINGS))
    for path, changes, words in (
        *((rows, {name: value}, f"a run of {name} {was[name]}, not {value}")
          for name, value in others.items()),
        (rows, {"lr": 0.02, "seed": 5}, "a run of seed 3, not 5 and of lr 0.01, not 0.02; take"),
        (rows, begun, f"a run of init_from nothing, not {undisturbed.name}; take"),
        (rows, {"branch_from": "elsewhere/b"}, "a run of branch_from nothing, not b"),
        (rows, {"augmentation": {"octave": 0}}, "octave 0.2, not 0"),
        (moved, {}, "a run of other rows and of other bins; take the same again, or"),
        (longer, {}, "a run of other rows; take the same again, or another folder"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="cannot resume from") as caught:
            run(path, out, **changes)
        assert words in str(caught.value) and alike(out, undisturbed)
    run(rows, tmp_path / "decay", max_steps=3, decay_steps=2)  # is as long as it was
    with pytest.raises(ValueError, match="it is a run of max_steps 3, not 5"):
        run(rows, tmp_path / "decay", max_steps=5, decay_steps=2)
    branch = {"branch_from": str(undisturbed), "max_steps": 4}
    for path, changes, words in (
        (longer, branch, r"cannot resume from .*: it is a run of other rows; "),
        (moved, {**branch, "same_rows": False}, "it is a run of other bins; "),
        (rows, {**branch, "size": "half"}, "it is a run of size tiny, not half"),
        (rows, {"branch_from": str(tmp_path / "nowhere")}, r"cannot resume from .*nowhere"),
        (rows, {"device": "cuda"}, "device is cuda, but torch finds no such GPU"),
    ):
        with pytest.raises(ValueError, match=words):
            run(path, tmp_path / "branch", **changes)
    assert run(longer, tmp_path / "branch", **branch, same_rows=False)[-1]["step"] == 28
    with pytest.raises(ValueError, match="a run of branch_from undisturbed0, not nothing"):
        run(longer, tmp_path / "branch", max_steps=4)
    # What does not change what is learnt may change, and so may where a constant rate ends.
    harmless: dict[str, Any] = {"save_minutes": 3, "eval_minutes": 5, "eval_events": 99,
                                "minutes": 9, "threads": 0, "max_steps": 26}  # fmt: skip
    assert run(rows, out, **harmless)[-1]["step"] == 26


def test_a_state_of_an_earlier_version_is_gone_on_with_and_a_checkpoint_alone_is_not(
    rows: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(undisturbed, tmp_path / "out"))
    told = {
        name: value for name, value in scalars(out).items() if name not in ("bins", "init_from")
    }
    own = load_model(out)
    made = make_optimisers(own, TrainConfig(max_steps=1), torch.float32)
    load_state(out / "run", own, made, same={}, ranks=Ranks(torch.device("cpu")))
    save_state(out / "run", own, made, told)
    assert run(rows, out, max_steps=25)[-1]["step"] == 25
    (out / "run" / STATE_NAME).unlink()
    before = (out / "config.json").read_bytes()
    for changes in ({}, {"init_from": str(out)}, {"branch_from": str(undisturbed)}):
        with pytest.raises(ValueError, match="out holds a checkpoint, but no run that could"):
            run(rows, out, **changes)
    assert (out / "config.json").read_bytes() == before


def test_a_run_that_diverges_says_so_and_leaves_what_was_good(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(out: Path, words: str, **changes: Any) -> None:
        with pytest.raises(ValueError, match=rf"^the run diverged at step {words}") as caught:
            run(rows, out, **changes)
        assert "\n" not in str(caught.value) and not (out / "config.json").exists()

    for lr, words in (
        (1.0, r"24: the songs held back cost 111.* a note, more than guesses; take"),
        (1e4, r"\d: its loss is .*, its gradient .*nan; take a lower rate \(lr\) than 10000, or a"),
        (1e9, r"\d: its (loss|weights) .*; take a lower rate \(lr\) than 1e\+09, or a longer"),
    ):
        refused(tmp_path / f"{lr}", words, lr=lr, save_minutes=9)
        assert not list((tmp_path / f"{lr}").rglob("*.safetensors"))
    out, taken = tmp_path / "late", room._Run._step

    def late(own: Any, stream: Any) -> torch.Tensor:
        loss = taken(own, stream)
        if own.step == 9:  # a last step that overflows, after a loss that was fine
            own.model.embedding.data[3] = np.inf
        return loss

    with monkeypatch.context() as patched:
        patched.setattr(room._Run, "_step", late)
        refused(
            out, r"9: its weights .*; the state of step 8 stays: branch from .*late, and take a"
        )
    with monkeypatch.context() as patched:
        patched.setattr(room, "mean_loss", lambda *a, **b: {"nats_per_note": float("nan")})
        refused(out, "12: the songs held back cost nan nats a note", max_steps=12, save_minutes=9)
    assert scalars(out)["step"] == 8 and all(t.isfinite().all() for t in state(out).values())
    run(rows, out, max_steps=12)  # goes on from what was good
    run(rows, tmp_path / "undisturbed", max_steps=12)
    assert alike(out, tmp_path / "undisturbed") and curve(out) == curve(tmp_path / "undisturbed")


class Clock:
    """Stand for the time that steps and pauses take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow: set[int], seconds: float) -> None:
        """Let each step take a second, and those named so many more."""
        self.now, taken = 0.0, room._Run._step

        def step(own: Any, stream: Any) -> torch.Tensor:
            self.now += 1 + seconds * (own.step in slow)
            return taken(own, stream)

        monkeypatch.setattr(room._Run, "_step", step)
        monkeypatch.setattr("emomusic.training.train.time.monotonic", lambda: self.now)
        monkeypatch.setattr(room, "LOG_EVERY", 2)


def test_a_slow_run_warns_and_a_time_budget_ends_one(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        Clock(patched, {1, 5, 9}, 20.0)
        words = r"\d+ notes/s, less than half of what this run has had"
        with pytest.warns(UserWarning, match=words) as told:
            run(rows, tmp_path, max_steps=10)
        assert len(told) == 2  # in a first stretch it may compile
    shutil.copytree(tmp_path / "run", tmp_path / "on" / "run")
    with monkeypatch.context() as patched:
        Clock(patched, set(range(10, 16)), 3.0)  # on another host, perhaps
        with pytest.warns(UserWarning, match=words):
            run(rows, tmp_path / "on", max_steps=16)
    Clock(monkeypatch, set(), 5.0)
    records = run(rows, tmp_path / "timed", max_steps=0, minutes=0.11, lr=0.001)
    assert [(r["step"], r["progress"]) for r in records[1:]] == [
        *((step, pytest.approx(step / 6.6, abs=1e-3)) for step in (2, 4, 6)),
        (7, pytest.approx(7 / 6.6, abs=1e-3)),
    ]


def test_samples_and_saving_are_no_slow_training(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(None, {**SETTINGS, "eval_minutes": 1e-6, "max_steps": 12})
    clock = Clock(monkeypatch, set(), 0.0)
    asked: list[tuple[Path, int]] = []

    def sample(folder: Path, step: int) -> None:
        asked.append((folder, step))
        clock.now += 5.0 * (step > 5)

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(rows, tmp_path, config, on_evaluation=sample)
    assert asked == [(tmp_path, step) for step in [*range(1, 13), 12]]


def model(n_layers: int, seed: int, **changes: int) -> Transformer:
    torch.manual_seed(seed)
    texts = [*TEXTS, *["more"] * changes.pop("n_more", 0)]
    shape = {**SIZES["tiny"], "context": 16, "n_layers": n_layers, **changes}
    return Transformer(ModelConfig(len(texts), EventLayout.from_texts(texts), **shape))


def test_fewer_layers_are_stacked_in_turn_and_another_shape_is_refused(tmp_path: Path) -> None:
    for mine, theirs in ((2, 2), (4, 2), (3, 1)):
        source, target = model(theirs, 1), model(mine, 2, context=32)
        save_model(tmp_path, source, recipe={}, dtype=torch.float32)
        start_from(target, tmp_path)
        found = source.state_dict()
        for name, tensor in target.state_dict().items():
            parts = name.split(".")
            if parts[0] == "blocks":
                parts[1] = str(int(parts[1]) % theirs)
            assert torch.equal(tensor, found[".".join(parts)]), name
    for mine, theirs, change in (
        (2, 4, {}),
        (3, 2, {}),
        (2, 2, {"dim": 32}),
        (2, 2, {"n_more": 1}),
    ):
        save_model(tmp_path, model(theirs, 1, **change), recipe={})
        with pytest.raises(ValueError, match=r"a model of .* cannot start from .*, which is "):
            start_from(model(mine, 2), tmp_path)


def test_a_run_may_grow_from_a_smaller_one(rows: Path, undisturbed: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    single = Transformer(replace(load_model(undisturbed).config, n_layers=1))
    save_model(tmp_path / "single", single, recipe={}, dtype=torch.float32)
    run(rows, tmp_path / "out", max_steps=1, lr=1e-9, init_from=str(tmp_path / "single"))
    weight = single.state_dict()["blocks.0.gate_up.weight"]
    for layer in (0, 1):
        trained = state(tmp_path / "out")[f"model.blocks.{layer}.gate_up.weight"]
        torch.testing.assert_close(trained, weight)


def test_each_parameter_has_one_optimiser() -> None:
    made = model(2, 0)
    muon, adam = make_optimisers(made, TrainConfig(max_steps=1), torch.float32)
    held = [p for optimiser in (muon, adam) for g in optimiser.param_groups for p in g["params"]]
    assert len(held) == len({id(p) for p in held}) == len(list(made.parameters()))
    by_muon = {id(p) for g in muon.param_groups for p in g["params"]}
    for name, parameter in made.named_parameters():
        inside = ("qkv.weight", "out.weight", "gate_up.weight", "down.weight")
        assert (id(parameter) in by_muon) == name.endswith(inside), name


def test_no_damage_of_a_state_goes_unnoticed_and_none_is_taken_in(
    undisturbed: Path, tmp_path: Path
) -> None:
    path, other, odd = tmp_path / STATE_NAME, model(2, 5), model(3, 5)
    optimisers = make_optimisers(other, TrainConfig(max_steps=1), torch.float32)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}

    def refused(words: str = "", own: Transformer = other) -> None:
        ranks = Ranks(torch.device("cpu"))
        with pytest.raises(ValueError, match=rf"cannot resume from .*{words}") as caught:
            load_state(tmp_path, own, optimisers, same={}, ranks=ranks)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500

    refused("No such file")
    whole, chance = (undisturbed / "run" / STATE_NAME).read_bytes(), np.random.default_rng(0)
    for place in map(int, [*range(40), *chance.integers(0, len(whole), 60)]):
        flipped = bytes([whole[place] ^ 1 << int(chance.integers(8))])
        for data in (whole[:place], whole[:place] + flipped + whole[place + 1 :]):
            path.write_bytes(data)
            refused()
    path.write_bytes(whole)
    refused(own=odd)
    save_file(load_file(path), path, metadata={"scalars": "{}"})  # no digest
    refused("it is damaged, or of an earlier version; take another")
    after = other.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any(optimiser.state for optimiser in optimisers)


def logged(folder: Path, step: int, *at: int) -> list[int]:
    """Log at some steps in a run that stands at one; return all steps in the log."""
    log = Log(folder, step)
    for place in at:
        log.write({"step": place}, {"loss": 1 / 3})
    return [json.loads(line)["step"] for line in (folder / LOG_NAME).read_text().splitlines()]


def test_a_log_holds_each_record_once_and_none_from_after_the_state(tmp_path: Path) -> None:
    record = Log(tmp_path, 0).write({"step": 3, "epoch": 1}, {"loss": 2 / 3, "lr": 0.1})
    assert record == {"step": 3, "epoch": 1, "loss": 0.666667, "lr": 0.1}
    assert json.loads((tmp_path / LOG_NAME).read_text()) == record
    logged(tmp_path, 0, 0, 10, 20, 30)
    assert logged(tmp_path, 20, 30, 40) == [0, 10, 20, 30, 40]
    logged(tmp_path, 0, 10)
    for _ in range(2):
        log = Log(tmp_path, 10)
        for values in ({"loss": 1.0}, {"validation_advance": 1.0}, {"precision": "fp32"}) * 2:
            log.write({"step": 10}, values)
    assert logged(tmp_path, 10) == [10, 10, 10]
    # A line cut short is dropped.
    for tail in ('{"step": 3', "[1]\n", '{"loss": 1}\n', "\n", "\xff"):
        logged(tmp_path, 0, 1, 2)
        with (tmp_path / LOG_NAME).open("a", encoding="latin-1") as file:
            file.write(tail)
        assert logged(tmp_path, 5, 6) == [1, 2, 6]
    pytest.importorskip("tensorboard")
    assert [path for path in tmp_path.iterdir() if "tfevents" in path.name]


TRAIN = Path(__file__).resolve().parents[1] / "scripts" / "train.py"
BARE = ("miditok", "symusic", "music21", "pretty_midi", "gradio", "sklearn", "tensorboard")
CODE = f"""
import runpy, sys
for name in {BARE!r}:
    sys.modules[name] = None
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path({str(TRAIN)!r}, run_name="__main__")
"""


def test_the_training_script_runs_on_a_bare_machine(rows: Path, tmp_path: Path) -> None:
    settings = tmp_path / "run.toml"
    settings.write_text("context = 128\neval_minutes = 0\nbatch_events = 130\n", encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-c", CODE, "--rows", str(rows), "--out", str(tmp_path / "out"),
         "--config", str(settings), "--size", "tiny", "--max-steps", "2", "--device", "cpu",
         "--threads", "1"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "out" / "config.json").is_file() and "nats_per_note" in said.stdout
