"""Judges and labelled clips made in code, for the tests of what judges hear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.hearing import Panel
from emomusic.music.notes import Notes, make_notes
from emomusic.verify.labels import LabelledClip, Part


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


def labelled(n: int, part: Part) -> list[LabelledClip]:
    """Return labelled clips whose files are not there, n of each quadrant."""
    return [
        LabelledClip(
            Path("data") / "emotion" / f"{part}_{q}_{i}.mid", "game", f"{part} {q} {i}", q,
            None, None, part,
        )
        for q in QUADRANTS
        for i in range(n)
    ]  # fmt: skip


def make_panel(n: int = 4) -> Panel:
    """Return a panel of two judges, and clips of a note each that they seem to have heard."""
    clips = [*labelled(n, "judge"), *labelled(n, "mapper")]
    notes = [clip_at(40 + 10 * QUADRANTS.index(clip.quadrant)) for clip in clips[: 4 * n]]
    return Panel({"pitch": PitchJudge(), "sure": SureJudge()}, clips, notes)
