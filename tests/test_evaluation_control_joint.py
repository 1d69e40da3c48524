from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emomusic.compose.composer import Composer
from emomusic.compose.quadrants import compose_quadrants
from emomusic.evaluation.control.joint import rank_correlations
from emomusic.music.attributes import ATTRIBUTE_NAMES


def test_rank_correlations(tiny_checkpoint: Path) -> None:
    clips = compose_quadrants(Composer(tiny_checkpoint), n_bars=2)
    asked = [1.0, 2.0, 3.0, 4.0]
    heard = [10.0, 20.0, 40.0, 30.0]
    made = [
        replace(
            clip,
            targets={**clip.targets, "register": a, "silence": 0.5, "mode": a},
            achieved={**clip.achieved, "register": b, "mode": -a},
        )
        for clip, a, b in zip(clips, asked, heard, strict=True)
    ]
    found = rank_correlations(made)
    assert set(found) == set(ATTRIBUTE_NAMES) - {"tempo"}
    assert found["register"] == pytest.approx(0.8)
    assert found["mode"] == pytest.approx(-1.0)
    assert found["silence"] == 0.0  # always asked alike
