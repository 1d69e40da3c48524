from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.composing import curve_of, given, struck, tune
from synthetic import make_mapper, make_verifier

from emomusic.compose.generate import ClipBuilder, PartialClip
from emomusic.compose.plan import plan_clip
from emomusic.compose.primer import read_primer
from emomusic.compose.request import VARY, Request
from emomusic.compose.token_plan import BarPlan, TokenPlan, clip_grammar, to_script
from emomusic.emotion import Emotion
from emomusic.music.attributes import ATTRIBUTE_NAMES, measure, passage_of
from emomusic.music.score import notes_of, seconds_at
from emomusic.music.tokenizer import STEPS_PER_BEAT, Tokenizer

JOY = Emotion(0.8, 0.6, "joy")
TOKENIZER = Tokenizer()
VOCABULARY = TOKENIZER.vocabulary
GRAMMAR = clip_grammar(VOCABULARY)
BUILDER = ClipBuilder(TOKENIZER, make_verifier(), "name")
CURVE = curve_of((0, -0.6, -0.6), (4, 0.6, 0.6))


def bar(step: int, pitch: int) -> list[int]:
    words = f"ChordA_0:maj ChordB_7:7 Position_{step} Pitch_{pitch} Velocity_63 Duration_1.0.12"
    return [VOCABULARY.id_of(word) for word in words.split()]


BARS = [bar(0, 60), bar(12, 62), bar(24, 64), bar(6, 65)]


def partial(n_written: int, emotion: Emotion | None = JOY, **asked: Any) -> PartialClip:
    """Return a partial of four bars, of which some are written."""
    request = Request(emotion, **{"n_bars": 4, "tonic": 0, **asked})
    primer = None if request.given is None else read_primer(request.given.score, TOKENIZER)
    plan = plan_clip(request, make_mapper(), seed=1, index=2, primer=primer)
    tokens = TokenPlan(
        (), (BarPlan(),) * plan.n_bars, plan.request.beats_per_bar, n_kept=request.n_kept
    )
    script = to_script(tokens, VOCABULARY, GRAMMAR, context=2048)
    return PartialClip(plan, script, BARS[:n_written], seed=1)


def test_a_sketch_tells_how_much_of_it_there_is() -> None:
    assert [partial(n).n_written for n in (0, 1, 4)] == [0, 1, 4]
    assert [partial(n).is_whole for n in (0, 3, 4)] == [False, False, True]
    assert partial(3, n_kept=3).is_whole and not partial(2, n_kept=3).is_whole


@pytest.mark.parametrize(("tonic", "shift"), [(0, 0), (2, 2), (6, -6), (11, -1)])
def test_what_is_written_in_c_sounds_in_its_key(tonic: int, shift: int) -> None:
    found = struck(BUILDER.written(partial(4, tonic=tonic)))
    assert found == [(0.0, 60 + shift), (5.0, 62 + shift), (10.0, 64 + shift), (12.5, 65 + shift)]


def test_a_part_sounds_as_it_will_in_the_whole() -> None:
    for asked in ({}, {"curve": CURVE}):
        whole = notes_of(BUILDER.written(partial(4, **asked)))
        for n in (1, 2, 3):
            part = notes_of(BUILDER.written(partial(n, **asked)))
            assert part.pitch.tolist() == whole.pitch.tolist()[:n]
            np.testing.assert_array_equal(part.onset_s, whole.onset_s[:n])
            np.testing.assert_array_equal(part.duration_s, whole.duration_s[:n])


def test_one_tempo_is_written_once() -> None:
    for asked in ({}, {"curve": CURVE, "tempo": 80.0}, {"curve": curve_of((0, 0.3, 0.3))}):
        score = BUILDER.written(partial(4, **asked))
        assert len(score.tempos) == 1 and score.tempos[0].time == 0


@pytest.mark.parametrize("beats", [2, 3, 4])
def test_bars_last_as_their_tempi_say(beats: int) -> None:
    own = partial(4, curve=CURVE, beats_per_bar=beats)
    score = BUILDER.written(own)
    ticks = beats * STEPS_PER_BEAT
    assert [t.time for t in score.tempos] == [0, ticks, 2 * ticks, 3 * ticks]
    lasts = np.diff(seconds_at(score, np.arange(5) * ticks))
    np.testing.assert_allclose(lasts, 60 * beats / np.array(own.plan.tempi), rtol=1e-4)
    assert len(set(own.plan.tempi)) == 4


def test_equal_tempi_in_a_row_are_written_once() -> None:
    own = partial(4, curve=curve_of((2, -0.6, -0.6), (4, 0.6, 0.6)))
    tempi = own.plan.tempi
    assert tempi[0] == tempi[1] != tempi[2] != tempi[3]
    assert [t.time for t in BUILDER.written(own).tempos] == [0, 96, 144]


def test_a_clip_says_what_was_asked_and_what_is_there() -> None:
    clip = BUILDER.clip(partial(4))
    assert (clip.index, clip.seed, clip.checkpoint) == (2, 1, "name")
    assert (clip.n_bars, clip.n_given) == (4, 0) and clip.request.n_kept is None
    assert tuple(clip.achieved) == tuple(clip.targets) == ATTRIBUTE_NAMES
    notes = notes_of(clip.score)
    assert clip.achieved == measure(passage_of(notes, n_beats=16.0, tempo=clip.tempo))
    assert clip.verdict == BUILDER.verifier.verdict(notes)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_clip_of_a_part_says_after_how_many_bars_it_stopped(n: int) -> None:
    own = partial(n, curve=CURVE)
    clip = BUILDER.clip(own)
    assert (clip.n_bars, clip.request.n_kept, clip.request.n_bars) == (n, n, 4)
    assert clip.targets == own.plan.targets and clip.tempo == own.plan.tempo_until(n)
    assert tuple(clip.achieved) == ATTRIBUTE_NAMES


def test_a_clip_that_was_to_stop_there_says_so_too() -> None:
    assert BUILDER.clip(partial(3, n_kept=3)).request.n_kept == 3
    assert BUILDER.clip(partial(2, n_kept=3)).request.n_kept == 2


@pytest.mark.parametrize(("tonic", "told"), [(0, "C,G7"), (9, "A,E7"), (6, "Gb,Db7")])
def test_a_clip_says_the_chords_that_its_bars_were_written_to(tonic: int, told: str) -> None:
    assert BUILDER.clip(partial(2, tonic=tonic)).chords == f"{told} {told}"
    asked = BUILDER.clip(partial(3, tonic=tonic, chords="Am F"))
    assert asked.chords == asked.card()["chords"] == "Am F Am"


def test_where_chords_are_given_the_mode_is_that_which_sounds_on_the_tonic() -> None:
    third = [VOCABULARY.id_of(f"Pitch_{pitch}") for pitch in (63, 64)]
    for is_major in (False, True):
        own = partial(2, chords="C")
        notes = [third[is_major] if token in third else token for token in bar(0, 64)]
        clip = BUILDER.clip(replace(own, segments=[notes, bar(0, 60)]))
        assert clip.key == f"C {'major' if is_major else 'minor'}"


def test_the_mode_is_that_aimed_at_or_else_heard() -> None:
    assert BUILDER.clip(partial(4, is_major=True)).key == "C major"
    assert BUILDER.clip(partial(4, is_major=False)).key == "C minor"
    free = BUILDER.clip(partial(4, None))
    assert free.key == f"C {'major' if free.achieved['mode'] >= 0 else 'minor'}"


def test_what_was_given_comes_first_in_the_score_but_is_not_measured() -> None:
    music = given(tune(3))
    own = partial(4, given=music)
    assert struck(BUILDER.score(own), 0.0, 12.0) == struck(music.score)
    assert struck(BUILDER.score(own), 12.0) == struck(BUILDER.written(own))
    clip = BUILDER.clip(own)
    alone = notes_of(BUILDER.written(own))
    assert (clip.n_bars, clip.n_given) == (7, 3)
    assert clip.achieved == measure(passage_of(alone, n_beats=16.0, tempo=clip.tempo))
    assert clip.verdict == BUILDER.verifier.verdict(notes_of(clip.score))


def test_what_is_varied_is_left_out() -> None:
    clip = BUILDER.clip(partial(4, given=given(tune(3), VARY)))
    assert (clip.n_bars, clip.n_given) == (4, 0) and len(notes_of(clip.score)) == 4
