from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic
from helpers.evaluation import row
from scipy.stats import pearsonr, spearmanr

from emomusic.compose.clip import Clip
from emomusic.compose.request import Request
from emomusic.evaluation.control import (
    Answer,
    Design,
    Question,
    answer,
    ask,
    control_rows,
    fader,
    following,
    leaks,
)
from emomusic.evaluation.real_music import Distribution, RealMusic, real_music
from emomusic.evaluation.rows import Row
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES
from emomusic.music.key import TONIC_NAMES

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


DESIGN = Design(
    attributes=("tempo", "register", "mode", "leap_size"),
    bar_attributes=("register", "velocity_mean"),
    n_levels=5,
    n_each=4,
    n_bar_clips=8,
    n_sets=4,
    n_set_clips=60,
    n_bar_sets=1,
    n_bar_set_clips=30,
)
BAR_TICKS = 4 * 480


class MadeComposer:
    """Answer requests with clips made in code: as asked, or as if nothing had been asked."""

    def __init__(self, *, obeys: bool) -> None:
        self.obeys = obeys
        self.rng = np.random.default_rng(0)

    def compose_each(self, requests: Sequence[Request], *, seed: int) -> Iterator[Clip]:
        for index, request in enumerate(requests):
            drawn = {a.name: float(self.rng.uniform(a.low, a.high)) for a in ATTRIBUTES}
            achieved = {**drawn, **request.fixed} if self.obeys else drawn
            yield Clip(
                index=index, seed=seed, candidate=0, request=request, score=self.score(request),
                n_bars=request.n_bars or 0, n_given=0, tempo=120.0, targets=request.fixed,
                achieved=achieved, key=f"{TONIC_NAMES[index % 12]} minor",
                verdict=None, checkpoint="made", chords="",
            )  # fmt: skip

    def score(self, request: Request) -> Any:
        score: Any = symusic.Score(480)
        track: Any = symusic.Track("piano")
        for bar in range(request.n_bars or 0):
            asked = {
                "register": self.rng.uniform(40, 80),
                "velocity_mean": self.rng.uniform(30, 99),
            }
            if self.obeys:
                asked |= {name: values[bar] for name, values in request.per_bar.items()}
            pitch, velocity = round(asked["register"]), round(asked["velocity_mean"])
            track.notes.append(symusic.Note(bar * BAR_TICKS, 480, pitch, velocity))
        score.tracks.append(track)
        return score


def rows_of(real: RealMusic, *, obeys: bool, design: Design = DESIGN) -> list[Row | str]:
    """Return what is found clip-wide and bar by bar."""
    questions = ask(real, design)
    clips = MadeComposer(obeys=obeys).compose_each([q.request for q in questions], seed=0)
    answers = [answer(*pair) for pair in zip(questions, clips, strict=True)]
    found = (control_rows(answers, real, per_bar=per_bar) for per_bar in (False, True))
    return [own for rows in found for own in rows]


@pytest.fixture(scope="module")
def obeyed(real: RealMusic) -> list[Row | str]:
    return rows_of(real, obeys=True)


@pytest.fixture(scope="module")
def ignored(real: RealMusic) -> list[Row | str]:
    return rows_of(real, obeys=False)


def named(rows: Sequence[Row | str], name: str, **by: str) -> dict[str, Row]:
    """Return the rows of a name by their attribute."""
    return {
        own.by.get("attribute", ""): own
        for own in rows
        if isinstance(own, Row) and own.name == name and by.items() <= dict(own.by).items()
    }


def test_perfect_control_is_seen(obeyed: list[Row | str]) -> None:
    clip, bar = (named(obeyed, "ρ", asked=kind) for kind in ("clip-wide", "bar by bar"))
    assert tuple(clip) == DESIGN.attributes and tuple(bar) == DESIGN.bar_attributes
    for name in ("ρ", "R² identity", "bin", "one bin", "consistency", "linearity"):
        values = [own.value for own in named(obeyed, name, asked="clip-wide").values()]
        assert values == pytest.approx([1.0] * 4)
    assert all(own.value > 0.99 for own in bar.values())
    assert all(own.value == 1 for own in named(obeyed, "one bin", asked="bar by bar").values())
    assert not named(obeyed, "consistency", asked="bar by bar")
    for kind in ("clip-wide", "bar by bar"):
        assert row(obeyed, "worst ρ", asked=kind).value > 0.99
        for of in ("measured", "beyond chance"):
            assert row(obeyed, "leakage on the whole", asked=kind, of=of).value < 0.1


def test_indifference_is_seen(ignored: list[Row | str]) -> None:
    for kind in ("clip-wide", "bar by bar"):
        assert abs(row(ignored, "mean ρ", asked=kind).value) < 0.3
        leakage, chance = (row(ignored, "leakage on the whole", asked=kind, of=of).value
                           for of in ("measured", "by chance"))  # fmt: skip
        assert leakage == pytest.approx(chance, abs=0.06)
        for own in named(ignored, "ρ", asked=kind).values():
            assert own.low is not None and own.low < 0.1
        assert all(own.value < 0.5 for own in named(ignored, "bin", asked=kind).values())


def test_what_is_simply_set_is_not_counted_and_like_attributes_count_once(
    real: RealMusic,
) -> None:
    found = rows_of(real, obeys=True)
    assert row(found, "mean ρ", asked="clip-wide").n == len(DESIGN.attributes) - 1
    assert "tempo" not in {own.by["on"] for own in found if isinstance(own, Row)
                           and own.name == "leak"}  # fmt: skip
    joint = real.joint.copy()
    at = [ATTRIBUTE_NAMES.index(name) for name in ("register", "mode")]
    joint[:, at[1]] = joint[:, at[0]]
    found = rows_of(replace(real, joint=joint), obeys=True)
    assert row(found, "mean ρ", asked="clip-wide").n == len(DESIGN.attributes) - 2
    assert any("register = mode" in own or "mode = register" in own
               for own in found if isinstance(own, str))  # fmt: skip


def test_nothing_asked_alone_is_no_control(real: RealMusic) -> None:
    with pytest.raises(ValueError, match="no attribute was asked for alone"):
        list(control_rows([], real, per_bar=False))


def test_the_mean_takes_its_interval_from_its_parts(obeyed: list[Row | str]) -> None:
    own = [found for name, found in named(obeyed, "ρ", asked="clip-wide").items()
           if name != "tempo"]  # fmt: skip
    mean = row(obeyed, "mean ρ", asked="clip-wide")
    assert mean.value == pytest.approx(np.mean([found.value for found in own]))
    width = np.sqrt(sum((found.high - found.low) ** 2 for found in own)) / len(own)  # type: ignore[operator]
    assert mean.value - (mean.low or 0) == pytest.approx(width / 2)


TEN = Distribution("register", np.linspace(0, 1, 11), np.arange(11.0) * 10)


def answers_of(
    asked: Sequence[float], achieved: Sequence[float], *, shift: int = 0
) -> list[Answer]:
    """Return answers to one attribute asked for alone, each value once."""
    return [
        Answer(
            Question(("register",), False, 0, Request(emotion=None, fixed={"register": a})),
            {"register": np.array([b])},
            shift,
        )
        for a, b in zip(asked, achieved, strict=True)
    ]


def values_of(
    asked: Sequence[float], achieved: Sequence[float], *, shift: int = 0
) -> dict[str, float]:
    own = answers_of(asked, achieved, shift=shift)
    return {row.name: row.value for row in following("register", own, TEN, by={})}


def test_r2_of_the_identity_sees_an_offset_that_a_line_does_not() -> None:
    asked = [21.0, 22, 23, 24]
    assert values_of(asked, asked)["R² identity"] == 1
    assert values_of(asked, [22.0, 23, 24, 25])["R² identity"] == pytest.approx(1 - 4 / 5)
    noisy = [21.0, 23, 22, 25]
    linear = pearsonr(asked, noisy).statistic ** 2
    assert values_of(asked, noisy)["R² linear"] == pytest.approx(linear)
    assert values_of(asked, [7.0] * 4)["ρ"] == 0.0


def test_bins_count_where_the_model_writes() -> None:
    asked, achieved = np.array([12.0, 25, 38]), np.array([18.0, 31, 55])
    found = values_of(asked.tolist(), achieved.tolist())
    assert (found["bin"], found["one bin"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    moved = values_of((asked + 5).tolist(), (achieved + 5).tolist(), shift=5)
    assert (moved["bin"], moved["one bin"]) == (found["bin"], found["one bin"])


def test_the_interval_draws_whole_clips() -> None:
    rng = np.random.default_rng(1)
    asked = rng.uniform(30, 90, 20)
    achieved = asked + rng.normal(0, 15, 20)
    own = answers_of(asked.tolist(), achieved.tolist())
    found = next(following("register", own, TEN, by={}))
    assert found.low is not None and found.high is not None and found.n == 20
    assert found.low < spearmanr(asked, achieved).statistic < found.high


def test_what_is_asked_elsewhere_leaks_nothing_even_where_asked_values_agree() -> None:
    rng = np.random.default_rng(2)
    asked = rng.standard_normal((2, 400, 1))
    asked[1] += asked[0]
    assert spearmanr(asked[0, :, 0], asked[1, :, 0]).statistic > 0.6
    found = {(leak.asked, leak.moved): leak for leak in leaks(("a", "b"), asked, asked)}
    assert set(found) == {("a", "b"), ("b", "a")}
    assert all(abs(leak.rho) < 0.05 for leak in found.values())


def test_a_leak_of_independent_values_is_their_rank_correlation() -> None:
    rng = np.random.default_rng(3)
    asked = np.stack(
        [rng.permutation(np.repeat(np.arange(10.0), 10)), np.tile(np.arange(10.0), 10)]
    )
    asked[0] = np.repeat(np.arange(10.0), 10)  # all combinations once
    achieved = np.stack([asked[0], asked[1] + asked[0] + rng.standard_normal(100)])
    one, other = leaks(("a", "b"), asked[:, :, None], achieved[:, :, None])
    assert (one.asked, one.moved) == ("a", "b")
    assert one.rho == pytest.approx(spearmanr(asked[0], achieved[1]).statistic)
    assert abs(other.rho) < 0.01


def test_chance_is_as_large_as_it_is() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(40):
        asked, achieved = rng.standard_normal((2, 2, 30, 1))
        found += list(leaks(("a", "b"), asked, achieved))
    size = np.mean([abs(leak.rho) for leak in found])
    assert np.mean([leak.chance for leak in found]) == pytest.approx(size, rel=0.25)


def test_a_fader_by_hand(real: RealMusic) -> None:
    achieved = [[0.0, 2], [1, 1], [2, 2], [3, 1]]  # spreads over sweeps 1, 0, 0, 1
    others = [[0.0, 5], [2.0, 5], [0.0, 5], [2.0, 5]]  # spreads over levels 1 and 0
    one = Distribution("register", np.array([0, 0.5, 1]), np.array([0.0, 1, 2]))
    joint = np.random.default_rng(0).standard_normal((99, 2))
    own = replace(real, clip={"register": one, "mode": one}, joint=joint)
    answers = [
        Answer(
            Question(
                ("register",),
                False,
                sweep,
                Request(emotion=None, fixed={"register": 50 + level * one.spread}),
            ),
            {
                "register": np.array([achieved[level][sweep]]) * one.spread,
                "mode": np.array([others[level][sweep]]) * one.spread,
            },
            0,
        )
        for level in range(4)
        for sweep in range(2)
    ]
    found = {row.name: row.value for row in fader("register", answers, own, by={})}
    assert found["consistency"] == pytest.approx(0.5)
    assert found["restrictiveness"] == pytest.approx(0.5)
    assert found["linearity"] == pytest.approx((1 + 0.2) / 2)  # the second sweep falls slowly
