from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.composing import compose_quadrants
from helpers.evaluation import answer_requests, row
from rows_cases import plain_rows
from scipy.stats import spearmanr
from synthetic import make_mapper

from emomusic.compose.composer import Composer
from emomusic.evaluation import control
from emomusic.evaluation.rows import Row
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from studies.leakage import real as values_of
from studies.leakage import study

EVEN = control.Distribution(np.array([0, 0.5, 1]), np.array([0.0, 0.5, 1]))
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def given(tiny_checkpoint: Path) -> study.Given:
    return study.Given(Composer(tiny_checkpoint), n_sets=3, n_set_clips=60, count=1, n_bars=8)


def test_real_music_is_drawn_from_prototypes_or_taken_from_rows(tiny_checkpoint: Path) -> None:
    mapper = make_mapper()
    means = np.array([[p.mean[name] for name in ATTRIBUTE_NAMES] for p in mapper.prototypes])
    drawn = values_of.real_music(tiny_checkpoint)[0].joint
    assert drawn.mean(axis=0) == pytest.approx(means.mean(axis=0), rel=0.2, abs=0.2)
    bars = RNG(3).random((12, len(BAR_ATTRIBUTE_NAMES))).astype(np.float32)
    bars[1, 0] = np.nan
    clips = RNG(3).random((3, len(ATTRIBUTE_NAMES))).astype(np.float32)
    rows = plain_rows(
        ids=np.zeros(0, np.uint16), bar_start=np.zeros(17, np.int64),
        bar_values=np.concatenate([bars, bars[:4]]),
        clip_bar=np.array([0, 4, 8, 12], np.int32), clip_n_bars=np.full(4, 4, np.int16),
        clip_values=np.concatenate([clips, clips[:1]])[:, ::-1], clip_song=np.arange(4),
        song_source=np.zeros(4, np.int16), song_has_dynamics=np.array([True, False, True, True]),
        song_has_durations=np.array([True, True, True, False]),
        meta={"attributes": ATTRIBUTE_NAMES[::-1], "bar_attributes": BAR_ATTRIBUTE_NAMES},
    )  # fmt: skip
    of_clips, of_bars = values_of.real_music(tiny_checkpoint, rows=rows)
    assert of_clips.joint == pytest.approx(clips[[0, 2]])
    assert of_bars.joint == pytest.approx(bars[[0, 2, 3, 8, 9, 10, 11]])


def test_attributes_nearly_the_same_make_a_group_also_in_a_chain() -> None:
    rng = RNG(1)
    a = rng.standard_normal(1_000)
    b = a + 0.35 * rng.standard_normal(1_000)
    c = -b + 0.35 * rng.standard_normal(1_000)
    assert abs(spearmanr(a, c).statistic) < 0.9
    one = EVEN
    chain, apart, single = (
        values_of.RealMusic(dict.fromkeys("abc"[: joint.shape[1]], one), joint).groups
        for joint in (np.stack([a, b, c], axis=1), rng.standard_normal((1_000, 3)), a[:, None])
    )
    assert chain == [("a", "b", "c")] and apart == [("a",), ("b",), ("c",)] and single == [("a",)]


def test_sets_hold_every_attribute_equally_often_and_none_with_its_like(given: study.Given) -> None:
    found = study.sets_of(given.real[0], 22, RNG(0))
    assert Counter(name for own in found for name in own) == dict.fromkeys(ATTRIBUTE_NAMES, 3)
    joint = given.real[0].joint.copy()
    joint[:, 6] = joint[:, 0]  # register is tempo now
    found = study.sets_of(replace(given.real[0], joint=joint), 22, RNG(0))
    assert not any({"tempo", "register"} <= set(own) for own in found)


def test_only_values_that_go_together_are_asked_for_at_once() -> None:
    a, c = RNG(2).random((2, 1_000))
    real = values_of.RealMusic(dict.fromkeys("abc", EVEN), np.stack([a, a, c], axis=1))
    for asked, wanted in (({"a": 0.2, "b": 0.2}, True), ({"a": 0.2, "b": 0.8}, False),
                          ({"a": 0.2, "c": 0.8}, True)):  # fmt: skip
        assert values_of.possible(real, values_of.ranks_of(real), asked, RNG(2)) == wanted
    levels = dict.fromkeys("ab", EVEN.levels(8))
    together = study.draw(real, levels, RNG(0), n_clips=60)
    assert np.corrcoef(together["a"][:, 0], together["b"][:, 0])[0, 1] > 0.9
    many = control.Distribution(
        np.array([0.02, 0.25, 0.5, 0.75, 0.98]), np.array([0, 0, 0, 0.2, 0.6])
    )
    ranks = [values_of.rank(many, 0, RNG(seed)) for seed in range(200)]
    assert values_of.rank(EVEN, 0.5, RNG(0)) == pytest.approx(0.5, abs=0.01)
    assert min(ranks) < 0.1 < 0.5 < max(ranks) < 0.7  # any of those alike


@pytest.mark.parametrize("obeys", [True, False])
def test_what_obeys_leaks_little_and_what_does_not_leaks_by_chance(
    given: study.Given, obeys: bool
) -> None:
    asked, again = (study.ask_sets(given.real, given, RNG(0)) for _ in range(2))
    assert [own.per_bar for own in asked] == [False] * 3 + [True] * 2
    assert all((a.values[n] == b.values[n]).all()
               for a, b in zip(asked, again, strict=True) for n in a.values)  # fmt: skip
    pairs = []
    for own in asked[:3]:
        clips = answer_requests(
            control.requests_of(own.values, per_bar=False, n_bars=1), obeys=obeys
        )
        names = tuple(own.values)
        achieved = control.achieved_values(clips, names, per_bar=False)
        pairs += study.leaks(
            names, *(np.stack([v[n] for n in names]) for v in (own.values, achieved))
        )
    found = list(study.leak_rows(pairs, asked="clip-wide"))
    measured, chance = (row(found, "leakage on the whole", of=of).value
                        for of in ("measured", "by chance"))  # fmt: skip
    assert measured < 0.05 if obeys else measured == pytest.approx(chance, abs=0.06)
    assert row(found, "leakage", attribute=pairs[0].asked).value == pytest.approx(
        np.mean([abs(leak.rho) for leak in pairs[:2]])
    )


def test_leaks_on_the_whole_by_hand() -> None:
    pairs = [study.Leak("a", "b", 0.5, 0.1), study.Leak("b", "a", -0.3, 0.2)]
    found = list(study.leak_rows(pairs, asked="some"))
    sizes = [row(found, "leakage on the whole", of=of).value
             for of in ("measured", "by chance", "beyond chance")]  # fmt: skip
    beyond = (0.25 + 0.09) / 2 - (0.01 + 0.04) / 2 * np.pi / 2
    assert sizes == pytest.approx([0.4, 0.15, np.sqrt(beyond)])


def test_what_is_asked_elsewhere_leaks_nothing_even_where_asked_values_agree() -> None:
    asked = RNG(2).standard_normal((2, 400, 1))
    asked[1] += asked[0]
    assert spearmanr(asked[0, :, 0], asked[1, :, 0]).statistic > 0.6
    found = {(leak.asked, leak.moved): leak for leak in study.leaks(("a", "b"), asked, asked)}
    assert set(found) == {("a", "b"), ("b", "a")}
    assert all(abs(leak.rho) < 0.05 for leak in found.values())


def test_a_leak_of_independent_values_is_their_rank_correlation() -> None:
    asked = np.stack([np.repeat(np.arange(10.0), 10), np.tile(np.arange(10.0), 10)])
    achieved = np.stack([asked[0], asked[1] + asked[0] + RNG(3).standard_normal(100)])
    one, other = study.leaks(("a", "b"), asked[:, :, None], achieved[:, :, None])
    assert (one.asked, one.moved) == ("a", "b")
    assert one.rho == pytest.approx(spearmanr(asked[0], achieved[1]).statistic)
    assert abs(other.rho) < 0.01


def test_chance_is_as_large_as_it_is() -> None:
    rng, found = RNG(4), []
    for _ in range(40):
        found += list(study.leaks(("a", "b"), *rng.standard_normal((2, 2, 30, 1))))
    size = np.mean([abs(leak.rho) for leak in found])
    assert np.mean([leak.chance for leak in found]) == pytest.approx(size, rel=0.25)


def test_a_fader_by_hand() -> None:
    achieved = [[0.0, 2], [1, 1], [2, 2], [3, 1]]  # spreads over sweeps 1, 0, 0, 1
    others = [[0.0, 5], [2.0, 5], [0.0, 5], [2.0, 5]]  # spreads over levels 1 and 0
    real = values_of.RealMusic({"register": EVEN, "mode": EVEN}, RNG(0).standard_normal((99, 2)))
    unit = EVEN.grid.std()
    asked = np.repeat(50 + np.arange(4) * unit, 2)[:, None]
    found_in = {
        name: np.array(values).reshape(-1, 1) * unit
        for name, values in (("register", achieved), ("mode", others))
    }
    found = study.fader("register", asked, found_in, real)
    assert found == pytest.approx(
        # the second sweep falls slowly
        {"consistency": 0.5, "restrictiveness": 0.5, "linearity": (1 + 0.2) / 2}
    )


def test_rank_correlations_of_all_that_is_not_simply_set(tiny_checkpoint: Path) -> None:
    clips = compose_quadrants(Composer(tiny_checkpoint), n_bars=2)
    made = [
        replace(
            clip,
            targets={**clip.targets, "register": a, "silence": 0.5, "mode": a},
            achieved={**clip.achieved, "register": b, "mode": -a},
        )
        for clip, a, b in zip(clips, [1.0, 2, 3, 4], [10.0, 20, 40, 30], strict=True)
    ]
    found = study.rank_correlations(made)
    assert set(found) == set(ATTRIBUTE_NAMES) - {"tempo"}
    # silence is always asked alike
    assert (found["register"], found["mode"], found["silence"]) == pytest.approx((0.8, -1, 0))


def test_parts_are_composed_and_heard(given: study.Given) -> None:
    design = control.Design(attributes=("register",), n_levels=2, n_each=2)
    small = replace(given, n_sets=2, n_set_clips=5, n_bars=2, design=design)
    parts = (study.leakage, study.faders, study.emotions)
    found = [own for part in parts for own in part.measure(small) if isinstance(own, Row)]
    names = {"leak", "leakage", "leakage on the whole", "ρ over emotions"}
    assert {own.name for own in found} == names | {"consistency", "restrictiveness", "linearity"}
    assert row(found, "leakage on the whole", asked="bar by bar", of="measured").n is not None
