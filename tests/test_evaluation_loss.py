from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_cases import int8
from synthetic import make_model, make_rows

from emomusic.evaluation.loss import Losses, held_back_losses
from emomusic.model.int8.library import is_built
from emomusic.model.lockstep.engine import TorchEngine
from emomusic.training.batches import ClipBatches
from emomusic.training.train import loss_of


def test_the_loss_is_that_of_training() -> None:
    rows = make_rows()
    model = make_model(tuple(rows.meta["vocabulary"]))
    found = held_back_losses(TorchEngine(model, bfloat16=False), rows)
    batches = ClipBatches(
        rows, validation=True, batch_ids=100_000, context=2048, seed=1, augmentation=None
    )
    (clips,) = batches.epoch(0)
    inputs, targets = batches.batch(clips, 0, 0)
    with torch.no_grad():
        expected = float(loss_of(model(inputs), targets))
    assert found.mean == pytest.approx(expected, rel=1e-4)
    assert len(set(found.sequence.tolist())) == len(clips)
    if is_built():
        assert held_back_losses(int8(model), rows).mean == pytest.approx(expected, rel=0.02)


def test_fewer_ids_may_be_looked_at() -> None:
    rows = make_rows()
    engine = TorchEngine(make_model(tuple(rows.meta["vocabulary"])), bfloat16=False)
    few = held_back_losses(engine, rows, max_ids=1)
    assert set(few.sequence.tolist()) == {0}


def test_a_ratio_comes_with_its_interval() -> None:
    sequence = np.repeat(np.arange(50), 4)
    one = Losses(np.full(200, 2.0), sequence)
    assert Losses(np.full(200, 2.2), sequence).ratio_to(one) == pytest.approx((1.1, 1.1, 1.1))
    noisy = Losses(np.random.default_rng(0).uniform(1, 3, 200), sequence)
    ratio, low, high = noisy.ratio_to(one)
    assert low < ratio < high and ratio == pytest.approx(noisy.nats.mean() / 2)
