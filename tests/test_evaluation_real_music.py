from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rows_cases import plain_rows
from scipy.stats import spearmanr
from synthetic import make_mapper

from emomusic.evaluation.real_music import Distribution, RealMusic, real_music
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES

SHARES = np.array([0.02, 0.25, 0.5, 0.75, 0.98])


def distribution(values: list[float]) -> Distribution:
    return Distribution(SHARES, np.array(values))


def music(joint: np.ndarray) -> RealMusic:
    """Return real music of three attributes, each of them uniform from 0 to 1."""
    even = Distribution(np.array([0, 0.5, 1]), np.array([0, 0.5, 1]))
    return RealMusic(dict.fromkeys("abc", even), joint)


def test_levels_lie_at_evenly_spaced_quantiles() -> None:
    straight = Distribution(np.array([0.0, 0.5, 1.0]), np.array([0.0, 50.0, 100.0]))
    assert straight.levels(4) == pytest.approx([5, 35, 65, 95])


def test_a_value_that_much_music_shares_is_one_level() -> None:
    levels = distribution([0, 0, 0, 0.2, 0.6]).levels(8)
    assert levels.tolist() == [0, 0.2, 0.6]


def test_bins_without_a_width_do_not_count() -> None:
    found = distribution([0, 0, 0, 0.2, 0.6]).bins(np.array([-1, 0, 0.1, 0.2, 0.5]))
    assert found.tolist() == [0, 1, 1, 2, 2]


def test_a_rank_is_the_share_below_and_any_of_those_alike() -> None:
    rng = np.random.default_rng(0)
    assert distribution([0, 25, 50, 75, 98]).rank(50, rng) == pytest.approx(0.5, abs=0.01)
    ranks = [distribution([0, 0, 0, 0.2, 0.6]).rank(0, rng) for _ in range(200)]
    assert min(ranks) < 0.1 < 0.5 < max(ranks) < 0.7


def test_attributes_nearly_the_same_make_a_group_also_in_a_chain() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal(1_000)
    b = a + 0.35 * rng.standard_normal(1_000)
    c = -b + 0.35 * rng.standard_normal(1_000)
    assert abs(spearmanr(a, c).statistic) < 0.9
    assert music(np.stack([a, b, c], axis=1)).groups == (("a", "b", "c"),)
    apart = music(rng.standard_normal((1_000, 3))).groups
    assert apart == (("a",), ("b",), ("c",))


def test_only_values_that_go_together_are_possible() -> None:
    rng = np.random.default_rng(2)
    a = rng.random(1_000)
    real = music(np.stack([a, a, rng.random(1_000)], axis=1))
    assert real.possible({"a": 0.2, "b": 0.2}, rng)
    assert not real.possible({"a": 0.2, "b": 0.8}, rng)
    assert real.possible({"a": 0.2, "c": 0.8}, rng)


def test_a_checkpoint_knows_real_music(tiny_checkpoint: Path) -> None:
    clips, bars = real_music(tiny_checkpoint)
    assert tuple(clips.known) == ATTRIBUTE_NAMES and tuple(bars.known) == BAR_ATTRIBUTE_NAMES
    for own in (*clips.known.values(), *bars.known.values()):
        assert (np.diff(own.values) >= 0).all() and own.spread > 0
        assert (np.diff(own.levels(8)) > 0).all() and len(own.levels(8)) == 8
    mapper = make_mapper()
    means = np.array([[p.mean[name] for name in ATTRIBUTE_NAMES] for p in mapper.prototypes])
    assert clips.joint.mean(axis=0) == pytest.approx(means.mean(axis=0), rel=0.2, abs=0.2)
    assert (real_music(tiny_checkpoint)[0].joint == clips.joint).all()


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
    of_clips, of_bars = real_music(tiny_checkpoint, rows=rows)
    assert of_clips.joint == pytest.approx(clips[[0, 2]])
    assert of_bars.joint == pytest.approx(bars[[0, 2, 3, 8, 9, 10, 11]])


def test_a_checkpoint_is_asked_for_what_it_knows(own_checkpoint: Path) -> None:
    path = own_checkpoint / "tables.json"
    tables = json.loads(path.read_text("utf-8"))
    for key in ("attributes", "edges"):
        tables[key] = tables[key][2:5]
    for key in ("bar_attributes", "bar_edges"):
        tables[key] = tables[key][1:]
    path.write_text(json.dumps(tables), encoding="utf-8")
    clips, bars = real_music(own_checkpoint)
    assert tuple(clips.known) == ATTRIBUTE_NAMES[2:5]
    assert tuple(bars.known) == BAR_ATTRIBUTE_NAMES[1:]
    assert clips.joint.shape[1] == 3 and bars.joint.shape[1] == len(BAR_ATTRIBUTE_NAMES) - 1


def test_missing_bins_are_named(own_checkpoint: Path) -> None:
    (own_checkpoint / "tables.json").write_text('{"attributes": []}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot read the bins .*bar_attributes"):
        real_music(own_checkpoint)
