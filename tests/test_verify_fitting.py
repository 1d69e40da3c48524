from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from verifier_cases import CLIPS, CLIPS_LABELLED, LABELS, clip, fitted, heard, labelled

from emomusic.verify.ears.senses import N_COLUMNS, parts_of, sensed
from emomusic.verify.fitting import (
    Heard,
    fit_on,
    fit_verifier,
    gathered,
    leave_out,
    listen,
)
from emomusic.verify.labelled import listener_values, quadrant_shares, quadrants_of
from emomusic.verify.members import log_odds, softmax
from emomusic.verify.verifier import Verifier

SHORT = CLIPS[1].where(slice(10))
N = len(CLIPS)
SHARES = quadrant_shares(CLIPS_LABELLED)
VALENCE, AROUSAL = listener_values(CLIPS_LABELLED)
SONGS = [one.group for one in CLIPS_LABELLED]


def test_clips_are_heard_whole_then_in_parts() -> None:
    found = listen([CLIPS[0], SHORT, CLIPS[2]])
    parts = [parts_of(CLIPS[0])[1:], parts_of(CLIPS[2])[1:]]
    assert [len(own) for own in parts] == [2, 2]
    rows = [CLIPS[0], SHORT, CLIPS[2], *parts[0], *parts[1]]
    assert np.array_equal(found.rows, [sensed(notes) for notes in rows])
    assert found.owner.tolist() == [0, 1, 2, 0, 0, 2, 2]
    assert found.n_clips == 3


def test_nothing_can_be_listened_to() -> None:
    nothing = listen([])
    assert nothing.rows.shape == (0, N_COLUMNS)
    assert nothing.n_clips == 0
    assert fitted().hear(nothing).probabilities.shape == (0, 4)


@pytest.mark.parametrize("order", [[2, 0], [0, 1, 2, 3], [3, 1, 0, 2], [1], []])
def test_clips_taken_keep_their_parts(order: list[int]) -> None:
    several = [CLIPS[0], SHORT, CLIPS[2], CLIPS[3]]
    found = listen(several)
    taken = found.take(np.array(order, dtype=np.int64))
    assert taken.n_clips == len(order)
    for place, at in enumerate(order):
        alone = listen([several[at]])
        own = taken.owner == place
        assert np.array_equal(taken.rows[own], alone.rows)
        assert np.array_equal(taken.rows[place], alone.rows[0])


def test_rows_of_clips_are_whole_ones_first() -> None:
    found = listen([CLIPS[0], SHORT, CLIPS[2]])
    assert found.of(np.array([2, 0])).tolist() == [2, 0, 3, 4, 5, 6]
    assert found.of(np.array([1])).tolist() == [1]


def test_answers_of_a_clip_and_its_parts_are_averaged() -> None:
    logits = np.array([[4.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 2.0]])
    found = gathered(
        Heard(np.zeros((3, N_COLUMNS)), np.array([0, 1, 0])),
        logits,
        np.array([0.5, 1.0]),
    )
    assert found.logits.tolist() == [[2.0, 0, 0, 1.0], [0, 2.0, 0, 0]]
    odds = log_odds(softmax(logits))
    assert found.disagreement[0] == pytest.approx(np.abs(odds[0] - odds[2]) / 2)
    assert found.disagreement[1].tolist() == [0.0, 0.0]
    assert (found.parts.tolist(), found.part_of.tolist()) == ([logits[2].tolist()], [0])
    assert found.trust.tolist() == [0.5, 1.0]


def test_new_songs_are_heard_rightly_when_left_out() -> None:
    found = leave_out(Verifier(n_folds=4), heard(), SHARES, np.ones(N), SONGS)
    assert np.mean(found.logits.argmax(axis=1) == quadrants_of(CLIPS_LABELLED)) >= 0.8
    assert found.parts.shape == (2 * N, 4)
    assert ((found.trust >= 0.0) & (found.trust <= 1.0)).all()


def test_a_clip_is_never_heard_by_what_learned_from_its_song() -> None:
    songs = [clip("Q1", seed) for seed in range(20)]
    twice = listen([notes for notes in songs for _ in range(2)])
    y = np.random.default_rng(0).permutation(np.arange(20) % 4).repeat(2)
    shares = np.eye(4)[y]

    def hits(groups: list[str]) -> float:
        found = leave_out(Verifier(n_folds=4, ridge=0.01), twice, shares, np.ones(40), groups)
        return float(np.mean(found.logits.argmax(axis=1) == y))

    # Labels drawn at random can be known only from the twin of a clip.
    assert hits([str(k // 2) for k in range(40)]) < 0.6 < 0.8 < hits([str(k) for k in range(40)])


def test_labels_of_other_songs_alone_decide() -> None:
    shuffled = np.random.default_rng(0).permutation(N)
    found = leave_out(Verifier(n_folds=4), heard(), SHARES[shuffled], np.ones(N), SONGS)
    hits = found.logits.argmax(axis=1) == SHARES[shuffled].argmax(axis=1)
    assert hits.mean() < 0.55


def test_heavy_clips_are_heeded_more() -> None:
    # The same clips with two labels: the heavier is believed.
    twice = listen([*CLIPS, *CLIPS])
    wrong = SHARES[:, [1, 2, 3, 0]]
    shares, songs = np.concatenate([SHARES, wrong]), SONGS * 2
    nobody = np.full(2 * N, np.nan)
    for weights, right in (((5.0, 1.0), SHARES), ((1.0, 5.0), wrong)):
        weight = np.repeat(weights, N)
        verifier = Verifier(n_folds=4).fit(twice, shares, nobody, nobody, songs, weight=weight)
        heard_as = verifier.hear(heard()).probabilities.argmax(axis=1)
        assert np.mean(heard_as == right.argmax(axis=1)) > 0.9


def test_same_clips_and_seed_give_the_same_verifier() -> None:
    first, second, other = (fitted(seed).arrays() for seed in (0, 0, 1))
    assert all(np.array_equal(array, second[name]) for name, array in first.items())
    different = {name for name, array in first.items() if not np.array_equal(array, other[name])}
    # The seed draws the folds of calibration only.
    assert all(name.startswith("calibration.") for name in different)


def test_notes_read_before_are_used() -> None:
    fit = fit_verifier(CLIPS_LABELLED, seed=3, notes=CLIPS)
    other = fit_on(Verifier(seed=3), heard(), CLIPS_LABELLED)
    assert fit.verdicts(CLIPS[:3]) == other.verdicts(CLIPS[:3])


def test_some_quadrants_only_are_refused() -> None:
    songs = [labelled("Q1", str(k)) for k in range(N)]
    with pytest.raises(ValueError, match="each of Q1 to Q4 must occur, missing is Q2"):
        fit_on(Verifier(), heard(), songs)
    with pytest.raises(ValueError, match="missing is Q1"):
        fit_verifier([], notes=[])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heard": replace(heard(), rows=heard().rows[:, :-1])}, "rows must have shape"),
        ({"heard": replace(heard(), rows=heard().rows * np.nan)}, "rows must be finite"),
        ({"shares": SHARES[:, :3]}, "shares must be finite, shape"),
        ({"shares": SHARES[:-1]}, r"equally long, got \[39, 40\]"),
        ({"valence": VALENCE[:-1]}, "equally long"),
        ({"arousal": AROUSAL[:-1]}, "equally long"),
        ({"groups": SONGS[:-1]}, "equally long"),
        ({"shares": SHARES[:1].repeat(N, axis=0)}, "each of Q1 to Q4 must occur, missing is Q2"),
        ({"groups": ["one"] * N}, "at least 4 songs for 4 folds, got 1"),
        ({"groups": LABELS}, "more songs than one fold takes"),
    ],
)
def test_wrong_training_data_are_refused(change: dict[str, Any], words: str) -> None:
    data = {
        "heard": heard(),
        "shares": SHARES,
        "valence": VALENCE,
        "arousal": AROUSAL,
        "groups": SONGS,
    }
    with pytest.raises(ValueError, match=words):
        Verifier(n_folds=4).fit(**{**data, **change})
