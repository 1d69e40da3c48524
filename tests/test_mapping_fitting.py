from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS, Emotion
from emomusic.mapping import Mapper, MapperFitter
from emomusic.music.attributes import ATTRIBUTE_NAMES

DENSITY, MODE, LEAP = (ATTRIBUTE_NAMES.index(n) for n in ("note_density", "mode", "leap_size"))
GRID = np.linspace(-1, 1, 11)


def clips(n: int, *, seed: int = 0) -> dict[str, Any]:
    """Return labelled clips: density rises with arousal, mode with valence, all else is noise.

    Each quadrant's clips come in two kinds, which leap far or hardly, and differ in more.
    """
    rng = np.random.default_rng(seed)
    quadrant = [QUADRANTS[i % 4] for i in range(n)]
    centre = np.array([QUADRANT_CENTRES[q] for q in quadrant])
    place = np.clip(centre + rng.normal(0, 0.2, (n, 2)), -1, 1)
    values = rng.normal(0, 1, (n, len(ATTRIBUTE_NAMES)))
    values[:, DENSITY] = 5 + 3 * place[:, 1] + rng.normal(0, 0.3, n)
    values[:, MODE] = 0.3 * place[:, 0] + rng.normal(0, 0.03, n)
    values[:, LEAP:] += np.where(np.arange(n) // 4 % 2, -3.0, 3.0)[:, None]
    values[:, LEAP] = np.where(np.arange(n) // 4 % 2, 2.0, 8.0) + rng.normal(0, 0.1, n)
    return {
        "values": values,
        "quadrant": quadrant,
        "valence": place[:, 0],
        "arousal": place[:, 1],
        "songs": [f"song {i // 3}" for i in range(n)],
        "about": {"songs": "made in code"},
    }


@pytest.fixture(scope="module")
def fitter() -> MapperFitter:
    return MapperFitter(n_prototypes=3).fit(**clips(240))


def mean_target(mapper: Mapper, valence: float, arousal: float, name: str) -> float:
    rng = np.random.default_rng(0)
    return float(np.mean([mapper.targets(Emotion(valence, arousal), rng)[name] for _ in range(60)]))


def test_density_rises_with_arousal_and_mode_with_valence(fitter: MapperFitter) -> None:
    mapper = fitter.mapper_
    for fixed in (-0.8, 0.0, 0.8):
        density = [mean_target(mapper, fixed, float(a), "note_density") for a in GRID]
        mode = [mean_target(mapper, float(v), fixed, "mode") for v in GRID]
        assert (np.diff(density) > -0.15).all() and density[-1] - density[0] > 3
        assert (np.diff(mode) > -0.015).all() and mode[-1] - mode[0] > 0.3


def test_the_middle_of_the_plane_gives_the_middle(fitter: MapperFitter) -> None:
    targets = fitter.mapper_.targets(Emotion(0, 0), np.random.default_rng(0), diversity=0)
    assert targets["note_density"] == pytest.approx(5, abs=0.3)
    assert targets["mode"] == pytest.approx(0, abs=0.04)
    assert fitter.mapper_.middle["note_density"] == pytest.approx(5, abs=0.3)


def test_every_quadrant_has_several_prototypes(fitter: MapperFitter) -> None:
    for quadrant in QUADRANTS:
        own = [p for p in fitter.mapper_.prototypes if p.quadrant == quadrant]
        assert 2 <= len(own) <= 3
        assert sum(p.weight for p in own) == pytest.approx(1.0, abs=0.2)
        assert sum(p.n_clips for p in own) <= 60
        leaps = [p.mean["leap_size"] for p in own]
        assert max(leaps) - min(leaps) > 4  # both kinds are found
        for p in own:
            assert np.sign(p.valence) == np.sign(QUADRANT_CENTRES[quadrant][0])
            assert np.sign(p.arousal) == np.sign(QUADRANT_CENTRES[quadrant][1])


def test_bounds_are_those_of_the_clips(fitter: MapperFitter) -> None:
    values = clips(240)["values"]
    low, high = np.quantile(values, [0.02, 0.98], axis=0)
    assert list(fitter.mapper_.low.values()) == pytest.approx(low.tolist())
    assert list(fitter.mapper_.high.values()) == pytest.approx(high.tolist())


def test_a_clip_unlike_its_quadrant_counts_less(fitter: MapperFitter) -> None:
    data = clips(240)
    odd = 0  # a clip of Q1 that is slow and minor
    data["values"][odd, DENSITY], data["values"][odd, MODE] = 2.0, -0.25
    trust = MapperFitter(n_prototypes=3).fit(**data).trust_
    assert trust.shape == (240,) and (trust > 0).all()
    assert trust[odd] < 0.05 < np.median(trust)


def test_a_prototype_keeps_the_clips_that_it_stands_for(fitter: MapperFitter) -> None:
    data = clips(240)
    place = {tuple(row): i for i, row in enumerate(data["values"].tolist())}
    seen: list[int] = []
    for p in fitter.mapper_.prototypes:
        own = [place[tuple(row)] for row in p.members]
        assert {data["quadrant"][i] for i in own} == {p.quadrant}
        np.testing.assert_allclose(p.trust, fitter.trust_[own])
        for at, name in enumerate(ATTRIBUTE_NAMES):
            mean = np.average(data["values"][own, at], weights=p.trust)
            assert p.mean[name] == pytest.approx(mean)
        seen += own
    assert len(seen) == len(set(seen)) > 200


def test_a_clip_that_is_hardly_trusted_can_be_saved(tmp_path: Path) -> None:
    data = clips(240)
    data["values"][0, DENSITY], data["values"][0, MODE] = -2.0, -0.6  # the opposite of its quadrant
    fitted = MapperFitter(n_prototypes=3).fit(**data).mapper_
    assert min(t for p in fitted.prototypes for t in p.trust) < 1e-5
    fitted.save(tmp_path)
    assert Mapper.load(tmp_path).prototypes[0].n_clips == fitted.prototypes[0].n_clips


def test_same_clips_and_seed_give_the_same_mapper_and_are_left_alone(fitter: MapperFitter) -> None:
    data = clips(240)
    assert MapperFitter(n_prototypes=3).fit(**data).mapper_ == fitter.mapper_
    np.testing.assert_array_equal(data["values"], clips(240)["values"])
    assert fitter.mapper_.about == data["about"]


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="Q1 needs at least 30 labelled clips, got 20"):
        MapperFitter().fit(**clips(80))
    data = clips(240)
    data["quadrant"] = ["Q1" if q == "Q3" else q for q in data["quadrant"]]
    with pytest.raises(ValueError, match="Q3 needs at least 15 labelled clips, got 0"):
        MapperFitter(n_prototypes=3).fit(**data)
    with pytest.raises(ValueError, match="labelled clips of at least 5 songs are needed"):
        MapperFitter(n_prototypes=3).fit(**{**clips(240), "songs": ["a", "b", "c", "d"] * 60})
