from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from emomusic.model.sampling import check_guidance, check_sampling, sample_choice

V, NAN = 20, float("nan")
ALL = np.ones(V, dtype=bool)
LOGITS = np.random.default_rng(0).standard_normal(V) * 3


def draw(
    logits: NDArray[np.float64], n: int, *, allowed: NDArray[np.bool_] = ALL,
    temperature: float = 1.0, top_p: float = 1.0,
) -> list[int]:  # fmt: skip
    """Draw with numbers that lie evenly over [0, 1), so that shares come out exact."""
    settings = {"temperature": temperature, "top_p": top_p}
    numbers = ((np.arange(n) + 0.5) / n).tolist()
    return [sample_choice(logits.astype(np.float32), allowed, u, **settings) for u in numbers]


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


@pytest.mark.parametrize(("temperature", "top_p"), [(1e-320, 1.0), (1e-6, 1.0), (1.0, 1e-9)])
def test_a_low_temperature_or_top_p_leaves_the_likeliest(temperature: float, top_p: float) -> None:
    assert set(draw(LOGITS, 100, temperature=temperature, top_p=top_p)) == {int(LOGITS.argmax())}


def test_the_ends_of_the_uniform_number_draw_the_first_and_last_of_what_is_allowed() -> None:
    allowed = np.isin(np.arange(V), [4, 9])
    for number, expected in ((0.0, 4), (float(np.nextafter(1.0, 0.0)), 9)):
        even = np.zeros(V, dtype=np.float32)
        assert sample_choice(even, allowed, number, temperature=1.0, top_p=1.0) == expected


CHECKS: dict[str, Callable[[float], None]] = {
    "temperature must be in (0, 5]": lambda value: check_sampling(value, 1.0),
    "top_p must be in (0, 1]": lambda value: check_sampling(1.0, value),
    "guidance must be in [1, 5]": check_guidance,
}


@pytest.mark.parametrize(
    ("words", "good", "bad"),
    [
        ("temperature must be in (0, 5]", (1e-6, 5), (0, -1, 5.01, NAN, np.inf)),
        ("top_p must be in (0, 1]", (1e-6, 1), (0, -0.1, 1.2, NAN)),
        ("guidance must be in [1, 5]", (1.0, 5.0), (0.99, 5.1, -1, NAN)),
    ],
)
def test_settings_out_of_range_are_refused(
    words: str, good: tuple[float, ...], bad: tuple[float, ...]
) -> None:
    for value in good:
        CHECKS[words](value)
    for value in bad:
        with pytest.raises(ValueError, match=re.escape(f"{words}, got {value}")):
            CHECKS[words](value)


def test_settings_are_checked_and_rows_made_without_torch() -> None:
    code = "import sys, emomusic.model.engine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
