from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.composing import compose_quadrants
from helpers.evaluation import clip_at
from midi import clean_score, song

from emomusic.compose.composer import Composer
from emomusic.data.packing import pack
from emomusic.data.prepared import prepare_clean
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.pieces import (
    Piece,
    checked_pieces,
    composed_pieces,
    real_pieces,
    splits,
)
from emomusic.music.score import notes_of
from emomusic.training.rows import Rows

NAMES = [
    *((f"pop1k7/song_{i}.mid", "pop1k7") for i in range(4)),
    ("emopia/Q1_abc_0.mid", "emopia"),
    ("emopia/Q1_abc_1.mid", "emopia"),
    ("emopia/Q3_def_0.mid", "emopia"),
    ("other/song.mid", "other"),
]


def most_of_a_song(pieces: list[Piece]) -> int:
    return max(np.unique([piece.group for piece in pieces], return_counts=True)[1].tolist())


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Return songs of 24 bars; one clip of the EMOPIA song `abc` held back, and `def`."""
    prepared = [
        prepare_clean(clean_score(song(seed, n_bars=24), performed=False), name, source)
        for seed, (name, source) in enumerate(NAMES)
    ]
    held_back = np.array([True, True, False, False, True, False, True, True])
    return replace(pack(prepared, []), song_is_validation=held_back)


def test_each_song_gives_a_window_before_one_gives_a_second(rows: Rows) -> None:
    pieces = real_pieces(rows, n_bars=8, held_back=None)
    assert len(pieces) == 6  # four songs of Pop1K7, two of EMOPIA
    assert most_of_a_song(pieces) == 1
    more = real_pieces(rows, n_bars=8, n=9, held_back=None)
    assert (len(more), len({piece.group for piece in more}), most_of_a_song(more)) == (9, 6, 2)
    assert real_pieces(rows, n_bars=100, held_back=None) == []  # no song is as long
    quadrants = {piece.group: piece.quadrant for piece in pieces if piece.quadrant}
    assert quadrants == {"emopia/abc": "Q1", "emopia/def": "Q3"}


def test_windows_are_whole_bars_of_their_song(rows: Rows) -> None:
    pieces = real_pieces(rows, ["pop1k7"], n_bars=8, n=50, held_back=None)
    whole = {name: notes_of(song(seed)) for seed, (name, _) in enumerate(NAMES)}
    for piece in pieces:
        source = whole[piece.group]
        melody = piece.notes.pitch[piece.notes.pitch >= 64]
        of_song = source.pitch[source.pitch >= 64]
        starts = [i for i in range(0, 17 * 8, 8) if (of_song[i : i + 64] == melody).all()]
        assert len(melody) == 64 and starts
        assert (piece.bars, piece.beats_per_bar, piece.n_beats) == (8, 4, 32)
        assert piece.tempo == pytest.approx(120.0, rel=0.01)
        assert (piece.notes.onset + piece.notes.duration).max() <= 32
        assert piece.notes.onset_s[-1] == pytest.approx(piece.notes.onset[-1] * 0.5, rel=0.01)


def test_windows_of_a_song_share_no_bar(rows: Rows) -> None:
    pieces = real_pieces(rows, ["pop1k7"], n_bars=4, n=100, held_back=None)
    for group in {piece.group for piece in pieces}:
        bars = [
            tuple(piece.notes.pitch[piece.notes.onset // 4 == bar].tolist())
            for piece in pieces
            if piece.group == group
            for bar in range(4)
        ]
        assert len(bars) == len(set(bars))


def test_a_song_with_a_clip_in_training_is_not_held_back(rows: Rows) -> None:
    held_back = real_pieces(rows, n_bars=8)
    groups = {"pop1k7/song_0.mid", "pop1k7/song_1.mid", "emopia/def"}
    assert {piece.group for piece in held_back} == groups
    trained_on = real_pieces(rows, n_bars=8, held_back=False)
    assert not {p.group for p in held_back} & {p.group for p in trained_on}
    assert "emopia/abc" in {piece.group for piece in trained_on}


def test_one_seed_draws_the_same_windows(rows: Rows) -> None:
    first, again = (real_pieces(rows, n_bars=4, n=5, seed=7) for _ in range(2))
    other = real_pieces(rows, n_bars=4, n=5, seed=8)
    assert [p.notes.pitch.tolist() for p in first] == [p.notes.pitch.tolist() for p in again]
    assert [p.notes.pitch.tolist() for p in first] != [p.notes.pitch.tolist() for p in other]


@pytest.mark.parametrize(
    ("asked", "meta", "words"),
    [
        ({"sources": ["jazz"]}, {}, "the rows hold no source 'jazz'"),
        ({"n": 0}, {}, "n_bars and n must be 1 or more, got 16 and 0"),
        ({}, {"vocabulary": ["Bar_None"]}, "the rows are of another vocabulary"),
    ],
)
def test_what_cannot_be_cut_is_said_in_a_sentence(
    rows: Rows, asked: dict[str, Any], meta: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        real_pieces(replace(rows, meta={**rows.meta, **meta}), **asked)


def test_composed_clips_keep_their_bars_tempo_and_quadrant(tiny_checkpoint: Path) -> None:
    clips = compose_quadrants(Composer(tiny_checkpoint), seed=2, n_bars=5)
    pieces = composed_pieces(clips)
    assert [piece.quadrant for piece in pieces] == list(QUADRANTS)
    assert [piece.bars for piece in pieces] == [5] * 4
    assert [piece.tempo for piece in pieces] == [clip.tempo for clip in clips]
    assert len({piece.group for piece in pieces}) == 4


def test_a_piece_needs_notes_and_bars() -> None:
    notes = clip_at(60)
    with pytest.raises(ValueError, match="must hold notes, got none from 'a'"):
        Piece(notes.where(slice(0, 0)), "a")
    with pytest.raises(ValueError, match="must be 1 or more, got those of 'a'"):
        Piece(notes, "a", n_bars=0)
    with pytest.raises(ValueError, match="'a' has no bars: this measure needs a beat"):
        _ = Piece(notes, "a").n_beats


def test_too_few_pieces_are_counted() -> None:
    piece = Piece(clip_at(60), "a")
    checked_pieces([piece] * 8, [piece] * 16)
    with pytest.raises(ValueError, match="at least 8 composed pieces are needed, got 7"):
        checked_pieces([piece] * 7, [piece] * 16)
    with pytest.raises(ValueError, match="at least 16 real pieces are needed, got 15"):
        checked_pieces([piece] * 8, [piece] * 15)


def test_halves_share_no_song_and_are_as_many_as_the_composed() -> None:
    groups = [str(i // 3) for i in range(90)]
    drawn = list(splits(20, groups, np.random.default_rng(0), n_splits=5))
    assert len(drawn) == 5
    for split in drawn:
        assert [len(set(at.tolist())) for at in split] == [20] * 3
        assert not {groups[i] for i in split[0]} & {groups[i] for i in split[2]}
    assert sorted(drawn[0][1]) == list(range(20))
    assert set(drawn[0][0]) != set(drawn[1][0])
    # more composed pieces than a half holds are drawn from
    (split,) = splits(50, [str(i) for i in range(20)], np.random.default_rng(0), n_splits=1)
    assert [len(at) for at in split] == [10] * 3


@pytest.mark.parametrize("groups", [["one"] * 40, ["big"] * 35 + ["a", "b", "c", "d", "e"]])
def test_songs_that_cannot_be_parted_are_refused(groups: list[str]) -> None:
    with pytest.raises(ValueError, match="two halves of at least 8 real pieces"):
        list(splits(20, groups, np.random.default_rng(0)))
