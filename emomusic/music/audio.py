"""The sound of a score: a piano from a soundfont, written as WAV, FLAC or MP3.

Nothing but wheels is needed: `midirenderer` plays the soundfont that lies in the `pretty_midi`
wheel, or one that EMOMUSIC_SOUNDFONT names, `soundfile` encodes. Where `midirenderer` has no
wheel, decaying sines stand in. `midirenderer` holds the interpreter's lock while it plays: render
many clips in processes, not in threads.
"""

from __future__ import annotations

import importlib.util
import io
import math
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from symusic.core import ScoreTick, TextMetaTick

from emomusic.files import write_atomically
from emomusic.music.notes import Notes
from emomusic.music.score import add_pedal_controls, notes_of, seconds_at

Backend = Literal["midirenderer", "sine"]
Samples = NDArray[np.float32]

SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # MPEG 1, 2, 2.5
SUFFIXES = (".wav", ".flac", ".mp3")
PEAK = 10 ** (-1 / 20)  # -1 dBFS: room for the overshoot of an MP3 decoder
MAX_SECONDS = 1800.0  # about 2 GB of memory while rendering
MAX_TAIL_S = 60.0
FADE_S = 0.5  # the pedal may hold notes past the tail: fade, do not cut
MAX_TICK = 2**31 - 1  # symusic's ticks are 32 bits wide
SOUNDFONT = "TimGM6mb.sf2"
SOUNDFONT_VARIABLE = "EMOMUSIC_SOUNDFONT"
SINE_RATE = 44100


@dataclass(frozen=True, eq=False)
class Audio:
    """Hold a sound.

    Attributes:
        samples: Amplitudes in [-1, 1], shape (n,) for one channel, (n, 2) for two.
        sample_rate: Samples a second.
        backend: What made the sound: "midirenderer" is a sampled piano, "sine" is not.
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


def render_audio(
    score: ScoreTick,
    *,
    sample_rate: int | None = None,
    tail_s: float = 2.0,
    backend: Literal["auto", "midirenderer", "sine"] = "auto",
) -> Audio:
    """Render a score as sound, its highest peak at -1 dBFS.

    The sound lasts from tick 0 to the end of the last note, plus the tail. Drums are left out;
    the sustain pedal is heard. The same score gives the same samples. A clip in which no velocity
    exceeds about 10 may come out silent: the renderer works in 16 bits, before the peak is raised.

    Args:
        score: A score in ticks, at most half an hour long.
        sample_rate: One of `SAMPLE_RATES`; None is the backend's own (48,000; sine: 44,100).
        tail_s: Seconds, 0 to 60, in which the last notes may ring.
        backend: "auto" takes "midirenderer", and where that fails "sine", with a warning.

    Raises:
        ScoreError: If the score holds no notes.
        ValueError: If it is too long, or an argument out of its range.
            So it is, too, if the environment names a soundfont that cannot be played.
        RuntimeError: If "midirenderer" was asked for and cannot play.
    """
    if sample_rate is not None and sample_rate not in SAMPLE_RATES:
        accepted = ", ".join(map(str, SAMPLE_RATES))
        raise ValueError(f"sample_rate must be one of {accepted}, got {sample_rate}")
    if not 0 <= tail_s <= MAX_TAIL_S:
        raise ValueError(f"tail_s must be in [0, {MAX_TAIL_S:.0f}] seconds, got {tail_s}")
    if backend not in ("auto", *get_args(Backend)):
        raise ValueError(f"backend must be auto, midirenderer or sine, got {backend!r}")
    notes = notes_of(score)
    end_s = float((notes.onset_s + notes.duration_s).max())
    if end_s > MAX_SECONDS:
        raise ValueError(f"a score of at most {MAX_SECONDS:.0f} s can be heard, got {end_s:.0f} s")
    samples, rate, made_by = _play(score, notes, tail_s, backend, sample_rate)
    samples = _fit(samples, round((end_s + tail_s) * rate))
    n_faded = min(round(max(0.01, min(FADE_S, tail_s / 2)) * rate), len(samples))
    gain = np.ones(len(samples), dtype=np.float32)
    gain[len(samples) - n_faded :] = np.linspace(1, 0, n_faded) ** 2
    samples = np.asarray((samples.T * gain).T, dtype=np.float32)
    samples = _resampled(samples, rate, sample_rate or rate)
    peak = float(np.abs(samples).max(initial=0.0))
    samples = samples * np.float32(PEAK / peak) if peak > 0 else samples
    return Audio(samples, sample_rate or rate, made_by)


def _play(
    score: ScoreTick, notes: Notes, tail_s: float, backend: str, sample_rate: int | None
) -> tuple[Samples, int, Backend]:
    if backend != "sine":
        midi = _performance(score, tail_s)
        try:
            import midirenderer
            import soundfile

            font = _soundfont(os.environ.get(SOUNDFONT_VARIABLE))
            wav = io.BytesIO(midirenderer.render_wave_from(font, midi))
            return *soundfile.read(wav, dtype="float32"), "midirenderer"
        except Exception as error:  # the wheel or the font is missing, or it fails in its own way
            if backend == "midirenderer":
                raise RuntimeError(f"midirenderer cannot play: {error}") from error
            if named := os.environ.get(SOUNDFONT_VARIABLE):
                raise ValueError(f"the soundfont {named} cannot be played: {error}") from error
            warnings.warn(
                f"this sound is made of sines, not of a piano, and without the pedal: "
                f"midirenderer cannot play ({error})",
                stacklevel=3,
            )
    rate = sample_rate or SINE_RATE
    return _play_sines(notes, rate), rate, "sine"


@lru_cache(maxsize=1)
def _soundfont(named: str | None) -> bytes:
    if named:
        return Path(named).read_bytes()
    spec = importlib.util.find_spec("pretty_midi")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{SOUNDFONT} is part of pretty_midi, which is not installed")
    return (Path(spec.submodule_search_locations[0]) / SOUNDFONT).read_bytes()


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


def _play_sines(notes: Notes, rate: int) -> Samples:
    end_s = float((notes.onset_s + notes.duration_s).max())
    samples = np.zeros(math.ceil((end_s + 1.0) * rate), dtype=np.float32)
    columns = (notes.onset_s, notes.duration_s, notes.pitch, notes.velocity)
    for onset_s, duration_s, pitch, velocity in zip(*columns, strict=True):
        tone = _sine_tone(int(pitch), float(duration_s), rate)
        start = round(float(onset_s) * rate)
        # General MIDI: loudness falls by 40 log10(127 / velocity) dB
        samples[start : start + len(tone)] += (velocity / 127) ** 2 * tone
    return samples


def _sine_tone(pitch: int, duration_s: float, rate: int) -> Samples:
    """Return a decaying tone of four partials that is damped at the end of the note."""
    duration_s = min(duration_s, 10.0)  # 52 dB down by then
    t = np.arange(round((duration_s + 0.1) * rate)) / rate
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    partials = [k for k in (1, 2, 3, 4) if k * frequency < rate / 2]
    wave = sum((np.sin(2 * np.pi * k * frequency * t) / k**2 for k in partials), np.zeros_like(t))
    envelope = np.exp(-0.6 * t) * np.minimum(1, t / 0.005)
    envelope *= np.clip(1 - (t - duration_s) / 0.1, 0, 1)
    return np.asarray(wave * envelope, dtype=np.float32)


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
