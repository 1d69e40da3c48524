from __future__ import annotations

import numpy as np
from midi import song

from emomusic.data.split import group_songs, hold_back, is_validation, melody_fingerprints
from emomusic.music.attributes import passage_of
from emomusic.music.score import notes_of

NOTHING = np.zeros(0, dtype=np.uint64)


def fingerprints(seed: int, **how: int) -> np.ndarray:
    return melody_fingerprints(passage_of(notes_of(song(seed, **how)), tempo=100))


def test_fingerprints_group_near_duplicates_in_any_key_and_no_others() -> None:
    original = fingerprints(1)
    assert (original == fingerprints(1, transpose=5)).all()
    assert len(np.intersect1d(original, fingerprints(2))) == 0
    assert len(fingerprints(1, n_bars=1)) == 0  # too short
    cut = original[: len(original) // 2]
    songs = [original, fingerprints(2), fingerprints(1, transpose=-3), fingerprints(3), cut]
    groups = group_songs(songs, "abcde")
    assert groups[0] == groups[2] == groups[4]
    assert len({groups[0], groups[1], groups[3]}) == 3
    # What occurs everywhere, as scales do, joins nothing; too few shared runs do not either.
    common = np.arange(100, dtype=np.uint64)
    for n, shared, n_groups in ((20, common, 20), (5, common, 1), (2, common[:23], 2)):
        names = [str(number) for number in range(n)]
        assert len(set(group_songs([shared] * n, names))) == n_groups


def test_clips_stretches_and_takes_are_one_group_with_their_piece() -> None:
    groups = {
        "emotion/emopia/Q1_0vLPYiPN7qY_1.mid": 0,
        "emotion/emopia/Q1_2Z9SjI131jA_0.mid": 1,
        "emotion/emopia/Q3_0vLPYiPN7qY_2.mid": 0,
        "asap/Bach_Fugue_bwv_848.mid": 3,
        "asap/Beethoven_Piano_Sonatas_10-1.mid": 4,
        "asap_perf/Bach_Fugue_bwv_848_02.mid": 3,
        "asap_perf/Beethoven_Piano_Sonatas_10_1_01.mid": 4,
        "asap_perf/Beethoven_Piano_Sonatas_10-1_no_repeat_03.mid": 4,
        "pianocore/a.mid": 8,
        "pianocore/a.mid#1": 8,
    }
    assert group_songs([NOTHING] * len(groups), [*groups]) == [*groups.values()]


def test_validation_is_near_its_share_by_group_and_either_side_has_one() -> None:
    held = [is_validation(f"song {i}", 0.1) for i in range(4000)]
    assert 0.08 < np.mean(held) < 0.12
    # A group goes where the first of its names goes, whatever comes to it.
    names = [f"corpus/{i:03d}.mid" for i in range(60)]
    alone = hold_back([NOTHING] * 60, names, share=0.3)
    assert alone == [is_validation(name, 0.3) for name in names]
    pair = [fingerprints(1), fingerprints(2)]
    more = hold_back([*pair, *pair, *[NOTHING] * 58], ["x.mid", "y.mid", *names], share=0.3)
    assert more == [alone[0], alone[1], *alone]
    for share in (0.0, 1.0):
        assert hold_back([NOTHING] * 3, ["a", "b", "c"], share=share) == [False, False, True]
    assert hold_back([NOTHING] * 3, ["a", "a#1", "a#2"], share=1.0) == [False] * 3
