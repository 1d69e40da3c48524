"""Sound of a score: pitch, touch, pedal, length, loudness, sameness, and whole files only."""

import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from midi import TPQ, notes_at, score_of
from symusic import ControlChange, Note, Pedal, Tempo, Track
from symusic.core import ScoreTick

from emomusic.music.audio import (
    PEAK,
    SOUNDFONT_VARIABLE,
    Audio,
    levelled,
    loudness_of,
    render_audio,
    true_peak,
)
from emomusic.music.grand import FOLDER, RATE, Grand
from emomusic.music.score import ScoreError, dampers_s, notes_of

A4 = score_of([(0, 4, 69, 90)])
FONT = "pretty_midi/TimGM6mb.sf2"


def rms_of(sound: Audio, start_s: float, end_s: float) -> float:
    part = sound.samples[int(start_s * sound.sample_rate) : int(end_s * sound.sample_rate)]
    return float(np.sqrt(np.mean(part.astype(np.float64) ** 2)))


def partial_of(sound: Any, wanted: float) -> float:
    """Return how far a partial, of all its strings, lies from where it is wanted, in cents."""
    n = 2**19
    window = np.hanning(2 * sound.shape[1])[sound.shape[1] :]
    spectrum = np.abs(np.fft.rfft(sound * window, n)).sum(axis=0)
    low, high = (round(wanted * 2 ** (cents / 1200) * n / RATE) for cents in (-40, 40))
    at = low + int(np.argmax(spectrum[low:high]))
    near = np.arange(round(at / 1.006), round(at * 1.006))  # three strings are never quite one
    return 1200 * math.log2(np.average(near, weights=spectrum[near] ** 2) * RATE / n / wanted)


def played(*struck: tuple[float, ...], length_s: float) -> Any:
    """Return what the grand plays of (onset, duration, pitch, velocity), in seconds; (2, n)."""
    notes = notes_at(*struck, tempo=60.0)
    return Grand().play(notes, notes.onset_s + notes.duration_s, length_s=length_s)


# The grand


def test_every_key_is_within_five_cents() -> None:
    keys = np.arange(21, 109)
    lengths_s = np.where(keys < 48, 3.0, 1.0)
    starts_s = np.cumsum(1.7 * lengths_s)
    notes = zip(starts_s, lengths_s + 0.1, keys, np.full(88, 80), strict=True)
    sound = played(*notes, length_s=starts_s[-1] + 2)
    for key, start_s, length_s in zip(keys, starts_s, lengths_s, strict=True):
        part = sound[:, int((start_s + 0.06) * RATE) : int((start_s + length_s) * RATE)]
        partial = 2 if key < 50 else 1  # the lowest strings hardly sound their first
        assert abs(partial_of(part, partial * 440 * 2 ** ((key - 69) / 12))) < 5, key


@pytest.mark.parametrize("key", [23, 44, 60, 77, 100])
def test_each_velocity_is_louder_than_the_one_before(key: int) -> None:
    notes = [(float(v), 0.5, key, v) for v in range(1, 128)]
    sound = played(*notes, length_s=128.0).reshape(2, 128, RATE)[:, 1:, : RATE // 2]
    levels = 10 * np.log10(np.mean(sound**2, axis=(0, 2)))
    assert (np.diff(levels) > 0).all() and np.diff(levels)[20:].max() < 1.0
    brightness = [np.abs(np.diff(s)).mean() / np.abs(s).mean() for s in sound[0, [20, 60, 120]]]
    assert brightness == sorted(brightness)


def test_dampers_fall_with_key_and_pedal_and_when_the_key_is_struck_again() -> None:
    one = [(0, 1, 60, 64)]
    for struck, pedal, fall_s in (  # beats; (beat, value); seconds at two beats a second
        (one, [], [0.5]),
        (one, [(0.5, 127), (3, 0)], [1.5]),
        (one, [(0.5, 63), (3, 0)], [0.5]),  # not down far enough
        (one, [(0.5, 64)], [math.inf]),
        (one, [(0.5, 127), (1, 0), (1, 127), (2, 0)], [1.0]),  # changed as the key goes up
        (one, [(0.25, 127), (0.75, 0)], [0.5]),
        (one, [(2, 127), (3, 0)], [0.5]),
        ([*one, (2, 1, 60, 64), (2, 1, 64, 64)], [(0, 127), (8, 0)], [1.0, 4.0, 4.0]),
    ):
        score = score_of(struck)
        score.tracks.append(Track())  # the pedal may lie in another track: there is one piano
        score.tracks[-1].notes.append(Note(20 * TPQ, TPQ, 40, 64))
        for beat, value in pedal:
            score.tracks[-1].controls.append(ControlChange(round(beat * TPQ), 64, value))
        until_s = dampers_s(score, notes_of(score))
        assert until_s[: len(fall_s)].tolist() == pytest.approx(fall_s), pedal


def test_what_is_let_go_falls_silent_but_for_the_highest_strings() -> None:
    low, high = (played((0, 0.3, key, 90), length_s=4.0) for key in (45, 96))
    held = played((0, 4, 45, 90), length_s=4.0)
    power = [float(np.mean(s[:, int(1.5 * RATE) : 2 * RATE] ** 2)) for s in (low, held)]
    assert power[0] < 1e-3 * power[1]
    np.testing.assert_array_equal(high, played((0, 4, 96, 90), length_s=4.0))


def test_notes_ring_in_the_tail_under_the_pedal_and_end_in_silence() -> None:
    controls, pedals = A4.copy(), A4.copy()
    controls.tracks[0].controls.append(ControlChange(0, 64, 127))
    pedals.tracks[0].pedals.append(Pedal(0, 40 * TPQ))
    before = pedals.copy()
    dry, held, pedal = (rms_of(render_audio(s), 3.1, 3.5) for s in (A4, controls, pedals))
    assert held > 5 * dry and pedal == held
    assert pedals == before  # the score is left as it was
    assert np.abs(render_audio(controls, tail_s=0.5).samples[-10:]).max() < 1e-4


def test_samples_that_are_missing_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^the samples of the piano are not in .*gone$"):
        Grand(tmp_path / "gone")
    table = Grand().table
    assert {path.name for path in FOLDER.iterdir()} == {
        "README.md", "piano.json", "room.ogg",
        *(f"{root}-{layer}.ogg" for root in table["keys"] for layer in range(4)),
    }  # fmt: skip


# The length, and the loudness

SLOWING = score_of([(0, 4, 60, 80)], tempo=240)  # 0.25 s, then 2 s a beat: so is the tail
SLOWING.tempos.append(Tempo(2 * TPQ, 30))
TRAILING = A4.copy()  # two seconds of notes, and events long after the last
TRAILING.tempos.append(Tempo(100 * TPQ, 1))
TRAILING.tracks[0].controls.append(ControlChange(10_000 * TPQ, 64, 0))


def test_sound_lasts_as_long_as_the_notes_and_the_tail() -> None:
    for score, tail_s, length_s in ((SLOWING, 0.25, 4.75), (SLOWING, 2.0, 6.5), (TRAILING, 2, 4)):
        assert render_audio(score, tail_s=tail_s).duration_s == pytest.approx(length_s, abs=1e-3)


def sine(seconds: float, dbfs: float, *, hertz: float = 997.0, rate: int = 48_000) -> Any:
    wave = 10 ** (dbfs / 20) * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return wave.astype(np.float32)


def test_loudness_and_true_peak_are_those_of_the_standard() -> None:
    for rate in (44_100, 48_000):  # BS.1770: a full sine of 997 Hz in one channel
        assert loudness_of(sine(5, 0, rate=rate), rate) == pytest.approx(-3.01, abs=0.02)
    both = np.stack([np.concatenate([sine(10, -36), sine(60, -23), sine(10, -36)])] * 2, axis=1)
    assert loudness_of(both, 48_000) == pytest.approx(-23.0, abs=0.1)  # EBU Tech 3341, case 3
    assert loudness_of(np.zeros((9_999, 2), np.float32), 8_000) == -math.inf
    between = np.sin(np.pi / 2 * np.arange(20_000) + np.pi / 4).astype(np.float32)
    assert np.abs(between).max() < 0.71 and true_peak(between) == pytest.approx(1.0, abs=0.01)


def test_soft_and_loud_pieces_are_levelled_and_their_peaks_are_bounded() -> None:
    chords = [(beat, 1.5, key, 0) for beat in range(8) for key in (36, 48, 55, 64, 72)]
    for velocity in (12, 64, 127):
        for sample_rate in (None, 48_000):
            score = score_of([(*note[:3], velocity) for note in chords])
            sound = render_audio(score, sample_rate=sample_rate)
            assert sound.sample_rate == (sample_rate or RATE)
            loudness = loudness_of(sound.samples, sound.sample_rate)
            assert loudness == pytest.approx(-16, abs=0.5), velocity
            assert true_peak(sound.samples) <= PEAK
    sound = render_audio(score_of([(0, 1, 60, 100), (4, 1, 60, 40)]))
    assert rms_of(sound, 2.0, 2.5) < 0.5 * rms_of(sound, 0.0, 0.5)  # soft stays softer
    click = np.zeros((RATE, 2), np.float32)
    click[RATE // 2] = 0.3
    assert 0.5 < true_peak(levelled(click, RATE)) <= PEAK
    assert not levelled(0 * click, RATE).any()


def test_drums_are_left_out() -> None:
    score = A4.copy()
    drums = Track(is_drum=True)
    drums.notes.append(Note(0, 20 * TPQ, 38, 127))
    score.tracks.append(drums)
    np.testing.assert_array_equal(render_audio(score).samples, render_audio(A4).samples)


# Files, soundfonts, and what cannot be heard


@pytest.mark.parametrize(("name", "format_", "subtype"), [
    ("a.wav", "WAV", "PCM_16"), ("a.flac", "FLAC", "PCM_16"), ("a.MP3", "MP3", "MPEG_LAYER_III"),
])  # fmt: skip
def test_suffix_chooses_the_format_and_the_same_score_is_the_same_bytes(
    tmp_path: Path, name: str, format_: str, subtype: str
) -> None:
    sound = render_audio(A4)
    sound.write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == render_audio(A4).encode(Path(name).suffix.lower())
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.samplerate) == (format_, subtype, RATE)
    assert info.frames == len(sound.samples) and info.channels == 2
    samples, rate = soundfile.read(tmp_path / name, dtype="float32")
    assert rms_of(Audio(samples, rate, "grand"), 0, 2) == pytest.approx(
        rms_of(sound, 0, 2), rel=0.02
    )


def test_a_soundfont_that_is_named_is_played_levelled_or_it_is_told_why_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SOUNDFONT_VARIABLE, "/nowhere/a.sf2")
    with pytest.raises(ValueError, match=r"the soundfont /nowhere/a\.sf2 cannot be played"):
        render_audio(A4)
    font = next((Path(p, FONT) for p in sys.path if Path(p, FONT).is_file()), None)
    if find_spec("midirenderer") is None or font is None:
        pytest.skip("midirenderer has no wheel for this platform")
    monkeypatch.setenv(SOUNDFONT_VARIABLE, str(font))
    sound = render_audio(A4, sample_rate=22_050)
    assert (sound.backend, sound.duration_s) == ("midirenderer", pytest.approx(4.0, abs=1e-3))
    assert loudness_of(sound.samples, 22_050) == pytest.approx(-16, abs=0.5)


def test_what_cannot_be_heard_or_written_is_an_error(tmp_path: Path) -> None:
    cases: list[tuple[ScoreTick, dict[str, Any], str]] = [
        (A4, {"sample_rate": 44000}, "sample_rate must be one of 8000, .*, got 44000"),
        (A4, {"tail_s": -1.0}, r"tail_s must be in \[0, 60\] seconds, got -1.0"),
        (score_of([]), {}, "no notes"),
        (score_of([(9999, 1, 60, 80)]), {}, "at most 1800 s can be heard, got 5000 s"),
    ]
    for score, options, message in cases:
        with pytest.raises((ValueError, ScoreError), match=message):
            render_audio(score, **options)
    for samples, words in ((np.zeros((4, 3)), r"got \(4, 3\)"), (np.array([np.nan]), "be finite")):
        with pytest.raises(ValueError, match=words):
            Audio(samples.astype(np.float32), 44100, "grand")
    for name in ("clip.ogg", "clip.mp3.txt", ".wav"):
        with pytest.raises(
            ValueError, match=r"must end in \.wav or \.flac or \.mp3, got .*" + name
        ):
            render_audio(A4).write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_audio_libraries_are_loaded_when_needed() -> None:
    code = (
        "import sys; from symusic import *; from emomusic.music.audio import *\n"
        "print('soundfile' in sys.modules)\n"
        "s = Score(480); s.tracks.append(Track()); s.tracks[0].notes.append(Note(0, 480, 60, 80))\n"
        "print(render_audio(s).backend, 'midirenderer' in sys.modules, 'scipy' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "grand", "False", "False"]
