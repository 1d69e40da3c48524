from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from granularity_cases import FIVE, made_granularity
from judged_cases import PitchJudge, SureJudge

from emomusic.compose.composer import Composer
from emomusic.evaluation.granularity import run as module
from emomusic.evaluation.granularity.run import measure_granularity, n_composed


def test_five_emotions_at_four_places_make_four_groups() -> None:
    told = made_granularity().to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["n_emotions"] == 5 and told["n_pairs"] == 10 and told["judges"] == ["ear", "eye"]
    assert set(told["views"]) == {"both", "valence", "arousal", "ear", "eye"}
    assert told["views"]["both"]["apart"][0] == 0.9
    assert set(told["groups"][0]["members"]) == {"joy", "glee"}
    assert len(told["groups"]) == 4
    joy, glee, anger = told["emotions"][:3]
    assert joy["confused_with"] == ["glee"] and joy["nearest"] == "glee" and joy["n_apart"] == 3
    assert glee["nearest"] == "joy" and anger["confused_with"] == []
    assert anger["heard"][0] < -0.5 < 0.5 < anger["heard"][1]
    assert told["same_place"]["places"] == [["joy", "glee"]]
    assert told["same_place"]["n_pairs"] == 1 and told["same_place"]["n_places"] == 4
    assert told["near"]["n_apart_alone"] == 0
    assert [own["pair"] for own in told["heard_as_one"]] == [["joy", "glee"]]
    assert len(told["pairs"]["auc"]) == 10


def test_where_nothing_is_heard_nothing_is_told_apart() -> None:
    told = made_granularity(gain=0.0).to_dict()
    assert told["views"]["both"]["apart"][0] <= 0.1
    assert max(len(own["members"]) for own in told["groups"]) >= 4
    assert told["distance"]["reach"]["both"]["distance"][0] is None


def test_a_checkpoint_is_measured(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "typology", lambda: FIVE)
    told: list[int] = []
    found = measure_granularity(
        Composer(tiny_checkpoint),
        {"pitch": PitchJudge(), "sure": SureJudge()},
        count=3,
        seed=4,
        n_bars=2,
        progress=told.append,
    )
    assert sum(told) == n_composed(3) == 21
    assert found.sets.heard.shape == (5, 3, 2, 2) and found.control.n_twins == 2
    assert np.isfinite(found.views["both"].auc).all()
    json.dumps(found.to_dict(), allow_nan=False)


def test_too_few_clips_are_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="3 clips, and twins every 1 or more, got 2 and 3"):
        measure_granularity(Composer(tiny_checkpoint), {}, count=2)


def test_the_number_of_clips_is_that_of_63_emotions_and_every_third_again() -> None:
    assert n_composed(24) == 24 * (63 + 21) and n_composed(4, twin_every=1) == 4 * 126
