"""How a score is played: notes kept, on their bars, with touch and pedal; the same everywhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import symusic
from helpers.composing import JOY, band, in_file, struck, tune
from helpers.shell import Shell
from midi import score_of, song
from symusic.core import ScoreTick

from emomusic.compose.composer import Composer
from emomusic.compose.derive import continue_clip, vary_clip
from emomusic.compose.parse import ClipSpec, parse_settings_file
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.music.bars import is_written, keeps_time, read_bars
from emomusic.music.score import (
    PEDAL,
    dump_score,
    grid_of,
    notes_of,
    parse_score,
    seconds_at,
    write_score,
)
from emomusic.music.tokenizer import STEPS_PER_BEAT
from emomusic.performance.features import Reading
from emomusic.performance.pianist import default_player
from emomusic.performance.player import perform
from emomusic.performance.rules import Touch, play_by_rules


def again(per_beat: int, tempo: float) -> ScoreTick:
    """Return one key that is struck again and again, and a chord under it, in two tempi."""
    notes = [(at / 4, 0.25, 72, 100) for at in range(64)]
    notes += [(bar * 4.0, 4.0, pitch, 50) for bar in range(4) for pitch in (36, 48, 55 + bar)]
    score: ScoreTick = score_of(notes, tempo=tempo).resample(per_beat, min_dur=1)
    score.tempos.append(symusic.Tempo(8 * per_beat, tempo / 2))
    return score


def swung(top: int, bottom: int) -> ScoreTick:
    notes = [(at / 3, 1 / 3, 60 + at % 12, 40 + at % 5 * 15) for at in range(72)]
    return score_of(notes, signatures=((0, top, bottom),), tempo=70.0)


SCORES = {
    "song": song(1), "waltz": tune(9, beats=3), "band": band(), "triplets": swung(4, 4),
    "6/8": swung(6, 8), "coarse": again(96, 180.0), "odd ticks": again(220, 60.0),
    "fine": again(960, 290.0), "one note": score_of([(3.0, 1.0, 60, 64)]),
    "flat": score_of([(at / 2, 0.5, 60 + at % 9, 80) for at in range(32)]),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("player", [None, play_by_rules])
def test_notes_stay_what_they_are_and_bars_where_they_are(name: str, player: None) -> None:
    written = SCORES[name]
    before, copy = notes_of(written), dump_score(written)
    played = in_file(perform(written, seed=3, emotion=JOY, player=player))
    after = notes_of(played)
    assert dump_score(written) == copy, "the input is left as it was"
    assert sorted(after.pitch.tolist()) == sorted(before.pitch.tolist())
    for pitch in np.unique(before.pitch):
        old, new = (own.where(own.pitch == pitch) for own in (before, after))
        assert np.abs(new.onset - old.onset).max() < 0.25
        assert (new.onset[1:] >= (new.onset + new.duration)[:-1]).all() or name == "band"
    assert abs(after.velocity.mean() - before.velocity.mean()) < 1.0
    if name not in ("flat", "one note"):
        assert abs(after.velocity.std() - before.velocity.std()) < 1.5
        assert after.velocity.std() > 0
    last = grid_of(written, float(before.onset[-1]) + 1e-6)[0][-1:]
    ends_s = [seconds_at(own, np.rint(last * own.ticks_per_quarter).astype(int))
              for own in (written, played)]  # fmt: skip
    assert ends_s[1] == pytest.approx(ends_s[0], rel=1e-4), "it lasts as long"
    signs = [[(s.time / own.ticks_per_quarter, s.numerator, s.denominator)
              for s in own.time_signatures] for own in (written, played)]  # fmt: skip
    assert signs[0] == signs[1]


def test_what_is_played_is_no_score_any_more_but_keeps_to_its_bars() -> None:
    played = notes_of(perform(song(2), seed=1))
    assert not is_written(played) and keeps_time(played)
    assert len(np.unique(played.velocity)) > 30
    starts = played.onset_s[np.abs(played.onset - np.rint(played.onset)) < 0.2]
    assert len(np.unique(starts.round(3))) > len(starts) / 2, "hands do not strike as one"


def test_what_was_played_is_read_as_it_was_written() -> None:
    jig = [(at / 2, 0.5, 60 + at % 11, 70) for at in range(48)]
    for written, step in ((song(2), 3), (score_of(jig, signatures=((0, 6, 8),)), 2)):
        played = in_file(perform(written, seed=1))
        read, own = (read_bars(score, at_end=True) for score in (played, written))
        assert (read.step, own.step) == (step, 1)
        moved = np.rint(read.notes.onset * STEPS_PER_BEAT / step) * step
        assert sorted(moved) == np.rint(own.notes.onset * STEPS_PER_BEAT).tolist()


def test_notes_never_pass_their_neighbours_however_late_they_are() -> None:
    def drunk(reading: Reading, *_: object) -> Touch:
        late = np.random.default_rng(0).normal(0.0, 500.0, len(reading.notes))
        return replace(play_by_rules(reading), late_ms=late)

    written, played = notes_of(song(6)), notes_of(perform(song(6), seed=0, player=drunk))
    assert np.abs(played.onset * 2 - np.rint(played.onset * 2)).max() > 0.4
    eighths = [np.sort(np.rint(own.onset * 2))[:-1].tolist() for own in (written, played)]
    assert eighths[0] == eighths[1]


def test_depth_is_how_far_it_is_from_what_is_written() -> None:
    written = song(3)
    assert dump_score(perform(written, seed=1, depth=0.0)) == dump_score(written)
    onset = notes_of(written).onset
    away = [np.abs(np.sort(notes_of(perform(written, seed=1, depth=own)).onset) - onset).mean()
            for own in (0.25, 0.5, 1.0)]  # fmt: skip
    assert 0 < 1.5 * away[0] < away[1] < away[2] / 1.5


def test_the_same_seed_plays_the_same_on_any_machine() -> None:
    told = []
    for seed in (0, (1, 2, 2**40)):
        score = perform(song(4, n_bars=8), seed=seed, emotion=JOY, chords=[(0, 45)] * 8)
        notes = [(n.time, n.duration, n.pitch, n.velocity) for n in score.tracks[0].notes]
        pedal = [(own.time, own.value) for own in score.tracks[0].controls]
        told.append((notes, pedal, [(own.time, own.mspq) for own in score.tempos]))
    assert hashlib.sha256(repr(told).encode()).hexdigest()[:16] == "6ea58c95a73cae55"


def test_calm_breathes_and_slows_down_at_its_end_more_than_rage_does() -> None:
    def tempi(arousal: float) -> list[float]:
        score = perform(tune(8), seed=5, emotion=Emotion(0.0, arousal))
        return [tempo.qpm for tempo in score.tempos]

    calm, rage = tempi(-0.9), tempi(0.9)
    assert calm[-1] / max(calm) < rage[-1] / max(rage) < 1.0
    assert np.std(calm) > np.std(rage)


def test_the_pedal_changes_with_the_chord_and_is_half_down_where_it_is_low() -> None:
    chords = [(0, 0), (45, 45), (63, 63), (27, 27)] * 2

    def pedal(shift: int) -> list[tuple[int, int]]:
        written = score_of([(at * 0.5, 0.5, 60 + shift + 4 * (at % 3), 60) for at in range(64)])
        score = perform(written, seed=2, emotion=Emotion(-0.5, -0.7), chords=chords)
        return [(own.time, own.value) for own in score.tracks[0].controls if own.number == PEDAL]

    high, low = pedal(0), pedal(-30)
    lifted = np.array([tick for tick, value in high if not value])
    for bar in range(1, 8):
        assert np.abs(lifted - bar * 4 * 480).min() < 240, bar
    assert {value for _, value in high} == {0, 127} and {value for _, value in low} == {0, 80}
    assert [value > 0 for _, value in high] == [True, False] * (len(high) // 2)
    assert high[-1][0] <= 8 * 4 * 480, "it is up at the last bar line"
    twice = perform(perform(band(), seed=1), seed=1)
    assert not any(own.number == PEDAL for own in twice.tracks[0].controls), "a flute has none"


def test_rules_play_where_the_pianist_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("emomusic.performance.pianist.resources.files", lambda _: tmp_path)
    assert default_player.__wrapped__() is play_by_rules


# Clips


def test_a_clip_knows_what_is_written_and_what_is_played(composer: Composer) -> None:
    asked = {"n_bars": 4, "time_signature": "3/4"}
    (plain,) = composer.compose(Request(JOY, **asked), seed=4)
    (clip,) = composer.compose(Request(JOY, performance=1.0, **asked), seed=4)
    assert plain.written is None and plain.sheet is plain.score
    assert dump_score(clip.sheet) == dump_score(plain.score)
    assert (clip.targets, clip.achieved, clip.chords) == (
        plain.targets, plain.achieved, plain.chords
    )  # fmt: skip
    assert dump_score(clip.score) != dump_score(clip.sheet)
    assert clip.verdict == composer.verifier.verdict(notes_of(clip.score))
    file = parse_score(clip.midi)
    assert any(track.pedals for track in file.tracks)
    assert sorted(notes_of(file).velocity) == sorted(notes_of(clip.score).velocity)
    (same,) = composer.compose_all([parse_settings_file(ClipSpec.of(clip).to_json())])
    assert same.midi == clip.midi and same.card()["performance"] == 1.0


def test_what_goes_on_or_varies_reads_what_is_written_and_keeps_what_is_played(
    composer: Composer,
) -> None:
    (plain,) = composer.compose(Request(JOY, n_bars=3), seed=5)
    (clip,) = composer.compose(Request(JOY, n_bars=3, performance=1.0), seed=5)
    (longer,), (as_written,) = (
        composer.compose(continue_clip(own, 2), seed=6) for own in (clip, plain)
    )
    assert struck(longer.sheet) == struck(as_written.sheet)
    first = [(n.time, n.pitch, n.velocity) for t in parse_score(clip.midi).tracks for n in t.notes]
    kept = {(n.time, n.pitch, n.velocity) for t in longer.score.tracks for n in t.notes}
    assert {*first} <= kept and longer.n_bars == 5
    assert longer.verdict == composer.verifier.verdict(notes_of(longer.score))
    join = 3 * 4 * longer.score.ticks_per_quarter
    assert any(pedal.time > join for track in longer.score.tracks for pedal in track.pedals)
    (same,) = composer.compose_all([parse_settings_file(ClipSpec.of(longer).to_json())])
    assert same.midi == longer.midi
    (other,), (plainly,) = (
        composer.compose(vary_clip(own, take=1), seed=7) for own in (clip, plain)
    )
    assert struck(other.sheet) == struck(plainly.sheet)


# The command line


def test_a_file_on_a_grid_is_performed_once_and_nothing_is_overwritten(
    shell: Shell, tmp_path: Path
) -> None:
    written, out = tmp_path / "written.mid", tmp_path / "played.mid"
    write_score(tune(8), written)
    assert shell("perform", written, "--emotion", "calm", "--out", out).status == 0
    first = out.read_bytes()
    assert "is there already" in shell.refused("perform", written, "--out", out)
    assert "played already" in shell.refused("perform", out, "--out", tmp_path / "b.mid")
    assert "unknown emotion" in shell.refused(
        "perform", written, "--emotion", "calmm", "--out", tmp_path / "b.mid"
    )
    assert "none.mid" in shell.refused("perform", tmp_path / "none.mid", "--out", "b")
    assert "performance" in shell.refused("perform", written, "--performance", 2, "--out", out)
    assert out.read_bytes() == first and not (tmp_path / "b.mid").exists()
    assert shell("perform", written, "--seed", 1, "--out", out, "--overwrite").status == 0
    assert out.read_bytes() != first
    again = ("perform", written, "--emotion", "calm", "--out", out, "--overwrite")
    assert shell(*again).status == 0 and out.read_bytes() == first
