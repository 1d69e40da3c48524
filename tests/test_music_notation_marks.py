"""Marks: tempo and dynamics, sparingly, clefs and octaves against ledger lines."""

from __future__ import annotations

import symusic
from midi import TPQ, score_of
from symusic.core import ScoreTick

from emomusic.music.notation.grid import bars_of
from emomusic.music.notation.marks import Place, dynamic_marks, places_of, tempo_marks
from emomusic.music.notation.rhythm import Sign
from emomusic.music.score import notes_of


def steady(
    *, tempos: dict[int, float] | None = None, velocities: list[int] | None = None, n_bars: int = 8
) -> ScoreTick:
    """Return a score with four quarter notes a bar; tempos by beat, velocities by bar."""
    loud = velocities or [70] * n_bars
    score = score_of([(beat, 1.0, 60, loud[beat // 4]) for beat in range(4 * n_bars)])
    score.tempos = [symusic.Tempo(beat * TPQ, t) for beat, t in (tempos or {0: 120.0}).items()]
    return score


def tempos_of(score: ScoreTick) -> dict[int, int]:
    marks = tempo_marks(score, bars_of(score, notes_of(score)))
    return {bar: round(tempo) for bar, tempo in marks.items()}


def dynamics_of(velocities: list[int]) -> dict[int, str]:
    score = steady(velocities=velocities)
    return dynamic_marks(notes_of(score), bars_of(score, notes_of(score)))


def test_one_tempo_is_one_mark() -> None:
    assert tempos_of(steady(tempos={0: 97.0})) == {0: 97}


def test_a_new_tempo_is_marked_a_small_or_short_one_is_not() -> None:
    assert tempos_of(steady(tempos={0: 100.0, 16: 80.0})) == {0: 100, 4: 80}
    assert tempos_of(steady(tempos={0: 100.0, 16: 103.0})) == {0: 100}
    assert tempos_of(steady(tempos={0: 100.0, 16: 80.0, 20: 100.0})) == {0: 100}
    assert tempos_of(steady(tempos={0: 100.0, 28: 60.0})) == {0: 100, 7: 60}


def test_steady_loudness_is_one_mark() -> None:
    assert dynamics_of([70] * 8) == {0: "mf"}
    assert dynamics_of([26, 30, 26, 32, 26, 30, 26, 26]) == {0: "pp"}


def test_dynamics_are_marked_where_the_level_changes_and_stays() -> None:
    assert dynamics_of([40] * 4 + [90] * 4) == {0: "p", 4: "f"}
    assert dynamics_of([70, 70, 70, 110, 70, 70, 70, 70]) == {0: "mf"}
    assert dynamics_of([78, 82, 78, 82, 78, 82, 78, 82]) in ({0: "mf"}, {0: "f"})


def signs(*bars: list[int], tied: bool = False) -> list[list[Sign]]:
    return [
        [Sign(12 * i, 12, "quarter", 0, (pitch,), tied and i == 0) for i, pitch in enumerate(bar)]
        for bar in bars
    ]


def test_usual_pitches_keep_the_usual_clefs() -> None:
    assert {p for bar in places_of(signs([60, 72, 81, 84]), is_right=True) for p in bar} == {
        Place("treble")
    }
    assert {p for bar in places_of(signs([40, 48, 57, 62]), is_right=False) for p in bar} == {
        Place("bass")
    }


def test_a_hand_that_moves_away_for_long_changes_its_clef_and_comes_back() -> None:
    low, high = [45, 48, 52, 48], [72, 76, 79, 76]
    places = places_of(signs(low, low, high, high, high, low, low), is_right=False)
    assert [bar[0].clef for bar in places] == [*["bass"] * 2, *["treble"] * 3, *["bass"] * 2]
    places = places_of(signs(low, [45, 65, 45, 48], low), is_right=False)
    assert {place.clef for bar in places for place in bar} == {"bass"}


def test_very_high_and_very_low_passages_are_written_an_octave_nearer() -> None:
    high = places_of(signs([96, 98, 100, 96], [96, 98, 100, 96]), is_right=True)
    low = places_of(signs([24, 26, 24, 28], [24, 26, 24, 28]), is_right=False)
    assert high[0][0] == Place("treble", 1) and low[0][0] == Place("bass", -1)


def test_nothing_changes_under_a_tie() -> None:
    bars = [*signs([72] * 4, [72] * 4), *signs([100] * 4, [100] * 4, tied=True)]
    before, after = (places_of(bars, is_right=True)[i] for i in (1, 2))
    assert before[-1] == after[0]


def test_bars_of_rests_have_places_too() -> None:
    rests = [[Sign(0, 48, "", 0, ())]] * 3
    assert places_of(rests, is_right=False) == [[Place("bass")]] * 3
