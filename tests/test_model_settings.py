from __future__ import annotations

import subprocess
import sys

import pytest

from emomusic.model.settings import check_guidance, check_sampling


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


def test_checking_needs_no_torch() -> None:
    code = "import sys, emomusic.model.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
