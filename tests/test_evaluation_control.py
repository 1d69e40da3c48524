from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
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
    Answers,
    AskedValues,
    Design,
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

DESIGN = Design(
    attributes=("tempo", "register", "mode", "leap_size"),
    bar_attributes=("register", "velocity_mean"),
    n_levels=5, n_each=4, n_bar_clips=8, n_sets=4, n_set_clips=60, n_bar_sets=1,
    n_bar_set_clips=30,
)  # fmt: skip
BAR_TICKS = 4 * 480
Known = tuple[RealMusic, RealMusic]


@pytest.fixture(scope="module")
def real(tiny_checkpoint: Path) -> Known:
    return real_music(tiny_checkpoint)


@pytest.fixture(scope="module")
def asked(real: Known) -> list[AskedValues]:
    return ask(*real, DESIGN)


def values_of(asked: Sequence[AskedValues]) -> list[tuple[bool, list[tuple[str, Any]]]]:
    return [(own.per_bar, [(n, v.tolist()) for n, v in own.values.items()]) for own in asked]


def test_every_level_is_asked_alone_and_equally_often(
    asked: list[AskedValues], real: Known
) -> None:
    alone = [own for own in asked if not own.per_bar and len(own.values) == 1]
    assert [tuple(own.values) for own in alone] == [(name,) for name in DESIGN.attributes]
    for own, name in zip(alone, DESIGN.attributes, strict=True):
        requests = own.requests(16)
        values = Counter(request.fixed[name] for request in requests)
        assert values == dict.fromkeys(real[0].known[name].levels(5).tolist(), 4)
        assert all(r.emotion is None and len(r.fixed) == 1 and not r.per_bar for r in requests)


def test_bars_change_after_one_to_four(asked: list[AskedValues]) -> None:
    requests = [request for own in asked if own.per_bar and len(own.values) == 1
                for request in own.requests(16)]  # fmt: skip
    courses = [next(iter(request.per_bar.values())) for request in requests]
    assert len(courses) == len(set(courses)) == 2 * 8
    assert all(len(own) == 16 for own in courses) and not any(r.fixed for r in requests)
    changes = [sum(a != b for a, b in pairwise(own)) for own in courses]
    assert 4 < np.mean(changes) < 12  # five levels, steps of two and a half bars


def test_sets_hold_every_attribute_equally_often(asked: list[AskedValues]) -> None:
    sets = [tuple(own.values) for own in asked if not own.per_bar and len(own.values) > 1]
    assert Counter(name for names in sets for name in names) == dict.fromkeys(DESIGN.attributes, 3)


def test_attributes_nearly_the_same_are_not_asked_at_once(real: Known) -> None:
    joint = real[0].joint.copy()
    joint[:, 6] = joint[:, 0]  # register is tempo now
    asked = ask(replace(real[0], joint=joint), real[1], DESIGN)
    assert not any({"tempo", "register"} <= set(own.values) for own in asked)


def test_what_is_asked_at_once_goes_together(real: Known) -> None:
    rng = np.random.default_rng(0)
    apart, alike = real[0].joint.copy(), real[0].joint.copy()
    apart[:, 6] = rng.standard_normal(len(apart))
    alike[:, 6] = alike[:, 0] + rng.standard_normal(len(alike)) * alike[:, 0].std() / 2
    names = ("tempo", "register")
    design = replace(DESIGN, attributes=names, n_sets=1, n_set_clips=60, n_bar_sets=0)
    drawn = []
    for joint in (apart, alike):
        (both,) = (own.values for own in ask(replace(real[0], joint=joint), real[1], design)
                   if len(own.values) == 2)  # fmt: skip
        drawn.append(np.corrcoef(both["tempo"][:, 0], both["register"][:, 0])[0, 1])
    assert drawn[1] > drawn[0] + 0.2


def test_same_seed_same_questions(real: Known, asked: list[AskedValues]) -> None:
    again, other = (values_of(ask(*real, DESIGN, seed=seed)) for seed in (0, 1))
    assert again == values_of(asked) != other


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


def rows_of(real: Known, *, obeys: bool) -> list[Row | str]:
    """Return what is found clip-wide and bar by bar."""
    asked = ask(*real, DESIGN)
    requests = [own.requests(16) for own in asked]
    clips = MadeComposer(obeys=obeys).compose_each([r for own in requests for r in own], seed=0)
    answers = [answer(own, list(islice(clips, len(requests[i])))) for i, own in enumerate(asked)]
    found: list[Row | str] = []
    for per_bar in (False, True):
        own = [a for a, b in zip(answers, asked, strict=True) if b.per_bar == per_bar]
        found += control_rows(own, real[per_bar], per_bar=per_bar)
    return found


@pytest.fixture(scope="module")
def obeyed(real: Known) -> list[Row | str]:
    return rows_of(real, obeys=True)


@pytest.fixture(scope="module")
def ignored(real: Known) -> list[Row | str]:
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
    real: Known, obeyed: list[Row | str]
) -> None:
    assert row(obeyed, "mean ρ", asked="clip-wide").n == len(DESIGN.attributes) - 1
    assert "tempo" not in {own.by["on"] for own in obeyed if isinstance(own, Row)
                           and own.name == "leak"}  # fmt: skip
    joint = real[0].joint.copy()
    at = [ATTRIBUTE_NAMES.index(name) for name in ("register", "mode")]
    joint[:, at[1]] = joint[:, at[0]]
    found = rows_of((replace(real[0], joint=joint), real[1]), obeys=True)
    assert row(found, "mean ρ", asked="clip-wide").n == len(DESIGN.attributes) - 2
    assert any("register = mode" in own or "mode = register" in own
               for own in found if isinstance(own, str))  # fmt: skip
    with pytest.raises(ValueError, match="no attribute was asked for alone"):
        list(control_rows([], real[0], per_bar=False))


def test_the_mean_takes_its_interval_from_its_parts(obeyed: list[Row | str]) -> None:
    own = [found for name, found in named(obeyed, "ρ", asked="clip-wide").items()
           if name != "tempo"]  # fmt: skip
    mean = row(obeyed, "mean ρ", asked="clip-wide")
    assert mean.value == pytest.approx(np.mean([found.value for found in own]))
    width = np.sqrt(sum((found.high - found.low) ** 2 for found in own)) / len(own)  # type: ignore[operator]
    assert mean.value - (mean.low or 0) == pytest.approx(width / 2)


TEN = Distribution(np.linspace(0, 1, 11), np.arange(11.0) * 10)


def followed(asked: Sequence[float], achieved: Sequence[float], *, shift: int = 0) -> list[Row]:
    """Return how the register follows, asked for alone, each value once."""
    asked_for, found = ({"register": np.array(own)[:, None]} for own in (asked, achieved))
    answers = Answers(asked_for, found, np.full(len(asked), shift))
    return list(following("register", answers, TEN, by={}))


def test_r2_of_the_identity_sees_an_offset_that_a_line_does_not() -> None:
    asked, noisy = [21.0, 22, 23, 24], [21.0, 23, 22, 25]
    assert row(followed(asked, asked), "R² identity").value == 1
    off = row(followed(asked, [22.0, 23, 24, 25]), "R² identity")
    assert off.value == pytest.approx(1 - 4 / 5)
    linear = pearsonr(asked, noisy).statistic ** 2
    assert row(followed(asked, noisy), "R² linear").value == pytest.approx(linear)
    assert row(followed(asked, [7.0] * 4), "ρ").value == 0.0


@pytest.mark.parametrize("shift", [0, 5])
def test_bins_count_where_the_model_writes(shift: int) -> None:
    asked, achieved = np.array([12.0, 25, 38]) + shift, np.array([18.0, 31, 55]) + shift
    found = followed(asked.tolist(), achieved.tolist(), shift=shift)
    assert row(found, "bin").value == pytest.approx(1 / 3)
    assert row(found, "one bin").value == pytest.approx(2 / 3)


def test_the_interval_draws_whole_clips() -> None:
    rng = np.random.default_rng(1)
    asked = rng.uniform(30, 90, 20)
    achieved = asked + rng.normal(0, 15, 20)
    found = followed(asked.tolist(), achieved.tolist())[0]
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


def test_a_fader_by_hand(real: Known) -> None:
    achieved = [[0.0, 2], [1, 1], [2, 2], [3, 1]]  # spreads over sweeps 1, 0, 0, 1
    others = [[0.0, 5], [2.0, 5], [0.0, 5], [2.0, 5]]  # spreads over levels 1 and 0
    one = Distribution(np.array([0, 0.5, 1]), np.array([0.0, 1, 2]))
    joint = np.random.default_rng(0).standard_normal((99, 2))
    own = RealMusic({"register": one, "mode": one}, joint)
    asked = {"register": np.repeat(50 + np.arange(4) * one.spread, 2)[:, None]}
    found_in = {
        name: np.array(values).reshape(-1, 1) * one.spread
        for name, values in (("register", achieved), ("mode", others))
    }
    found = list(fader("register", Answers(asked, found_in, np.zeros(8, int)), own, by={}))
    assert row(found, "consistency").value == pytest.approx(0.5)
    assert row(found, "restrictiveness").value == pytest.approx(0.5)
    # the second sweep falls slowly
    assert row(found, "linearity").value == pytest.approx((1 + 0.2) / 2)
