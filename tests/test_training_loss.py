"""The loss of a batch, against one added up event by event; Muon, against torch's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import make_model, make_rows
from torch import Tensor
from torch.nn import Parameter
from training_cases import LIVELY, TEXTS

from emomusic.model.events import SLOTS, to_events
from emomusic.training.batches import STILL, ClipBatches
from emomusic.training.loss import faster_precision, mean_loss, slot_losses, summed_loss
from emomusic.training.rows import Rows
from emomusic.training.train import Muon, orthogonalise

ROWS = make_rows(n_songs=12)
MODEL = make_model(tuple(TEXTS))


def made_of(rows: Rows = ROWS, **changes: Any) -> ClipBatches:
    settings: dict[str, Any] = {"validation": False, "batch_events": 600, "context": 256}
    return ClipBatches(rows, **{**settings, "seed": 1, "augmentation": STILL, **changes})


MADE = made_of(augmentation=LIVELY)


def test_the_loss_is_that_of_each_choice_added_up_whatever_is_beside_it() -> None:
    clips = np.array([0, 2, 5, 7])
    batch, expected = MADE.batch(clips, 0, 0), [list[float]() for _ in SLOTS]
    for place, clip in enumerate(clips):  # one choice after the other
        ids, learnt = MADE.sequence(clip, np.random.default_rng([1, 0, 1, place]))
        events = to_events(ids, MADE.layout.events, MADE.layout.kinds, learnt)
        chosen = torch.from_numpy(events.chosen)
        with torch.no_grad():
            x = MODEL.embed(torch.from_numpy(events.rows), torch.from_numpy(events.start))
            for at, slot in np.argwhere(events.learnt).tolist():
                state = MODEL(x[None, : at + 1])[0, -1:]
                logits = MODEL.logits(slot, state, chosen[at : at + 1])
                expected[slot].append(-float(logits.log_softmax(-1)[0, chosen[at, slot]]))
    for found, own in zip(slot_losses(MODEL, batch), expected, strict=True):
        np.testing.assert_allclose(found.detach(), own, rtol=1e-4, atol=1e-4)
    total = sum(map(sum, expected))
    assert float(summed_loss(MODEL, batch).detach()) == pytest.approx(total, rel=1e-5)
    assert all(expected)  # all slots were there


def test_a_batch_without_velocities_or_durations_teaches_their_slots_nothing() -> None:
    nothing = np.zeros_like(ROWS.song_has_dynamics)
    made = made_of(replace(ROWS, song_has_dynamics=nothing, song_has_durations=nothing))
    model = make_model(tuple(TEXTS))
    summed_loss(model, made.batch(np.array([0, 2]), 0, 0)).backward()  # type: ignore[no-untyped-call] # torch's
    for name, parameter in model.named_parameters():
        taught = parameter.grad is not None and bool(parameter.grad.any())
        slot = int(name.split(".")[1]) if name.startswith("slots") else 0
        assert taught == (slot < 2 and name != "slots.1.told.weight"), name
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())


def test_the_mean_is_nats_a_note_over_the_first_batches() -> None:
    held_back = made_of(validation=True, batch_events=80, augmentation=None)
    found = mean_loss(MODEL, held_back, max_events=50, precision="fp32")
    clips = held_back.epoch(0)
    assert len(clips) > 2 and MODEL.training
    batches = [held_back.batch(own, 0, index) for index, own in enumerate(clips[:2])]
    sums = sum(float(summed_loss(MODEL.eval(), batch).detach()) for batch in batches)
    expected = sums / sum(batch.n_notes for batch in batches)
    assert found["nats_per_note"] == pytest.approx(expected, rel=1e-5)
    assert found["nats_per_note"] == pytest.approx(sum(found[slot] for slot in SLOTS))


def test_a_precision_is_chosen_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faster_precision(torch.device("cpu")) in ("bf16", "fp32")
    assert faster_precision(torch.device("cuda")) == "bf16"
    for seconds, expected in (([1.0, 9.0], "bf16"), ([9.0, 1.0], "fp32")):
        ticks = iter([0.0, seconds[0], 20.0, 20.0 + seconds[1]])
        monkeypatch.setattr("time.perf_counter", lambda ticks=ticks: next(ticks))
        assert faster_precision(torch.device("cpu")) == expected


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stepped(optimiser: torch.optim.Optimizer, parameter: Tensor, grads: list[Tensor]) -> None:
    for grad in grads:
        parameter.grad = grad.clone()
        optimiser.step()


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (2, 40, 8), (1, 1, 5)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_singular_values_come_near_one(shape: tuple[int, int, int], scale: float) -> None:
    found = orthogonalise(scale * drawn(*shape))
    assert found.shape == shape and found.dtype == torch.float32
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.3 and float(values.max()) < 1.3
    # What was in one direction stays there.
    assert torch.einsum("nij,nij->n", found, drawn(*shape)).min() > 0
    rough = orthogonalise(scale * drawn(*shape), torch.bfloat16)
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), rough.flatten(), dim=0)
    assert cosine > 0.99 and rough.dtype == torch.float32
    assert not orthogonalise(torch.zeros(shape)).any()


def test_a_matrix_cut_into_parts_is_as_many_matrices() -> None:
    cuts, how = [8, 4, 4], dict[str, Any](lr=0.02, weight_decay=0.1)
    whole, grads = Parameter(drawn(16, 12)), [drawn(16, 12, seed=seed) for seed in (1, 2, 3)]
    parts = [Parameter(part.clone()) for part in torch.split(drawn(16, 12), cuts)]
    stepped(Muon([(whole, cuts)], **how), whole, grads)
    for i, part in enumerate(parts):
        own = [torch.split(grad, cuts)[i] for grad in grads]
        stepped(Muon([(part, [len(part)])], **how), part, own)
    torch.testing.assert_close(whole.data, torch.cat([p.data for p in parts]), rtol=1e-5, atol=1e-6)
    matrix = Parameter(drawn(4, 6))
    Muon([(matrix, [4])], lr=0.1).step()  # nothing to learn moves nothing
    assert torch.equal(matrix, drawn(4, 6))


@pytest.mark.parametrize("shape", [(32, 48), (48, 32)])
def test_torch_takes_the_same_steps(shape: tuple[int, int]) -> None:
    mine, theirs = (Parameter(drawn(*shape)) for _ in range(2))
    grads, how = [drawn(*shape, seed=seed) for seed in (1, 2, 3)], {"lr": 0.02, "weight_decay": 0.1}
    stepped(Muon([(mine, [shape[0]])], **how), mine, grads)
    other = torch.optim.Muon([theirs], **how, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    stepped(other, theirs, grads)
    moved, expected = mine.detach() - drawn(*shape), theirs.detach() - drawn(*shape)
    # torch's multiplies in bfloat16.
    assert float((moved - expected).norm() / expected.norm()) < 0.02
