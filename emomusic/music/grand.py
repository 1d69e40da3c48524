"""A sampled grand: notes and pedal as sound, of the recordings that lie in `emomusic/sound`.

They are Alexander Holm's Salamander Grand Piano (CC BY 3.0): every third key, struck four times
from soft to hard, and laid in phase, so that what lies between two of them is a mixture of both.
`scripts/build_piano.py` says how they were made; the page plays the same ones by `roll_sound.js`.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, Notes

Sound = NDArray[np.float32]
"""Shape (channels, n)."""

RATE = 44_100
FOLDER = Path(__file__).resolve().parents[1] / "sound"
SILENT = 7.0
"""Times of damping after which nothing is heard: 61 dB."""
N_TAPS = 32
"""Samples on which one between them rests, where a recording is read at another speed."""
BLOCK = 2**17


class Grand:
    """Play notes on the recordings of a folder.

    Raises:
        FileNotFoundError: If they are not there.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        try:
            self.table: dict[str, Any] = json.loads((folder / "piano.json").read_text("utf-8"))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"the samples of the piano are not in {folder}") from error
        self.roots = np.array([int(root) for root in self.table["keys"]])

    def play(self, notes: Notes, until_s: FloatColumn, *, length_s: float) -> Sound:
        """Return the sound of notes in a small room, in two channels.

        Args:
            notes: Any notes.
            until_s: When the damper falls on each, in seconds, infinite where none does; (n,).
            length_s: How long the sound lasts.
        """
        sound = np.zeros((2, round(length_s * RATE)), np.float32)
        starts = np.rint(notes.onset_s * RATE).astype(np.int64)
        pitches, seconds = np.array(self.table["damping"]).T
        fall_s = np.interp(notes.pitch, pitches, seconds)
        fall_s[notes.pitch >= self.table["undamped"]] = math.inf
        held_s = until_s - notes.onset_s
        nearest = np.abs(notes.pitch[:, None] - self.roots).argmin(axis=1)
        longest_s = np.zeros(len(self.roots))
        np.maximum.at(longest_s, nearest, held_s + SILENT * fall_s)

        @lru_cache(maxsize=4)  # the layers of one key: keys are played one after the other
        def read(key: int, layer: int) -> Sound:
            return self._read(f"{self.roots[key]}-{layer}", longest_s[key] * 1.1)

        @lru_cache(maxsize=4)
        def moved(key: int, layer: int, semitones: int) -> Sound:
            return _shifted(read(key, layer), semitones)

        for at in np.argsort(notes.pitch, kind="stable").tolist():
            key, pitch = int(nearest[at]), int(notes.pitch[at])
            low, gains = self._strike(key, int(notes.velocity[at]))
            takes = [moved(key, low + i, pitch - int(self.roots[key])) for i in (0, 1)]
            n = min(takes[0].shape[1], takes[1].shape[1], sound.shape[1] - starts[at])
            if math.isfinite(held_s[at] + fall_s[at]):
                n = min(n, round((held_s[at] + SILENT * fall_s[at]) * RATE))
            tone = takes[0][:, :n] * gains[0]
            tone += takes[1][:, :n] * gains[1]
            if math.isfinite(held_s[at]) and (held := round(held_s[at] * RATE)) < n:
                damped = np.arange(n - held, dtype=np.float32) / np.float32(fall_s[at] * RATE)
                tone[:, held:] *= np.exp(-damped)
            sound[:, starts[at] : starts[at] + n] += tone
        return sound + convolved(sound, self._read("room") * np.float32(self.table["room"]))

    def _read(self, name: str, length_s: float = math.inf) -> Sound:
        import soundfile

        n = -1 if math.isinf(length_s) else math.ceil(length_s * RATE)
        samples, _ = soundfile.read(self.folder / f"{name}.ogg", n, dtype="float32")
        return np.ascontiguousarray(samples.T)

    def _strike(self, key: int, velocity: int) -> tuple[int, NDArray[np.float32]]:
        """Return the softer of the two layers that are mixed, and the amplitudes of both."""
        velocities, own = self.table["velocities"], self.table["keys"][str(self.roots[key])]
        place = float(np.interp(velocity, velocities, range(len(velocities))))
        low = min(int(place), len(velocities) - 2)
        shares = np.array([low + 1 - place, place - low])
        # Of two sounds as loud as each other, and so much alike, the mixture is to be as loud.
        power = (shares**2).sum() + 2 * shares.prod() * own["likeness"][low]
        level = (velocity / 127) ** self.table["power"] / math.sqrt(power)
        return low, (level * shares * own["gain"][low : low + 2]).astype(np.float32)


def _shifted(take: Sound, semitones: int) -> Sound:
    """Return a sound so many semitones higher, and shorter by as much.

    It is read at steps of a / b samples, by windowed sines; as each b of them repeat, they are
    the columns of one matrix.
    """
    if semitones == 0:
        return take
    step = Fraction(2 ** (semitones / 12)).limit_denominator(90)  # 0.1 cents off
    a, b = step.numerator, step.denominator
    width = a + N_TAPS
    # Sample j of a block lies j a / b after the first; (width, b)
    distance = np.arange(width)[:, None] - (np.arange(b) * a / b + N_TAPS / 2 - 1)
    cutoff = 0.97 * min(1.0, b / a)
    window = np.cos(np.pi / 2 * np.clip(distance / (N_TAPS / 2), -1, 1)) ** 2
    matrix = (cutoff * np.sinc(cutoff * distance) * window).astype(np.float32)
    n_blocks = -(-take.shape[1] // a)
    padded = np.pad(take, ((0, 0), (N_TAPS // 2 - 1, width + a)))
    rows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)[:, : n_blocks * a : a]
    return (np.ascontiguousarray(rows) @ matrix).reshape(2, -1)


def convolved(sound: Sound, answer: Sound) -> Sound:
    """Return what a room or a filter answers to a sound, as long as that: (channels, n).

    Args:
        sound: Shape (channels, n).
        answer: What it answers to a click, shape (1, m) or (channels, m).
    """
    n, n_answer = sound.shape[1], answer.shape[1]
    size = 1 << (BLOCK + n_answer).bit_length()
    step = size - n_answer
    spectrum = np.fft.rfft(answer, size)
    out = np.zeros((len(sound), n + size), np.float32)
    for at in range(0, n, step):
        out[:, at : at + size] += np.fft.irfft(
            np.fft.rfft(sound[:, at : at + step], size) * spectrum, size
        )
    return out[:, :n]
