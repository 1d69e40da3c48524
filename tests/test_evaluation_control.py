from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.evaluation import answer_requests, row
from scipy.stats import pearsonr, spearmanr

from emomusic.evaluation import control
from emomusic.evaluation.rows import Row
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES

DESIGN = control.Design(
    attributes=("tempo", "register", "mode", "leap_size"),
    bar_attributes=("register", "velocity_mean"),
    n_levels=5, n_each=4, n_bar_clips=8,
)  # fmt: skip
SHARES = np.array([0.02, 0.25, 0.5, 0.75, 0.98])
Known = tuple[control.Known, control.Known]


@pytest.fixture(scope="module")
def real(tiny_checkpoint: Path) -> Known:
    return control.real_values(tiny_checkpoint)


def test_levels_lie_at_evenly_spaced_quantiles_and_what_much_music_shares_is_one() -> None:
    straight = control.Distribution(np.array([0.0, 0.5, 1.0]), np.array([0.0, 50.0, 100.0]))
    assert straight.levels(4) == pytest.approx([5, 35, 65, 95])
    shared = control.Distribution(SHARES, np.array([0, 0, 0, 0.2, 0.6]))
    assert shared.levels(8).tolist() == [0, 0.2, 0.6]
    # bins without a width do not count
    assert shared.bins(np.array([-1, 0, 0.1, 0.2, 0.5])).tolist() == [0, 1, 1, 2, 2]


def test_a_checkpoint_is_asked_for_what_it_knows_and_missing_bins_are_named(
    real: Known, own_checkpoint: Path
) -> None:
    clips, bars = real
    assert tuple(clips) == ATTRIBUTE_NAMES and tuple(bars) == BAR_ATTRIBUTE_NAMES
    for own in (*clips.values(), *bars.values()):
        assert (np.diff(own.levels(8)) > 0).all() and len(own.levels(8)) == 8
    path = own_checkpoint / "tables.json"
    tables = json.loads(path.read_text("utf-8"))
    for key in ("attributes", "edges"):
        tables[key] = tables[key][2:5]
        tables[f"bar_{key}"] = tables[f"bar_{key}"][1:]
    path.write_text(json.dumps(tables), encoding="utf-8")
    clips, bars = control.real_values(own_checkpoint)
    assert tuple(clips) == ATTRIBUTE_NAMES[2:5]
    assert tuple(bars) == BAR_ATTRIBUTE_NAMES[1:]
    path.write_text('{"attributes": [], "edges": []}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot read the bins .*bar_attributes"):
        control.real_values(own_checkpoint)


def test_every_level_is_asked_alone_and_equally_often(real: Known) -> None:
    asked = control.sweeps(real[0], DESIGN)
    assert tuple(asked) == DESIGN.attributes
    for name, values in asked.items():
        requests = control.requests_of({name: values}, per_bar=False, n_bars=16)
        wanted = np.repeat(real[0][name].levels(5), 4).tolist()
        assert [request.fixed for request in requests] == [{name: value} for value in wanted]
        assert all(r.emotion is None and not r.per_bar and r.n_bars == 16 for r in requests)


def test_bars_change_after_one_to_four_and_the_same_seed_asks_the_same(real: Known) -> None:
    asked, again, other = (
        control.courses(real[1], DESIGN, np.random.default_rng(seed), n_bars=16)
        for seed in (0, 0, 1)
    )
    rows = [tuple(own) for values in asked.values() for own in values.tolist()]
    assert len(rows) == len(set(rows)) == 2 * 8 and {len(own) for own in rows} == {16}
    changes = [sum(a != b for a, b in pairwise(own)) for own in rows]
    assert 4 < np.mean(changes) < 12  # five levels, steps of two and a half bars
    assert all((asked[name] == again[name]).all() for name in asked)
    assert any((asked[name] != other[name]).any() for name in asked)
    (first, *_) = control.requests_of({"register": asked["register"]}, per_bar=True, n_bars=16)
    assert first.per_bar == {"register": tuple(asked["register"][0])} and not first.fixed


def rows_of(real: Known, *, obeys: bool) -> list[Row | str]:
    """Return what is found clip-wide and bar by bar, on clips as asked or as if nothing was."""
    rng, found = np.random.default_rng(0), list[Row | str]()
    for per_bar, values in ((False, control.sweeps(real[0], DESIGN)),
                            (True, control.courses(real[1], DESIGN, rng, n_bars=16))):  # fmt: skip
        clips = {
            name: answer_requests(
                control.requests_of({name: own}, per_bar=per_bar, n_bars=16), obeys=obeys
            )
            for name, own in values.items()
        }
        found += control.control_rows(values, clips, real[per_bar], per_bar=per_bar)
    return found


@pytest.fixture(scope="module")
def obeyed(real: Known) -> list[Row | str]:
    return rows_of(real, obeys=True)


@pytest.fixture(scope="module")
def ignored(real: Known) -> list[Row | str]:
    return rows_of(real, obeys=False)


def named(rows: Sequence[Row | str], name: str, asked: str) -> dict[str, Row]:
    """Return the rows of a name by their attribute."""
    return {
        own.by["attribute"]: own
        for own in rows
        if isinstance(own, Row) and own.name == name and own.by["asked"] == asked
    }


def test_perfect_control_is_seen(obeyed: list[Row | str]) -> None:
    clip, bar = (named(obeyed, "ρ", kind) for kind in ("clip-wide", "bar by bar"))
    assert tuple(clip) == DESIGN.attributes and tuple(bar) == DESIGN.bar_attributes
    for name in ("ρ", "R² identity", "bin", "one bin"):
        values = [own.value for own in named(obeyed, name, "clip-wide").values()]
        assert values == pytest.approx([1.0] * 4)
    assert all(own.value > 0.99 for own in bar.values())
    assert all(own.value == 1 for own in named(obeyed, "one bin", "bar by bar").values())
    for kind in ("clip-wide", "bar by bar"):
        assert row(obeyed, "worst ρ", asked=kind).value > 0.99


def test_indifference_is_seen(ignored: list[Row | str]) -> None:
    for kind in ("clip-wide", "bar by bar"):
        assert abs(row(ignored, "mean ρ", asked=kind).value) < 0.3
        for own in named(ignored, "ρ", kind).values():
            assert own.low is not None and own.low < 0.1
        assert all(own.value < 0.5 for own in named(ignored, "bin", kind).values())


def test_the_mean_takes_its_interval_from_its_parts_without_what_is_simply_set(
    obeyed: list[Row | str], ignored: list[Row | str]
) -> None:
    own = [found for name, found in named(ignored, "ρ", "clip-wide").items() if name != "tempo"]
    mean, worst = (row(ignored, name, asked="clip-wide") for name in ("mean ρ", "worst ρ"))
    assert mean.n == len(own) == row(obeyed, "mean ρ", asked="clip-wide").n == 3
    assert mean.value == pytest.approx(np.mean([found.value for found in own]))
    width = np.sqrt(sum((found.high - found.low) ** 2 for found in own)) / len(own)  # type: ignore[operator]
    assert mean.value - (mean.low or 0) == pytest.approx(width / 2)
    least = min(own, key=lambda found: found.value)
    assert (worst.value, worst.low, worst.high) == (least.value, least.low, least.high)
    assert f"Worst clip-wide: {least.by['attribute']}." in ignored


TEN = control.Distribution(np.linspace(0, 1, 11), np.arange(11.0) * 10)


def followed(asked: Any, achieved: Any, *, moved: float = 0.0) -> list[Row]:
    """Return how an attribute follows, asked for alone, each value once."""
    columns = (np.array(own, float)[:, None] for own in (asked, achieved))
    found: Iterator[Row] = control.following(*columns, TEN, moved=moved, by={})
    return list(found)


def test_r2_of_the_identity_sees_an_offset_that_a_line_does_not() -> None:
    asked, noisy = [21.0, 22, 23, 24], [21.0, 23, 22, 25]
    assert row(followed(asked, asked), "R² identity").value == 1
    off = row(followed(asked, [22.0, 23, 24, 25]), "R² identity")
    assert off.value == pytest.approx(1 - 4 / 5)
    linear = pearsonr(asked, noisy).statistic ** 2
    assert row(followed(asked, noisy), "R² linear").value == pytest.approx(linear)
    assert row(followed(asked, [7.0] * 4), "ρ").value == 0.0


@pytest.mark.parametrize("moved", [0, 7])
def test_bins_count_where_the_model_writes(moved: int) -> None:
    asked, achieved = np.array([12.0, 25, 38]) + moved, np.array([18.0, 31, 55]) + moved
    found = followed(asked, achieved, moved=moved)
    assert row(found, "bin").value == pytest.approx(1 / 3)
    assert row(found, "one bin").value == pytest.approx(2 / 3)


def test_the_interval_draws_whole_clips() -> None:
    rng = np.random.default_rng(1)
    asked = rng.uniform(30, 90, 20)
    achieved = asked + rng.normal(0, 15, 20)
    found = followed(asked, achieved)[0]
    assert found.low is not None and found.high is not None and found.n == 20
    assert found.low < spearmanr(asked, achieved).statistic < found.high
