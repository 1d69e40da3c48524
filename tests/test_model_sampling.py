from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from emomusic.model.sampling import check_guidance, check_sampling, sample_ids

V = 20
ALL = np.ones((1, V), dtype=bool)


def draw(
    logits: NDArray[np.float64], n: int, *, allowed: NDArray[np.bool_] = ALL,
    temperature: float = 1.0, top_p: float = 1.0,
) -> NDArray[np.int64]:  # fmt: skip
    uniform = (np.arange(n) + 0.5) / n  # evenly over [0, 1): shares come out exact
    wide = np.broadcast_to(logits.astype(np.float32), (n, V))
    mask = np.broadcast_to(allowed, (n, V))
    return sample_ids(wide, mask, uniform, temperature=temperature, top_p=top_p)


def some_logits(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(V) * 3


def test_shares_are_those_of_the_distribution() -> None:
    logits = some_logits()
    share = np.bincount(draw(logits, 100_000), minlength=V) / 100_000
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(share, expected, atol=1e-4)


def test_temperature_sharpens_and_flattens() -> None:
    logits = some_logits()
    for temperature in (0.5, 2.0):
        share = np.bincount(draw(logits, 100_000, temperature=temperature), minlength=V) / 100_000
        expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        np.testing.assert_allclose(share, expected, atol=1e-4)


def test_top_p_keeps_the_fewest_ids_that_hold_it() -> None:
    logits = np.full(V, -np.inf)
    logits[[3, 8, 11, 2]] = np.log([0.5, 0.25, 0.15, 0.1])
    logits = np.maximum(logits, -1e4)
    for top_p, kept in ((0.4, {3}), (0.6, {3, 8}), (0.8, {3, 8, 11}), (1.0, {3, 8, 11, 2})):
        assert set(draw(logits, 10_000, top_p=top_p).tolist()) == kept
    share = np.bincount(draw(logits, 10_000, top_p=0.6), minlength=V) / 10_000
    assert share[3] == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize("temperature", [1e-320, 1e-9, 1.0, 5.0])
@pytest.mark.parametrize("top_p", [1e-9, 0.5, 1.0])
def test_a_masked_id_is_never_drawn(temperature: float, top_p: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        allowed = rng.random((1, V)) < 0.3
        allowed[0, rng.integers(V)] = True
        logits = rng.standard_normal(V) * 10.0 ** rng.integers(0, 5)
        ids = draw(logits, 50, allowed=allowed, temperature=temperature, top_p=top_p)
        assert allowed[0, ids].all()


def test_a_low_temperature_or_top_p_leaves_the_likeliest() -> None:
    logits = some_logits()
    for temperature, top_p in ((1e-320, 1.0), (1e-6, 1.0), (1.0, 1e-9)):
        ids = draw(logits, 100, temperature=temperature, top_p=top_p)
        assert set(ids.tolist()) == {int(logits.argmax())}


def test_the_ends_of_the_uniform_number_draw_allowed_ids() -> None:
    logits = np.zeros((2, V), dtype=np.float32)
    allowed = np.zeros((2, V), dtype=bool)
    allowed[:, [4, 9]] = True
    uniform = np.array([0.0, np.nextafter(1.0, 0.0)])
    assert sample_ids(logits, allowed, uniform, temperature=1.0, top_p=1.0).tolist() == [4, 9]


def test_rows_may_have_settings_of_their_own() -> None:
    logits = np.broadcast_to(some_logits().astype(np.float32), (2, V))
    uniform = np.array([0.999999, 0.999999])
    ids = sample_ids(
        logits,
        np.ones((2, V), dtype=bool),
        uniform,
        temperature=np.array([1e-6, 5.0]),
        top_p=np.array([1.0, 1.0]),
    )
    assert ids[0] == logits[0].argmax() and ids[1] == logits[0].argmin()


@pytest.mark.parametrize(("temperature", "top_p"), [(5, 1), (1e-6, 1e-6), (1.0, 0.95)])
def test_settings_in_range_pass(temperature: float, top_p: float) -> None:
    check_sampling(temperature, top_p)


@pytest.mark.parametrize("temperature", [0, -1, 5.01, float("nan"), float("inf")])
def test_temperature_out_of_range_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=rf"temperature must be in \(0, 5\], got {temperature}"):
        check_sampling(temperature, 1.0)


@pytest.mark.parametrize("top_p", [0, -0.1, 1.2, float("nan")])
def test_top_p_out_of_range_is_refused(top_p: float) -> None:
    with pytest.raises(ValueError, match=rf"top_p must be in \(0, 1\], got {top_p}"):
        check_sampling(1.0, top_p)


@pytest.mark.parametrize("guidance", [0.99, 5.1, -1, float("nan")])
def test_guidance_out_of_range_is_refused(guidance: float) -> None:
    check_guidance(1.0)
    check_guidance(5.0)
    with pytest.raises(ValueError, match=rf"guidance must be in \[1, 5\], got {guidance}"):
        check_guidance(guidance)


def test_settings_are_checked_and_rows_made_without_torch() -> None:
    code = "import sys, emomusic.model.engine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
