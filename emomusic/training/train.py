"""Train a transformer on packed rows; needs torch, numpy and safetensors only."""

from __future__ import annotations

import json
import math
import platform
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import _dynamo as dynamo

from emomusic.files import alone_in, clear_parts, write_text
from emomusic.model.checkpoint import CONFIG_NAME, SIZES, ModelConfig, load_model, save_model
from emomusic.model.transformer import Transformer
from emomusic.training.batches import ClipBatches
from emomusic.training.config import TrainConfig
from emomusic.training.distributed import Ranks, device_of
from emomusic.training.loss import PRECISIONS, autocast, faster_precision, mean_loss, summed_loss
from emomusic.training.rows import Rows
from emomusic.training.state import STATE_NAME, Log, load_state, save_state

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that brings singular values near 1 in five rounds (Jordan et al. 2024)."""
N_ROUNDS, MOMENTUM = 5, 0.95
RMS = 0.2
"""Size of an update's entries, as AdamW's: one rate serves both (Liu et al. 2025)."""
LOG_EVERY = 10
COUNTERS = ("step", "first_step", "epoch", "index", "notes", "elapsed", "best_speed")
IDENTITY = ("seed", "size", "context", "lr", "warmup_steps", "weight_decay", "dropout",
            "clip_norm", "batch_events", "micro_batches", "decay_steps", "max_steps",
            "source_weights")  # fmt: skip
"""Settings that belong to a run: it goes on with the same only."""
RECOMPILE_LIMIT = 64
"""Shapes of one kind of layer: of its training and evaluation, of batches of one and of more."""
SLOW = 0.5
"""A run that is slower than this share of its own best speed says so."""
TABLES_NAME = "tables.json"
TABLES = (
    "attributes", "bar_attributes", "n_bins", "edges", "bar_edges", "forms", "harmonies", "copies",
    "figures", "account",
)  # fmt: skip
RUN_DIR = "run"
Report = Callable[[dict[str, float]], None]
OnEvaluation = Callable[[Path, int], None]


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
    ranks = Ranks(device_of(config.device))
    with ExitStack() as stack:
        stack.enter_context(ranks.together())
        if not ranks.rank:
            run_dir = out_dir / RUN_DIR
            run_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(run_dir))
            clear_parts(run_dir)
            clear_parts(out_dir)
        rows = Rows.load(rows_path)
        torch.set_flush_denormal(True)  # of the whole process: numbers so small only cost time
        stack.callback(torch.set_flush_denormal, False)
        evaluated = _Run(rows, out_dir, config, ranks, report, on_evaluation).go()
        ranks.leave()
    return evaluated


class Muon(torch.optim.Optimizer):
    """Move matrices by their orthogonalised momentum.

    A matrix that holds several side by side (queries, keys and values, say) is cut into them.

    Reference: Jordan et al. (2024), Nesterov momentum and Newton-Schulz iteration; the step
    size matched to AdamW's after Liu et al. (2025).
    """

    def __init__(
        self,
        matrices: Iterable[tuple[Tensor, Sequence[int]]],
        *,
        lr: float,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the matrices, each with the numbers of rows of those that it holds.

        A step takes `lr * weight_decay` of a matrix away; `dtype` is what products are made in.
        """
        self._cuts = {matrix: list(rows) for matrix, rows in matrices}
        self._dtype = dtype
        super().__init__(list(self._cuts), {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # no closure is known
        """Move all matrices that have a gradient."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                if not self.state[matrix]:
                    self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
                average = self.state[matrix]["momentum_buffer"]
                average.lerp_(matrix.grad, 1 - MOMENTUM)
                update = matrix.grad.lerp(average, MOMENTUM)
                cuts = self._cuts[matrix]
                for part, own in zip(matrix.split(cuts), update.split(cuts), strict=True):
                    by_shape[tuple(part.shape)].append((part, own))
            for shape, pairs in by_shape.items():
                updates = orthogonalise(torch.stack([own for _, own in pairs]), self._dtype)
                size = RMS * max(shape) ** 0.5
                for (part, _), update in zip(pairs, updates, strict=True):
                    part.mul_(1 - group["lr"] * group["weight_decay"])
                    part.add_(update, alpha=-group["lr"] * size)


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bring the singular values of matrices, shape (n, rows, columns), near 1, in float32.

    They are multiplied in `dtype`.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(N_ROUNDS):
        gram = x @ x.mT  # (n, short, short)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).float()


def make_optimisers(model: Transformer, config: TrainConfig, dtype: torch.dtype) -> list[Any]:
    """Return Muon for the matrices inside blocks and slots, AdamW for the rest.

    Embeddings, what chooses among ids, norms and gains are moved by AdamW.
    """
    c = model.config
    heads, kv = c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim
    cuts = {"qkv": (heads, kv, kv), "out": (c.dim,), "down": (c.dim,)}
    matrices: list[tuple[Tensor, tuple[int, ...]]] = []
    rest = []
    for name, parameter in model.named_parameters():
        kind = name.split(".")[-2] if name.endswith(".weight") else ""
        if kind == "gate_up":
            matrices.append((parameter, (parameter.shape[0] // 2,) * 2))
        elif kind in cuts:
            matrices.append((parameter, cuts[kind]))
        else:
            rest.append(parameter)
    return [
        Muon(matrices, lr=config.lr, weight_decay=config.weight_decay, dtype=dtype),
        torch.optim.AdamW(rest, lr=config.lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def start_from(model: Transformer, folder: Path) -> None:
    """Copy the weights of a checkpoint of the same width; fewer layers are stacked in turn.

    Raises:
        ValueError: If the checkpoint has another width or vocabulary, or more layers.

    Reference: Gong et al. (2019), progressive stacking.
    """
    found = load_model(folder)
    mine, theirs = model.config, found.config
    same = {**asdict(mine), "n_layers": 0, "context": 0}
    if same != {**asdict(theirs), "n_layers": 0, "context": 0} or mine.n_layers % theirs.n_layers:
        raise ValueError(f"a model of {mine} cannot start from {folder}, which is {theirs}")
    weights = found.state_dict()
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            parts = name.split(".")
            if parts[0] == "blocks":
                parts[1] = str(int(parts[1]) % theirs.n_layers)
            parameter.copy_(weights[".".join(parts)])


@dataclass
class _Run:
    rows: Rows
    out_dir: Path
    config: TrainConfig
    ranks: Ranks
    report: Report
    on_evaluation: OnEvaluation
    step: int = 0
    first_step: int = 0
    epoch: int = 0
    index: int = 0
    notes: int = 0
    elapsed: float = 0.0
    best_speed: float = 0.0
    saved: int | None = None
    worst: float = sys.float_info.max
    losses: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        config, self.device, self.run_dir = self.config, self.ranks.device, self.out_dir / RUN_DIR
        if config.threads:
            torch.set_num_threads(config.threads)
        self.machine = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
        if self.device.type == "cuda":
            self.machine = torch.cuda.get_device_name(self.device)
        torch.set_float32_matmul_precision("high")
        torch.manual_seed(config.seed)
        chosen = faster_precision(self.device) if config.precision == "auto" else config.precision
        self.precision = self.ranks.share(chosen.encode()).decode()
        how = {name: getattr(config, name) for name in ("batch_events", "context", "seed")}
        self.validation = ClipBatches(self.rows, validation=True, augmentation=None, **how)
        weights, lively = config.source_weights, config.augmentation
        self.training = ClipBatches(
            self.rows, validation=False, augmentation=lively, source_weights=weights, **how
        )
        shape = ModelConfig(
            vocab_size=self.training.layout.n_ids,
            layout=self.training.layout.events,
            context=config.context,
            **SIZES[config.size],
        )
        self.model = Transformer(shape, dropout=config.dropout).to(self.device)
        self.optimisers = make_optimisers(self.model, config, PRECISIONS[self.precision])
        if config.compile:
            dynamo.config.recompile_limit = RECOMPILE_LIMIT
            for part in (*self.model.blocks, *self.model.slots):
                part.compile(dynamic=True)
        self._begin()
        self.log = None if self.ranks.rank else Log(self.run_dir, self.step)

    def _begin(self) -> None:
        """Go on with a state, or begin from another run's, from a checkpoint, or from chance."""
        config = self.config
        self.identity = {name: getattr(config, name) for name in IDENTITY}
        # A constant rate does not depend on where the run ends.
        self.identity["max_steps"] *= bool(config.decay_steps)
        # By the name of the folder: where that lies is nobody's business.
        begun = {name: getattr(config, name) for name in ("init_from", "branch_from")}
        self.begun = {name: own and Path(own).resolve().name for name, own in begun.items()}
        self.identity |= {"rows": self.rows.digest(), "bins": self.rows.bins_digest()}
        self.identity |= {**self.begun, **vars(config.augmentation)}
        if self.ranks.agree((self.run_dir / STATE_NAME).is_file()):
            self._load(self.run_dir, self.identity)
            self.saved = self.step
        elif self.ranks.agree((self.out_dir / CONFIG_NAME).is_file()):
            raise ValueError(
                f"{self.out_dir} holds a checkpoint, but no run that could go on; "
                "take another folder (init_from begins from a checkpoint)"
            )
        elif config.branch_from:
            own = ("size", "bins", *(["rows"] if config.same_rows else []))
            self._load(Path(config.branch_from) / RUN_DIR, {n: self.identity[n] for n in own})
            self.first_step, self.elapsed, self.losses = self.step, 0.0, []
        elif config.init_from:
            start_from(self.model, Path(config.init_from))

    def _load(self, folder: Path, same: dict[str, Any]) -> None:
        scalars = load_state(folder, self.model, self.optimisers, same=same, ranks=self.ranks)
        for name in COUNTERS:
            setattr(self, name, scalars.get(name, 0.0))
        self.losses = [torch.tensor(x, device=self.device) for x in scalars.get("losses", [])]

    def _save_state(self) -> None:
        if not all(own.detach().bfloat16().isfinite().all() for own in self.model.parameters()):
            raise self._diverged("its weights are no finite numbers")
        self.saved = self.step
        if self.ranks.rank == 0:
            scalars = {name: getattr(self, name) for name in COUNTERS}
            scalars["losses"] = [float(loss) for loss in self.losses]  # of steps not yet logged
            save_state(self.run_dir, self.model, self.optimisers, {**self.identity, **scalars})

    def go(self) -> dict[str, float]:
        """Train until the budget is spent; return the last evaluation."""
        config, started = self.config, time.monotonic() - self.elapsed
        last_save = last_eval = self.elapsed
        self._log({"precision": self.precision, "machine": self.machine})
        stream = self._stream()
        # A first stretch compiles.
        mark, compared_from = (self.elapsed, self.notes), self.step + 2 * LOG_EVERY
        while not self._is_done():
            last = self._step(stream)
            self.losses.append(last)
            self.elapsed = time.monotonic() - started
            if self.step % LOG_EVERY == 0:
                speed = (self.notes - mark[1]) / max(self.elapsed - mark[0], 1e-9)
                mark = self.elapsed, self.notes
                if self.step >= compared_from and speed < SLOW * self.best_speed:
                    words = f"{speed:.0f} notes/s, less than half of what this run has had"
                    warnings.warn(words, stacklevel=2)
                self.best_speed = max(self.best_speed, speed)
                loss, self.losses = float(torch.stack(self.losses).mean()), []
                self._log({"loss": loss, "lr": self._rate(), "notes_per_s": round(speed, 1)})
            self.elapsed = self.ranks.agree(self.elapsed)  # so that all do the same
            is_due = self.elapsed - last_save >= 60 * config.save_minutes
            if is_due and float(last) <= self.worst:  # else what was good stays
                self._save_state()
                last_save = self.elapsed
            if config.eval_minutes and self.elapsed - last_eval >= 60 * config.eval_minutes:
                self._evaluate()
                last_eval = self.elapsed
            paused, self.elapsed = self.elapsed, time.monotonic() - started
            mark = mark[0] + self.elapsed - paused, mark[1]  # saving is no training
        return self._evaluate()

    def _is_done(self) -> bool:
        c = self.config
        by_time = bool(c.minutes) and self.elapsed >= 60 * c.minutes
        return bool(self.ranks.agree(by_time or (bool(c.max_steps) and self.step >= self._end)))

    @property
    def _end(self) -> int:
        """Return the step at which the run ends; a branch counts its steps from its beginning."""
        return self.first_step + self.config.max_steps

    def _stream(self) -> Iterator[tuple[Any, int, int]]:
        while True:
            batches = self.training.epoch(self.epoch)
            while self.index < len(batches):
                self.index += 1
                yield batches[self.index - 1], self.epoch, self.index - 1
            self.epoch, self.index = self.epoch + 1, 0

    def _rate(self) -> float:
        """Return the learning rate: it rises, stays, and at the end falls to nought in a line."""
        c = self.config
        warm = min((self.step + 1) / max(c.warmup_steps, 1), 1.0)
        left = (self._end - self.step) / c.decay_steps if c.decay_steps else 1.0
        return c.lr * warm * min(left, 1.0)

    def _step(self, stream: Iterator[tuple[Any, int, int]]) -> Tensor:
        """Move the model by one step of all processes; return its loss in nats a note."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self._rate()
        wanted = [next(stream) for _ in range(self.config.micro_batches)]
        own = wanted[self.ranks.rank :: self.ranks.size]
        batches = [self.training.batch(*one).to(self.device) for one in own]
        counts = [[int(batch.learnt.sum()), batch.n_notes] for batch in batches] or [[0, 0]]
        summed = torch.tensor(counts, dtype=torch.float64, device=self.device).sum(dim=0)
        n_learnt, n_notes = self.ranks.sum(summed).tolist()
        total = torch.zeros((), device=self.device)  # over all choices of the step
        for batch in batches:
            with autocast(self.device, self.precision):
                loss = summed_loss(self.model, batch) / max(n_learnt, 1.0)
            loss.backward()
            total += loss.detach()
        self.ranks.add_gradients(self.model)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        total = self.ranks.sum(total)
        if not (total + norm).isfinite():
            raise self._diverged(f"its loss is {float(total):g}, its gradient {float(norm):g}")
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.notes += int(n_notes)
        choices = n_learnt / max(n_notes, 1.0)  # a note
        self.worst = math.log(self.model.config.vocab_size) * choices  # a guess among all ids
        return total * choices  # nats a note

    def _diverged(self, told: str) -> ValueError:
        """Return the error that ends a run which learns nothing any more."""
        todo = f"take a lower rate (lr) than {self.config.lr:g}, or a longer warm-up"
        if self.saved is not None:
            todo = f"the state of step {self.saved} stays: branch from {self.out_dir}, and {todo}"
        return ValueError(f"the run diverged at step {self.step}: {told}; {todo}")

    def _log(self, values: dict[str, Any]) -> None:
        if self.log is None:
            return
        c = self.config
        by_step = (self.step - self.first_step) / c.max_steps if c.max_steps else 0.0
        by_time = self.elapsed / (60 * c.minutes) if c.minutes else 0.0
        where = {
            "step": self.step,
            "seconds": round(self.elapsed, 1),
            "notes": self.notes,
            "epoch": self.epoch,
            "progress": round(max(by_step, by_time), 4),
        }
        self.report(self.log.write(where, values))

    def _evaluate(self) -> dict[str, float]:
        """Measure the loss of the songs held back, save, and write the checkpoint; process 0 alone.

        What diverged is neither saved nor written.
        """
        if self.ranks.rank:
            return {}
        config = self.config
        evaluated = mean_loss(
            self.model, self.validation, max_events=config.eval_events, precision=self.precision
        )
        if not (loss := evaluated["nats_per_note"]) <= self.worst:
            told = f"the songs held back cost {loss:g} nats a note, more than guesses"
            raise self._diverged(told)
        self._save_state()
        self._log({f"validation_{name}": value for name, value in evaluated.items()})
        recipe = {
            "config": asdict(config) | self.begun,
            "steps": self.step,
            "notes": self.notes,
            "minutes": round(self.elapsed / 60, 1),
            "machine": self.machine,
            "precision": self.precision,
            "torch": str(torch.__version__),
            "evaluation": {name: round(value, 5) for name, value in evaluated.items()},
        }
        save_model(self.out_dir, self.model, recipe=recipe)
        tables = {key: self.rows.meta[key] for key in TABLES if key in self.rows.meta}
        write_text(self.out_dir / TABLES_NAME, json.dumps(tables, indent=1) + "\n")
        self.on_evaluation(self.out_dir, self.step)
        return evaluated
