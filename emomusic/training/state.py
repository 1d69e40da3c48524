"""What a run keeps: the state that it goes on from, and its log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.optim import Optimizer

from emomusic.files import write_atomically, write_text
from emomusic.training.distributed import Ranks

STATE_NAME, LOG_NAME = "state.safetensors", "log.jsonl"
DIGESTS = ("rows", "bins")
"""What of a run is told apart by its digest."""


def save_state(
    folder: Path, model: nn.Module, optimisers: Sequence[Optimizer], scalars: Mapping[str, Any]
) -> None:
    """Write model, optimisers, torch's random state and scalars to one file, with their digest."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for i, optimiser in enumerate(optimisers):
        for key, values in optimiser.state_dict()["state"].items():
            for name, value in values.items():
                if value is not None:
                    tensors[f"optimiser.{i}.{key}.{name}"] = torch.as_tensor(value)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    tensors["random"] = torch.get_rng_state()
    told = json.dumps(scalars)
    data = save_tensors(tensors, metadata={"scalars": told, "digest": _digest(tensors, told)})
    write_atomically(folder / STATE_NAME, lambda file: file.write(data))


def _digest(tensors: Mapping[str, Tensor], told: str) -> str:
    found = hashlib.blake2b(told.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load_state(
    folder: Path,
    model: nn.Module,
    optimisers: Sequence[Optimizer],
    *,
    same: Mapping[str, Any],
    ranks: Ranks,
) -> dict[str, Any]:
    """Read a state into a model, its optimisers and torch's random numbers; return the scalars.

    What `same` names must be as in the saved run, where that says it; of the processes that train
    together the first reads for all.

    Raises:
        ValueError: If the file is damaged or of another run.
    """
    path = folder / STATE_NAME
    with _refusal(path):
        data = b"" if ranks.rank else path.read_bytes()
    data = ranks.share(data)
    with _refusal(path):
        tensors = load_tensors(data)
        head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        if head.get("digest") != _digest(tensors, head["scalars"]):
            raise ValueError("it is damaged, or of an earlier version; take another folder")
        scalars: dict[str, Any] = json.loads(head["scalars"])
        # An earlier version did not keep all of it: what it did not is taken on trust.
        other = [name for name, value in same.items() if scalars.get(name, value) != value]
        if other:
            told = " and of ".join(
                f"other {name}"
                if name in DIGESTS
                else f"{name} {_said(scalars[name])}, not {_said(same[name])}"
                for name in other
            )
            raise ValueError(f"it is a run of {told}; take the same again, or another folder")
        model.load_state_dict(_below(tensors, "model."))
        for i, optimiser in enumerate(optimisers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _below(tensors, f"optimiser.{i}.").items():
                key, entry = name.split(".", 1)
                state.setdefault(int(key), {})[entry] = tensor
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        torch.set_rng_state(tensors["random"])
    return scalars


def _said(value: Any) -> Any:
    return "nothing" if value == "" else value


@contextmanager
def _refusal(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise ValueError(f"cannot resume from {path}: {told}") from error


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


class Log:
    """The log of a run, a line of JSON for each record, once however often the run stops.

    TensorBoard's events are written beside it, where that is installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / LOG_NAME
        kept = [record for record in _read_log(self.path) if step and record["step"] <= step]
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        self.known = {_kind(record) for record in kept}
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.board = None
        else:
            self.board = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, where: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """Log values, rounded, behind the step and so on; return the whole record."""
        rounded = {n: round(v, 6) if isinstance(v, float) else v for n, v in values.items()}
        record = {**where, **rounded}
        if _kind(record) not in self.known:
            self.known.add(_kind(record))
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            for name, value in values.items():
                if self.board is not None and isinstance(value, float):
                    self.board.add_scalar(name, value, record["step"])
        return record


def _kind(record: dict[str, Any]) -> tuple[int, bool, bool]:
    """Return what a record is of: a step has one of training, one of evaluation, one of how."""
    return record["step"], "loss" in record, "precision" in record


def _read_log(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            record = json.loads(line)
            yield {**record, "step": int(record["step"])}
        except (ValueError, TypeError, KeyError):
            continue  # a line that the end of a process cut short
