from __future__ import annotations

import numpy as np
from midi import song

from emomusic.data.split import group_songs, is_validation, melody_prints
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of


def prints(seed: int, transpose: int = 0) -> np.ndarray:
    return melody_prints(passage_of(notes_of(song(seed, transpose=transpose)), tempo=100))


def test_prints_do_not_change_under_transposition() -> None:
    assert (prints(1) == prints(1, transpose=5)).all()
    assert len(np.intersect1d(prints(1), prints(2))) == 0


def test_near_duplicates_share_a_group_and_others_do_not() -> None:
    original = prints(1)
    cut = original[: len(original) // 2]
    groups = group_songs([original, prints(2), prints(1, transpose=-3), prints(3), cut])
    assert groups[0] == groups[2] == groups[4]
    assert len({groups[0], groups[1], groups[3]}) == 3


def test_what_occurs_everywhere_joins_nothing() -> None:
    common = np.arange(100, dtype=np.uint64)
    assert len(set(group_songs([common] * 20))) == 20
    assert len(set(group_songs([common] * 5))) == 1


def test_short_melodies_have_no_prints() -> None:
    assert len(melody_prints(passage_of(notes_of(song(1, n_bars=1)), tempo=100))) == 0


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
