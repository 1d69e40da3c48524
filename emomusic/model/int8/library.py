"""The compiled part of the int8 engine: found, loaded, and told the types of its calls."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_uint8, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

ABI = 4
EMPTY, WRITING, DONE, FULL, STUCK, WAITING = range(6)
FLAGS = (1, 2, 4)
"""Of a bar that `bar` may end, that `eos` may end, that writes chords."""
FLOAT32, BFLOAT16 = range(2)
TENSORS = (
    "embedding", "norm",
    *(f"blocks.{name}" for name in (
        "attention_norm", "attention.gain", "attention.qkv", "attention.out", "hidden_norm",
        "gate_up", "down")),
    *(f"slots.{name}" for name in ("norm", "gate_up", "down", "head_norm", "head", "told")),
)  # fmt: skip
"""What the compiled part calls by their place here."""
NO_MEMORY, BAD_ARGUMENT, NOT_FINITE = -1, -2, -3
MAX_THREADS = 16


class LibraryError(RuntimeError):
    """Tell in one line why the compiled part cannot be used."""


Six = c_int32 * 6
Two = c_int32 * 2
SHAPE = ("vocab_size", "dim", "n_layers", "n_heads", "n_kv_heads", "hidden", "inner", "context")
ROW = ("rows", "event_at", "bar_at", "flags", "notes", "note_at")


class ShapeArg(ctypes.Structure):
    """The shape of a model, and the ids of each slot."""

    _fields_ = [
        *((name, c_int32) for name in (*SHAPE, "bos", "bar", "eos")),
        *((name, Six) for name in ("first", "count")),
    ]


class LeanArg(ctypes.Structure):
    """What is added to the logits of a bar."""

    _fields_ = [
        ("bias", POINTER(c_float)),
        ("pairs", POINTER(c_int32)),
        ("weights", POINTER(c_float)),
        ("n_pairs", c_int32),
    ]


class RowArg(ctypes.Structure):
    """A row to begin."""

    _fields_ = [
        *((name, POINTER(c_int32)) for name in ROW),
        *((name, c_int32) for name in ("n_bars", "max_notes", "reach")),
        *((name, Two) for name in ("positions", "pitches")),
        ("uniforms", POINTER(c_double)),
        *((name, c_double * 6) for name in ("temperature", "top_p")),
        ("guidance", c_float),
        ("n_guided", c_int32),
        ("lean", POINTER(LeanArg)),
        ("waits", c_int32),
    ]


class StateArg(ctypes.Structure):
    """How far a row is."""

    _fields_ = [
        *((name, c_int32) for name in ("status", "n_bars", "n_used")),
        *((name, POINTER(c_int32)) for name in ("ids", "ends_at")),
    ]


_CALLS: dict[str, tuple[Any, list[Any]]] = {
    "em_abi": (c_int, []),
    "em_has_isa": (c_int, [c_char_p]),
    "em_model_new": (c_void_p, [POINTER(ShapeArg), *(POINTER(c_float),) * 2, c_char_p]),
    "em_model_set": (c_int, [c_void_p, c_int, c_int, c_void_p, c_int]),
    "em_model_isa": (c_char_p, [c_void_p]),
    "em_model_free": (None, [c_void_p]),
    "em_session_new": (c_void_p, [c_void_p, c_int, c_int]),
    "em_session_free": (None, [c_void_p]),
    "em_put": (c_int, [c_void_p, c_int, POINTER(RowArg)]),
    "em_run": (c_int, [c_void_p, c_int]),
    "em_get": (c_int, [c_void_p, c_int, POINTER(StateArg)]),
    "em_steer": (c_int, [c_void_p, c_int, POINTER(LeanArg)]),
    "em_clear": (c_int, [c_void_p, c_int]),
    "em_score": (c_int, [c_void_p, *(POINTER(c_int32),) * 3, c_int, POINTER(c_float)]),
    "em_sample": (c_int, [POINTER(c_float), POINTER(c_uint8), c_int, *(c_double,) * 3]),
}


@cache
def library() -> ctypes.CDLL:
    """Return the compiled part; its calls release Python's lock.

    Raises:
        LibraryError: If it was not built, or does not fit this version.
    """
    folder = Path(__file__).parent
    found = sorted(p for end in ("so", "dylib", "pyd") for p in folder.glob(f"_kernel*.{end}"))
    if not found:
        raise LibraryError(
            "the int8 engine is not built: install emomusic again where there is a C compiler"
        )
    try:
        loaded = ctypes.CDLL(str(found[0]))
        for name, (result, arguments) in _CALLS.items():
            call = getattr(loaded, name)
            call.restype, call.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise LibraryError(f"the int8 engine cannot be loaded: {error}") from error
    if loaded.em_abi() != ABI:
        raise LibraryError("the int8 engine is of another version: install emomusic again")
    return loaded


def is_built() -> bool:
    """Tell whether the compiled part can be used."""
    try:
        library()
    except LibraryError:
        return False
    return True
