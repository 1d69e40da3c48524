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


SLOWING = score_of([(0, 4, 60, 80)], tempo=240)  # 0.25 s, then 2 s a beat: so is the tail
SLOWING.tempos.append(Tempo(2 * TPQ, 30))
TRAILING = A4.copy()  # two seconds of notes, and events long after the last
TRAILING.tempos.append(Tempo(100 * TPQ, 1))
TRAILING.tracks[0].controls.append(ControlChange(10_000 * TPQ, 64, 0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_sound_lasts_as_long_as_the_notes_and_the_tail(backend: Any) -> None:
    for score, tail_s, length_s in ((SLOWING, 0.25, 4.75), (SLOWING, 2.0, 6.5), (TRAILING, 2, 4)):
        sound = render_audio(score, backend=backend, tail_s=tail_s)
        assert sound.duration_s == pytest.approx(length_s, abs=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_peak_is_one_decibel_below_full_scale_and_soft_is_softer(backend: Any) -> None:
    for velocity in (20, 127):
        sound = render_audio(score_of([(0, 2, 60, velocity)]), backend=backend)
        assert np.abs(sound.samples).max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)
        assert sound.samples.dtype == np.float32
    sound = render_audio(score_of([(0, 1, 60, 100), (4, 1, 60, 40)]), backend=backend)
    assert rms_of(sound, 2.0, 2.5) < 0.5 * rms_of(sound, 0.0, 0.5)


@needs_piano
def test_notes_ring_in_the_tail_under_the_pedal_and_end_in_silence() -> None:
    controls, pedals = A4.copy(), A4.copy()
    controls.tracks[0].controls.append(ControlChange(0, 64, 127))
    pedals.tracks[0].pedals.append(Pedal(0, 40 * TPQ))
    before = pedals.copy()
    dry, held, pedal = (rms_of(render_audio(s), 3.1, 3.5) for s in (A4, controls, pedals))
    assert held > 20 * dry and pedal == pytest.approx(held)
    assert pedals == before  # the score is left as it was
    assert np.abs(render_audio(controls, tail_s=0.5).samples[-10:]).max() < 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
def test_drums_are_left_out(backend: Any) -> None:
    score = A4.copy()
    drums = Track(is_drum=True)
    drums.notes.append(Note(0, 20 * TPQ, 38, 127))
    score.tracks.append(drums)
    expected = render_audio(A4, backend=backend)
    np.testing.assert_array_equal(render_audio(score, backend=backend).samples, expected.samples)


@pytest.mark.parametrize(("name", "format_", "subtype"), [
    ("a.wav", "WAV", "PCM_16"), ("a.flac", "FLAC", "PCM_16"), ("a.MP3", "MP3", "MPEG_LAYER_III"),
])  # fmt: skip
def test_suffix_chooses_the_format_and_the_same_score_is_the_same_bytes(
    tmp_path: Path, name: str, format_: str, subtype: str
) -> None:
    sound = render_audio(A4, sample_rate=44100)
    sound.write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == render_audio(A4, sample_rate=44100).encode(
        Path(name).suffix.lower()
    )
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.samplerate) == (format_, subtype, 44100)
    assert info.frames == len(sound.samples)
    samples, rate = soundfile.read(tmp_path / name, dtype="float32")
    read_back = Audio(samples, rate, sound.backend)
    assert frequency_of(read_back) == pytest.approx(440, abs=3)
    assert rms_of(read_back, 0, 2) == pytest.approx(rms_of(sound, 0, 2), rel=0.02)


def test_sines_stand_in_with_a_warning_unless_the_piano_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "midirenderer", None)
    with pytest.warns(UserWarning, match="made of sines, not of a piano") as caught:
        sound = render_audio(A4)
    assert (sound.backend, sound.sample_rate) == ("sine", 44100)
    assert frequency_of(sound) == pytest.approx(440, abs=3)
    assert caught[0].filename == __file__
    with pytest.raises(RuntimeError, match="midirenderer cannot play"):
        render_audio(A4, backend="midirenderer")


def test_a_soundfont_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    audio._soundfont.cache_clear()
    monkeypatch.setattr(audio.importlib.util, "find_spec", lambda name: None)
    fake = type(sys)("midirenderer")
    monkeypatch.setitem(sys.modules, "midirenderer", fake)
    fake.render_wave_from = lambda font, midi: b""  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match=r"TimGM6mb\.sf2 is part of pretty_midi"):
        assert render_audio(A4).backend == "sine"
    monkeypatch.setenv(audio.SOUNDFONT_VARIABLE, "/nowhere/a.sf2")
    with pytest.raises(ValueError, match=r"the soundfont /nowhere/a\.sf2 cannot be played"):
        render_audio(A4)


def test_what_cannot_be_heard_or_written_is_an_error(tmp_path: Path) -> None:
    cases: list[tuple[ScoreTick, dict[str, Any], str]] = [
        (A4, {"sample_rate": 44000}, "sample_rate must be one of 8000, .*, got 44000"),
        (A4, {"tail_s": -1.0}, r"tail_s must be in \[0, 60\] seconds, got -1.0"),
        (A4, {"backend": "organ"}, "backend must be auto, midirenderer or sine, got 'organ'"),
        (score_of([]), {}, "no notes"),
        (score_of([(9999, 1, 60, 80)]), {}, "at most 1800 s can be heard, got 5000 s"),
    ]
    for score, options, message in cases:
        with pytest.raises((ValueError, ScoreError), match=message):
            render_audio(score, **options)
    for samples, words in ((np.zeros((4, 3)), r"got \(4, 3\)"), (np.array([np.nan]), "be finite")):
        with pytest.raises(ValueError, match=words):
            Audio(samples.astype(np.float32), 44100, "sine")
    for name in ("clip.ogg", "clip.mp3.txt", ".wav"):
        with pytest.raises(
            ValueError, match=r"must end in \.wav or \.flac or \.mp3, got .*" + name
        ):
            render_audio(A4, backend="sine").write(tmp_path / name)
    assert not list(tmp_path.iterdir())


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
