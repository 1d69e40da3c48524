"""The sound of a score: a sampled grand, levelled, written as WAV, FLAC or MP3.

`soundfile` reads the samples and encodes. A soundfont that EMOMUSIC_SOUNDFONT names is played by
`midirenderer` instead, which holds the interpreter's lock while it plays: render many clips in
processes, not in threads.
"""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from symusic.core import ScoreTick, TextMetaTick

from emomusic.files import write_atomically
from emomusic.music.grand import RATE, Grand, convolved
from emomusic.music.notes import FloatColumn
from emomusic.music.score import add_pedal_controls, dampers_s, notes_of, seconds_at

Backend = Literal["grand", "midirenderer"]
Samples = NDArray[np.float32]

SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # MPEG 1, 2, 2.5
SUFFIXES = (".wav", ".flac", ".mp3")
LOUDNESS = -16.0  # LUFS: what players on the net aim at
PEAK = 10 ** (-1 / 20)  # -1 dB true peak: room for the overshoot of an MP3 decoder
MOST_LIMITED = 4.0  # 12 dB: a lone click stays softer than LOUDNESS
HOP_S = 0.1  # loudness is measured in blocks of 0.4 s that begin every 0.1 s
STEP = 64  # samples for which the limiter has a gain; in between it is drawn through
REACH = 12  # steps before and after a peak in which its gain goes down and up: 17 ms
FINER = 4  # times the rate at which peaks between the samples are looked for
MAX_SECONDS = 1800.0  # about 2 GB of memory while rendering
MAX_TAIL_S = 60.0
FADE_S = 0.5  # the pedal may hold notes past the tail: fade, do not cut
MAX_TICK = 2**31 - 1  # symusic's ticks are 32 bits wide
SOUNDFONT_VARIABLE = "EMOMUSIC_SOUNDFONT"


@dataclass(frozen=True, eq=False)
class Audio:
    """Hold a sound.

    Attributes:
        samples: Amplitudes in [-1, 1], shape (n,) for one channel, (n, 2) for two.
        sample_rate: Samples a second.
        backend: What made the sound: the sampled grand, or "midirenderer" of a soundfont.
    """

    samples: Samples
    sample_rate: int
    backend: Backend

    def __post_init__(self) -> None:
        if self.samples.ndim not in (1, 2) or self.samples.shape[1:] not in ((), (2,)):
            raise ValueError(f"samples must be of shape (n,) or (n, 2), got {self.samples.shape}")
        if not np.isfinite(self.samples).all():
            raise ValueError("samples must be finite, got NaN or infinity")

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return len(self.samples) / self.sample_rate

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the sound as a file, whole or not at all; the suffix chooses the format.

        Args:
            path: Ends in .wav or .flac (16 bits), or .mp3 (variable bit rate).

        Raises:
            ValueError: If the suffix is another one.
            OSError: If the folder is missing, not writable or full; nothing is left behind then.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(f"a sound file must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
        data = self.encode(suffix)
        write_atomically(Path(path), lambda file: file.write(data))

    def encode(self, suffix: str) -> bytes:
        """Return the sound as a file's bytes.

        Args:
            suffix: `.wav`, `.flac` or `.mp3`.
        """
        import soundfile

        file = io.BytesIO()
        if suffix != ".mp3":
            name = suffix[1:].upper()
            soundfile.write(file, self.samples, self.sample_rate, format=name, subtype="PCM_16")
        else:  # quality 3 of 10, best first
            options = {"bitrate_mode": "VARIABLE", "compression_level": 0.3}
            soundfile.write(file, self.samples, self.sample_rate, format="MP3", **options)
        return file.getvalue()


def render_audio(score: ScoreTick, *, sample_rate: int | None = None, tail_s: float = 2.0) -> Audio:
    """Render a score as sound, at -16 LUFS, its true peak at -1 dB at most.

    The sound lasts from tick 0 to the end of the last note, plus the tail. Drums are left out;
    the sustain pedal is heard: one for all tracks, as all are played on one piano, unless the
    environment names a soundfont. The same score gives the same samples.

    Args:
        score: A score in ticks, at most half an hour long.
        sample_rate: One of `SAMPLE_RATES`; None is the backend's own (44,100; of a soundfont
            48,000).
        tail_s: Seconds, 0 to 60, in which the last notes may ring.

    Raises:
        ScoreError: If the score holds no notes.
        ValueError: If it is too long, or an argument out of its range.
            So it is, too, if the environment names a soundfont that cannot be played.
        FileNotFoundError: If the samples of the grand are missing.
    """
    if sample_rate is not None and sample_rate not in SAMPLE_RATES:
        accepted = ", ".join(map(str, SAMPLE_RATES))
        raise ValueError(f"sample_rate must be one of {accepted}, got {sample_rate}")
    if not 0 <= tail_s <= MAX_TAIL_S:
        raise ValueError(f"tail_s must be in [0, {MAX_TAIL_S:.0f}] seconds, got {tail_s}")
    notes = notes_of(score)
    end_s = float((notes.onset_s + notes.duration_s).max())
    if end_s > MAX_SECONDS:
        raise ValueError(f"a score of at most {MAX_SECONDS:.0f} s can be heard, got {end_s:.0f} s")
    backend: Backend = "grand"
    if font := os.environ.get(SOUNDFONT_VARIABLE):
        backend = "midirenderer"
        samples, rate = _play_font(font, _performance(score, tail_s))
    else:
        until_s, rate = dampers_s(score, notes), RATE
        samples = Grand().play(notes, until_s, length_s=end_s + tail_s).T
    samples = _fit(samples, round((end_s + tail_s) * rate))
    n_faded = min(round(max(0.01, min(FADE_S, tail_s / 2)) * rate), len(samples))
    gain = np.ones(len(samples), dtype=np.float32)
    gain[len(samples) - n_faded :] = np.linspace(1, 0, n_faded) ** 2
    samples = np.asarray((samples.T * gain).T, dtype=np.float32)
    samples = _resampled(samples, rate, sample_rate or rate)
    return Audio(levelled(samples, sample_rate or rate), sample_rate or rate, backend)


def _play_font(font: str, midi: bytes) -> tuple[Samples, int]:
    try:
        import midirenderer
        import soundfile

        wav = io.BytesIO(midirenderer.render_wave_from(Path(font).read_bytes(), midi))
        return soundfile.read(wav, dtype="float32")
    except Exception as error:  # the wheel or the font is missing, or it fails in its own way
        raise ValueError(f"the soundfont {font} cannot be played: {error}") from error


def _performance(score: ScoreTick, tail_s: float) -> bytes:
    """Return the MIDI bytes to play: no drums, the pedal as controls, the end moved by the tail."""
    tracks = [track for track in score.tracks if not track.is_drum and len(track.notes)]
    columns = [track.notes.numpy() for track in tracks]
    end = max(int((c["time"].astype(np.int64) + c["duration"]).max()) for c in columns)
    here_s, next_s = seconds_at(score, np.array([end, end + 1]))
    stop = min(end + max(1, math.ceil(tail_s / (next_s - here_s))), MAX_TICK)
    played = ScoreTick(score.ticks_per_quarter)
    for tempo in score.tempos:
        if tempo.time <= end:
            played.tempos.append(tempo)
    for track in tracks:
        own = track.copy()
        add_pedal_controls(own)
        own.controls.filter(lambda control: control.time < stop)
        own.pitch_bends.filter(lambda bend: bend.time < stop)
        played.tracks.append(own)
    played.markers.append(TextMetaTick(stop, ""))  # the renderer stops at the last event
    return played.dumps_midi()


def _fit(samples: Samples, n: int) -> Samples:
    missing = max(0, n - len(samples))
    return np.pad(samples[:n], [(0, missing)] + [(0, 0)] * (samples.ndim - 1))


def _resampled(samples: Samples, rate: int, new_rate: int) -> Samples:
    """Return the samples at another rate, band-limited by cutting or padding the spectrum."""
    if rate == new_rate:
        return samples
    unit = rate // math.gcd(rate, new_rate)
    n_units = math.ceil(len(samples) / unit)
    smooth = 2 ** max(0, n_units.bit_length() - 4)  # lengths of small factors transform fast
    padded = _fit(samples, math.ceil(n_units / smooth) * smooth * unit)
    n = len(padded) * new_rate // rate
    channels = padded.reshape(len(padded), -1).T
    resampled = [np.fft.irfft(np.fft.rfft(channel), n) * (new_rate / rate) for channel in channels]
    whole = np.stack(resampled, axis=1).reshape(n, *samples.shape[1:])
    return whole[: round(len(samples) * new_rate / rate)].astype(np.float32)


def loudness_of(samples: Samples, rate: int) -> float:
    """Return the integrated loudness of a sound (ITU-R BS.1770-4), LUFS.

    Args:
        samples: Shape (n,) or (n, 2).
        rate: Samples a second.

    Returns:
        Minus infinity if it is silent, or shorter than a block of 0.4 s.
    """
    return _gated(_powers(samples, rate))


def _powers(samples: Samples, rate: int) -> FloatColumn:
    """Return the power of each tenth of a second as ears weight it, all channels together."""
    n, hop = 2**14, round(HOP_S * rate)
    z = np.exp(-2j * np.pi * np.arange(n // 2 + 1) / n)
    # The two filters of the standard, for any rate: a shelf for the head, and a high-pass.
    k, q, high = math.tan(math.pi * 1681.974450955533 / rate), 0.7071752369554196, 1.584864701130855
    middle = high**0.4996667741545416
    shelf = (high + middle * k / q + k * k) + 2 * (k * k - high) * z
    shelf += (high - middle * k / q + k * k) * z**2
    shelf /= (1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    own = 1 + k / q + k * k
    highpass = (1 - z) ** 2 / (1 + 2 * (k * k - 1) / own * z + (1 - k / q + k * k) / own * z**2)
    answer = np.fft.irfft(shelf * highpass)[None].astype(np.float32)
    weighted = convolved(samples.reshape(len(samples), -1).T, answer)
    whole = weighted[:, : weighted.shape[1] // hop * hop].reshape(len(weighted), -1, hop)
    return np.asarray(np.einsum("chn,chn->h", whole, whole, dtype=np.float64) / hop)


def _gated(powers: FloatColumn) -> float:
    """Return the loudness of what is neither silent nor far softer than the rest, LUFS."""
    blocks = np.convolve(powers, np.full(4, 0.25), "valid")
    for gate in (-70.0, None):
        if gate is None:
            gate = -0.691 + 10 * math.log10(blocks.mean()) - 10
        blocks = blocks[blocks > 10 ** ((gate + 0.691) / 10)]
        if not len(blocks):
            return -math.inf
    return -0.691 + 10 * math.log10(blocks.mean())


def true_peak(samples: Samples) -> float:
    """Return the highest amplitude, between the samples, too: at four times their rate."""
    highest, size, edge = float(np.abs(samples).max(initial=0.0)), 4096, 64
    found = highest
    for at in range(0, len(samples), size):
        if np.abs(samples[at : at + size]).max() > 0.7 * highest:  # else it cannot be here
            part = samples[max(0, at - edge) : at + size + edge]
            n = len(part) * FINER
            finer = FINER * np.fft.irfft(np.fft.rfft(part, axis=0), n, axis=0)
            found = max(found, float(np.abs(finer[edge : n - edge]).max()))
    return found


def levelled(samples: Samples, rate: int) -> Samples:
    """Return a sound at `LOUDNESS`, its true peak at `PEAK` at most; silence stays silence.

    One gain is set for all; where peaks would be too high, a limiter lowers what lies around.

    Args:
        samples: Shape (n,) or (n, 2).
        rate: Samples a second.
    """
    powers, n_steps = _powers(samples, rate), -(-len(samples) // STEP)
    if not math.isfinite(_gated(powers)):
        return samples
    height = np.abs(samples).reshape(len(samples), -1).max(axis=1)
    peaks = np.pad(height, (0, n_steps * STEP - len(samples))).reshape(n_steps, STEP).max(axis=1)
    middles, ceiling = (np.arange(n_steps) + 0.5) * STEP, PEAK
    for _ in range(4):  # peaks between the samples are known at the end only
        gains = _gains(powers, peaks.astype(np.float64), ceiling, hop=HOP_S * rate)
        drawn = np.interp(np.arange(len(samples)), middles, gains).astype(np.float32)
        ready = np.asarray((samples.T * drawn).T)
        if (over := true_peak(ready) / PEAK) <= 1:
            break
        ceiling /= 1.001 * over
    return ready


def _gains(powers: FloatColumn, peaks: FloatColumn, ceiling: float, *, hop: float) -> FloatColumn:
    """Return the gain of each step: that of all, and the limiter's.

    Args:
        powers: Of each hop.
        peaks: Of each step.
        ceiling: Highest amplitude.
        hop: Samples of a hop.
    """
    hops = np.minimum((np.arange(len(peaks)) * STEP / hop).astype(np.int64), len(powers) - 1)
    steps_of = np.bincount(hops, minlength=len(powers))
    window = np.hanning(2 * REACH + 3)[1:-1]
    gain = 1.0
    for _ in range(8):  # what is limited is softer: a little more for all, then
        wanted = np.minimum(1.0, ceiling / np.maximum(gain * peaks, 1e-9))
        padded = np.pad(wanted, 2 * REACH + 1, mode="edge")
        least = np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 3).min(axis=1)
        gains = gain * np.convolve(least, window / window.sum(), "valid")
        limited = np.bincount(hops, gains**2, len(powers)) / steps_of
        gain *= 10 ** ((LOUDNESS - _gated(powers * limited)) / 20)
        gain = min(gain, MOST_LIMITED * ceiling / float(peaks.max()))
    return np.asarray(gains)
