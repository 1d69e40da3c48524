"""The file of a fitted verifier: named arrays and their description, no pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from emomusic.files import write_atomically
from emomusic.verify.calibration import Calibration
from emomusic.verify.ensemble import MEMBERS, KernelEnsemble
from emomusic.verify.groups import FEATURE_GROUPS, GROUP_NAMES, N_FEATURES, Projection, Projections

FILE_NAME = "verifier.safetensors"
FORMAT = "emomusic verifier 2"
MAX_BYTES = 32 * 2**20
"""About ten times the size of a verifier fitted on a thousand clips."""
MAX_HEAD_BYTES = 2**20
MAX_SHOWN = 200
LICENCE = (
    "Fitted on EMOPIA (CC BY-NC-SA 4.0) and VGMIDI (no licence stated): "
    "for research and non-commercial use."
)

Arrays = dict[str, NDArray[Any]]
Fitted = tuple[Projections, KernelEnsemble, Calibration]

# Axes by name: one length wherever the name stands; "d:" is that of one feature group.
_LAYOUT: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "mean": ("float64", (N_FEATURES,)),
    "scale": ("float64", (N_FEATURES,)),
    "whole": ("int64", (1,)),
    "trust": ("float64", (2,)),
    "width": ("float64", (1,)),
    "calibration.temperatures": ("float64", (3,)),
    "calibration.slopes": ("float64", (2,)),
    "calibration.spread": ("float64", (2,)),
    "calibration.spread_factor": ("float64", (2,)),
    **{
        f"{group.name}.{part}": (kind, axes)
        for group in FEATURE_GROUPS
        for part, kind, axes in (
            ("mean", "float32", (sum(map(len, group.columns())),)),
            ("basis", "float32", (sum(map(len, group.columns())), f"d:{group.name}")),
            ("supports", "float16", ("s", f"d:{group.name}")),
        )
    },
    **{
        f"ear.{member.name}": ("float32", ("s", 4 if member.output == "quadrants" else 1))
        for member in MEMBERS
    },
}
_ABOVE_ZERO = (
    "scale",
    "width",
    "trust",
    "calibration.temperatures",
    "calibration.slopes",
    "calibration.spread",
)


class VerifierError(ValueError):
    """Tell in one line why a file cannot be used as a verifier."""


def arrays_of(fitted: Fitted) -> Arrays:
    """Name all arrays of what was fitted, in the precision of a file."""
    projections, ensemble, calibration = fitted
    named: Arrays = {
        "mean": projections.mean,
        "scale": projections.scale,
        "whole": np.array([ensemble.n_whole]),
        "trust": np.array(ensemble.bounds),
        "width": np.array([ensemble.width]),
    }
    for name, projection in projections.groups.items():
        named[f"{name}.mean"], named[f"{name}.basis"] = projection.mean, projection.basis
        named[f"{name}.supports"] = ensemble.supports[name]
    named |= {f"ear.{name}": array for name, array in ensemble.coefficients.items()}
    named |= {f"calibration.{name}": array for name, array in vars(calibration).items()}
    return {name: array.astype(_LAYOUT[name][0]) for name, array in named.items()}


def fitted_of(arrays: Arrays) -> Fitted:
    """Build what was fitted from checked arrays."""
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    groups = {name: Projection(wide[f"{name}.mean"], wide[f"{name}.basis"]) for name in GROUP_NAMES}
    ensemble = KernelEnsemble(
        supports={name: wide[f"{name}.supports"] for name in GROUP_NAMES},
        coefficients={member.name: wide[f"ear.{member.name}"] for member in MEMBERS},
        n_whole=int(arrays["whole"][0]),
        bounds=(float(wide["trust"][0]), float(wide["trust"][1])),
        width=float(wide["width"][0]),
    )
    calibration = Calibration(*(wide[f"calibration.{own.name}"] for own in fields(Calibration)))
    return Projections(wide["mean"], wide["scale"], groups), ensemble, calibration


def write_arrays(path: Path, arrays: Arrays, description: Mapping[str, Any]) -> None:
    """Write arrays and their description, whole or not at all.

    Raises:
        OSError: If the folder is not writable or full.
    """
    text = json.dumps(description, ensure_ascii=False, sort_keys=True)
    # A view that is not contiguous would be written in the order of what it views.
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = save(whole, metadata={"verifier": text})
    write_atomically(path, lambda file: file.write(data))


def read_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read the arrays of a file and their description.

    Raises:
        VerifierError: If it is missing, too large, damaged or not a verifier.
    """
    try:
        _check_sizes(path)
        with safe_open(path, framework="numpy") as file:
            description = _description(path, (file.metadata() or {}).get("verifier"))
            _check_names(path, file.keys())
            arrays = {name: file.get_tensor(name) for name in _LAYOUT}
    except OSError as error:
        raise VerifierError(f"{path}: cannot be read: {error.strerror or error}") from error
    except VerifierError:
        raise
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise VerifierError(f"{path}: damaged, or no safetensors file: {error}") from error
    return arrays, description


def _check_sizes(path: Path) -> None:
    """Check the sizes of the file and of its head before any of it is taken into memory."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise VerifierError(f"{path}: {size} bytes, a verifier has at most {MAX_BYTES}")
    if not path.is_file():
        raise VerifierError(f"{path}: cannot be read: it is no plain file")
    with path.open("rb") as file:
        n_head = int.from_bytes(file.read(8), "little")
    if n_head > MAX_HEAD_BYTES:
        raise VerifierError(f"{path}: damaged, or no safetensors file: its head is too long")


def _check_names(path: Path, names: Iterable[str]) -> None:
    odd = sorted(set(names) ^ _LAYOUT.keys())
    if odd:
        raise VerifierError(f"{path}: arrays missing or unknown: {str(odd)[:MAX_SHOWN]}")


def _description(path: Path, text: str | None) -> dict[str, Any]:
    try:
        description = json.loads(text or "null")
    except (ValueError, RecursionError) as error:
        raise VerifierError(f"{path}: its description is damaged: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise VerifierError(f"{path}: not a verifier: its description lacks format {FORMAT!r}")
    return description


def check_arrays(path: Path, arrays: Arrays) -> None:
    """Check names, types, shapes and numbers.

    Raises:
        VerifierError: If anything is not as `Verifier.save` writes it.
    """
    _check_names(path, arrays)
    sizes: dict[str | int, int] = {}
    for name, (kind, axes) in _LAYOUT.items():
        array = arrays[name]
        if str(array.dtype) != kind or array.ndim != len(axes) or not array.size:
            raise VerifierError(
                f"{path}: {name} must be {kind}{axes}, got {array.dtype}{array.shape}"
            )
        wanted = tuple(
            axis if isinstance(axis, int) else sizes.setdefault(axis, length)
            for axis, length in zip(axes, array.shape, strict=True)
        )
        if array.shape != wanted:
            raise VerifierError(
                f"{path}: {name} must have shape {wanted}, got {array.dtype}{array.shape}"
            )
        if not np.isfinite(array).all():
            raise VerifierError(f"{path}: {name} holds numbers that are not finite")
    for name in _ABOVE_ZERO:
        if not (arrays[name] > 0).all():
            raise VerifierError(f"{path}: {name} must be above 0")
    if not 1 <= arrays["whole"][0] <= sizes["s"]:
        raise VerifierError(f"{path}: whole must be 1 to {sizes['s']}")
