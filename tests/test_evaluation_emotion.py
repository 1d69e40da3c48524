from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from emomusic.compose.composer import Composer
from emomusic.evaluation.emotion import Hearing, evaluate_emotion, hear
from emomusic.music.notes import Notes, make_notes


class PitchJudge:
    """Hear Q1 in high and Q3 in low clips."""

    def fit(
        self,
        clips: Sequence[Notes],
        quadrant: Sequence[str],
        *,
        weight: NDArray[np.float64] | None = None,
    ) -> Self:
        return self

    def predict_proba(self, clips: Sequence[Notes]) -> NDArray[np.float64]:
        high = np.array([clip.pitch.mean() > 60 for clip in clips])
        return np.where(high[:, None], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1])


class SureJudge(PitchJudge):
    """Hear Q2 in everything, surer than the other."""

    def predict_proba(self, clips: Sequence[Notes]) -> NDArray[np.float64]:
        return np.tile([0.0, 1.0, 0.0, 0.0], (len(clips), 1))


def clip_at(pitch: int) -> Notes:
    one = np.array([0.0])
    return make_notes(one, one + 1, np.array([pitch]), np.array([64]))


def test_hear_counts_asked_against_heard() -> None:
    clips = [clip_at(72), clip_at(72), clip_at(40), clip_at(40)]
    found = hear({"pitch": PitchJudge()}, "some", clips, ["Q1", "Q2", "Q3", "Q3"])
    assert len(found) == 1
    expected = np.zeros((4, 4), dtype=np.int64)
    expected[0, 0] = expected[1, 0] = 1
    expected[2, 2] = 2
    assert (found[0].confusion == expected).all()


def test_two_judges_are_also_heard_together() -> None:
    judges = {"pitch": PitchJudge(), "sure": SureJudge()}
    found = hear(judges, "some", [clip_at(72)], ["Q2"])
    assert [hearing.judge for hearing in found] == ["pitch", "sure", "both"]
    assert found[2].confusion[1, 1] == 1  # means 0.35 and 0.55


def test_shares_by_axis_and_their_intervals() -> None:
    confusion = np.array([[6, 2, 0, 2], [1, 9, 0, 0], [0, 0, 5, 5], [1, 0, 0, 9]])
    hearing = Hearing("judge", "clips", confusion)
    assert hearing.share("quadrant")[0] == pytest.approx(29 / 40)
    assert hearing.share("arousal")[0] == pytest.approx(37 / 40)
    assert hearing.share("valence")[0] == pytest.approx(32 / 40)
    _, low, high = hearing.share("quadrant")
    assert (low, high) == pytest.approx((0.571, 0.839), abs=0.001)
    assert hearing.to_dict()["confusion"] == confusion.tolist()


def test_a_mapper_that_saw_the_judges_songs_is_not_evaluated(tiny_checkpoint: Path) -> None:
    composer = Composer(tiny_checkpoint)
    composer.mapper = replace(composer.mapper, about={"songs": "all"})
    with pytest.raises(ValueError, match="fitted on the judges' songs"):
        evaluate_emotion(composer, Path("nowhere"), count=1)
