from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.evaluation import Note, piece_of, row, walks, with_quadrants

from emomusic.evaluation.quality import Piece
from emomusic.evaluation.rows import Row
from emomusic.evaluation.structure import (
    BESIDE,
    STYLE,
    Grid,
    Measured,
    alone_rows,
    bar_similarity,
    bars_return,
    features_of,
    rate_rows,
    tell_apart,
)

C, F, G = (48, 52, 55), (41, 45, 48), (43, 47, 50)


def song(*, n_bars: int = 8, figure: tuple[float, ...] = (0, 1, 2, 3), group: str = "a") -> Piece:
    """Return a broken chord a bar in the left hand, below a motif of four notes in the right."""
    notes: list[Note] = []
    for bar in range(n_bars):
        chord = (C, F, G, C)[bar % 4]
        notes += [(4 * bar + at, 1, chord[i % 3], 60) for i, at in enumerate(figure)]
        notes += [(4 * bar + i, 1, pitch, 70) for i, pitch in enumerate((76, 77, 79, 84))]
    return piece_of(notes, n_bars=n_bars, group=group)


def changed(piece: Piece, **columns: object) -> Piece:
    own = {name: getattr(piece.notes, name) for name in ("onset", "duration", "pitch", "velocity")}
    rows = zip(*(own | columns).values(), strict=True)
    notes = [(float(o), float(d), int(p), int(v)) for o, d, p, v in rows]
    return piece_of(notes, n_bars=piece.n_bars, group=piece.group)


def bars(*onsets_and_pitches: tuple[tuple[float, float, int], ...]) -> list[Note]:
    """Return notes, onset, length and pitch, of eight bars that take turns."""
    n = len(onsets_and_pitches)
    return [(4.0 * bar + at, length, pitch, 60) for bar in range(8)
            for at, length, pitch in onsets_and_pitches[bar % n]]  # fmt: skip


CHORDS = [
    note
    for bar, chord in enumerate((C, F, G, C) * 2)
    for note in [*((4 * bar, 4, pitch, 60) for pitch in chord),
                 *((4 * bar + at, 1, chord[0] + 36, 60) for at in range(4))]
]  # fmt: skip
LATE_BASS = [
    (onset + 0.5 * (pitch in (48, 41, 43) and length == 4), length, pitch, velocity)
    for onset, length, pitch, velocity in CHORDS
]


@pytest.mark.parametrize(
    ("piece", "values"),
    [
        (song(), {
            "left_rhythm_lag_1": 1, "left_rhythm_same": 1, "left_on_first_beat": 1,
            "left_at_change": 1, "hands_together": 1, "on_beats": 1, "voices_same": 1,
            "theme_returns": 1, "similarity_lag_4": 1, "returning_bars": 1, "chords_lag_4": 1,
            "left_repeats": 1 / 7,  # the fourth bar and the fifth are C
            "left_figure": 1,  # every chord is major, in root position
            "melody_steps": 16 / 31,  # 76 77 79, and no step from 79 to 84
            "melody_range": 8, "melody_repeats": 0, "wide_spans": 0, "last_bars_off": 0,
            "halves_fill": 0, "off_eighths": 0,
            # of 29 motifs, the four of the first bar's notes are new
            "motif_returns": 25 / 29, "interval_motif_returns": 25 / 29,
        }),
        (piece_of(CHORDS, n_bars=8), {
            "bass_at_change": 1, "bass_is_root": 1, "change_on_bar": 1, "chord_changes": 6 / 15,
            "chord_tones": 1, "strong_tones": 1, "in_scale": 1,
        }),
        (piece_of(LATE_BASS, n_bars=8), {"bass_at_change": 0}),
        # the first bar's motifs come too soon
        (piece_of([(float(at), 1.0, 76, 60) for at in range(32)], n_bars=8),
         {"motif_returns": 25 / 29}),
        (piece_of(bars(((0, 1, 40), (2, 1, 40)), ((0, 1, 40), (3, 1, 40))), n_bars=8),
         {"left_rhythm_lag_1": 0.5, "left_rhythm_lag_2": 1, "left_rhythm_same": 0}),
        (piece_of(bars(((0, 4, 36), (0.5, 4, 52), (0, 4, 84))), n_bars=8), {"wide_spans": 1 / 3}),
        (piece_of(bars(((0, 4, 36), (1.5, 4, 52), (0, 4, 84))), n_bars=8),
         {"wide_spans": 0}),  # not within a beat
        (piece_of(bars(((0, 4, 60), (2, 1, 61))), n_bars=8),
         {"minor_seconds": 0.5}),  # at moments while they sound
        # chords are one onset; three, two, two, none, four
        (piece_of([(4.0 * bar + at, 4.0, 60 + i, 60) for bar, own in enumerate(
            ((0, 1, 2), (0, 2), (0, 0, 3), (), (0.01, 0, 1, 2, 3))) for i, at in enumerate(own)],
            n_bars=5), {"still_bars": 3 / 5}),
    ],
    ids=["song", "chords", "late bass", "one note", "two rhythms", "wide", "broken", "second",
         "still"],
)  # fmt: skip
def test_features_are_as_counted_by_hand(piece: Piece, values: dict[str, float]) -> None:
    found = features_of(piece)
    assert {name: found[name] for name in values} == pytest.approx(values)


def test_last_bars_and_a_louder_end() -> None:
    piece = song(n_bars=12)
    late = piece.notes.onset >= 32
    found = features_of(changed(piece, pitch=piece.notes.pitch + np.where(late, 12, 0)))
    assert found["last_bars_off"] == pytest.approx(12.0, abs=1.5)
    louder = changed(piece, velocity=piece.notes.velocity + np.where(late, 20, 0))
    ends = [features_of(own)["louder_end"] for own in (louder, piece)]
    assert ends == pytest.approx([20.0, 0.0])


def test_no_feature_hears_velocity_tempo_transposition_a_little_rubato_or_notes_outside() -> None:
    piece = walks(1, seed=3)[0]
    known, n, rng = features_of(piece), len(piece.notes), np.random.default_rng(0)
    loud = features_of(changed(piece, velocity=rng.integers(1, 127, n)))
    assert {**loud, "louder_end": 0.0} == {**known, "louder_end": 0.0}
    played = changed(piece, onset=np.maximum(piece.notes.onset + rng.uniform(-0.1, 0.1, n), 0.0))
    assert features_of(played)["left_rhythm_lag_1"] == known["left_rhythm_lag_1"]
    up = features_of(changed(piece, pitch=piece.notes.pitch + 1))
    same = ("motif_returns", "in_scale", "chroma_lag_1", "chords_lag_4", "similarity_lag_2")
    assert [up[name] for name in same] == pytest.approx([known[name] for name in same])
    columns = (piece.notes.onset, piece.notes.duration, piece.notes.pitch, piece.notes.velocity)
    rows = [*zip(*(column.tolist() for column in columns), strict=True), (36.0, 1.0, 60, 60)]
    outside = features_of(piece_of(rows, n_bars=8))
    assert outside["motif_returns"] == known["motif_returns"]


def test_a_hand_that_rests_is_no_error_and_nothing_to_measure_is_nan() -> None:
    alone = piece_of([(4.0 * bar, 4.0, 84, 60) for bar in range(8)], n_bars=8)
    found = features_of(alone)
    assert set(Grid.of(alone).hand.tolist()) <= {0, 1}
    assert math.isnan(found["hand_gap"]) and math.isnan(found["left_rhythm_lag_1"])
    assert all(isinstance(value, float) for value in found.values())


def ears(mine: list[Piece], theirs: list[Piece], others: list[Piece] | None = None) -> list[Row]:
    named = {"others": Measured.of(others or [])}
    return list(tell_apart(Measured.of(mine), Measured.of(theirs), named, n_repeats=1))


def test_what_is_built_otherwise_is_told_apart_and_what_is_built_alike_is_not() -> None:
    songs = [song(group=f"s{i}", figure=((0, 1, 2, 3), (0, 2), (0, 1.5, 3))[i % 3])
             for i in range(24)]  # fmt: skip
    loose = walks(24, seed=1)
    told = ears(songs, loose)
    assert [own.by["ear"] for own in told] == ["plain", "keen"]
    assert all(own.low is not None and own.low > 0.9 and own.value > 0.95 for own in told)
    alike = ears(walks(24, seed=2), loose, walks(24, seed=4))
    assert [own.by["pieces"] for own in alike] == ["composed", "others"] * 2
    assert all(0.2 < own.value < 0.8 for own in alike)
    # Two pieces a song, alike but for the side they are on: only the song could be learnt.
    same = walks(24, seed=5, per_song=2)
    assert all(0.3 < own.value < 0.7 for own in ears(same, same))


def test_ears_hear_no_style_and_a_feature_alone_tells_by_its_order() -> None:
    measured = Measured.of([song(n_bars=16)])
    every = set(measured.values[0])
    assert every > STYLE | BESIDE
    assert set(measured.names(STYLE, BESIDE)) == every - STYLE - BESIDE
    found = list(alone_rows(Measured.of([song()]), Measured.of(walks(8, seed=1))))
    assert not {own.by["feature"] for own in found} & BESIDE
    assert row(found, "tells alone", feature="left_rhythm_same").value >= 0.5
    assert row(found, "tells alone", feature="motif_returns").value == 1.0
    sizes = [abs(own.value - 0.5) for own in found]
    assert sizes == sorted(sizes, reverse=True)


def test_rates_are_means_over_pieces() -> None:
    pieces = [song(n_bars=16), song(n_bars=16, group="b", figure=(0, 2))]
    rates = list(rate_rows({"composed": Measured.of(pieces)}))
    assert not [own for own in rates if own.name.endswith("Q3")]  # there is no such piece
    assert row(rates, "left hand's rhythm shared with the bar before").value == 1.0
    far = row(rates, "last four bars over 8 semitones off")
    assert (far.value, far.low, far.high) == (0.0, 0.0, 0.0)
    held = with_quadrants([piece_of([(8.0 * i, 8.0, 60, 60) for i in range(4)], n_bars=8)] * 4)
    still = row(rate_rows({"held": Measured.of(held)}), "bars with at most two onsets, Q3")
    assert still.value == 1.0


def returns(patterns: str) -> dict[str, float]:
    """Return how bars come back in a piece with a bar for each letter, the same for the same."""
    rng, drawn = np.random.default_rng(0), dict[str, list[Note]]()
    for letter in dict.fromkeys(patterns):
        steps = np.sort(rng.choice(16, 6, replace=False)) / 4
        drawn[letter] = [(float(s), 0.25, int(rng.integers(60, 84)), 60) for s in steps]
    notes = [(4.0 * bar + at, *rest) for bar, letter in enumerate(patterns)
             for at, *rest in drawn[letter]]  # fmt: skip
    return bars_return(bar_similarity(piece_of(notes, n_bars=len(patterns))))


def test_a_theme_that_comes_back_is_told_from_bars_that_wander_and_from_one_bar() -> None:
    notes = [(0, 60), (1, 64), (4 + 1 / 12, 72), (4 + 11 / 12, 76), (8, 60), (9, 65), (12.5, 60)]
    similarity = bar_similarity(piece_of([(at, 1, pitch, 60) for at, pitch in notes], n_bars=5))
    # the same an octave up and played early and late, half of it, another, and an empty bar
    assert similarity[0].tolist() == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])
    theme, wandering = returns("ABCDEFGHABCDEFGH"), returns("ABCDEFGHIJKLMNOP")
    assert theme["similarity_lag_8"] == pytest.approx(1.0) and theme["structure_lag_8"] > 0.7
    assert theme["returning_bars"] == pytest.approx(8 / 12)
    assert theme["returning_bars_excess"] > 0.05
    assert wandering["returning_bars"] == 0.0 and abs(wandering["structure_lag_8"]) < 0.1
    same = returns("A" * 16)  # no form
    assert same["returning_bars"] == 1.0
    assert (same["structure_lag_4"], same["returning_bars_excess"]) == pytest.approx((0.0, 0.0))
    assert returns("AAABBBCCCDDDEEE")["returning_bars"] == 0.0  # copied within three bars
