from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from emomusic.model.torch_engine import sample_choice

V = 20
ALL = np.ones(V, dtype=bool)
LOGITS = np.random.default_rng(0).standard_normal(V) * 3


def draw(
    logits: NDArray[np.float64],
    n: int,
    *,
    allowed: NDArray[np.bool_] = ALL,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> list[int]:
    """Draw with numbers that lie evenly over [0, 1), so that shares come out exact."""
    numbers, own = ((np.arange(n) + 0.5) / n).tolist(), logits.astype(np.float32)
    settings = {"temperature": temperature, "top_p": top_p}
    return [sample_choice(own, allowed, number, **settings) for number in numbers]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_shares_are_those_of_the_distribution_sharpened_or_flattened(temperature: float) -> None:
    share = np.bincount(draw(LOGITS, 5_000, temperature=temperature), minlength=V) / 5_000
    expected = np.exp(LOGITS / temperature) / np.exp(LOGITS / temperature).sum()
    np.testing.assert_allclose(share, expected, atol=5e-4)


def test_top_p_keeps_the_fewest_that_hold_it() -> None:
    logits = np.full(V, -1e4)
    logits[[3, 8, 11, 2]] = np.log([0.5, 0.25, 0.15, 0.1])
    for top_p, kept in ((0.4, {3}), (0.6, {3, 8}), (0.8, {3, 8, 11}), (1.0, {3, 8, 11, 2})):
        assert set(draw(logits, 1_000, top_p=top_p)) == kept
    share = np.bincount(draw(logits, 1_000, top_p=0.6), minlength=V) / 1_000
    assert share[3] == pytest.approx(2 / 3, abs=2e-3)


@pytest.mark.parametrize("temperature", [1e-320, 1e-9, 1.0, 5.0])
@pytest.mark.parametrize("top_p", [1e-9, 0.5, 1.0])
def test_what_is_not_allowed_is_never_drawn(temperature: float, top_p: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        allowed = rng.random(V) < 0.3
        allowed[rng.integers(V)] = True
        logits = rng.standard_normal(V) * 10.0 ** rng.integers(0, 5)
        found = draw(logits, 50, allowed=allowed, temperature=temperature, top_p=top_p)
        assert allowed[found].all()
    if min(temperature, top_p) < 1e-6:
        heat = min(temperature, 1.0)
        assert set(draw(LOGITS, 100, temperature=heat, top_p=top_p)) == {int(LOGITS.argmax())}


def test_the_ends_of_the_uniform_number_draw_the_first_and_last_of_what_is_allowed() -> None:
    allowed = np.isin(np.arange(V), [4, 9])
    for number, expected in ((0.0, 4), (float(np.nextafter(1.0, 0.0)), 9)):
        even = np.zeros(V, dtype=np.float32)
        assert sample_choice(even, allowed, number, temperature=1.0, top_p=1.0) == expected


def test_rows_are_made_without_torch() -> None:
    code = "import sys, emomusic.model.engine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
