"""Sound of a score: pitch, length, loudness, sameness, fallback, and whole files only."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from midi import TPQ, score_of
from symusic import ControlChange, Note, Pedal, Tempo, Track
from symusic.core import ScoreTick

from emomusic.music import audio
from emomusic.music.audio import Audio, render_audio
from emomusic.music.score import ScoreError

A4 = score_of([(0, 4, 69, 90)])
needs_piano = pytest.mark.skipif(
    find_spec("midirenderer") is None, reason="midirenderer has no wheel for this platform"
)


def frequency_of(sound: Audio) -> float:
    """Return the frequency of the highest peak of the spectrum between 0.2 and 1.7 s, Hz."""
    rate = sound.sample_rate
    mono = sound.samples.reshape(len(sound.samples), -1).mean(axis=1)
    part = mono[int(0.2 * rate) : int(1.7 * rate)]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 4 * len(part)))
    return float(np.argmax(spectrum) * rate / (4 * len(part)))


def rms_of(sound: Audio, start_s: float, end_s: float) -> float:
    part = sound.samples[int(start_s * sound.sample_rate) : int(end_s * sound.sample_rate)]
    return float(np.sqrt(np.mean(part.astype(np.float64) ** 2)))


BACKENDS = [pytest.param("midirenderer", marks=needs_piano), "sine"]


@pytest.mark.parametrize("sample_rate", [None, 22050, 44100])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a4_sounds_at_440_hz(backend: str, sample_rate: int | None) -> None:
    sound = render_audio(A4, backend=backend, sample_rate=sample_rate)
    assert sound.backend == backend
    assert sample_rate in (None, sound.sample_rate)
    assert frequency_of(sound) == pytest.approx(440, abs=3)


def slowing() -> ScoreTick:
    """Return two beats of 0.25 s and two of 2 s: the last tempo sets the tail's."""
    score = score_of([(0, 4, 60, 80)], tempo=240)
    score.tempos.append(Tempo(2 * TPQ, 30))
    return score


def trailing() -> ScoreTick:
    """Return two seconds of notes, and events long after the last."""
    score = A4.copy()
    score.tempos.append(Tempo(100 * TPQ, 1))
    score.tracks[0].controls.append(ControlChange(10_000 * TPQ, 64, 0))
    return score


FIVE_BEATS = score_of([(0, 1, 60, 80), (3, 2, 64, 80)], tempo=80)  # of 0.75 s


@pytest.mark.parametrize(
    ("score", "tail_s", "length_s"),
    [
        (FIVE_BEATS, 0.0, 3.75),
        (FIVE_BEATS, 0.25, 4.0),
        (slowing(), 2.0, 6.5),
        (trailing(), 2.0, 4.0),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_sound_lasts_as_long_as_the_notes_and_the_tail(
    backend: Any, score: ScoreTick, tail_s: float, length_s: float
) -> None:
    sound = render_audio(score, backend=backend, tail_s=tail_s)
    assert sound.duration_s == pytest.approx(length_s, abs=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_peak_is_one_decibel_below_full_scale(backend: str) -> None:
    for velocity in (20, 127):
        sound = render_audio(score_of([(0, 2, 60, velocity)]), backend=backend)
        assert np.abs(sound.samples).max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)
        assert sound.samples.dtype == np.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_soft_note_is_softer_than_a_loud_one_in_the_same_clip(backend: str) -> None:
    sound = render_audio(score_of([(0, 1, 60, 100), (4, 1, 60, 40)]), backend=backend)
    assert rms_of(sound, 2.0, 2.5) < 0.5 * rms_of(sound, 0.0, 0.5)


@needs_piano
def test_notes_ring_in_the_tail_while_the_pedal_is_down() -> None:
    dry, controls, pedals = A4.copy(), A4.copy(), A4.copy()
    controls.tracks[0].controls.append(ControlChange(0, 64, 127))
    pedals.tracks[0].pedals.append(Pedal(0, 40 * TPQ))
    dry_rms, controls_rms, pedals_rms = (
        rms_of(render_audio(score), 2.6, 3.2) for score in (dry, controls, pedals)
    )
    assert controls_rms > 20 * dry_rms
    assert pedals_rms == pytest.approx(controls_rms)


@needs_piano
def test_sound_ends_in_silence_even_under_the_pedal() -> None:
    score = A4.copy()
    score.tracks[0].controls.append(ControlChange(0, 64, 127))
    assert np.abs(render_audio(score, tail_s=0.5).samples[-10:]).max() < 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
def test_drums_are_left_out(backend: str) -> None:
    score = A4.copy()
    drums = Track(is_drum=True)
    drums.notes.append(Note(0, 20 * TPQ, 38, 127))
    score.tracks.append(drums)
    expected = render_audio(A4, backend=backend)
    np.testing.assert_array_equal(render_audio(score, backend=backend).samples, expected.samples)


def test_score_is_left_as_it_was() -> None:
    score = A4.copy()
    score.tracks[0].pedals.append(Pedal(0, 40 * TPQ))
    before = score.copy()
    render_audio(score)
    assert score == before


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_same_score_gives_the_same_bytes(tmp_path: Path, backend: str, suffix: str) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for path in paths:
        render_audio(A4, backend=backend).write(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(("name", "format_", "subtype"), [
    ("a.wav", "WAV", "PCM_16"), ("a.MP3", "MP3", "MPEG_LAYER_III"),
])  # fmt: skip
def test_suffix_chooses_the_format(tmp_path: Path, name: str, format_: str, subtype: str) -> None:
    sound = render_audio(A4, sample_rate=44100)
    sound.write(tmp_path / name)
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.samplerate) == (format_, subtype, 44100)
    assert info.frames == len(sound.samples)
    samples, rate = soundfile.read(tmp_path / name, dtype="float32")
    read_back = Audio(samples, rate, sound.backend)
    assert frequency_of(read_back) == pytest.approx(440, abs=3)
    assert rms_of(read_back, 0, 2) == pytest.approx(rms_of(sound, 0, 2), rel=0.02)


SINE = render_audio(A4, backend="sine")


@pytest.mark.parametrize("name", ["clip.ogg", "clip", "clip.mp3.txt", ".wav"])
def test_other_suffixes_are_named_with_the_accepted_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"must end in \.wav or \.flac or \.mp3, got .*" + name):
        SINE.write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_sines_stand_in_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "midirenderer", None)
    with pytest.warns(UserWarning, match="made of sines, not of a piano") as caught:
        sound = render_audio(A4)
    assert (sound.backend, sound.sample_rate) == ("sine", 44100)
    assert frequency_of(sound) == pytest.approx(440, abs=3)
    assert caught[0].filename == __file__


def test_a_missing_soundfont_is_named_in_the_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    audio._soundfont.cache_clear()
    monkeypatch.setattr(audio.importlib.util, "find_spec", lambda name: None)
    fake = type(sys)("midirenderer")
    monkeypatch.setitem(sys.modules, "midirenderer", fake)
    fake.render_wave_from = lambda font, midi: b""  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match=r"TimGM6mb\.sf2 is part of pretty_midi"):
        assert render_audio(A4).backend == "sine"


def test_asking_for_a_missing_backend_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "midirenderer", None)
    with pytest.raises(RuntimeError, match="midirenderer cannot play"):
        render_audio(A4, backend="midirenderer")


@pytest.mark.parametrize(("score", "options", "message"), [
    (A4, {"sample_rate": 44000}, "sample_rate must be one of 8000, .*, got 44000"),
    (A4, {"tail_s": -1.0}, r"tail_s must be in \[0, 60\] seconds, got -1.0"),
    (A4, {"tail_s": float("nan")}, "tail_s must be in .* got nan"),
    (A4, {"backend": "organ"}, "backend must be auto, midirenderer or sine, got 'organ'"),
    (score_of([]), {}, "no notes"),
    (score_of([(9999, 1, 60, 80)]), {}, "at most 1800 s can be heard, got 5000 s"),
])  # fmt: skip
def test_what_cannot_be_heard_is_an_error(score: Any, options: Any, message: str) -> None:
    with pytest.raises((ValueError, ScoreError), match=message):
        render_audio(score, **options)


@pytest.mark.parametrize(("samples", "message"), [
    (np.zeros((4, 3), np.float32), r"got \(4, 3\)"),
    (np.array([0.0, np.nan], np.float32), "must be finite"),
])  # fmt: skip
def test_audio_is_checked_on_construction(samples: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Audio(samples, 44100, "sine")


@needs_piano
def test_audio_libraries_are_loaded_when_needed_and_pretty_midi_never() -> None:
    code = (
        "import sys; from symusic import *; from emomusic.music.audio import *\n"
        "print([m for m in ('soundfile', 'midirenderer') if m in sys.modules])\n"
        "s = Score(480); s.tracks.append(Track()); s.tracks[0].notes.append(Note(0, 480, 60, 80))\n"
        "print(render_audio(s).backend, 'pretty_midi' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["[]", "midirenderer", "False"]
