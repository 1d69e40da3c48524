"""The file of a fitted verifier: named arrays and their description, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from emomusic.files import write_atomically
from emomusic.verify.members import N_QUADRANTS, Trees, members_from

FILE_NAME = "verifier.safetensors"
FORMAT = "emomusic verifier 1"
MAX_BYTES = 32 * 2**20
"""About fifteen times the size of a verifier fitted on a thousand clips."""
LICENCE = (
    "Fitted on EMOPIA (CC BY-NC-SA 4.0) and VGMIDI (no licence stated): "
    "for research and non-commercial use."
)

Arrays = dict[str, NDArray[Any]]

# Axes by name: "d" features, "s" supports, "r" trees, "n" nodes, "k" flat dynamics; else lengths.
_LAYOUT: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "mean": ("float64", ("d",)),
    "scale": ("float64", ("d",)),
    "neutral": ("float64", ("k",)),
    "temperature": ("float64", (1,)),
    "slopes": ("float64", (2,)),
    "linear.weights": ("float64", ("d", N_QUADRANTS)),
    "linear.bias": ("float64", (N_QUADRANTS,)),
    "kernel.support": ("float32", ("s", "d")),
    "kernel.alpha": ("float64", ("s", N_QUADRANTS)),
    "kernel.gamma": ("float64", (1,)),
    "trees.root": ("int32", ("r",)),
    "trees.feature": ("int16", ("n",)),
    "trees.threshold": ("float64", ("n",)),
    "trees.left": ("int32", ("n",)),
    "trees.right": ("int32", ("n",)),
    "trees.value": ("float32", ("n", N_QUADRANTS)),
}


class VerifierError(ValueError):
    """Tell in one line why a file cannot be used as a verifier."""


def write_arrays(path: Path, arrays: Arrays, description: Mapping[str, Any]) -> None:
    """Write arrays and their description, whole or not at all.

    Raises:
        OSError: If the folder is not writable or full.
    """
    text = json.dumps(description, ensure_ascii=False, sort_keys=True)
    data = save(arrays, metadata={"verifier": text})
    write_atomically(path, lambda file: file.write(data))


def read_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read the arrays of a file and their description.

    Raises:
        VerifierError: If it is missing, too large, damaged or not a verifier.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise VerifierError(f"{path}: {size} bytes, a verifier has at most {MAX_BYTES}")
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("verifier")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise VerifierError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (SafetensorError, TypeError, KeyError) as error:
        raise VerifierError(f"{path}: damaged, or no safetensors file: {error}") from error
    return arrays, _description(path, text)


def _description(path: Path, text: str | None) -> dict[str, Any]:
    try:
        description = json.loads(text or "null")
    except json.JSONDecodeError as error:
        raise VerifierError(f"{path}: its description is damaged: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise VerifierError(f"{path}: not a verifier: its description lacks format {FORMAT!r}")
    return description


def check_arrays(path: Path, arrays: Arrays, *, n_features: int, n_dynamics: int) -> None:
    """Check names, types, shapes, numbers and tree indices.

    Raises:
        VerifierError: If anything is not as `Verifier.save` writes it.
    """
    if arrays.keys() != _LAYOUT.keys():
        odd = sorted(arrays.keys() ^ _LAYOUT.keys())
        raise VerifierError(f"{path}: arrays missing or unknown: {odd}")
    sizes: dict[str | int, int] = {"d": n_features, "k": n_dynamics}
    for name, (kind, axes) in _LAYOUT.items():
        array = arrays[name]
        if str(array.dtype) != kind or array.ndim != len(axes) or not array.size:
            raise VerifierError(f"{path}: {name} must be {kind}{axes}, got {_looks(array)}")
        wanted = tuple(
            axis if isinstance(axis, int) else sizes.setdefault(axis, length)
            for axis, length in zip(axes, array.shape, strict=True)
        )
        if array.shape != wanted:
            raise VerifierError(f"{path}: {name} must have shape {wanted}, got {_looks(array)}")
        if not np.isfinite(array).all():
            raise VerifierError(f"{path}: {name} holds numbers that are not finite")
    _check_values(path, arrays, n_features)


def _looks(array: NDArray[Any]) -> str:
    return f"{array.dtype}{array.shape}"


def _check_values(path: Path, arrays: Arrays, n_features: int) -> None:
    for name in ("scale", "temperature", "slopes", "kernel.gamma"):
        if not (arrays[name] > 0).all():
            raise VerifierError(f"{path}: {name} must be above 0")
    if (arrays["trees.value"] < 0).any():
        raise VerifierError(f"{path}: trees.value must not be below 0")
    try:
        for member in members_from(arrays):
            if isinstance(member, Trees):
                member.check(n_features)
    except ValueError as error:
        raise VerifierError(f"{path}: {error}") from error
