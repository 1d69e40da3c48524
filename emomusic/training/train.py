"""Train a transformer on packed rows; needs torch, numpy and safetensors only."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emomusic.files import alone_in, clear_parts, write_text
from emomusic.model.checkpoint import save_model
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.training.batches import Augmentation, ClipBatches
from emomusic.training.begin import device_of, machine, make_optimisers, start_from
from emomusic.training.config import TrainConfig
from emomusic.training.loss import autocast, mean_loss, n_learnt, summed_loss
from emomusic.training.loss import loss_of as loss_of
from emomusic.training.parallel.layout import clip_gradients, passing, replicate, whole_model
from emomusic.training.parallel.ranks import Ranks
from emomusic.training.record.log import Log
from emomusic.training.record.state import STATE_NAME, load_state, save_state
from emomusic.training.rows import Rows

LOG_EVERY = 10
COUNTERS = ("step", "epoch", "index", "seen", "elapsed")
TABLES_NAME = "tables.json"
RUN_DIR = "run"
Report = Callable[[dict[str, float]], None]
OnEvaluation = Callable[[Path, int], None]
Batch = tuple[NDArray[np.int64], int, int]


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
        ValueError: If the rows or the state cannot be read, or belong to another run, or if
            another process trains in the folder.
        ConnectionError: If another of the processes that train together ended.
    """
    ranks = Ranks(device_of(config))
    with ranks.together(), _only_run(out_dir / RUN_DIR, ranks):
        rows = Rows.load(rows_path)
        evaluated = _Run(rows, out_dir, config, ranks, report, on_evaluation).go()
        ranks.leave()
    return evaluated


@contextmanager
def _only_run(run_dir: Path, ranks: Ranks) -> Iterator[None]:
    if ranks.rank:
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    with alone_in(run_dir):
        for folder in (run_dir, run_dir.parent):
            clear_parts(folder)
        yield


class _Run:
    def __init__(
        self,
        rows: Rows,
        out_dir: Path,
        config: TrainConfig,
        ranks: Ranks,
        report: Report,
        on_evaluation: OnEvaluation,
    ) -> None:
        self.rows, self.out_dir, self.config = rows, out_dir, config
        self.report, self.on_evaluation = report, on_evaluation
        self.ranks, self.device, self.run_dir = ranks, ranks.device, out_dir / RUN_DIR
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        torch.set_float32_matmul_precision("high")
        (resumes,) = ranks.agree((self.run_dir / STATE_NAME).is_file())
        self._build(starts=not resumes)
        self.training = self._batches(validation=False, augmentation=config.augmentation)
        self.validation = self._batches(validation=True, augmentation=None)
        self.step, self.epoch, self.index, self.seen, self.elapsed = 0, 0, 0, 0, 0.0
        self.losses: list[Tensor] = []
        self.evaluated: dict[str, float] = {}
        if resumes:
            self._resume()
        self.last_save = self.last_eval = self.elapsed
        self.log = Log(self.run_dir, self.step) if ranks.rank == 0 else None
        self.progress = 0.0

    def _build(self, *, starts: bool) -> None:
        config = self.config
        shape = ModelConfig(
            vocab_size=len(self.rows.meta["vocabulary"]),
            context=config.context,
            **SIZES[config.size],
        )
        self.model = Transformer(shape).to(self.device)
        if config.init_from and starts:
            start_from(self.model, Path(config.init_from))
        if config.parallel == "fully_shard" and self.ranks.size > 1:
            from emomusic.training.parallel.shards import shard  # seconds, and only this needs it

            shard(self.model, self.ranks)
        self.optimisers = make_optimisers(self.model, config)
        compiled: Any = torch.compile(self.model) if config.compile else self.model
        self.forward = replicate(compiled, self.ranks)

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
        scalars = load_state(
            self.run_dir,
            self.model,
            self.optimisers,
            same=same,
            share=self.ranks.share,
            reads=self.ranks.rank == 0,
        )
        for name in COUNTERS:
            setattr(self, name, type(getattr(self, name))(scalars[name]))
        self.losses = [torch.tensor(loss, device=self.device) for loss in scalars["losses"]]

    def _save_state(self) -> None:
        scalars = {name: getattr(self, name) for name in COUNTERS}
        scalars |= {"seed": self.config.seed, "size": self.config.size}
        scalars["losses"] = [float(loss) for loss in self.losses]
        save_state(self.run_dir, self.model, self.optimisers, scalars, writes=self.ranks.rank == 0)

    def go(self) -> dict[str, float]:
        """Train until the budget is spent."""
        started = time.monotonic() - self.elapsed
        stream = self._stream()
        (self.progress,) = self.ranks.agree(self._progress())
        while self.progress < 1.0:
            self.losses.append(self._step(next(stream)))
            self.elapsed = time.monotonic() - started
            if self.step % LOG_EVERY == 0:
                self._log({"loss": float(torch.stack(self.losses).mean()), "lr": self._rate()})
                self.losses = []
            progress, saves, evaluates = self.ranks.agree(self._progress(), *self._due())
            if saves:
                self._save_state()
                self.last_save = self.elapsed
            if evaluates:
                self._evaluate()
                self.last_eval = self.elapsed
            self.elapsed = time.monotonic() - started
            self.progress = progress
        self._save_state()
        self._evaluate()
        return self.evaluated

    def _due(self) -> tuple[bool, bool]:
        c = self.config
        saves = self.elapsed - self.last_save >= 60 * c.save_minutes
        evaluates = self.elapsed - self.last_eval >= 60 * c.eval_minutes
        return saves, bool(c.eval_minutes) and evaluates

    def _stream(self) -> Iterator[Batch]:
        while True:
            batches = self.training.epoch(self.epoch)
            if not batches:
                raise ValueError("an epoch holds no clip; give a source a weight above 0")
            while self.index < len(batches):
                self.index += 1
                yield batches[self.index - 1], self.epoch, self.index - 1
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

    def _parts(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        size, n = self.ranks.size, self.config.gradient_accumulation_steps
        return [
            self.training.batch(*batch, part=self.ranks.rank + size * i, n_parts=size * n)
            for i in range(n)
        ]

    def _step(self, batch: Batch) -> Tensor:
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self._rate()
        parts = self._parts(batch)
        n_targets, n_ids = self.ranks.total(
            sum(n_learnt(targets) for _, targets in parts),
            sum(inputs.numel() for inputs, targets in parts if n_learnt(targets)),
        )
        loss = torch.zeros((), device=self.device)
        for i, (inputs, targets) in enumerate(parts):
            with passing(self.forward, self.model, last=i == len(parts) - 1):
                with autocast(self.device, self.config.precision):
                    logits = self.forward(inputs.to(self.device))
                    part = summed_loss(logits, targets.to(self.device)) / max(n_targets, 1.0)
                # The mean over all targets of the batch, wherever they are; the processes'
                # gradients are averaged, so each is taken as many times.
                (part * self.ranks.size).backward()  # type: ignore[no-untyped-call] # torch's
                loss += part.detach()
        clip_gradients(self.model, self.config.clip_norm)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.seen += int(n_ids)
        return self.ranks.sum(loss)

    def _log(self, values: dict[str, float]) -> None:
        if self.log is None:
            return
        where = {
            "step": self.step,
            "seconds": round(self.elapsed, 1),
            "ids": self.seen,
            "epoch": self.epoch,
            "progress": round(self.progress, 4),
        }
        self.report(self.log.write(where, values))

    def _evaluate(self) -> None:
        held_back = mean_loss(
            self.model,
            self.validation,
            max_ids=self.config.eval_ids,
            precision=self.config.precision,
            ranks=self.ranks,
        )
        self.evaluated = {"validation_loss": held_back}
        self._log(self.evaluated)
        model = whole_model(self.model)
        if self.ranks.rank:
            return
        recipe = {
            "config": self.config.to_dict(),
            "steps": self.step,
            "ids": self.seen,
            "minutes": round(self.elapsed / 60, 1),
            "machine": machine(self.device),
            "torch": str(torch.__version__),
            "evaluation": {name: round(value, 5) for name, value in self.evaluated.items()},
        }
        save_model(self.out_dir, model, recipe=recipe)
        keys = ("attributes", "bar_attributes", "n_bins", "edges", "bar_edges", "account")
        tables = {key: self.rows.meta[key] for key in keys}
        write_text(self.out_dir / TABLES_NAME, json.dumps(tables, indent=1) + "\n")
        self.on_evaluation(self.out_dir, self.step)
