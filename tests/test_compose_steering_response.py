from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import make_response

from emomusic.compose.steering.levers import LEVERS
from emomusic.compose.steering.response import TABLES, Response, fit_response
from emomusic.music.attributes import ATTRIBUTE_NAMES

N, K = len(ATTRIBUTE_NAMES), len(LEVERS)
DENSITY, REGISTER, MODE = (ATTRIBUTE_NAMES.index(n) for n in ("note_density", "register", "mode"))
SOON, HIGHER = LEVERS.index("soon"), LEVERS.index("higher")


def path_in(folder: Path) -> Path:
    return folder / "steering.json"


def test_a_saved_response_loads_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tables = (rng.normal(size=shape).round(4) for shape in ((N,), (N,), (N, N), (N, K)))
    mean, start, asked, pulled = tables
    response = Response(
        mean, rng.uniform(0.1, 9, N).round(4), start, asked, pulled, ATTRIBUTE_NAMES
    )
    response.save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None
    assert loaded.attributes == response.attributes
    for name in TABLES:
        table = getattr(response, name)
        np.testing.assert_array_equal(getattr(loaded, name), table)
    before = path_in(tmp_path).read_bytes()
    loaded.save(tmp_path)
    assert path_in(tmp_path).read_bytes() == before


def test_a_checkpoint_without_one_has_none(tmp_path: Path) -> None:
    assert Response.load(tmp_path) is None


def test_a_response_of_attributes_that_hardly_spread_survives_saving(tmp_path: Path) -> None:
    replace(make_response(), scale=np.full(N, 1e-6)).save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None and (loaded.scale > 0).all()


def refused(folder: Path) -> str:
    with pytest.raises(ValueError, match=r"cannot read the steering .*steering\.json: ") as caught:
        Response.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"{}", b"[]", b"3", b"null", b'"x"', b"[" * 100_000, b"\x00", b"\xff\xfe"]
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, damage: bytes) -> None:
    path_in(tmp_path).write_bytes(damage)
    refused(tmp_path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    make_response().save(tmp_path)
    text = path_in(tmp_path).read_text()
    path_in(tmp_path).write_text(text[: len(text) // 2])
    refused(tmp_path)


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    path_in(tmp_path).mkdir()
    refused(tmp_path)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "its format is not that of this version"),
        (lambda c: c["attributes"].pop(), "finite numbers"),
        (lambda c: c["attributes"].__setitem__(0, "colour"), "unknown attribute 'colour'"),
        (lambda c: c["levers"].pop(), "its levers is not that of this version"),
        (lambda c: c.pop("levers"), "levers"),
        (lambda c: c.pop("start"), "start"),
        (lambda c: c.update(colour=[1]), "colour"),
        (lambda c: c["mean"].pop(), rf"mean must be \({N},\) finite numbers, got \({N - 1},\)"),
        (lambda c: c.update(pulled=c["asked"]), rf"pulled must be \({N}, {K}\) finite numbers"),
        (lambda c: c["asked"][3].pop(), ""),
        (lambda c: c["asked"][3].__setitem__(0, float("nan")), "asked must be .* finite numbers"),
        (lambda c: c["start"].__setitem__(0, float("inf")), "start must be .* finite numbers"),
        (lambda c: c["start"].__setitem__(0, "much"), ""),
        (lambda c: c["start"].__setitem__(0, 10**400), ""),
        (lambda c: c.update(start=None), "start must be"),
        (lambda c: c["scale"].__setitem__(2, 0), "scale must be above 0"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    make_response().save(tmp_path)
    content = json.loads(path_in(tmp_path).read_text())
    change(content)
    path_in(tmp_path).write_text(json.dumps(content))
    assert re.search(words, refused(tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": np.zeros(3)}, rf"mean must be \({N},\) finite numbers, got \(3,\)"),
        ({"pulled": np.full((N, K), np.nan)}, "pulled must be .* finite numbers"),
        ({"scale": np.zeros(N)}, "scale must be above 0"),
        ({"scale": -np.ones(N)}, "scale must be above 0"),
    ],
)
def test_a_response_of_another_shape_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(make_response(), **changes)


def trial(
    n_clips: int = 1500, *, noise: float = 0.5, seed: int = 0
) -> tuple[Response, dict[tuple[int, int], float], dict[tuple[int, int], float]]:
    """Fit a response on clips that follow planted slopes."""
    by_asking = {(DENSITY, DENSITY): 0.9, (REGISTER, DENSITY): -0.4, (MODE, MODE): 0.6}
    by_pulling = {(DENSITY, SOON): 0.7, (REGISTER, HIGHER): 1.1, (MODE, SOON): -0.3}
    rng = np.random.default_rng(seed)
    scale, middle = rng.uniform(0.1, 20, N), rng.uniform(-5, 60, N)
    asked, pulled = rng.normal(0.5, 1, (n_clips, N)), rng.normal(size=(n_clips, K))
    z = noise * rng.normal(size=(n_clips, N))
    for (row, column), slope in by_asking.items():
        z[:, row] += slope * asked[:, column]
    for (row, column), slope in by_pulling.items():
        z[:, row] += slope * pulled[:, column]
    tables = middle + scale * asked, pulled, middle + scale * z
    fitted = fit_response(*tables, scale=scale, attributes=ATTRIBUTE_NAMES)
    np.testing.assert_array_equal(fitted.scale, scale)
    np.testing.assert_allclose(fitted.mean, (middle + scale * z).mean(axis=0))
    return fitted, by_asking, by_pulling


def test_planted_slopes_are_found() -> None:
    fitted, by_asking, by_pulling = trial()
    for table, planted in ((fitted.asked, by_asking), (fitted.pulled, by_pulling)):
        for place, slope in planted.items():
            assert table[place] == pytest.approx(slope, abs=0.1)


def test_noise_is_left_out() -> None:
    fitted, by_asking, by_pulling = trial()
    for table, planted in ((fitted.asked, by_asking), (fitted.pulled, by_pulling)):
        others = [place for place in np.ndindex(*table.shape) if place not in planted]
        assert np.mean([table[place] == 0 for place in others]) > 0.97
        assert max(abs(table[place]) for place in others) < 0.15


def test_few_clips_leave_all_but_the_surest_out() -> None:
    fitted, _, _ = trial(60, noise=3.0)
    assert np.mean(fitted.pulled == 0) > 0.9


def test_what_nothing_is_asked_for_gives_is_the_start() -> None:
    rng = np.random.default_rng(1)
    asked, pulled = rng.normal(size=(800, N)), rng.normal(size=(800, K))
    achieved = asked + 2.0 * (np.arange(N) == REGISTER)
    fitted = fit_response(asked, pulled, achieved, scale=np.ones(N), attributes=ATTRIBUTE_NAMES)
    at_mean = fitted.start + fitted.asked @ ((asked.mean(axis=0) - fitted.mean) / fitted.scale)
    np.testing.assert_allclose(at_mean, 0, atol=0.15)
    assert fitted.start[REGISTER] == pytest.approx(2.0, abs=0.2)


def test_fitting_needs_no_more_clips_than_there_are() -> None:
    rng = np.random.default_rng(2)
    tables = (rng.normal(size=(4, n)) for n in (N, K, N))
    asked, pulled, achieved = tables
    fitted = fit_response(asked, pulled, achieved, scale=np.ones(N), attributes=ATTRIBUTE_NAMES)
    assert fitted.pulled.shape == (N, K) and fitted.asked.shape == (N, N)


def test_a_response_owns_its_list_of_attributes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    tables = (rng.normal(size=(30, n)) for n in (2, K, 2))
    fitted = fit_response(*tables, scale=np.ones(2), attributes=("mode", "tempo"))
    fitted.save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None and loaded.attributes == ("mode", "tempo")
    assert loaded.columns(["tempo", "mode"]).tolist() == [1, 0]
    assert loaded.columns([]).shape == (0,)
