"""Train a transformer on packed rows; needs torch, numpy and safetensors only."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name torch itself uses

from emomusic.files import write_text
from emomusic.model.checkpoint import save_model
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.training.batches import IGNORED, Augmentation, ClipBatches
from emomusic.training.begin import make_optimisers, start_from
from emomusic.training.config import TrainConfig
from emomusic.training.ranks import Ranks
from emomusic.training.rows import Rows
from emomusic.training.state import STATE_NAME, load_state, save_state

LOG_EVERY = 10
COUNTERS = ("step", "epoch", "index", "seen", "elapsed")
TABLES_NAME = "tables.json"
Report = Callable[[dict[str, float]], None]
OnEvaluation = Callable[[Path, int], None]


class _Board(Protocol):
    def add_scalar(self, tag: str, value: float, step: int) -> None: ...


def train(
    rows_path: Path,
    out_dir: Path,
    config: TrainConfig,
    *,
    report: Report = lambda record: None,
    on_evaluation: OnEvaluation = lambda folder, step: None,
) -> dict[str, float]:
    """Train a model, or go on with a run that was stopped.

    Args:
        rows_path: Packed rows.
        out_dir: The checkpoint's folder; the state and the log are kept in `out_dir/run`.
        config: The settings.
        report: Called with each record that is logged.
        on_evaluation: Called with the checkpoint's folder and the step after each evaluation,
            when the weights on disk are those just evaluated (to write samples).

    Returns:
        The last evaluation.

    Raises:
        ValueError: If the rows or the state cannot be read, or belong to another run.
    """
    run = _Run(Rows.load(rows_path), out_dir, config, report, on_evaluation)
    evaluated = run.go()
    run.ranks.leave()
    return evaluated


class _Run:
    def __init__(
        self,
        rows: Rows,
        out_dir: Path,
        config: TrainConfig,
        report: Report,
        on_evaluation: OnEvaluation,
    ) -> None:
        self.rows, self.out_dir, self.config = rows, out_dir, config
        self.report, self.on_evaluation = report, on_evaluation
        self.ranks = Ranks()
        self.run_dir = out_dir / "run"
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.device = device_of(config)
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        torch.set_float32_matmul_precision("high")
        shape = ModelConfig(
            vocab_size=len(rows.meta["vocabulary"]), context=config.context, **SIZES[config.size]
        )
        self.model = Transformer(shape).to(self.device)
        resumes = (self.run_dir / STATE_NAME).is_file()
        if config.init_from and not resumes:
            start_from(self.model, Path(config.init_from))
        self.optimisers = make_optimisers(self.model, config)
        self.training = self._batches(validation=False, augmentation=config.augmentation)
        self.validation = self._batches(validation=True, augmentation=None)
        self.step, self.epoch, self.index, self.seen, self.elapsed = 0, 0, 0, 0, 0.0
        self.evaluated: dict[str, float] = {}
        self.board = _board(self.run_dir) if self.ranks.rank == 0 else None
        self.progress = 0.0
        if resumes:
            self._resume()

    def _batches(self, *, validation: bool, augmentation: Augmentation | None) -> ClipBatches:
        return ClipBatches(
            self.rows,
            validation=validation,
            batch_ids=self.config.batch_ids,
            context=self.config.context,
            seed=self.config.seed,
            augmentation=augmentation,
            source_weights=self.config.source_weights,
        )

    def _resume(self) -> None:
        same = {"seed": self.config.seed, "size": self.config.size}
        scalars = load_state(self.run_dir, self.model, self.optimisers, same=same)
        for name in COUNTERS:
            setattr(self, name, type(getattr(self, name))(scalars[name]))

    def _save_state(self) -> None:
        scalars = {name: getattr(self, name) for name in COUNTERS}
        scalars |= {"seed": self.config.seed, "size": self.config.size}
        save_state(self.run_dir, self.model, self.optimisers, scalars)

    def go(self) -> dict[str, float]:
        """Train until the budget is spent."""
        forward = torch.compile(self.model) if self.config.compile else self.model
        last_save = last_eval = self.elapsed
        started = time.monotonic() - self.elapsed
        losses: list[Tensor] = []
        stream = self._stream()
        while True:
            self.progress = self.ranks.agree(self._progress(), self.device)
            if self.progress >= 1.0:
                break
            losses.append(self._step(forward, *next(stream)))
            self.elapsed = time.monotonic() - started
            if self.ranks.rank:
                continue
            if self.step % LOG_EVERY == 0:
                self._log({"loss": float(torch.stack(losses).mean()), "lr": self._rate()})
                losses = []
            if self.elapsed - last_save >= 60 * self.config.save_minutes:
                self._save_state()
                last_save = self.elapsed
            if self.config.eval_minutes and (
                self.elapsed - last_eval >= 60 * self.config.eval_minutes
            ):
                self._evaluate()
                last_eval = self.elapsed
            self.elapsed = time.monotonic() - started
        if self.ranks.rank == 0:
            self._save_state()
            self._evaluate()
        return self.evaluated

    def _stream(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            batches = self.training.epoch(self.epoch)
            if len(batches) < self.ranks.size:
                raise ValueError(
                    f"an epoch holds {len(batches)} batches, too few for {self.ranks.size} "
                    f"processes; lower batch_ids or give more clips"
                )
            while self.index + self.ranks.size <= len(batches):
                index = self.index + self.ranks.rank
                self.index += self.ranks.size
                yield self.training.batch(batches[index], self.epoch, index)
            self.epoch, self.index = self.epoch + 1, 0

    def _progress(self) -> float:
        c = self.config
        by_step = self.step / c.max_steps if c.max_steps else 0.0
        by_time = self.elapsed / (60 * c.minutes) if c.minutes else 0.0
        return max(by_step, by_time)

    def _rate(self) -> float:
        c = self.config
        warm = min((self.step + 1) / max(c.warmup_steps, 1), 1.0)
        cosine = (1 + math.cos(math.pi * min(self.progress, 1.0))) / 2
        return c.lr * warm * (c.final_lr + (1 - c.final_lr) * cosine)

    def _step(self, forward: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self._rate()
        with self._autocast():
            loss = loss_of(forward(inputs.to(self.device)), targets.to(self.device))
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.ranks.average_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.seen += inputs.numel() * self.ranks.size
        return loss.detach()

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _log(self, record: dict[str, float]) -> None:
        full = {
            "step": self.step,
            "seconds": round(self.elapsed, 1),
            "ids": self.seen,
            "epoch": self.epoch,
            "progress": round(self.progress, 4),
            **{name: round(value, 6) for name, value in record.items()},
        }
        with (self.run_dir / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(full) + "\n")
        if self.board is not None:
            for name, value in record.items():
                self.board.add_scalar(name, value, self.step)
        self.report(full)

    def _evaluate(self) -> None:
        self.evaluated = self.measure()
        self._log(self.evaluated)
        recipe = {
            "config": self.config.to_dict(),
            "steps": self.step,
            "ids": self.seen,
            "minutes": round(self.elapsed / 60, 1),
            "machine": machine(self.device),
            "torch": str(torch.__version__),
            "evaluation": {name: round(value, 5) for name, value in self.evaluated.items()},
        }
        save_model(self.out_dir, self.model, recipe=recipe)
        keys = ("attributes", "bar_attributes", "n_bins", "edges", "bar_edges", "account")
        tables = {key: self.rows.meta[key] for key in keys}
        write_text(self.out_dir / TABLES_NAME, json.dumps(tables, indent=1) + "\n")
        self.on_evaluation(self.out_dir, self.step)

    def measure(self) -> dict[str, float]:
        """Return the mean loss for an id on songs held back, with all controls given."""
        self.model.eval()
        total, count, seen = 0.0, 0, 0
        with torch.no_grad(), self._autocast():
            for index, clips in enumerate(self.validation.epoch(0)):
                if seen >= self.config.eval_ids:
                    break
                inputs, targets = self.validation.batch(clips, 0, index)
                n = int((targets != IGNORED).sum())
                loss = loss_of(self.model(inputs.to(self.device)), targets.to(self.device))
                total, count, seen = total + float(loss) * n, count + n, seen + inputs.numel()
        self.model.train()
        return {"validation_loss": total / max(count, 1)}


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats over the targets that are not masked.

    Args:
        logits: Shape (B, T, V).
        targets: Shape (B, T).
    """
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def device_of(config: TrainConfig) -> torch.device:
    """Return where this process computes.

    Raises:
        ValueError: If a GPU is asked for and torch finds none.
    """
    found = torch.cuda.is_available()
    if config.device == "cuda" and not found:
        raise ValueError("device is cuda, but torch finds no such GPU; take auto or cpu")
    if config.device == "cpu" or not found:
        return torch.device("cpu")
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")


def machine(device: torch.device) -> str:
    """Return in a few words what a run ran on."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _board(folder: Path) -> _Board | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    board: _Board = SummaryWriter(str(folder))
    return board
