from __future__ import annotations

import numpy as np
import pytest
from synthetic import make_model, make_rows

from emomusic.evaluation.loss import held_back_losses
from emomusic.evaluation.report.notes_foretold import KINDS, foretold
from emomusic.model.lockstep.engine import TorchEngine
from emomusic.training.rows import Rows


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows()


@pytest.fixture(scope="module")
def engine(rows: Rows) -> TorchEngine:
    return TorchEngine(make_model(tuple(rows.meta["vocabulary"])), bfloat16=False)


def test_a_note_costs_its_tokens(engine: TorchEngine, rows: Rows) -> None:
    found = foretold(engine, rows)
    losses = held_back_losses(engine, rows)
    assert found.n_ids == len(losses.nats) and found.of_id[0] == pytest.approx(losses.mean)
    assert found.n_songs == 4 and found.n_notes == 4 * 4 * 4  # clips of four bars of four notes
    assert found.of_note[0] == pytest.approx(sum(found.of_kind.values()))
    assert found.of_note[1] <= found.of_note[0] <= found.of_note[2]
    whole = losses.nats.sum() / found.n_notes
    assert found.of_note[0] < whole  # bars and ends are no notes
    assert set(found.to_dict()["of_kind"]) == set(KINDS)


def test_each_kind_is_told_apart(
    engine: TorchEngine, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = rows.meta["vocabulary"]
    cost = {"Pitch": 4.0, "Velocity": 2.0, "Duration": 1.0, "Position": 0.5}

    def logits(ids: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        n = len(ids)  # type: ignore[arg-type]
        kinds = [text.partition("_")[0] for text in texts]
        return np.tile([-cost.get(kind, 0.0) for kind in kinds], (n, 1)).astype(np.float32)

    even = float(np.log(np.exp(logits([0])[0].astype(np.float64)).sum()))
    monkeypatch.setattr(engine, "logits", logits)
    found = foretold(engine, rows)
    has_velocity = rows.song_has_dynamics[rows.song_is_validation].mean()
    for kind, extra in cost.items():
        share = has_velocity if kind == "Velocity" else 1.0
        assert found.of_kind[kind] == pytest.approx(share * (even + extra), rel=1e-4)


def test_fewer_ids_may_be_looked_at(engine: TorchEngine, rows: Rows) -> None:
    assert foretold(engine, rows, max_ids=1).n_songs == 1
