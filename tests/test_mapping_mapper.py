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
from emomusic.mapping.mapper import HARMONY, Mapper
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


def test_how_many_numbers_are_drawn_does_not_depend_on_the_emotion() -> None:
    ends = set()
    for emotion in (Emotion(0, 0), Emotion(1, 1), Emotion(-0.2, 0.6)):
        rng = np.random.default_rng(0)
        MAPPER.targets(emotion, rng, diversity=0.3)
        ends.add(rng.random())
    assert len(ends) == 1


def test_without_diversity_a_centre_gives_its_quadrants_mean() -> None:
    for quadrant, centre in QUADRANT_CENTRES.items():
        for seed in range(3):
            found = targets(*centre, seed, diversity=0)
            for name in ATTRIBUTE_NAMES:
                assert found[name] == pytest.approx(quadrant_mean(quadrant, name))


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


def test_diversity_spreads_the_targets() -> None:
    spread = [
        np.std([targets(0.6, 0.6, seed, diversity=d)["register"] for seed in range(60)])
        for d in (0, 0.25, 1.0)
    ]
    assert spread[0] == pytest.approx(0, abs=1e-9) and spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_diversity_out_of_range_is_refused(diversity: float) -> None:
    with pytest.raises(ValueError, match=rf"diversity must be in \[0, 1\], got {diversity}"):
        targets(0, 0, diversity=diversity)


def test_a_mapper_survives_saving(tmp_path: Path) -> None:
    MAPPER.save(tmp_path)
    loaded = Mapper.load(tmp_path)
    for emotion in (Emotion(0.2, 0.9), Emotion(-0.7, -0.1)):
        before, after = (
            list(m.targets(emotion, np.random.default_rng(1)).values()) for m in (MAPPER, loaded)
        )
        np.testing.assert_allclose(after, before, atol=1e-3)
    loaded.save(tmp_path)
    assert Mapper.load(tmp_path) == loaded
    assert json.loads((tmp_path / "mapper.json").read_text())["units"]["tempo"]


def refused(folder: Path, words: str) -> None:
    with pytest.raises(ValueError, match=rf"cannot read the mapper .*: .*{words}") as caught:
        Mapper.load(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "No such file")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", "[" * 100_000, "\x00"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mapper.json").write_text(text)
    refused(tmp_path, "")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mapper.json").write_bytes(b" " * (4 * 2**20 + 1))
    refused(tmp_path, "it is too large")


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "its format is not emomusic-mapper-1"),
        (lambda c: c.pop("middle"), "middle"),
        (lambda c: c.update(colour=1), "colour"),
        (lambda c: c["middle"].pop("tempo"), "its attributes are not those of this version"),
        (lambda c: c["low"].update(tempo=float("nan")), "or not finite"),
        (lambda c: c["high"].update(tempo="fast"), ""),
        (lambda c: c.update(middle=[1, 2]), "its attributes are not those"),
        (lambda c: c["prototypes"][0]["mean"].update(tempo=float("inf")), "or not finite"),
        (lambda c: c["prototypes"][0].update(weight=0), "a prototype of Q1 has no weight"),
        (lambda c: c["prototypes"][0].update(valence=float("nan")), "has no weight or place"),
        (lambda c: c["prototypes"][0].update(weight="much"), ""),
        (lambda c: c.update(strength=0), "its strength must be in .0, 3.0., got 0"),
        (lambda c: c.update(strength=float("nan")), "its strength must be in"),
        (lambda c: c["prototypes"][0].update(quadrant="Q9"), "it lacks a quadrant"),
        (lambda c: c.update(prototypes=c["prototypes"][:6]), "it lacks a quadrant"),
        (lambda c: c.update(prototypes={}), "it lacks a quadrant"),
        (lambda c: c.update(prototypes=3), ""),
    ],
)
def test_wrong_content_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    MAPPER.save(tmp_path)
    content = json.loads((tmp_path / "mapper.json").read_text())
    change(content)
    (tmp_path / "mapper.json").write_text(json.dumps(content))
    refused(tmp_path, words)
