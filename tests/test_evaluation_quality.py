from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.composing import compose_quadrants
from helpers.evaluation import clip_at, row, walks, with_quadrants
from midi import clean_score, song

from emomusic.compose.composer import Composer
from emomusic.data.packing import pack
from emomusic.data.prepared import prepare_clean
from emomusic.emotion import QUADRANTS
from emomusic.evaluation import quality
from emomusic.evaluation.rows import Row
from emomusic.music.score import notes_of
from emomusic.training.rows import Rows

NAMES = [
    *((f"pop1k7/song_{i}.mid", "pop1k7") for i in range(4)),
    ("emopia/Q1_abc_0.mid", "emopia"),
    ("emopia/Q1_abc_1.mid", "emopia"),
    ("emopia/Q3_def_0.mid", "emopia"),
    ("other/song.mid", "other"),
]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Return songs of 24 bars."""
    prepared = [
        prepare_clean(clean_score(song(seed, n_bars=24), performed=False), name, source)
        for seed, (name, source) in enumerate(NAMES)
    ]
    return pack(prepared, [])


def test_each_song_gives_a_window_before_one_gives_a_second_and_none_shares_a_bar(
    rows: Rows,
) -> None:
    pieces, again, other = (
        quality.real_pieces(rows, "pop1k7", n_bars=4, seed=seed) for seed in (7, 7, 8)
    )
    assert len({piece.group for piece in pieces[:4]}) == 4 < len(pieces)
    for group in {piece.group for piece in pieces}:
        bars = [
            tuple(piece.notes.pitch[piece.notes.onset // 4 == bar].tolist())
            for piece in pieces
            if piece.group == group
            for bar in range(4)
        ]
        assert len(bars) == len(set(bars))
    first, same, others = ([p.notes.pitch.tolist() for p in own] for own in (pieces, again, other))
    assert first == same != others
    assert quality.real_pieces(rows, "pop1k7", n_bars=100) == []  # no song is as long
    quadrants = {p.group: p.quadrant for p in quality.real_pieces(rows, "emopia", n_bars=8)}
    assert quadrants == {"emopia/abc": "Q1", "emopia/def": "Q3"}


def test_windows_are_whole_bars_of_their_song_and_of_this_vocabulary(rows: Rows) -> None:
    whole = {name: notes_of(song(seed)) for seed, (name, _) in enumerate(NAMES)}
    for piece in quality.real_pieces(rows, "pop1k7", n_bars=8):
        source = whole[piece.group]
        melody = piece.notes.pitch[piece.notes.pitch >= 64]
        of_song = source.pitch[source.pitch >= 64]
        starts = [i for i in range(0, 17 * 8, 8) if (of_song[i : i + 64] == melody).all()]
        assert len(melody) == 64 and starts
        assert (piece.n_bars, piece.beats_per_bar, piece.n_beats) == (8, 4, 32)
        assert (piece.notes.onset + piece.notes.duration).max() <= 32
        assert piece.notes.onset_s[-1] == pytest.approx(piece.notes.onset[-1] * 0.5, rel=0.01)
    meta: dict[str, Any] = {**rows.meta, "vocabulary": ["Bar_None"]}
    with pytest.raises(ValueError, match="the rows are of another vocabulary"):
        quality.real_pieces(replace(rows, meta=meta), "emopia", n_bars=8)


def test_composed_clips_keep_their_bars_and_quadrant(tiny_checkpoint: Path) -> None:
    pieces = quality.composed_pieces(compose_quadrants(Composer(tiny_checkpoint), seed=2, n_bars=5))
    assert [piece.quadrant for piece in pieces] == list(QUADRANTS)
    assert {piece.n_bars for piece in pieces} == {5} and len({p.group for p in pieces}) == 4
    for notes, n_bars in ((clip_at(60).where(slice(0, 0)), 1), (clip_at(60), 0)):
        with pytest.raises(ValueError, match="must hold notes and bars, got none from 'a'"):
            quality.Piece(notes, "a", n_bars)


def test_halves_share_no_song_and_are_as_many_as_the_composed() -> None:
    groups = [str(i // 3) for i in range(90)]
    drawn = list(quality.splits(20, groups, np.random.default_rng(0)))
    for split in drawn:
        assert [len(set(at.tolist())) for at in split] == [20] * 3
        assert not {groups[i] for i in split[0]} & {groups[i] for i in split[2]}
    assert sorted(drawn[0][1]) == list(range(20)) and set(drawn[0][0]) != set(drawn[1][0])
    # more composed pieces than a half holds are drawn from
    split = next(quality.splits(50, [str(i) for i in range(20)], np.random.default_rng(0)))
    assert [len(at) for at in split] == [10] * 3
    for n, own in ((20, ["one"] * 40), (20, ["big"] * 35 + list("abcde")), (7, groups), (9, [])):
        with pytest.raises(ValueError, match="at least 8 composed pieces, and two halves of as"):
            list(quality.splits(n, own, np.random.default_rng(0)))


def shares(reference: list[list[float]], points: list[list[float]], k: int) -> list[float]:
    values = quality.neighbourhood(np.array(reference), np.array(points), k=k)
    return [float(value.mean()) for value in values]


def test_measures_of_points_are_as_counted_by_hand_and_as_they_should_be_of_many() -> None:
    real = [[0.0], [1.0], [3.0], [7.0]]  # balls to the next: 1, 1, 2, 4
    made = [[0.5], [2.5], [12.0], [21.0]]  # 2, 2, 9, 9
    # all are recalled; of density, 0.5 is in two balls, 2.5 in that of 3; 7 is not covered
    assert shares(real, made, 1) == [2 / 4, 4 / 4, (2 + 1) / 4, 3 / 4]
    real, other = np.random.default_rng(0).normal(size=(2, 300, 4))
    same, like, crowd = (shares(real.tolist(), points.tolist(), 5)
                         for points in (real, other, 0.2 * other))  # fmt: skip
    assert same == pytest.approx([1.0, 1.0, 1.2, 1.0])  # a point is in its own ball, too
    assert crowd[2] > 1.2 * like[2]  # dense
    assert crowd[1] < 0.3 * like[1] and crowd[3] < 0.8 * like[3]


def test_axes_are_white_and_freak_values_are_cut() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 10)) + 5.0
    features[:, 9] = 3.0  # never moves
    to_axes = quality.white_axes(features, 4)
    assert np.allclose(np.cov(to_axes(features).T), np.eye(4), atol=1e-9)
    features[0] = 1e9
    assert np.abs(to_axes(features)[0]).max() < 100


def test_composed_less_real_is_taken_draw_by_draw_over_halvings() -> None:
    shared = np.linspace(-1, 1, 101)[None]
    found = {
        own.by["pieces"]: own
        for own in quality.beside(
            (walks(16, seed=1), walks(32, seed=2)),
            (np.full(16, 3.0), np.ones(32)),
            ["a"],
            lambda reference, drawn, held, held_drawn: (np.array([held.mean()]), shared + 5),
            n_draws=101,
        )
    }
    assert {kind: own.value for kind, own in found.items()} == pytest.approx(
        {"composed": 3.0, "real": 1.0, "difference": 2.0}
    )
    # what moves both moves no difference, and draws are moved onto the value
    assert found["difference"].low == pytest.approx(2.0)
    assert found["composed"].low == pytest.approx(3.0 - 0.95) and found["composed"].n == 16


def test_other_real_songs_are_as_precise_as_the_like_and_what_lies_elsewhere_is_not() -> None:
    real = walks(80, seed=1)
    found = list(quality.manifold(walks(40, seed=2), real, among="some", n_draws=50))
    precision = row(found, "precision", pieces="difference", among="some")
    assert precision.n == 40 and precision.low is not None and precision.high is not None
    assert precision.low < 0.05 and precision.high > -0.05
    assert row(found, "coverage", pieces="real").value > 0.6
    elsewhere = walks(40, seed=2, gap=0.125, centre=90, velocity=110)
    for pieces, names in ((elsewhere, ("precision", "coverage")),
                          (walks(40, seed=3, same=True), ("recall", "coverage"))):  # fmt: skip
        found = list(quality.manifold(pieces, real, among="some", n_draws=50))
        for name in names:
            high = row(found, name, pieces="difference").high
            assert high is not None and high < -0.25
    assert len(list(quality.manifold(walks(8, seed=1), real[:16], among="few", n_draws=20))) == 12


def test_distance_is_between_songs_only() -> None:
    places = np.array([[0.0], [1.0], [5.0]])
    counts = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0], [2.0, 1.0, 0.0]])
    draws = quality.mean_distances(places, ["a", "a", "b"], counts)
    assert draws.tolist() == pytest.approx([4.5, 5.0, 4.5])  # the last draw holds one song


def mean_ratio(composed: list[quality.Piece], real: list[quality.Piece]) -> Row:
    return row(quality.diversity(composed, real, n_draws=100), "diversity", quadrant="mean")


def test_the_like_are_as_varied_and_copies_are_not() -> None:
    real = with_quadrants(walks(160, seed=1))
    like = mean_ratio(with_quadrants(walks(160, seed=2)), real)
    assert like.value == pytest.approx(1.0, abs=0.1)
    assert like.low is not None and like.high is not None and like.low < like.value < like.high
    copies = mean_ratio(with_quadrants(walks(40, seed=2, same=True)), real)
    assert copies.high is not None and copies.high < 0.2
    # clips of one song do not count against real music
    again = [piece for piece in real[:40] for _ in range(2)]
    found = [mean_ratio(real[:40], own).value for own in (real[:40], again)]
    assert found[1] == pytest.approx(found[0])


@pytest.mark.parametrize(
    ("composed", "real", "words"),
    [
        (walks(8, seed=1), walks(32, seed=1), "share no quadrant"),
        (with_quadrants(walks(28, seed=1)), with_quadrants(walks(32, seed=1)),
         "at least 8 composed pieces of Q1 and two songs are needed, got 7 of 7"),
        (with_quadrants(walks(32, seed=1)), with_quadrants(walks(32, seed=1, per_song=32)),
         "real pieces of Q1 and two songs are needed, got 8 of 1"),
    ],
)  # fmt: skip
def test_quadrants_that_cannot_be_compared_are_refused(
    composed: list[quality.Piece], real: list[quality.Piece], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        list(quality.diversity(composed, real))
