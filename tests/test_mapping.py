"""The mapper: what it draws for emotions and courses, how it is fitted, and its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import make_mapper

from emomusic import mapping
from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS, Emotion
from emomusic.mapping import HARMONY, SUSTAIN, Mapper, MapperFitter
from emomusic.music.attributes import ATTRIBUTE_NAMES

MAPPER = make_mapper()
LOW, HIGH = (np.array(list(own.values())) for own in (MAPPER.low, MAPPER.high))


def drawn(
    *points: tuple[float, float], seed: int = 0, mapper: Mapper = MAPPER, diversity: float = 1.0
) -> np.ndarray:
    """Return the targets of a course of points, shape (n_points, n_attributes)."""
    emotions = [Emotion(*point) for point in points]
    found = mapper.course(emotions, np.random.default_rng(seed), diversity=diversity)
    assert all(tuple(own) == ATTRIBUTE_NAMES for own in found)
    return np.array([list(own.values()) for own in found])


def quadrant_mean(quadrant: str) -> np.ndarray:
    own = [p for p in MAPPER.prototypes if p.quadrant == quadrant]
    means = [list(p.mean.values()) for p in own]
    return np.average(means, axis=0, weights=[p.weight for p in own])


def members_of(mapper: Mapper, quadrant: str) -> np.ndarray:
    """Return the clips of a quadrant, within the mapper's bounds."""
    own = [row for p in mapper.prototypes if p.quadrant == quadrant for row in p.members]
    return np.clip(own, LOW, HIGH)


def nearest(targets: np.ndarray, members: np.ndarray) -> int:
    """Return the index of the clip that has these targets."""
    (found,) = np.flatnonzero(np.isclose(members, targets, rtol=0, atol=1e-8).all(axis=1))
    return int(found)


def test_targets_are_finite_within_bounds_and_those_of_their_random_state() -> None:
    for seed in range(30):
        point = tuple(np.random.default_rng(seed).uniform(-1, 1, 2).tolist())
        found = drawn(point, seed=seed)
        assert np.isfinite(found).all() and (found >= LOW).all() and (found <= HIGH).all()
        assert (found == drawn(point, seed=seed)).all()
        alone = MAPPER.targets(Emotion(*point), np.random.default_rng(seed))
        assert list(alone.values()) == found[0].tolist()
    assert (drawn((0.3, -0.8)) != drawn((0.3, -0.8), seed=1)).any()
    for diversity in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=rf"diversity must be in \[0, 1\], got {diversity}"):
            drawn((0, 0), diversity=diversity)
    narrow = replace(MAPPER, low=MAPPER.middle, high=MAPPER.middle)
    assert narrow.targets(Emotion(1, 1), np.random.default_rng(0)) == MAPPER.middle


@pytest.mark.parametrize("quadrant", QUADRANTS)
def test_diversity_goes_from_the_quadrants_mean_to_the_values_of_a_clip(quadrant: str) -> None:
    centre, members = QUADRANT_CENTRES[quadrant], members_of(MAPPER, quadrant)
    found = {nearest(drawn(centre, seed=seed)[0], members) for seed in range(100)}
    assert len(found) > 5  # of both prototypes
    for seed in range(5):
        near, half, far = (drawn(centre, seed=seed, diversity=d)[0] for d in (0.0, 0.5, 1.0))
        np.testing.assert_allclose(near, quadrant_mean(quadrant))
        np.testing.assert_allclose(half, (near + far) / 2)
    means = np.mean([quadrant_mean(own) for own in QUADRANTS], axis=0)
    np.testing.assert_allclose(drawn((0, 0), diversity=0)[0], means)


def test_a_clip_is_likelier_the_more_surely_it_is_recognised() -> None:
    others = [p for p in MAPPER.prototypes if p.quadrant != "Q1"]
    sure = replace(MAPPER.prototypes[0], trust=[1e-9, 1e-9, 3.0, 1e-9, 1.0])
    mapper = replace(MAPPER, prototypes=(sure, *others))
    members = members_of(mapper, "Q1")
    found = [
        nearest(drawn((0.6, 0.6), seed=seed, mapper=mapper)[0], members) for seed in range(400)
    ]
    counts = np.bincount(found, minlength=5)
    assert counts[[0, 1, 3]].tolist() == [0, 0, 0] and 0.65 < counts[2] / 400 < 0.85


def test_shares_are_one_in_all_and_beyond_a_centre_targets_reach_further() -> None:
    for v, a in np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * 2), axis=-1).reshape(-1, 2):
        shares = Mapper.shares(Emotion(float(v), float(a)))
        assert shares.sum() == pytest.approx(1.0) and (shares >= 0).all()
    for at, centre in enumerate(QUADRANT_CENTRES.values()):
        assert Mapper.shares(Emotion(*centre)).tolist() == np.eye(4)[at].tolist()
    assert Mapper.shares(Emotion(0, 0)).tolist() == [0.25] * 4
    assert Mapper.reach(Emotion(0.6, 0.6)) == Mapper.reach(Emotion(0, 0)) == 1.0
    assert 1 < Mapper.reach(Emotion(0.6, 0.8)) < Mapper.reach(Emotion(-1, 0.1))
    assert Mapper.reach(Emotion(-1, 0.1)) == pytest.approx(1.35)


@pytest.mark.parametrize(("field", "moved"), [("strength", HARMONY), ("held", SUSTAIN)])
def test_strength_says_how_far_from_the_middle_harmony_and_length_lie(
    field: str, moved: frozenset[str]
) -> None:
    low, high = (dict.fromkeys(ATTRIBUTE_NAMES, bound) for bound in (-1e6, 1e6))
    free, middle = replace(MAPPER, low=low, high=high), list(MAPPER.middle.values())
    plain = drawn((-0.4, 0.7), mapper=free)[0] - middle
    for strength in (0.5, 2.0):
        mapper = replace(free, **{field: strength})
        factor = [strength if name in moved else 1.0 for name in ATTRIBUTE_NAMES]
        found = drawn((-0.4, 0.7), mapper=mapper)[0] - middle
        np.testing.assert_allclose(found, plain * factor, atol=1e-9)


def test_a_course_that_stays_is_its_emotions_and_one_that_moves_moves_little_by_little() -> None:
    for point in ((0.3, -0.8), (0.0, 0.0), (-1.0, 1.0), (0.6, -0.6)):
        assert (drawn(*[point] * 7) == drawn(point)).all()
    for seed in range(5):
        fine = drawn(*((v, -v / 2) for v in np.linspace(-1, 1, 201).tolist()), seed=seed)
        assert (np.abs(np.diff(fine, axis=0)).max(axis=0) <= 0.05 * (HIGH - LOW)).all()
    one, five = np.random.default_rng(0), np.random.default_rng(0)
    MAPPER.course([Emotion(0, 0)], one)
    MAPPER.course([Emotion(-1, 0.2), Emotion(0.9, 0.3), *[Emotion(0, -1)] * 3], five)
    assert one.random() == five.random()  # as many numbers are drawn for any


def test_a_quadrant_gives_what_lies_near_where_the_course_is_in_it() -> None:
    """The corner that another quadrant passes through does not count."""
    near, far = (replace(MAPPER.prototypes[0], valence=v, arousal=v, weight=1.0) for v in (0.2, 1))
    others = [p for p in MAPPER.prototypes if p.quadrant != "Q1"]
    own = (replace(near, mean=dict.fromkeys(ATTRIBUTE_NAMES, 0.0)), far)
    mapper = replace(MAPPER, prototypes=(*own, *others))
    alone = drawn((0.9, 0.9), seed=3, mapper=mapper)
    after = drawn((-0.7, -0.7), (0.9, 0.9), (-0.7, -0.7), seed=3, mapper=mapper)
    np.testing.assert_allclose(after[1], alone[0])
    assert (after[0] == after[2]).all() and (after[0] != after[1]).any()


def test_spread_is_the_deviation_among_all_clips_within_the_bounds() -> None:
    rows = np.concatenate([members_of(MAPPER, quadrant) for quadrant in QUADRANTS])
    np.testing.assert_allclose(MAPPER.spread(), rows.std(axis=0), atol=1e-4)
    wild = replace(MAPPER.prototypes[0], members=[[1e9] * len(LOW)] * 5)
    outlier = replace(MAPPER, prototypes=(wild, *MAPPER.prototypes[1:]))
    assert (outlier.spread() <= HIGH - LOW).all()
    same = [[1.0] * len(LOW)] * 5
    alike = replace(MAPPER, prototypes=tuple(replace(p, members=same) for p in MAPPER.prototypes))
    assert (alike.spread() > 0).all()


def test_an_attribute_tells_quadrants_apart_by_how_far_their_means_are() -> None:
    near, far = (
        replace(
            MAPPER,
            prototypes=tuple(
                replace(p, mean={**MAPPER.middle, "mode": by * p.valence})
                for p in MAPPER.prototypes
            ),
        ).telling()
        for by in (0.1, 0.3)
    )
    assert far["mode"] == pytest.approx(3 * near["mode"]) and near["mode"] > 0
    assert all(near[name] == pytest.approx(0, abs=1e-6) for name in near if name != "mode")


def test_a_mapper_survives_saving(tmp_path: Path) -> None:
    MAPPER.save(tmp_path)
    loaded = Mapper.load(tmp_path)
    for point in ((0.2, 0.9), (-0.7, -0.1)):
        np.testing.assert_allclose(drawn(point, mapper=loaded), drawn(point), atol=1e-3)
    for p, before in zip(loaded.prototypes, MAPPER.prototypes, strict=True):
        np.testing.assert_allclose(p.members, before.members, atol=1e-5)
        np.testing.assert_allclose(p.trust, before.trust, atol=1e-5)
    loaded.save(tmp_path)
    assert Mapper.load(tmp_path) == loaded
    assert json.loads((tmp_path / "mapper.json").read_text())["units"]["tempo"]


Change = Callable[[dict[str, Any]], object]


def first(content: dict[str, Any], **values: Any) -> None:
    content["prototypes"][0].update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "its format is not emomusic-mapper-2"),
        (lambda c: c.pop("middle"), "middle"),
        (lambda c: c.update(colour=1), "colour"),
        (lambda c: c["middle"].pop("tempo"), "it has no tempo"),
        (lambda c: c["middle"].update(colour=1.0), "unknown attribute 'colour'"),
        (lambda c: c["low"].update(tempo=float("nan")), "or not finite"),
        (lambda c: first(c, weight=0), "a prototype of Q1 has no weight"),
        (lambda c: first(c, valence=float("nan")), "has no weight or place"),
        (lambda c: first(c, members=[], trust=[]), "prototype of Q1"),
        (lambda c: c["prototypes"][1]["members"].pop(), "clips of a prototype of Q1 are not whole"),
        (lambda c: [row.pop() for row in c["prototypes"][2]["members"]], "of Q2 are not whole"),
        (lambda c: c["prototypes"][0]["members"][1].__setitem__(3, float("nan")), ""),
        (lambda c: c["prototypes"][0]["members"][1].__setitem__(3, 10**400), ""),
        (lambda c: first(c, trust=[0] * 5), "no clip of a prototype of Q1 counts"),
        (lambda c: first(c, trust=[1, 1, float("nan"), 1, 1]), "of Q1 counts"),
        (lambda c: c.update(strength=0), "its strength must be in .0, 3.0., got 0"),
        (lambda c: c.update(held=float("nan")), "its held must be in"),
        (lambda c: c.update(prototypes=c["prototypes"][:6]), "it lacks a quadrant"),
        (lambda c: c.update(prototypes=3), ""),
    ],
)  # fmt: skip
def test_wrong_content_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    MAPPER.save(tmp_path)
    content = json.loads((tmp_path / "mapper.json").read_text())
    change(content)
    (tmp_path / "mapper.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"cannot read the mapper .*: .*{words}") as caught:
        Mapper.load(tmp_path)
    assert "\n" not in str(caught.value)


DENSITY, MODE, LEAP = (ATTRIBUTE_NAMES.index(n) for n in ("note_density", "mode", "leap_size"))


def clips(n: int = 240) -> dict[str, Any]:
    """Return labelled clips: density rises with arousal, mode with valence, all else is noise.

    Each quadrant's clips come in two kinds, which leap far or hardly, and differ in more.
    """
    rng = np.random.default_rng(0)
    quadrant = [QUADRANTS[i % 4] for i in range(n)]
    centre = np.array([QUADRANT_CENTRES[q] for q in quadrant])
    place = np.clip(centre + rng.normal(0, 0.2, (n, 2)), -1, 1)
    values = rng.normal(0, 1, (n, len(ATTRIBUTE_NAMES)))
    values[:, DENSITY] = 5 + 3 * place[:, 1] + rng.normal(0, 0.3, n)
    values[:, MODE] = 0.3 * place[:, 0] + rng.normal(0, 0.03, n)
    values[:, LEAP:] += np.where(np.arange(n) // 4 % 2, -3.0, 3.0)[:, None]
    values[:, LEAP] = np.where(np.arange(n) // 4 % 2, 2.0, 8.0) + rng.normal(0, 0.1, n)
    songs, about = [f"song {i // 3}" for i in range(n)], {"songs": "made in code"}
    return {"values": values, "quadrant": quadrant, "valence": place[:, 0],
            "arousal": place[:, 1], "songs": songs, "about": about}  # fmt: skip


@pytest.fixture(scope="module")
def fitter() -> MapperFitter:
    return MapperFitter(n_prototypes=3).fit(**clips())


def test_density_rises_with_arousal_and_mode_with_valence(fitter: MapperFitter) -> None:
    def mean_target(valence: float, arousal: float, name: int) -> float:
        place, mapper = (valence, arousal), fitter.mapper_
        return float(np.mean([drawn(place, seed=s, mapper=mapper)[0, name] for s in range(40)]))

    grid = np.linspace(-1, 1, 9).tolist()
    for fixed in (-0.8, 0.0, 0.8):
        density = [mean_target(fixed, a, DENSITY) for a in grid]
        mode = [mean_target(v, fixed, MODE) for v in grid]
        assert (np.diff(density) > -0.15).all() and density[-1] - density[0] > 3
        assert (np.diff(mode) > -0.015).all() and mode[-1] - mode[0] > 0.3
    middle = drawn((0, 0), mapper=fitter.mapper_, diversity=0)[0]
    assert middle[DENSITY] == pytest.approx(5, abs=0.3)
    assert middle[MODE] == pytest.approx(0, abs=0.04)
    assert fitter.mapper_.middle["note_density"] == pytest.approx(5, abs=0.3)


def test_every_quadrant_has_several_prototypes_with_clips_of_their_own(
    fitter: MapperFitter,
) -> None:
    data = clips()
    place = {tuple(row): i for i, row in enumerate(data["values"].tolist())}
    seen: list[int] = []
    for quadrant, centre in QUADRANT_CENTRES.items():
        own = [p for p in fitter.mapper_.prototypes if p.quadrant == quadrant]
        assert 2 <= len(own) <= 3
        assert sum(p.weight for p in own) == pytest.approx(1.0, abs=0.2)
        leaps = [p.mean["leap_size"] for p in own]
        assert max(leaps) - min(leaps) > 4  # both kinds are found
        for p in own:
            assert (np.sign(p.valence), np.sign(p.arousal)) == tuple(np.sign(centre))
            inside = [place[tuple(row)] for row in p.members]
            assert {data["quadrant"][i] for i in inside} == {quadrant} and len(inside) == p.n_clips
            np.testing.assert_allclose(p.trust, fitter.trust_[inside])
            values = data["values"][inside]
            mean = np.average(values, axis=0, weights=p.trust)
            variance = np.average((values - mean) ** 2, axis=0, weights=p.trust)
            np.testing.assert_allclose(list(p.mean.values()), mean)
            np.testing.assert_allclose(np.square(list(p.spread.values())), variance)
            seen += inside
    assert len(seen) == len(set(seen)) > 200
    low, high = np.quantile(data["values"], [0.02, 0.98], axis=0)
    np.testing.assert_allclose(list(fitter.mapper_.low.values()), low)
    np.testing.assert_allclose(list(fitter.mapper_.high.values()), high)


def test_a_clip_unlike_its_quadrant_counts_less_and_can_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clips()
    data["values"][0, DENSITY], data["values"][0, MODE] = -2.0, -0.6  # the opposite of Q1
    fitted = MapperFitter(n_prototypes=3).fit(**data)
    assert fitted.trust_.shape == (240,) and (fitted.trust_ > 0).all()
    assert fitted.trust_[0] < 1e-4 < 0.05 < np.median(fitted.trust_)
    with monkeypatch.context() as patched:
        patched.setattr(mapping, "SHARPNESS", 0.0)  # all alike
        flat = MapperFitter(n_prototypes=3).fit(**data).trust_
    np.testing.assert_allclose(flat, 1.0, atol=1e-5)
    fitted.mapper_.save(tmp_path)
    assert Mapper.load(tmp_path).prototypes[0].n_clips == fitted.mapper_.prototypes[0].n_clips


def test_same_clips_give_the_same_mapper_and_are_left_alone(fitter: MapperFitter) -> None:
    data = clips()
    assert MapperFitter(n_prototypes=3).fit(**data).mapper_ == fitter.mapper_
    np.testing.assert_array_equal(data["values"], clips()["values"])
    assert fitter.mapper_.about == data["about"]


def test_too_few_clips_or_songs_are_refused() -> None:
    lacking = {"quadrant": ["Q1" if q == "Q3" else q for q in clips()["quadrant"]]}
    for data, words in (
        (clips(80), "Q1 needs at least 30 labelled clips, got 20"),
        (clips() | lacking, "Q3 needs at least 30 labelled clips, got 0"),
        (clips() | {"songs": [*"abcd"] * 60}, "labelled clips of at least 5 songs are needed"),
    ):
        with pytest.raises(ValueError, match=words):
            MapperFitter().fit(**data)
