"""Whether attributes arrive when an emotion asks for all at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from emomusic.compose.clip import Clip

GIVEN = ("tempo",)
"""Attributes that the composer sets itself; they always arrive."""


def rank_correlations(clips: Sequence[Clip]) -> dict[str, float]:
    """Return Spearman's ρ between asked and achieved values of each attribute, over clips.

    The values asked for come from the mapper, so attributes move together here; it is no
    measure of how well one attribute follows when asked for alone.

    Args:
        clips: At least one, of one mapper.

    Returns:
        ρ in [-1, 1] for each attribute that is not simply set; 0 where one side is constant.
    """
    found = {}
    for name in clips[0].targets:
        if name in GIVEN:
            continue
        asked = np.array([clip.targets[name] for clip in clips])
        achieved = np.array([clip.achieved[name] for clip in clips])
        constant = np.ptp(asked) == 0 or np.ptp(achieved) == 0
        found[name] = 0.0 if constant else float(spearmanr(asked, achieved).statistic)
    return found
