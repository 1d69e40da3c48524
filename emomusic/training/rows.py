"""The packed rows: what preparation writes and training reads, as plain arrays."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.files import write_atomically

FORMAT = "emomusic-rows-2"
N_CHORDS, N_FORMS = 109, 11
"""Numbers of a half bar's chord, none included, and codes of a bar's form, none included."""
MAX_BYTES = 2**31
"""Of all arrays, unpacked: thirty times those of three thousand songs."""


def _array(dtype: str, n_dims: int = 1, *, of: str = "") -> dict[str, Any]:
    """Describe an array by type and dimensions, and what it has one entry for."""
    return {"kind": (dtype, n_dims), "of": of}


@dataclass(frozen=True)
class Rows:
    """Cleaned songs as ids, cut into bars, and the clips to train on.

    Attributes:
        ids: Token ids of all bars, control tokens left out, shape (n_ids,).
        bar_start: Where each bar begins in `ids`, shape (n_bars + 1,).
        bar_values: Attributes of each bar, shape (n_bars, n_bar_attributes).
        bar_chords: Chord of each half bar, root * 9 + quality with the root as it sounds, 108
            for none, -1 where it is not known, shape (n_bars, 2).
        bar_form: Earlier bar of the song that each bar takes up: 0 none, 1 to 5 whole, 6 to 10
            its rhythm, that 1, 2, 4, 8 or 16 bars back, shape (n_bars,).
        bar_compound: Whether the bar's beats are dotted quarters, shape (n_bars,).
        note_part: Of each note of `ids`, in their order: 1 right hand, 2 melody, 4 bass, added
            up, shape (n_notes,).
        clip_bar: First bar of each clip, shape (n_clips,).
        clip_n_bars: Bars of each clip, shape (n_clips,).
        clip_shift: Semitones that bring the clip's tonic to C, -6 to 5, shape (n_clips,).
        clip_is_end: Whether the clip ends where its song ends, shape (n_clips,).
        clip_values: Attributes of each clip, unshifted, shape (n_clips, n_attributes).
        clip_song: Song of each clip, shape (n_clips,).
        song_source: Index into meta["sources"], shape (n_songs,).
        song_has_dynamics: Whether velocities mean something, shape (n_songs,).
        song_has_durations: Whether durations do, shape (n_songs,).
        song_is_validation: Whether the song is held back, shape (n_songs,).
        meta: Vocabulary texts, attribute names, bin edges, sources, account.
    """

    ids: NDArray[np.uint16] = field(metadata=_array("uint16"))
    bar_start: NDArray[np.int64] = field(metadata=_array("int64"))
    bar_values: NDArray[np.float32] = field(metadata=_array("float32", 2, of="bars"))
    bar_chords: NDArray[np.int16] = field(metadata=_array("int16", 2, of="bars"))
    bar_form: NDArray[np.int8] = field(metadata=_array("int8", of="bars"))
    bar_compound: NDArray[np.bool_] = field(metadata=_array("bool", of="bars"))
    note_part: NDArray[np.uint8] = field(metadata=_array("uint8", of="notes"))
    clip_bar: NDArray[np.int32] = field(metadata=_array("int32", of="clips"))
    clip_n_bars: NDArray[np.int16] = field(metadata=_array("int16", of="clips"))
    clip_shift: NDArray[np.int8] = field(metadata=_array("int8", of="clips"))
    clip_is_end: NDArray[np.bool_] = field(metadata=_array("bool", of="clips"))
    clip_values: NDArray[np.float32] = field(metadata=_array("float32", 2, of="clips"))
    clip_song: NDArray[np.int32] = field(metadata=_array("int32", of="clips"))
    song_source: NDArray[np.int16] = field(metadata=_array("int16", of="songs"))
    song_has_dynamics: NDArray[np.bool_] = field(metadata=_array("bool", of="songs"))
    song_has_durations: NDArray[np.bool_] = field(metadata=_array("bool", of="songs"))
    song_is_validation: NDArray[np.bool_] = field(metadata=_array("bool", of="songs"))
    meta: dict[str, Any] = field(metadata=_array("uint8"))  # as the bytes of its JSON

    def save(self, path: Path) -> None:
        """Write the rows to one compressed `.npz`, whole or not at all."""
        meta = np.frombuffer(json.dumps({"format": FORMAT, **self.meta}).encode(), np.uint8)
        arrays = {**vars(self), "meta": meta}
        write_atomically(path, lambda file: np.savez_compressed(file, **arrays))

    def bins_digest(self) -> str:
        """Return what tells the bins of their attributes from others."""
        bins = [self.meta[key] for key in ("attributes", "edges", "bar_attributes", "bar_edges")]
        return hashlib.blake2b(json.dumps(bins).encode(), digest_size=16).hexdigest()

    def digest(self) -> str:
        """Return what tells these rows from others."""
        found = hashlib.blake2b(json.dumps(self.meta, sort_keys=True).encode(), digest_size=16)
        for name, value in vars(self).items():
            if name != "meta":
                found.update(np.ascontiguousarray(value).view(np.uint8).data)
        return found.hexdigest()

    @classmethod
    def load(cls, path: Path) -> Rows:
        """Read rows.

        Raises:
            ValueError: If the file is missing or holds no rows of this format.
        """
        try:
            if path.exists() and not path.is_file():
                raise ValueError("it is no plain file")
            with zipfile.ZipFile(path) as packed:
                _check_arrays(packed)
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(arrays.pop("meta").tobytes())
            if not isinstance(meta, dict) or meta.pop("format", None) != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            rows = cls(**arrays, meta=meta)
            _check_places(rows)
        except Exception as error:  # numpy, zipfile and zlib have many kinds for a damaged file
            told = " ".join(str(error).split())[:200]
            raise ValueError(f"cannot read packed rows from {path}: {told}") from error
        return rows


def _check_arrays(packed: zipfile.ZipFile) -> None:
    """Check names, types and sizes of the arrays in a file before memory is taken for them."""
    members = packed.infolist()
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > MAX_BYTES:
        raise ValueError(f"its arrays take {n_bytes} bytes, at most {MAX_BYTES} are read")
    if len(members) != len({member.filename for member in members}):
        raise ValueError("it holds an array twice")
    kinds = {entry.name: entry.metadata["kind"] for entry in fields(Rows)}
    for member in members:
        name = member.filename.removesuffix(".npy")
        readable = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if name not in kinds or not readable:
            raise ValueError(f"it holds {name[:40]!r}")
        with packed.open(member) as file:
            if (version := np.lib.format.read_magic(file)) != (1, 0):
                raise ValueError(f"{name} is an array of version {version}, known is (1, 0)")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            n_bytes = math.prod(shape) * dtype.itemsize
            if (str(dtype), len(shape)) != kinds[name]:
                raise ValueError(f"{name} must be {kinds[name]}, got {dtype} {shape}")
            if n_bytes != member.file_size - file.tell():
                raise ValueError(f"{name} claims {n_bytes} bytes of a file of {member.file_size}")


def _check_places(rows: Rows) -> None:
    """Check that arrays are as long as each other, and that what counts in one lies within it."""
    texts = rows.meta["vocabulary"]
    _check_range("ids", rows.ids, 0, len(texts) - 1)
    is_pitch = np.array([text.startswith("Pitch_") for text in texts], dtype=bool)
    n_bars, n_clips, n_songs = len(rows.bar_start) - 1, len(rows.clip_bar), len(rows.song_source)
    n_notes = int(is_pitch[rows.ids].sum())
    lengths = {"bars": n_bars, "notes": n_notes, "clips": n_clips, "songs": n_songs}
    for entry in fields(rows):
        of, values = entry.metadata["of"], getattr(rows, entry.name)
        if of and len(values) != lengths[of]:
            raise ValueError(f"{entry.name} must be {lengths[of]} long, is {len(values)}")
    _check_range("bar_start", rows.bar_start, 0, len(rows.ids))
    _check_range("clip_bar", rows.clip_bar, 0, n_bars - 1)
    _check_range("clip_n_bars", rows.clip_bar.astype(np.int64) + rows.clip_n_bars, 0, n_bars)
    _check_range("clip_song", rows.clip_song, 0, n_songs - 1)
    _check_range("bar_chords", rows.bar_chords, -1, N_CHORDS - 1)
    _check_range("bar_form", rows.bar_form, 0, N_FORMS - 1)
    if rows.bar_chords.shape[1] != 2:
        raise ValueError(f"bar_chords must have 2 columns, has {rows.bar_chords.shape[1]}")
    if (np.diff(rows.bar_start) < 0).any() or (rows.clip_n_bars < 0).any():
        raise ValueError("bar_start falls, or a clip has fewer than 0 bars")


def _check_range(name: str, values: NDArray[Any], least: int, most: int) -> None:
    if values.size and not (values.min() >= least and values.max() <= most):
        raise ValueError(f"{name} points outside of {least} to {most}")
