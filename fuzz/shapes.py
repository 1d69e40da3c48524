"""Mutations of texts, of JSON and of safetensors files."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from typing import Any

NUMBERS = (0, 1, -1, 2, 12, 127, 1e-300, 1e300, -1e308, 0.1, 2**31, 2**63, 10**9, 10**18, 1e999)
NODES: tuple[Any, ...] = (*NUMBERS, None, True, "", "a", "\u0000", "\ud800", [], {}, [[]], [1, "a"])
DEEP = 100_000


def text_mutated(data: bytes, rng: random.Random, *, words: tuple[str, ...]) -> bytes:
    """Return a text with pieces put in, taken out, or moved."""
    text = data.decode(errors="replace")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(text) + 1)
        to = min(at + rng.choice((0, 0, 1, 3, 8)), len(text))
        piece = rng.choice((rng.choice(words), rng.choice(words), chr(rng.randrange(1, 0x3000)),
                            text[at:to] * rng.choice((0, 2, 50))))  # fmt: skip
        text = text[:at] + piece + text[to:]
    return text.encode(errors="replace")


def json_mutated(data: bytes, rng: random.Random) -> bytes:
    """Return JSON with a few of its values, keys or bytes changed."""
    if rng.random() < 0.1:
        return bytes_mutated(data, rng)
    if rng.random() < 0.03:
        return rng.choice((b"[" * DEEP, b'{"a":' * 1_000, b"[" * 100 + b"]" * 100, b"9" * 5_000))
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return bytes_mutated(data, rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        tree = _changed(tree, rng)
    return json.dumps(tree).encode(errors="replace")


def _changed(tree: Any, rng: random.Random) -> Any:
    """Return a tree with one node replaced, removed or doubled: any on a walk from the root."""
    node, above = tree, None
    while isinstance(node, (dict, list)) and node and rng.random() < 0.85:
        key: Any = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        above, node = (node, key), node[key]
    if above is None:
        return tree if rng.random() < 0.9 else deepcopy(rng.choice(NODES))
    parent, key = above
    way = rng.randrange(8)
    if way == 0:
        del parent[key]
    elif way == 1 and isinstance(parent, dict):
        parent[str(rng.choice(("new", key, "format", "name")))] = parent.pop(key)
    elif way == 2 and isinstance(parent, list):
        parent[key:key] = [node] * rng.choice((1, 2, 300))
    elif way == 3 and isinstance(node, (int, float)):
        parent[key] = node * rng.choice((-1, 0, 2, 1e9)) + rng.choice((0, 1))
    else:
        parent[key] = deepcopy(rng.choice(NODES))
    return tree


def tensors_mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a safetensors file whose head or whose bytes were changed."""
    n_head = int.from_bytes(data[:8], "little")
    if n_head > len(data) or rng.random() < 0.15:
        return bytes_mutated(data, rng)
    if rng.random() < 0.1:
        return rng.choice((2**60, 2**63, len(data), 0)).to_bytes(8, "little") + data[8:]
    head = json_mutated(data[8 : 8 + n_head], rng)
    return len(head).to_bytes(8, "little") + head + data[8 + n_head :]


def bytes_mutated(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with some set, some cut off, or a piece doubled."""
    made = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 16))):
        made[rng.randrange(len(made))] = rng.choice((rng.randrange(256), 0, 255, 0x7B))
    if rng.random() < 0.2:
        del made[rng.randrange(len(made)) :]
    if rng.random() < 0.1:
        at = rng.randrange(len(made) + 1)
        made[at:at] = made[at : at + 64] * 3
    return bytes(made)
