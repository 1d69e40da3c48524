from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.evaluation import answer_requests, row
from rows_cases import plain_rows
from scipy.stats import pearsonr, spearmanr
from synthetic import make_mapper

from emomusic.evaluation import control
from emomusic.evaluation.rows import Row
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES

DESIGN = control.Design(
    attributes=("tempo", "register", "mode", "leap_size"),
    bar_attributes=("register", "velocity_mean"),
    n_levels=5, n_each=4, n_bar_clips=8,
)  # fmt: skip
SHARES = np.array([0.02, 0.25, 0.5, 0.75, 0.98])
Known = tuple[control.RealMusic, control.RealMusic]


@pytest.fixture(scope="module")
def real(tiny_checkpoint: Path) -> Known:
    return control.real_music(tiny_checkpoint)


def test_levels_lie_at_evenly_spaced_quantiles_and_what_much_music_shares_is_one() -> None:
    straight = control.Distribution(np.array([0.0, 0.5, 1.0]), np.array([0.0, 50.0, 100.0]))
    assert straight.levels(4) == pytest.approx([5, 35, 65, 95])
    shared = control.Distribution(SHARES, np.array([0, 0, 0, 0.2, 0.6]))
    assert shared.levels(8).tolist() == [0, 0.2, 0.6]
    # bins without a width do not count
    assert shared.bins(np.array([-1, 0, 0.1, 0.2, 0.5])).tolist() == [0, 1, 1, 2, 2]


def test_attributes_nearly_the_same_make_a_group_also_in_a_chain() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal(1_000)
    b = a + 0.35 * rng.standard_normal(1_000)
    c = -b + 0.35 * rng.standard_normal(1_000)
    assert abs(spearmanr(a, c).statistic) < 0.9
    one = control.Distribution(SHARES, SHARES)
    chain, apart, single = (
        control.RealMusic(dict.fromkeys("abc"[: joint.shape[1]], one), joint).groups
        for joint in (np.stack([a, b, c], axis=1), rng.standard_normal((1_000, 3)), a[:, None])
    )
    assert chain == [("a", "b", "c")] and apart == [("a",), ("b",), ("c",)] and single == [("a",)]


def test_a_checkpoint_knows_real_music(real: Known) -> None:
    clips, bars = real
    assert tuple(clips.known) == ATTRIBUTE_NAMES and tuple(bars.known) == BAR_ATTRIBUTE_NAMES
    for own in (*clips.known.values(), *bars.known.values()):
        assert (np.diff(own.levels(8)) > 0).all() and len(own.levels(8)) == 8
    mapper = make_mapper()
    means = np.array([[p.mean[name] for name in ATTRIBUTE_NAMES] for p in mapper.prototypes])
    assert clips.joint.mean(axis=0) == pytest.approx(means.mean(axis=0), rel=0.2, abs=0.2)


def test_real_clips_stand_in_where_rows_are_at_hand(tiny_checkpoint: Path) -> None:
    rng = np.random.default_rng(3)
    bars = rng.random((12, len(BAR_ATTRIBUTE_NAMES))).astype(np.float32)
    bars[1, 0] = np.nan
    clips = rng.random((3, len(ATTRIBUTE_NAMES))).astype(np.float32)
    rows = plain_rows(
        ids=np.zeros(0, np.uint16), bar_start=np.zeros(17, np.int64),
        bar_values=np.concatenate([bars, bars[:4]]),
        clip_bar=np.array([0, 4, 8, 12], np.int32), clip_n_bars=np.full(4, 4, np.int16),
        clip_values=np.concatenate([clips, clips[:1]])[:, ::-1], clip_song=np.arange(4),
        song_source=np.zeros(4, np.int16), song_has_dynamics=np.array([True, False, True, True]),
        song_has_durations=np.array([True, True, True, False]),
        meta={"attributes": ATTRIBUTE_NAMES[::-1], "bar_attributes": BAR_ATTRIBUTE_NAMES},
    )  # fmt: skip
    of_clips, of_bars = control.real_music(tiny_checkpoint, rows=rows)
    assert of_clips.joint == pytest.approx(clips[[0, 2]])
    assert of_bars.joint == pytest.approx(bars[[0, 2, 3, 8, 9, 10, 11]])


def test_a_checkpoint_is_asked_for_what_it_knows_and_missing_bins_are_named(
    own_checkpoint: Path,
) -> None:
    path = own_checkpoint / "tables.json"
    tables = json.loads(path.read_text("utf-8"))
    for key in ("attributes", "edges"):
        tables[key] = tables[key][2:5]
        tables[f"bar_{key}"] = tables[f"bar_{key}"][1:]
    path.write_text(json.dumps(tables), encoding="utf-8")
    clips, bars = control.real_music(own_checkpoint)
    assert tuple(clips.known) == ATTRIBUTE_NAMES[2:5] and clips.joint.shape[1] == 3
    assert tuple(bars.known) == BAR_ATTRIBUTE_NAMES[1:]
    path.write_text('{"attributes": [], "edges": []}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot read the bins .*bar_attributes"):
        control.real_music(own_checkpoint)


def test_every_level_is_asked_alone_and_equally_often(real: Known) -> None:
    asked = control.sweeps(real[0], DESIGN)
    assert tuple(asked) == DESIGN.attributes
    for name, values in asked.items():
        requests = control.requests_of({name: values}, per_bar=False, n_bars=16)
        wanted = np.repeat(real[0].known[name].levels(5), 4).tolist()
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


def test_indifference_is_seen(real: Known) -> None:
    ignored = rows_of(real, obeys=False)
    for kind in ("clip-wide", "bar by bar"):
        assert abs(row(ignored, "mean ρ", asked=kind).value) < 0.3
        for own in named(ignored, "ρ", kind).values():
            assert own.low is not None and own.low < 0.1
        assert all(own.value < 0.5 for own in named(ignored, "bin", kind).values())


def test_what_is_simply_set_is_not_counted_and_like_attributes_count_once(
    real: Known, obeyed: list[Row | str]
) -> None:
    assert row(obeyed, "mean ρ", asked="clip-wide").n == len(DESIGN.attributes) - 1
    joint = real[0].joint.copy()
    at = [ATTRIBUTE_NAMES.index(name) for name in ("register", "mode")]
    joint[:, at[1]] = joint[:, at[0]]
    found = rows_of((replace(real[0], joint=joint), real[1]), obeys=True)
    assert row(found, "mean ρ", asked="clip-wide").n == len(DESIGN.attributes) - 2
    assert any("register = mode" in own or "mode = register" in own
               for own in found if isinstance(own, str))  # fmt: skip


def test_the_mean_takes_its_interval_from_its_parts() -> None:
    a, b, c = (Row("ρ", value, value - half, value + half)
               for value, half in ((0.5, 0.1), (0.3, 0.2), (0.1, 0.4)))  # fmt: skip
    assert control.mean_rho([[b]]) == pytest.approx((0.3, 0.1, 0.5))
    half = np.sqrt(0.1**2 + 0.1**2 + 0.2**2) / 2  # the second and third count a half each
    assert control.mean_rho([[a], [b, c]]) == pytest.approx((0.35, 0.35 - half, 0.35 + half))


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


@pytest.mark.parametrize("moved", [0, 5])
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
