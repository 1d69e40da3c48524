from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from explanation_cases import USUAL, clip

from emomusic.verify.explanation.typical import MEASURES, Typical, typical


def test_measures_tell_what_they_are_named_for() -> None:
    def measured(name: str, **how: object) -> float:
        value = MEASURES[name](clip(**how))  # type: ignore[arg-type]
        assert value is not None
        return value

    assert measured("mode", major=True) > 0 > measured("mode", major=False)
    assert measured("tempo", gap_s=0.25) - measured("tempo", gap_s=0.5) == pytest.approx(
        1.0, abs=0.1
    )
    assert measured("loudness", velocity=90) == 90
    assert measured("register", tonic=72) - measured("register", tonic=60) == pytest.approx(12.0)
    assert measured("density", gap_s=0.25) > measured("density", gap_s=0.5)


def test_flat_velocity_has_no_loudness() -> None:
    flat = replace(clip(), velocity=np.full(len(clip()), 100))
    assert MEASURES["loudness"](flat) is None


def test_percentiles_follow_the_clips_measured() -> None:
    usual = Typical.measured([clip(velocity=40 + step) for step in range(41)])
    assert usual.middle("loudness") == 60
    assert usual.percentile("loudness", 50) == pytest.approx(0.25)
    assert usual.percentile("loudness", 10) == 0 and usual.percentile("loudness", 120) == 1
    assert usual.n_clips == 41
    with pytest.raises(ValueError, match="no clip to measure mode on, of 0 clips"):
        Typical.measured([])


def test_a_table_with_a_cause_missing_is_refused() -> None:
    rest = {name: values for name, values in USUAL.quantiles.items() if name != "tempo"}
    with pytest.raises(ValueError, match="quantiles of tempo must be 21 rising numbers"):
        Typical(rest, 5)


def test_shipped_table_is_of_music() -> None:
    usual = typical()
    assert usual.n_clips > 1000
    assert 50 < usual.middle("loudness") < 90 and 55 < usual.middle("register") < 70
    assert usual.middle("density") > usual.middle("tempo")
