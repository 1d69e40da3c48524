from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import make_response

from emomusic.compose.directions import LEVERS, Response
from emomusic.evaluation.steering import has_model, measure_response
from emomusic.mapping.mapper import Mapper
from emomusic.model.weights import CheckpointError
from emomusic.music.attributes import ATTRIBUTE_NAMES

N, K = len(ATTRIBUTE_NAMES), len(LEVERS)


def measured(checkpoint: Path, **settings: int) -> Response:
    return measure_response(checkpoint, **{"n_clips": 5, "threads": 1, **settings})


def same(one: Response, other: Response) -> bool:
    return all(np.array_equal(table, getattr(other, name)) for name, table in vars(one).items())


@pytest.fixture(scope="module")
def response(tiny_checkpoint: Path) -> Response:
    return measured(tiny_checkpoint)


def test_what_levers_do_is_measured_on_a_few_clips(
    response: Response, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    assert response.pulled.shape == (N, K) and response.asked.shape == (N, N)
    np.testing.assert_array_equal(response.scale, Mapper.load(tiny_checkpoint).spread())
    response.save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None
    np.testing.assert_allclose(loaded.pulled, response.pulled, atol=1e-4)


def test_one_seed_is_one_response(response: Response, tiny_checkpoint: Path) -> None:
    assert same(measured(tiny_checkpoint, threads=2), response)
    assert not same(measured(tiny_checkpoint, seed=2), response)


def test_a_steering_that_is_there_is_not_used(response: Response, own_checkpoint: Path) -> None:
    make_response().save(own_checkpoint)
    assert same(measured(own_checkpoint), response)
    (own_checkpoint / "steering.json").write_text("{", encoding="utf-8")
    assert same(measured(own_checkpoint), response)


def test_progress_counts_every_clip(tiny_checkpoint: Path) -> None:
    told: list[int] = []
    measure_response(tiny_checkpoint, n_clips=3, threads=1, progress=told.append)
    assert sum(told) == 3


def test_levers_that_work_are_found(tiny_checkpoint: Path) -> None:
    response = measured(tiny_checkpoint, n_clips=150)
    for name, lever in (("register", "higher"), ("velocity_mean", "louder")):
        assert response.pulled[ATTRIBUTE_NAMES.index(name), LEVERS.index(lever)] > 0
    assert (abs(response.pulled[ATTRIBUTE_NAMES.index("tempo")]) < 0.1).all()  # it is given


@pytest.mark.parametrize("part", ["config.json", "tokenizer.json", "tables.json"])
def test_a_folder_without_what_composes_has_no_model(own_checkpoint: Path, part: str) -> None:
    assert has_model(own_checkpoint)
    (own_checkpoint / part).unlink()
    assert not has_model(own_checkpoint)


def test_mapper_and_verifier_are_no_part_of_the_model(own_checkpoint: Path) -> None:
    for name in ("mapper.json", "verifier.safetensors"):
        (own_checkpoint / name).unlink()
    assert has_model(own_checkpoint)
    with pytest.raises(CheckpointError, match=r"mapper\.json"):
        measured(own_checkpoint)


@pytest.mark.parametrize("damage", [None, b"", b"{}"])
@pytest.mark.parametrize("part", ["tokenizer.json", "tables.json", "config.json"])
def test_a_checkpoint_that_cannot_be_used_is_refused(
    own_checkpoint: Path, part: str, damage: bytes | None
) -> None:
    if damage is None:
        (own_checkpoint / part).unlink()
    else:
        (own_checkpoint / part).write_bytes(damage)
    with pytest.raises(CheckpointError) as caught:
        measured(own_checkpoint)
    assert "\n" not in str(caught.value)
