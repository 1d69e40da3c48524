"""The packed rows: what preparation writes and training reads, as plain arrays."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.files import write_atomically

FORMAT = "emomusic-rows-1"


@dataclass(frozen=True)
class Rows:
    """Hold cleaned songs as ids, cut into bars, and the clips to train on.

    Attributes:
        ids: Token ids of all bars, control tokens left out, uint16, shape (n_ids,).
        bar_start: Where each bar begins in `ids`, int64, shape (n_bars + 1,).
        bar_values: Attributes of each bar, float32, shape (n_bars, n_bar_attributes).
        clip_bar: First bar of each clip, int32, shape (n_clips,).
        clip_n_bars: Bars of each clip, int16, shape (n_clips,).
        clip_shift: Semitones that bring the clip's tonic to C, -6 to 5, int8, (n_clips,).
        clip_is_end: Whether the clip ends where its song ends, bool, shape (n_clips,).
        clip_values: Attributes of each clip, unshifted, float32, (n_clips, n_attributes).
        clip_song: Song of each clip, int32, shape (n_clips,).
        song_source: Index into meta["sources"], int16, shape (n_songs,).
        song_has_dynamics: Whether velocities mean something, bool, shape (n_songs,).
        song_is_validation: Whether the song is held back, bool, shape (n_songs,).
        meta: Vocabulary texts, attribute names, bin edges, sources, account.
    """

    ids: NDArray[np.uint16]
    bar_start: NDArray[np.int64]
    bar_values: NDArray[np.float32]
    clip_bar: NDArray[np.int32]
    clip_n_bars: NDArray[np.int16]
    clip_shift: NDArray[np.int8]
    clip_is_end: NDArray[np.bool_]
    clip_values: NDArray[np.float32]
    clip_song: NDArray[np.int32]
    song_source: NDArray[np.int16]
    song_has_dynamics: NDArray[np.bool_]
    song_is_validation: NDArray[np.bool_]
    meta: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the rows to one compressed `.npz`, whole or not at all."""
        arrays = {name: value for name, value in vars(self).items() if name != "meta"}
        meta = np.frombuffer(json.dumps({"format": FORMAT, **self.meta}).encode(), np.uint8)
        write_atomically(path, lambda file: np.savez_compressed(file, meta=meta, **arrays))

    @classmethod
    def load(cls, path: Path) -> Rows:
        """Read rows.

        Raises:
            ValueError: If the file is missing or holds no rows of this format.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(arrays.pop("meta").tobytes())
            if meta.pop("format", None) != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            return cls(**arrays, meta=meta)
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"cannot read packed rows from {path}: {error}") from error
