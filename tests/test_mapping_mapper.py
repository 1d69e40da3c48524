from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import make_mapper

from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS, Emotion
from emomusic.mapping import HARMONY, Mapper
from emomusic.music.attributes import ATTRIBUTE_NAMES

MAPPER = make_mapper()


def targets(
    valence: float, arousal: float, seed: int = 0, *, diversity: float = 0.5
) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return MAPPER.targets(Emotion(valence, arousal), rng, diversity=diversity)


def quadrant_mean(quadrant: str, name: str) -> float:
    own = [p for p in MAPPER.prototypes if p.quadrant == quadrant]
    return float(np.average([p.mean[name] for p in own], weights=[p.weight for p in own]))


def test_every_attribute_has_a_finite_target() -> None:
    for seed in range(20):
        v, a = np.random.default_rng(seed).uniform(-1, 1, 2).tolist()
        found = targets(v, a, seed, diversity=1.0)
        assert tuple(found) == ATTRIBUTE_NAMES
        assert np.isfinite(list(found.values())).all()


def test_same_random_state_gives_the_same_targets() -> None:
    assert targets(0.3, -0.8) == targets(0.3, -0.8) != targets(0.3, -0.8, seed=1)


def test_without_diversity_a_centre_gives_its_quadrants_mean() -> None:
    for quadrant, centre in QUADRANT_CENTRES.items():
        for seed in range(3):
            found = targets(*centre, seed, diversity=0)
            for name in ATTRIBUTE_NAMES:
                assert found[name] == pytest.approx(quadrant_mean(quadrant, name))


def plain(targets: dict[str, float]) -> tuple[float, ...]:
    return tuple(round(value, 9) for value in targets.values())


def drawn_at(mapper: Mapper, quadrant: str, n: int) -> list[tuple[float, ...]]:
    """Return what is drawn at a quadrant's centre with all of the diversity."""
    emotion = Emotion(*QUADRANT_CENTRES[quadrant])
    return [plain(mapper.targets(emotion, np.random.default_rng(seed))) for seed in range(n)]


def members_of(mapper: Mapper, quadrant: str) -> list[tuple[float, ...]]:
    """Return the clips of a quadrant, within the mapper's bounds."""
    bounds = list(mapper.low.values()), list(mapper.high.values())
    own = [row for p in mapper.prototypes if p.quadrant == quadrant for row in p.members]
    return [tuple(np.clip(row, *bounds).round(9).tolist()) for row in own]


@pytest.mark.parametrize("quadrant", QUADRANTS)
def test_with_all_diversity_a_centre_gives_the_values_of_a_clip(quadrant: str) -> None:
    drawn, members = set(drawn_at(MAPPER, quadrant, 150)), set(members_of(MAPPER, quadrant))
    assert drawn <= members and len(members) == 10
    assert len(drawn) > 5  # of both prototypes


def test_a_clip_is_likelier_the_more_surely_it_is_recognised() -> None:
    only = [p for p in MAPPER.prototypes if p.quadrant != "Q1"]
    first = next(p for p in MAPPER.prototypes if p.quadrant == "Q1")
    sure = replace(MAPPER, prototypes=(replace(first, trust=[1e-9, 1e-9, 3.0, 1e-9, 1.0]), *only))
    drawn, members = drawn_at(sure, "Q1", 400), members_of(sure, "Q1")
    counts = [drawn.count(row) for row in members]
    assert counts[0] == counts[1] == counts[3] == 0
    assert 0.65 < counts[2] / 400 < 0.85 and counts[2] + counts[4] == 400


def test_diversity_goes_from_the_quadrants_mean_to_the_clip() -> None:
    emotion = Emotion(*QUADRANT_CENTRES["Q4"])
    for seed in range(5):
        near, half, far = (
            list(MAPPER.targets(emotion, np.random.default_rng(seed), diversity=d).values())
            for d in (0.0, 0.5, 1.0)
        )
        np.testing.assert_allclose(half, np.add(near, far) / 2)


def test_spread_is_the_deviation_among_all_clips_within_the_bounds() -> None:
    rows = [row for quadrant in QUADRANTS for row in members_of(MAPPER, quadrant)]
    np.testing.assert_allclose(MAPPER.spread(), np.std(rows, axis=0), atol=1e-4)
    assert MAPPER.spread().shape == (len(ATTRIBUTE_NAMES),)
    wild = replace(MAPPER.prototypes[0], members=[[1e9] * len(ATTRIBUTE_NAMES)] * 5)
    outlier = replace(MAPPER, prototypes=(wild, *MAPPER.prototypes[1:]))
    widths = np.array(list(MAPPER.high.values())) - list(MAPPER.low.values())
    assert (outlier.spread() <= widths).all()


def test_spread_is_above_0_even_where_all_clips_are_alike() -> None:
    same = [[1.0] * len(ATTRIBUTE_NAMES)] * 5
    alike = replace(MAPPER, prototypes=tuple(replace(p, members=same) for p in MAPPER.prototypes))
    assert (alike.spread() > 0).all() and np.isfinite(list(alike.telling().values())).all()


def test_an_attribute_tells_quadrants_apart_by_how_far_their_means_are() -> None:
    def apart(by: float) -> dict[str, float]:
        prototypes = tuple(
            replace(p, mean={**MAPPER.middle, "mode": by * p.valence}) for p in MAPPER.prototypes
        )
        return replace(MAPPER, prototypes=prototypes).telling()

    near, far = apart(0.1), apart(0.3)
    assert tuple(near) == ATTRIBUTE_NAMES
    assert far["mode"] == pytest.approx(3 * near["mode"]) and near["mode"] > 0
    assert all(near[name] == pytest.approx(0, abs=1e-6) for name in near if name != "mode")


def test_the_middle_of_the_plane_is_the_mean_of_the_quadrants() -> None:
    found = targets(0, 0, diversity=0)
    for name in ATTRIBUTE_NAMES:
        means = [quadrant_mean(quadrant, name) for quadrant in QUADRANTS]
        assert found[name] == pytest.approx(np.mean(means))


def test_shares_are_one_in_all_and_whole_at_the_centres() -> None:
    for v in np.linspace(-1, 1, 9):
        for a in np.linspace(-1, 1, 9):
            shares = Mapper.shares(Emotion(float(v), float(a)))
            assert shares.sum() == pytest.approx(1.0) and (shares >= 0).all()
    for at, centre in enumerate(QUADRANT_CENTRES.values()):
        assert Mapper.shares(Emotion(*centre)).tolist() == np.eye(4)[at].tolist()
    assert Mapper.shares(Emotion(0, 0)).tolist() == [0.25] * 4


def test_beyond_a_centre_the_targets_go_further() -> None:
    assert Mapper.reach(Emotion(0.6, 0.6)) == Mapper.reach(Emotion(0, 0)) == 1.0
    assert Mapper.reach(Emotion(0.6, 0.8)) < Mapper.reach(Emotion(-1, 0.1))
    assert Mapper.reach(Emotion(-1, 0.1)) == pytest.approx(1.35)


def test_strength_says_how_far_from_the_middle_harmony_lies() -> None:
    wide = dict.fromkeys(ATTRIBUTE_NAMES, 1000000.0)
    free = replace(MAPPER, low=dict.fromkeys(ATTRIBUTE_NAMES, -1000000.0), high=wide)
    emotion = Emotion(-0.4, 0.7)
    plain = free.targets(emotion, np.random.default_rng(0))
    for strength in (0.5, 2.0):
        found = replace(free, strength=strength).targets(emotion, np.random.default_rng(0))
        for name in ATTRIBUTE_NAMES:
            moved = plain[name] - MAPPER.middle[name]
            moved *= strength if name in HARMONY else 1.0
            assert found[name] - MAPPER.middle[name] == pytest.approx(moved, abs=1e-9)


def test_targets_keep_to_their_bounds() -> None:
    narrow = {name: MAPPER.middle[name] for name in ATTRIBUTE_NAMES}
    held = replace(MAPPER, low=narrow, high=narrow)
    assert held.targets(Emotion(1, 1), np.random.default_rng(0), diversity=1) == narrow
    for seed in range(50):
        for name, value in targets(1, -1, seed, diversity=1.0).items():
            assert MAPPER.low[name] <= value <= MAPPER.high[name]


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_diversity_out_of_range_is_refused(diversity: float) -> None:
    with pytest.raises(ValueError, match=rf"diversity must be in \[0, 1\], got {diversity}"):
        targets(0, 0, diversity=diversity)


def course(*points: tuple[float, float], seed: int = 0) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return MAPPER.course([Emotion(*point) for point in points], rng, diversity=0.5)


def test_a_course_that_stays_has_the_targets_of_its_emotion_everywhere() -> None:
    for point in ((0.3, -0.8), (0.0, 0.0), (-1.0, 1.0), (0.6, -0.6)):
        for n in (1, 2, 7):
            assert course(*[point] * n) == [targets(*point)] * n


def test_how_many_numbers_a_course_draws_does_not_depend_on_it() -> None:
    ends = set()
    for points in ([(0.0, 0.0)], [(1.0, 1.0)] * 5, [(-1.0, 0.2), (0.9, 0.3), (0.0, -1.0)]):
        rng = np.random.default_rng(0)
        MAPPER.course([Emotion(*point) for point in points], rng)
        ends.add(rng.random())
    assert len(ends) == 1


def test_along_a_course_near_emotions_have_near_targets() -> None:
    for seed in range(5):
        fine = course(*[(v, -v / 2) for v in np.linspace(-1, 1, 201).tolist()], seed=seed)
        for name in ATTRIBUTE_NAMES:
            width = MAPPER.high[name] - MAPPER.low[name]
            steps = np.abs(np.diff([found[name] for found in fine]))
            assert steps.max() <= 0.05 * width


def test_a_quadrant_gives_what_lies_near_where_the_course_is_in_it() -> None:
    """The corner that another quadrant passes through does not count."""
    near, far = (replace(MAPPER.prototypes[0], valence=v, arousal=v, weight=1.0) for v in (0.2, 1))
    others = [p for p in MAPPER.prototypes if p.quadrant != "Q1"]
    own = (replace(near, mean=dict.fromkeys(ATTRIBUTE_NAMES, 0.0)), far)
    mapper = replace(MAPPER, prototypes=(*own, *others))
    alone = mapper.course([Emotion(0.9, 0.9)], np.random.default_rng(3))
    after = mapper.course(
        [Emotion(-0.7, -0.7), Emotion(0.9, 0.9), Emotion(-0.7, -0.7)], np.random.default_rng(3)
    )
    assert after[1] == pytest.approx(alone[0]) and after[0] == after[2] != after[1]


def test_a_mapper_survives_saving(tmp_path: Path) -> None:
    MAPPER.save(tmp_path)
    loaded = Mapper.load(tmp_path)
    for emotion in (Emotion(0.2, 0.9), Emotion(-0.7, -0.1)):
        before, after = (
            list(m.targets(emotion, np.random.default_rng(1)).values()) for m in (MAPPER, loaded)
        )
        np.testing.assert_allclose(after, before, atol=1e-3)
    for p, before in zip(loaded.prototypes, MAPPER.prototypes, strict=True):
        np.testing.assert_allclose(p.members, before.members, atol=1e-5)
        np.testing.assert_allclose(p.trust, before.trust, atol=1e-5)
    loaded.save(tmp_path)
    assert Mapper.load(tmp_path) == loaded
    assert json.loads((tmp_path / "mapper.json").read_text())["units"]["tempo"]


def refused(folder: Path, words: str) -> None:
    with pytest.raises(ValueError, match=rf"cannot read the mapper .*: .*{words}") as caught:
        Mapper.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", "[" * 100_000, "\x00"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mapper.json").write_text(text)
    refused(tmp_path, "")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mapper.json").write_bytes(b" " * (4 * 2**20 + 1))
    refused(tmp_path, "it is too large")


Change = Callable[[dict[str, Any]], object]


def member(content: dict[str, Any]) -> list[float]:
    found: list[float] = content["prototypes"][0]["members"][1]
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "its format is not emomusic-mapper-2"),
        (lambda c: c.pop("middle"), "middle"),
        (lambda c: c.update(colour=1), "colour"),
        (lambda c: c["middle"].pop("tempo"), "it has no tempo"),
        (lambda c: c["middle"].pop("silence"), "its tables are of other attributes"),
        (lambda c: c["middle"].update(colour=1.0), "unknown attribute 'colour'"),
        (lambda c: c["low"].update(tempo=float("nan")), "or not finite"),
        (lambda c: c["high"].update(tempo="fast"), ""),
        (lambda c: c["prototypes"][0]["mean"].update(tempo=float("inf")), "or not finite"),
        (lambda c: c["prototypes"][0].update(weight=0), "a prototype of Q1 has no weight"),
        (lambda c: c["prototypes"][0].update(valence=float("nan")), "has no weight or place"),
        (lambda c: c["prototypes"][0].pop("members"), "members"),
        (lambda c: c["prototypes"][0].update(members=[], trust=[]), "prototype of Q1"),
        (lambda c: c["prototypes"][1]["members"].pop(), "clips of a prototype of Q1 are not whole"),
        (lambda c: c["prototypes"][1]["trust"].pop(), "clips of a prototype of Q1 are not whole"),
        (lambda c: [row.pop() for row in c["prototypes"][2]["members"]], "of Q2 are not whole"),
        (lambda c: member(c).__setitem__(3, float("nan")), "a prototype of Q1 are not whole"),
        (lambda c: member(c).__setitem__(3, "loud"), ""),
        (lambda c: member(c).__setitem__(3, 10**400), ""),
        (lambda c: c["prototypes"][0].update(trust=[0] * 5), "no clip of a prototype of Q1 counts"),
        (lambda c: c["prototypes"][0].update(trust=[1, 1, -1, 1, 1]), "prototype of Q1 counts"),
        (lambda c: c["prototypes"][0].update(trust=[1, 1, float("nan"), 1, 1]), "of Q1 counts"),
        (lambda c: c.update(strength=0), "its strength must be in .0, 3.0., got 0"),
        (lambda c: c.update(strength=float("nan")), "its strength must be in"),
        (lambda c: c["prototypes"][0].update(quadrant="Q9"), "it lacks a quadrant"),
        (lambda c: c.update(prototypes=c["prototypes"][:6]), "it lacks a quadrant"),
        (lambda c: c.update(prototypes=3), ""),
    ],
)
def test_wrong_content_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    MAPPER.save(tmp_path)
    content = json.loads((tmp_path / "mapper.json").read_text())
    change(content)
    (tmp_path / "mapper.json").write_text(json.dumps(content))
    refused(tmp_path, words)
