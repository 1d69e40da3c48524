from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from synthetic import make_rows
from training_cases import SMALL

from emomusic.model.checkpoint import load_model, save_model
from emomusic.model.shape import ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.training.config import make_config
from emomusic.training.record.state import STATE_NAME
from emomusic.training.train import train

SETTINGS = {**SMALL, "max_steps": 12, "lr": 0.01}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    make_rows(n_songs=24).save(path)
    return path


def run(rows: Path, out: Path, **changes: Any) -> dict[str, float]:
    return train(rows, out, make_config(None, {**SETTINGS, **changes}))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(folder / "run" / STATE_NAME)
    return {name: tensor for name, tensor in tensors.items() if name.startswith("model.")}


def alike(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    run(rows, out)
    return out


def test_a_few_steps_lower_the_loss(rows: Path, tmp_path: Path) -> None:
    records: list[dict[str, float]] = []
    config = make_config(None, {**SETTINGS, "max_steps": 40})
    evaluated = train(rows, tmp_path, config, report=records.append)
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 4 and losses[-1] < 0.7 * losses[0]
    assert evaluated["validation_loss"] < losses[0]
    assert [record["step"] for record in records] == [10, 20, 30, 40, 40]


def test_a_run_leaves_a_checkpoint(undisturbed: Path) -> None:
    assert {path.name for path in undisturbed.iterdir()} == {
        "config.json", "model-01-of-01.safetensors", "tables.json", "run"
    }  # fmt: skip
    recipe = json.loads((undisturbed / "config.json").read_text())["recipe"]
    assert recipe["steps"] == 12 and recipe["config"]["lr"] == 0.01
    tables = json.loads((undisturbed / "tables.json").read_text())
    assert tables["attributes"] == ["tempo", "note_density", "velocity_mean", "register"]
    model = load_model(undisturbed)
    for name, tensor in weights(undisturbed).items():
        stored = model.state_dict()[name.removeprefix("model.")]
        assert torch.equal(stored, tensor.bfloat16().float())


def test_same_seed_gives_the_same_weights(rows: Path, undisturbed: Path, tmp_path: Path) -> None:
    run(rows, tmp_path / "same")
    run(rows, tmp_path / "other", seed=4)
    assert alike(tmp_path / "same", undisturbed)
    assert not alike(tmp_path / "other", undisturbed)


def test_a_finished_run_is_left_as_it_is(rows: Path, undisturbed: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run(rows, tmp_path)
    assert alike(tmp_path, undisturbed)


def test_a_step_in_parts_takes_the_mean_over_all_targets(rows: Path, tmp_path: Path) -> None:
    def losses(folder: Path) -> list[float]:
        lines = (folder / "run" / "log.jsonl").read_text().splitlines()
        return [json.loads(line).get("loss", 0.0) for line in lines]

    settings = {"precision": "fp32", "lr": 0.003}
    run(rows, tmp_path / "whole", **settings)
    run(rows, tmp_path / "parts", **settings, gradient_accumulation_steps=3)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)


def test_a_time_budget_ends_a_run(rows: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    run(rows, tmp_path, max_steps=0, minutes=1 / 60, lr=0.001)
    assert time.monotonic() - began < 15


def test_samples_are_asked_for_at_each_evaluation(rows: Path, tmp_path: Path) -> None:
    asked: list[tuple[Path, int]] = []
    config = make_config(None, {**SETTINGS, "max_steps": 3, "eval_minutes": 1e-6})
    train(rows, tmp_path, config, on_evaluation=lambda folder, step: asked.append((folder, step)))
    assert asked == [(tmp_path, 1), (tmp_path, 2), (tmp_path, 3), (tmp_path, 3)]


def test_a_run_may_start_from_a_smaller_model(
    rows: Path, undisturbed: Path, tmp_path: Path
) -> None:
    shape = load_model(undisturbed).config.to_dict()
    torch.manual_seed(1)
    single = Transformer(ModelConfig(**{**shape, "n_layers": 1}))
    save_model(tmp_path / "single", single, recipe={}, dtype=torch.float32)
    out = tmp_path / "out"
    run(rows, out, max_steps=1, lr=1e-9, init_from=str(tmp_path / "single"))
    trained = weights(out)
    for layer in (0, 1):
        torch.testing.assert_close(
            trained[f"model.blocks.{layer}.down.weight"],
            single.state_dict()["blocks.0.down.weight"],
        )


def test_a_damaged_state_gives_one_clear_error(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STATE_NAME).write_bytes(b"not a state")
    with pytest.raises(ValueError, match=r"cannot resume from .*state.safetensors: ") as caught:
        run(rows, tmp_path)
    assert "\n" not in str(caught.value)


def test_other_settings_do_not_take_over_a_run(rows: Path, tmp_path: Path) -> None:
    run(rows, tmp_path, max_steps=1)
    with pytest.raises(ValueError, match="it is a run of seed 3, not 5"):
        run(rows, tmp_path, seed=5)


def test_a_missing_gpu_is_told(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device is cuda, but torch finds no such GPU"):
        run(rows, tmp_path, device="cuda")


def test_an_epoch_without_batches_is_told(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an epoch holds no clip; give a source a weight above 0"):
        run(rows, tmp_path, source_weights={"even": 0, "odd": 0})
