from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inside_cases import some_rows
from judged_cases import PitchJudge, SureJudge
from synthetic import make_score

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.drafting.guide import MAX_BAR_IDS
from emomusic.evaluation.inside.trials import (
    Heard,
    Setting,
    Writer,
    compare,
    hear_by_verifier,
    hear_clips,
    is_whole,
    log_odds_of,
)
from emomusic.model.checkpoint import load_model
from emomusic.model.lockstep.engine import TorchEngine
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import notes_of

K = len(ATTRIBUTE_NAMES)
SETTING = Setting(2, 4, 2, 50)
QUIET = {"progress": lambda n_done: None}


@pytest.fixture(scope="module")
def writer(tiny_checkpoint: Path) -> Writer:
    engine = TorchEngine(load_model(tiny_checkpoint), device="cpu", bfloat16=False)
    return Writer(Composer(tiny_checkpoint, engine=engine), engine, some_rows())


@pytest.fixture(scope="module")
def clips(writer: Writer) -> list[Clip]:
    return writer.free(SETTING, **QUIET)


def music(clips: list[Clip]) -> list[list[int]]:
    return [notes_of(clip.score).pitch.tolist() for clip in clips]


def test_a_push_of_nothing_writes_the_free_clips(writer: Writer, clips: list[Clip]) -> None:
    dim = writer.engine.config.dim
    assert music(writer.pushed(SETTING, np.zeros(dim), depth=1, **QUIET)) == music(clips)
    assert music(writer.pushed(SETTING, 9 * np.ones(dim), depth=1, **QUIET)) != music(clips)
    assert music(writer.free(SETTING, **QUIET)) == music(clips)
    assert not any(clip.targets for clip in clips)  # nothing was asked


def test_a_push_costs_what_it_spoils(writer: Writer) -> None:
    dim = writer.engine.config.dim
    assert writer.loss_ratio(np.zeros(dim), depth=1, max_ids=50) == (1.0, 1.0, 1.0)
    far = writer.loss_ratio(50 * np.eye(dim)[1], depth=2, max_ids=50)
    assert abs(far[0] - 1.0) > 1e-3


def test_log_odds_are_those_of_the_sides_and_bounded() -> None:
    odds = log_odds_of(np.array([[0.4, 0.3, 0.2, 0.1], [1.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(odds[0], [0.0, np.log(0.7 / 0.3)], atol=1e-9)
    assert (odds[1] > 6).all() and (odds[1] < 7).all()


def test_clips_are_heard_by_each_judge_and_the_verifier(clips: list[Clip]) -> None:
    heard = hear_clips(clips, {"pitch": PitchJudge(), "sure": SureJudge()})
    assert set(heard.odds) == {"pitch", "sure", "both"}
    assert heard.values.shape == (2, K) and heard.whole.shape == (2,)
    assert heard.values[0].tolist() == list(clips[0].achieved.values())
    assert hear_by_verifier(clips).shape == (2, 2)


def test_a_clip_with_an_empty_or_a_full_bar_is_not_whole(clips: list[Clip]) -> None:
    four_bars = replace(clips[0], score=make_score([60] * 16), n_bars=4)
    assert is_whole(four_bars)
    assert not is_whole(replace(four_bars, n_bars=5))
    crowded = make_score([60] * (MAX_BAR_IDS // 4), gap=15)
    assert not is_whole(replace(four_bars, score=crowded, n_bars=1))


def heard_of(odds: list[list[float]], values: float) -> Heard:
    table = np.full((len(odds), K), values)
    return Heard({"one": np.array(odds)}, table, np.array([True, False]))


FREE = heard_of([[0.0, 1.0], [1.0, 1.0]], 2.0)
MOVED = heard_of([[-2.0, 1.0], [0.0, 2.0]], 3.0)


def test_clips_are_set_against_the_free_ones_of_their_numbers() -> None:
    trial = compare(MOVED, FREE, np.full(K, 0.5), what="valence", by="push", dose=-1.0, judge="one")
    assert trial.shift[0] == -1.5 and trial.shift[1:] == (-2.0, -1.0)
    assert trial.shifts["one"] == trial.shift and trial.beside["arousal"][0] == 0.5
    assert trial.share is not None and trial.share[0] == 0.5  # 0 is on neither side
    assert trial.whole == 0.5 and trial.density == 1.5
    assert set(trial.drift.values()) == {2.0}
    plain = trial.to_dict()
    assert json.loads(json.dumps(plain)) == {**plain, "shift": list(plain["shift"])}


def test_an_attribute_is_measured_and_not_heard() -> None:
    trial = compare(
        MOVED, FREE, np.full(K, 0.5), what="register", by="push", dose=1.0, judge="one",
        loss=(1.0, 0.9, 1.1),
    )  # fmt: skip
    assert trial.shift == (2.0, 2.0, 2.0) and trial.share is None and not trial.shifts
    assert trial.to_dict()["loss"] == [1.0, 0.9, 1.1]
