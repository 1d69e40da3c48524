from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emomusic.evaluation.control.asking import Design, Question, ask
from emomusic.evaluation.control.real import RealMusic, real_music

SMALL = Design(
    attributes=("tempo", "register", "mode", "silence"),
    bar_attributes=("register", "velocity_mean", "polyphony"),
    n_levels=4,
    n_each=2,
    n_bar_clips=3,
    n_sets=4,
    n_set_clips=5,
    n_bar_sets=1,
    n_bar_set_clips=2,
)


@pytest.fixture(scope="module")
def real(tiny_checkpoint: Path) -> RealMusic:
    return real_music(tiny_checkpoint)


@pytest.fixture(scope="module")
def asked(real: RealMusic) -> list[Question]:
    return ask(real, SMALL)


def test_every_level_is_asked_alone_and_equally_often(
    asked: list[Question], real: RealMusic
) -> None:
    alone = [q for q in asked if not q.per_bar and len(q.names) == 1]
    assert len(alone) == 4 * 4 * 2
    for name in SMALL.attributes:
        values = Counter(q.request.fixed[name] for q in alone if q.names == (name,))
        assert values == dict.fromkeys(real.clip[name].levels(4).tolist(), 2)
    assert all(q.request.emotion is None and len(q.request.fixed) == 1 for q in alone)


def test_bars_change_after_one_to_four(asked: list[Question]) -> None:
    bars = [q for q in asked if q.per_bar and len(q.names) == 1]
    assert len(bars) == 3 * 3
    for question in bars:
        (values,) = question.request.per_bar.values()
        changes = [0, *(i for i, (a, b) in enumerate(pairwise(values), 1) if a != b), len(values)]
        assert len(values) == 16 and len(changes) > 3
    assert len({tuple(q.request.per_bar.items()) for q in bars}) == len(bars)


def test_sets_hold_every_attribute_equally_often(asked: list[Question]) -> None:
    sets = {q.names for q in asked if not q.per_bar and len(q.names) > 1}
    assert Counter(name for names in sets for name in names) == dict.fromkeys(SMALL.attributes, 3)
    assert all(set(q.request.fixed) == set(q.names) for q in asked if q.names in sets)


def test_attributes_nearly_the_same_are_not_asked_at_once(real: RealMusic) -> None:
    joint = real.joint.copy()
    joint[:, 6] = joint[:, 0]  # register is tempo now
    asked = ask(replace(real, joint=joint), SMALL)
    assert not any({"tempo", "register"} <= set(q.names) for q in asked)


def test_what_is_asked_at_once_goes_together(real: RealMusic) -> None:
    rng = np.random.default_rng(0)
    apart, alike = real.joint.copy(), real.joint.copy()
    apart[:, 6] = rng.standard_normal(len(apart))
    alike[:, 6] = alike[:, 0] + rng.standard_normal(len(alike)) * alike[:, 0].std() / 2
    names = ("tempo", "register")
    design = replace(SMALL, attributes=names, n_sets=1, n_set_clips=60, n_bar_sets=0)
    drawn = {}
    for name, joint in (("apart", apart), ("alike", alike)):
        asked = ask(replace(real, joint=joint), design)
        both = [q.request.fixed for q in asked if len(q.names) == 2]
        drawn[name] = np.corrcoef([[f["tempo"], f["register"]] for f in both], rowvar=False)[0, 1]
    assert drawn["alike"] > drawn["apart"] + 0.2


def test_same_seed_same_questions(real: RealMusic, asked: list[Question]) -> None:
    assert ask(real, SMALL) == asked != ask(real, SMALL, seed=1)


def test_settings_replace_defaults(real: RealMusic) -> None:
    asked = ask(real, SMALL, n_bars=8, settings={"guidance": 1.5})
    assert {(q.request.n_bars, q.request.guidance) for q in asked} == {(8, 1.5)}
    assert all(len(v) == 8 for q in asked for v in q.request.per_bar.values())
