from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emomusic.compose.composer import Composer
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.baselines import (
    RULES,
    apply_rules,
    compose_by_recipe,
    compose_uncontrolled,
    quadrants_of,
    ruled,
)
from emomusic.evaluation.judged.recipe import Recipe
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES
from emomusic.music.notes import Notes, make_notes

MAJOR, MINOR = {0, 2, 4, 5, 7, 9, 11}, {0, 2, 3, 5, 7, 8, 10}


def scale(degrees: set[int], tonic: int) -> Notes:
    onset = np.arange(float(len(degrees)))
    velocity = np.tile([60, 80], len(degrees))[: len(degrees)]
    return make_notes(onset, onset * 0 + 1, 60 + tonic + np.array(sorted(degrees)), velocity)


@pytest.mark.parametrize("degrees", [MAJOR, MINOR])
@pytest.mark.parametrize("quadrant", QUADRANTS)
def test_a_rule_sets_tempo_mode_register_and_loudness(degrees: set[int], quadrant: str) -> None:
    rule, notes = RULES[quadrant], scale(degrees, 2)
    found = ruled(notes, rule, 2, np.random.default_rng(0))
    relative = set(((found.pitch - rule.semitones - 2) % 12).tolist())
    assert relative == (MAJOR if rule.is_major else MINOR)
    assert abs(found.pitch - notes.pitch - rule.semitones).max() <= 1
    tempo = 60.0 * found.onset[-1] / found.onset_s[-1]
    assert rule.tempo[0] <= tempo <= rule.tempo[1]
    assert (found.onset == notes.onset).all()
    assert found.velocity.mean() == pytest.approx(55 * 10 ** (rule.loudness_db / 40), abs=1)


def test_nothing_is_asked_of_what_rules_are_set_upon(tiny_checkpoint: Path) -> None:
    clips = compose_uncontrolled(Composer(tiny_checkpoint), count=2, seed=4, n_bars=2)
    assert len(clips) == 8 and all(clip.targets == {} for clip in clips)
    assert quadrants_of(2) == ["Q1", "Q1", "Q2", "Q2", "Q3", "Q3", "Q4", "Q4"]
    found = apply_rules(clips, quadrants_of(2), seed=4)
    again = apply_rules(clips, quadrants_of(2), seed=4)
    assert all((a.onset_s == b.onset_s).all() for a, b in zip(found, again, strict=True))
    assert all(found[at].velocity.mean() > found[at + 2].velocity.mean() for at in (2, 3))


def test_a_recipe_asks_for_every_attribute(tiny_checkpoint: Path) -> None:
    bits = {
        q: {name: (i + j) % 2 == 0 for j, name in enumerate(ATTRIBUTE_NAMES)}
        for i, q in enumerate(QUADRANTS)
    }
    low = {a.name: a.low for a in ATTRIBUTES}
    high = {a.name: a.high for a in ATTRIBUTES}
    recipe = Recipe(bits, dict.fromkeys(QUADRANTS, "some.mid"), low, high)
    clips = compose_by_recipe(Composer(tiny_checkpoint), recipe, count=1, seed=0, n_bars=2)
    assert [clip.tempo for clip in clips] == [200.0, 40.0, 200.0, 40.0]
    assert clips[1].targets["note_density"] == high["note_density"]
    assert clips[2].targets["note_density"] == low["note_density"]
