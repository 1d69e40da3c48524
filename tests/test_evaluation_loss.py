from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.evaluation import some_rows
from model_cases import int8
from synthetic import make_model

from emomusic.evaluation.loss import Losses, held_back_losses
from emomusic.model.events import SLOTS, VELOCITY
from emomusic.model.int8.library import is_built
from emomusic.model.torch_engine import TorchEngine
from emomusic.model.transformer import Transformer
from emomusic.training.batches import ClipBatches
from emomusic.training.loss import mean_loss
from emomusic.training.rows import Rows


@pytest.fixture(scope="module")
def rows() -> Rows:
    return some_rows()


@pytest.fixture(scope="module")
def model(rows: Rows) -> Transformer:
    return make_model(tuple(rows.meta["vocabulary"]))


def test_the_loss_is_that_of_training(rows: Rows, model: Transformer) -> None:
    batches = ClipBatches(
        rows, validation=True, batch_events=4_096, context=2_048, seed=1, augmentation=None
    )
    wanted = mean_loss(model, batches, max_events=10**9, precision="fp32")
    model.eval()
    found = held_back_losses(TorchEngine(model), rows)
    assert {"nats_per_note": found.per_note()[0], **found.by_slot} == pytest.approx(wanted, 1e-4)
    assert len(found.n_notes) == len(batches.clips)
    assert set(found.song.tolist()) == set(np.flatnonzero(rows.song_is_validation).tolist())
    value, low, high = found.per_note()
    assert low <= value <= high
    if is_built():
        rounded = held_back_losses(int8(model), rows)
        assert rounded.ratio_to(found) == pytest.approx((1.0, 1.0, 1.0), abs=0.02)


def test_what_is_not_learnt_costs_nothing_and_fewer_clips_may_be_looked_at(
    rows: Rows, model: Transformer
) -> None:
    flat = replace(rows, song_has_dynamics=np.zeros(len(rows.song_source), bool))
    found = held_back_losses(TorchEngine(model), flat, max_events=1)
    assert found.by_slot["velocity"] == 0.0 < found.by_slot["duration"]
    assert len(found.n_notes) == 1


def test_rows_of_another_vocabulary_are_refused(rows: Rows) -> None:
    texts = [text for text in rows.meta["vocabulary"] if not text.startswith("Control-")]
    with pytest.raises(ValueError, match="the rows are of another vocabulary"):
        held_back_losses(TorchEngine(make_model(tuple(texts))), rows)


def test_a_ratio_comes_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    n_notes, song = np.full(50, 10), np.repeat(np.arange(25), 2)
    one = Losses(np.full((50, len(SLOTS)), 2.0), n_notes, song)
    assert one.per_note() == pytest.approx((1.2, 1.2, 1.2))
    noisy = Losses(rng.uniform(1, 3, one.nats.shape), n_notes, song)
    ratio, low, high = noisy.ratio_to(one)
    assert low < ratio < high and ratio == pytest.approx(noisy.nats.mean() / 2)
    assert noisy.by_slot[SLOTS[VELOCITY]] == pytest.approx(noisy.nats[:, VELOCITY].mean() / 10)
