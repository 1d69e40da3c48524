from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from synthetic import make_score
from verifier_cases import labelled

from emomusic.music.score import write_score
from emomusic.verify.labelled import (
    LISTENER_WEIGHT,
    SPREAD_OF_LISTENERS,
    listener_values,
    notes_of_clips,
    quadrant_shares,
    quadrants_of,
    song_folds,
    weights_of,
)
from emomusic.verify.labels import LabelledClip


def rated(quadrant: str, valence: float | None, arousal: float | None) -> LabelledClip:
    clip: LabelledClip = labelled(quadrant, "a", source="vgmidi")
    return replace(clip, valence=valence, arousal=arousal)


def test_weights_are_balanced_within_a_source() -> None:
    clips = [labelled("Q1", "a")] * 3 + [labelled("Q2", "b")] + [rated("Q3", -0.1, -0.1)]
    weights = weights_of(clips)  # 4 clips of one source, 2 a quadrant; listeners count more
    assert weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0, LISTENER_WEIGHT])


def test_quadrants_of_a_source_weigh_alike() -> None:
    quadrants = ["Q1"] * 7 + ["Q2"] * 2 + ["Q4"]
    clips = [labelled(quadrant, str(k)) for k, quadrant in enumerate(quadrants)]
    total: Counter[str] = Counter()
    for clip, weight in zip(clips, weights_of(clips), strict=True):
        total[clip.quadrant] += weight
    assert [total[name] for name in ("Q1", "Q2", "Q4")] == pytest.approx([10 / 3] * 3)


def test_values_of_listeners_are_nan_where_nobody_was_asked() -> None:
    valence, arousal = listener_values([rated("Q1", 0.25, None), rated("Q3", None, -0.5)])
    assert valence.tolist() == pytest.approx([0.25, np.nan], nan_ok=True)
    assert arousal.tolist() == pytest.approx([np.nan, -0.5], nan_ok=True)
    assert quadrants_of([labelled("Q4", "a"), labelled("Q1", "b")]).tolist() == [3, 0]


def test_a_quadrant_without_values_is_certain() -> None:
    shares = quadrant_shares([labelled("Q2", "a"), rated("Q3", 0.2, None)])
    assert shares.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]


def test_soft_labels_by_hand() -> None:
    clip = replace(rated("Q1", 0.3, -0.1), valence_spread=0.3, arousal_spread=0.2)
    pleasant, excited = 0.8413447, 0.3085375  # of a normal: below 1, and below -1/2
    people = np.array([
        pleasant * excited,
        (1 - pleasant) * excited,
        (1 - pleasant) * (1 - excited),
        pleasant * (1 - excited),
    ])  # fmt: skip
    worked = people / 2 + [0.5, 0, 0, 0]
    assert quadrant_shares([clip])[0] == pytest.approx(worked, abs=1e-6)


def test_unknown_spread_is_the_usual_one() -> None:
    unknown = rated("Q2", -0.2, 0.4)
    known = replace(unknown, valence_spread=SPREAD_OF_LISTENERS, arousal_spread=SPREAD_OF_LISTENERS)
    first, second = quadrant_shares([unknown, known])
    assert np.array_equal(first, second)
    pleasant = norm.cdf(-0.2 / SPREAD_OF_LISTENERS)
    assert first[[0, 3]].sum() == pytest.approx(pleasant / 2)


def test_shares_sum_to_one_and_agreement_is_surer() -> None:
    clips = [
        replace(rated("Q1", 0.3, 0.3), valence_spread=spread, arousal_spread=spread)
        for spread in (0.05, 0.2, 0.8)
    ]
    shares = quadrant_shares(clips)
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert (np.diff(shares[:, 0]) < 0).all()
    assert shares[0, 0] == pytest.approx(1.0)


def test_notes_are_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("clips") / "a.mid"
    write_score(make_score([60, 64, 67]), path)
    notes = notes_of_clips([replace(labelled("Q1", "a"), path=path)])
    assert [one.pitch.tolist() for one in notes] == [[60, 64, 67]]


GROUPS = [f"song {k // 3}" for k in range(120)]
Y = np.arange(120) // 3 % 4


def test_no_song_is_on_both_sides() -> None:
    tested: list[int] = []
    for fit, test in song_folds(Y, GROUPS, n_folds=5, seed=0):
        assert not {GROUPS[row] for row in fit} & {GROUPS[row] for row in test}
        assert sorted([*fit, *test]) == list(range(120))
        assert set(Y[test]) == {0, 1, 2, 3}
        tested += test.tolist()
    assert sorted(tested) == list(range(120))


def test_the_seed_draws_the_folds() -> None:
    def drawn(seed: int) -> list[list[int]]:
        return [test.tolist() for _, test in song_folds(Y, GROUPS, n_folds=4, seed=seed)]

    assert drawn(3) == drawn(3) != drawn(4)


def test_fewer_songs_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="need at least 5 songs for 5 folds, got 2"):
        next(song_folds(Y[:6], GROUPS[:6], n_folds=5, seed=0))
