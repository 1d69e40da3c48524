from __future__ import annotations

import numpy as np
from midi import song

from emomusic.data.split import group_songs, hold_back, is_validation, melody_fingerprints
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of


def fingerprints(seed: int, transpose: int = 0) -> np.ndarray:
    return melody_fingerprints(passage_of(notes_of(song(seed, transpose=transpose)), tempo=100))


def test_prints_do_not_change_under_transposition() -> None:
    assert (fingerprints(1) == fingerprints(1, transpose=5)).all()
    assert len(np.intersect1d(fingerprints(1), fingerprints(2))) == 0


def test_near_duplicates_share_a_group_and_others_do_not() -> None:
    original = fingerprints(1)
    cut = original[: len(original) // 2]
    groups = group_songs(
        [original, fingerprints(2), fingerprints(1, transpose=-3), fingerprints(3), cut], "abcde"
    )
    assert groups[0] == groups[2] == groups[4]
    assert len({groups[0], groups[1], groups[3]}) == 3


def test_what_occurs_everywhere_joins_nothing() -> None:
    common = np.arange(100, dtype=np.uint64)
    assert len(set(group_songs([common] * 20, map(str, range(20))))) == 20
    assert len(set(group_songs([common] * 5, map(str, range(5))))) == 1


def test_short_melodies_have_no_prints() -> None:
    assert len(melody_fingerprints(passage_of(notes_of(song(1, n_bars=1)), tempo=100))) == 0


def test_validation_is_stable_and_near_its_share() -> None:
    names = [f"song {i}" for i in range(4000)]
    held = [is_validation(name, 0.1) for name in names]
    assert held == [is_validation(name, 0.1) for name in names]
    assert 0.08 < np.mean(held) < 0.12
    assert not any(is_validation(name, 0.0) for name in names)
    assert all(is_validation(name, 1.0) for name in names)


def test_clips_of_one_recording_are_one_group() -> None:
    names = [
        "emotion/emopia/Q1_0vLPYiPN7qY_1.mid",
        "emotion/emopia/Q1_2Z9SjI131jA_0.mid",
        "emotion/emopia/Q3_0vLPYiPN7qY_2.mid",
        "pop909/001.mid",
    ]
    nothing = [np.zeros(0, dtype=np.uint64)] * 4
    assert group_songs(nothing, names) == [0, 1, 0, 3]


def test_stretches_and_takes_are_one_group_with_their_piece() -> None:
    names = [
        "asap/Bach_Fugue_bwv_848.mid",
        "asap/Beethoven_Piano_Sonatas_10-1.mid",
        "asap_perf/Bach_Fugue_bwv_848_02.mid",
        "asap_perf/Beethoven_Piano_Sonatas_10_1_01.mid",
        "asap_perf/Beethoven_Piano_Sonatas_10-1_no_repeat_03.mid",
        "pianocore/a.mid",
        "pianocore/a.mid#1",
    ]
    nothing = [np.zeros(0, dtype=np.uint64)] * len(names)
    assert group_songs(nothing, names) == [0, 1, 0, 1, 1, 5, 5]


def test_a_group_goes_where_the_first_of_its_names_goes() -> None:
    nothing = np.zeros(0, dtype=np.uint64)
    names = [f"corpus/{i:03d}.mid" for i in range(60)]
    alone = hold_back([nothing] * 60, names, share=0.3)
    assert alone == [is_validation(name, 0.3) for name in names]
    originals = [fingerprints(1), fingerprints(2), *[nothing] * 58]
    more = hold_back(
        [*originals, fingerprints(1), fingerprints(2)], [*names, "x.mid", "y.mid"], share=0.3
    )
    assert more == [*alone, alone[0], alone[1]]


def test_there_is_always_a_song_on_either_side() -> None:
    nothing = [np.zeros(0, dtype=np.uint64)] * 3
    assert hold_back(nothing, ["a", "b", "c"], share=0.0) == [False, False, True]
    assert hold_back(nothing, ["a", "b", "c"], share=1.0) == [False, False, True]
    assert hold_back(nothing, ["a", "a#1", "a#2"], share=1.0) == [False] * 3
