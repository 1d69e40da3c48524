"""The files of a checkpoint: each as a stranger could have made it, read as the composer reads."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from emomusic.compose.checkpoint import NAME
from fuzz.shapes import bytes_mutated, json_mutated, tensors_mutated

DEFAULT = Path(__file__).resolve().parents[1] / "checkpoints" / NAME
WEIGHTS = "model-01-of-01.safetensors"
FILES = ("config.json", WEIGHTS, "tokenizer.json", "mapper.json", "steering.json", "tables.json",
         "realness.json", "verifier.safetensors", "rows.npz")  # fmt: skip
N_SUPPORTS, N_DIMENSIONS, N_MEMBERS = 6, 2, 2


def seeds() -> list[bytes]:
    """Return each file of a small checkpoint, its number in FILES first."""
    made = _made()
    return [bytes([number]) + made[name] for number, name in enumerate(FILES)]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a file changed as its kind allows; seldom one under the name of another."""
    name, body = _split(data)
    change: Callable[[bytes, random.Random], bytes] = {
        ".json": json_mutated, ".safetensors": tensors_mutated, ".npz": bytes_mutated,
    }[Path(name).suffix]  # fmt: skip
    number = rng.randrange(len(FILES)) if rng.random() < 0.01 else FILES.index(name)
    return bytes([number]) + change(body, rng)


def load() -> Callable[[bytes], bool]:
    """Return what reads one file of a checkpoint whose others are whole."""
    from emomusic.emotion import QUADRANT_CENTRES, Emotion

    held = tempfile.TemporaryDirectory()
    folder = Path(held.name)
    whole = _made()
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    corners = [Emotion(valence, arousal) for valence, arousal in QUADRANT_CENTRES.values()]

    def run(data: bytes) -> bool:
        name, body = _split(data)
        assert folder.is_dir(), held  # which is there as long as this is
        (folder / name).write_bytes(body)
        try:
            _read(folder, name, corners)
        except ValueError as error:
            assert "\n" not in str(error), "an error is told in one line"
            assert len(str(error)) < 2_000, "an error is told in few words"
            return False
        finally:
            (folder / name).write_bytes(whole[name])
        return True

    return run


def _split(data: bytes) -> tuple[str, bytes]:
    return FILES[data[0] % len(FILES) if data else 0], data[1:]


@contextmanager
def _documented(kind: type[ValueError]) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        assert isinstance(error, kind), "not the documented error"
        raise


def _read(folder: Path, name: str, corners: list[Any]) -> None:
    """Read one file, and use what it says as far as no music is needed."""
    from emomusic.compose.best_of import Realness
    from emomusic.compose.directions import Response
    from emomusic.compose.token_plan import read_tables
    from emomusic.mapping import Mapper
    from emomusic.model.checkpoint import CheckpointError, read_shape, read_tensors
    from emomusic.music.notes import make_notes
    from emomusic.music.tokenizer import Tokenizer
    from emomusic.training.rows import Rows
    from emomusic.verify.verifier import Verifier, VerifierError

    if name in (FILES[0], WEIGHTS):
        with _documented(CheckpointError):
            for _, tensor in read_tensors(folder, *read_shape(folder)):
                assert tensor.size
    elif name == "mapper.json":
        mapper = Mapper.load(folder)
        for emotion in corners:
            targets = mapper.targets(emotion, np.random.default_rng(0))
            assert np.isfinite(list(targets.values())).all()
    elif name == "verifier.safetensors":
        with _documented(VerifierError):
            Verifier.load(folder)
    elif name == "steering.json":
        Response.load(folder)
    elif name == "realness.json":
        realness, one = Realness.load(folder), np.ones(1)
        assert realness is not None
        notes = make_notes(one, one, np.array([60]), np.array([60]))
        assert 0 <= realness.of(notes, n_beats=4.0, beats_per_bar=4) <= 1
    elif name == "rows.npz":
        Rows.load(folder / name)
    else:
        tokenizer = Tokenizer(folder / "tokenizer.json")
        tables = read_tables(folder / "tables.json", tokenizer.vocabulary)
        tables.clip.ids(dict.fromkeys(tables.clip.names, 0.5))
        if tables.forms is not None:
            tables.forms.draw(4, np.random.default_rng(0))
        tokenizer.decode([0, 5, len(tokenizer.vocabulary) - 1])


@cache
def _made() -> dict[str, bytes]:
    """Return the files: mapper and verifier of the default checkpoint, made small, and zeros."""
    from emomusic.model.checkpoint import FORMAT, SIZES, ModelConfig, tensor_shapes
    from emomusic.model.events import EventLayout

    texts = [*(f"{kind}_None" for kind in ("BOS", "EOS", "Bar", "Given", "Behind", "Here")),
             *(f"{kind}_{n}" for kind in ("Position", "Pitch", "Velocity", "Duration", "ChordA",
                                          "ChordB") for n in range(2))]  # fmt: skip
    small = {**SIZES["tiny"], "dim": 8, "hidden": 4, "inner": 4}
    shape = ModelConfig(len(texts), EventLayout.from_texts(texts), context=64, **small)
    tensors = {name: np.zeros(own, np.float32) for name, own in tensor_shapes(shape).items()}
    config = {"format": FORMAT, "model": asdict(shape), "weights": [WEIGHTS], "recipe": {}}
    return {
        "config.json": json.dumps(config).encode(),
        WEIGHTS: save(tensors),
        **_tables(),
        "mapper.json": _small_mapper(),
        "verifier.safetensors": _small_verifier(),
        "rows.npz": _small_rows(),
    }


def _tables() -> dict[str, bytes]:
    """Return tokenizer, bins, steering and realness, made up."""
    from emomusic.compose.best_of import Realness
    from emomusic.compose.directions import LEVERS, Response
    from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
    from emomusic.music.tokenizer import N_BINS, Tokenizer

    edges = np.linspace(0, 1, N_BINS - 1).tolist()
    tables = {
        "attributes": ATTRIBUTE_NAMES,
        "edges": [edges] * len(ATTRIBUTE_NAMES),
        "bar_attributes": BAR_ATTRIBUTE_NAMES,
        "bar_edges": [edges] * len(BAR_ATTRIBUTE_NAMES),
        "forms": ["00334455", "0011"],
    }
    each, levers = np.ones(len(ATTRIBUTE_NAMES)), np.ones(len(LEVERS))
    response = Response(
        each, each, each, np.outer(each, each), np.outer(each, levers), ATTRIBUTE_NAMES
    )
    with tempfile.TemporaryDirectory() as folder:
        Tokenizer().save(Path(folder))
        response.save(Path(folder))
        Realness({"on_beat": 0.5}, {"on_beat": 0.1}, {"on_beat": 1.0}, 0.0).save(Path(folder))
        made = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return {"tables.json": json.dumps(tables).encode(), **made}


def _small_mapper() -> bytes:
    content = json.loads((DEFAULT / "mapper.json").read_text(encoding="utf-8"))
    for prototype in content["prototypes"]:
        for name in ("members", "trust"):
            prototype[name] = prototype[name][:N_MEMBERS]
    return json.dumps(content).encode()


def _small_verifier() -> bytes:
    with safe_open(DEFAULT / "verifier.safetensors", framework="numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    for name, array in arrays.items():
        if name.startswith("ear."):
            arrays[name] = array[:N_SUPPORTS]
        elif name.endswith(".supports"):
            arrays[name] = array[:N_SUPPORTS, :N_DIMENSIONS]
        elif name.endswith(".basis"):
            arrays[name] = array[:, :N_DIMENSIONS]
    arrays["whole"] = np.array([N_SUPPORTS])
    return save({name: np.ascontiguousarray(of) for name, of in arrays.items()}, metadata)


def _small_rows() -> bytes:
    from emomusic.training.rows import Rows

    rows = Rows(
        ids=np.arange(8, dtype=np.uint16), bar_start=np.array([0, 4, 8]),
        bar_values=np.zeros((2, 3), np.float32), bar_chords=np.zeros((2, 2), np.int16),
        bar_form=np.zeros(2, np.int8), bar_compound=np.zeros(2, bool),
        note_part=np.zeros(1, np.uint8), clip_bar=np.zeros(1, np.int32),
        clip_n_bars=np.full(1, 2, np.int16), clip_shift=np.zeros(1, np.int8),
        clip_is_end=np.ones(1, bool), clip_values=np.zeros((1, 4), np.float32),
        clip_song=np.zeros(1, np.int32), song_source=np.zeros(1, np.int16),
        song_has_dynamics=np.ones(1, bool), song_has_durations=np.ones(1, bool),
        song_is_validation=np.zeros(1, bool), meta={"vocabulary": ["Pitch_1", *"abcdefg"]},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        rows.save(Path(folder) / "rows.npz")
        return (Path(folder) / "rows.npz").read_bytes()
