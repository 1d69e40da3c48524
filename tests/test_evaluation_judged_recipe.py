from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from emomusic.evaluation.fitting import MeasuredClips
from judged_cases import labelled

from emomusic.evaluation.judged import recipe as module
from emomusic.evaluation.judged.recipe import RECIPE_NAME, Recipe, find_recipe, fit_recipe
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES
from emomusic.music.tokenizer import N_BINS

CLIPS = labelled(3, "mapper")
EDGES = {a.name: np.linspace(a.low, a.high, N_BINS + 1)[1:-1] for a in ATTRIBUTES}


def values() -> np.ndarray:
    """Return attributes where Q1 is high, the rest low, and each second clip is its class mean."""
    found = np.zeros((12, len(ATTRIBUTES)))
    found[:3] = 1.0
    found[:, 0] += np.tile([-0.4, 0.0, 0.4], 4)
    return found


def test_bits_are_those_of_the_clip_nearest_its_class_mean() -> None:
    recipe = fit_recipe(CLIPS, values(), EDGES)
    assert recipe.nearest["Q1"] == CLIPS[1].path.name
    assert recipe.nearest["Q4"] == CLIPS[10].path.name
    assert all(recipe.is_high["Q1"].values())
    assert not any(recipe.is_high["Q3"][name] for name in ATTRIBUTE_NAMES[1:])


def test_low_and_high_are_the_middles_of_the_halves_of_the_bins() -> None:
    recipe = fit_recipe(CLIPS, values(), EDGES)
    for name, edges in EDGES.items():
        low, high = ((edges <= x[name]).sum() for x in (recipe.low, recipe.high))
        assert (low, high) == (3, 8)
    assert recipe.values("Q1") == recipe.high
    assert recipe.values("Q3")["register"] == recipe.low["register"]


def test_a_quadrant_without_clips_is_named() -> None:
    with pytest.raises(ValueError, match="no labelled clip of Q4 could be measured"):
        fit_recipe(CLIPS[:9], values()[:9], EDGES)


def test_a_recipe_is_fitted_once(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def measured(clips: object, progress: object) -> MeasuredClips:
        calls.append(1)
        return MeasuredClips(CLIPS, values(), Counter())

    monkeypatch.setattr(module, "measure_clips", measured)
    first = find_recipe(tmp_path / "new", CLIPS, tiny_checkpoint)
    assert find_recipe(tmp_path / "new", CLIPS, tiny_checkpoint) == first
    assert calls == [1]


def test_a_damaged_recipe_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / RECIPE_NAME).write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot read the recipe"):
        find_recipe(tmp_path, CLIPS, tiny_checkpoint)
    with pytest.raises(ValueError, match="does not say the same attributes of every quadrant"):
        Recipe({}, {}, {}, {})
