from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from emomusic.model.sampling import BLOCK, sample_ids, write_block
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer

V = 20
ALL = np.ones((1, V), dtype=bool)


def draw(
    logits: NDArray[np.float64], n: int, *, allowed: NDArray[np.bool_] = ALL,
    temperature: float = 1.0, top_p: float = 1.0,
) -> NDArray[np.int64]:  # fmt: skip
    uniform = (np.arange(n) + 0.5) / n  # evenly over [0, 1): shares come out exact
    wide = np.broadcast_to(logits.astype(np.float32), (n, V))
    mask = np.broadcast_to(allowed, (n, V))
    return sample_ids(wide, mask, uniform, temperature=temperature, top_p=top_p)


def some_logits(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(V) * 3


def test_shares_are_those_of_the_distribution() -> None:
    logits = some_logits()
    share = np.bincount(draw(logits, 100_000), minlength=V) / 100_000
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(share, expected, atol=1e-4)


def test_temperature_sharpens_and_flattens() -> None:
    logits = some_logits()
    for temperature in (0.5, 2.0):
        share = np.bincount(draw(logits, 100_000, temperature=temperature), minlength=V) / 100_000
        expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        np.testing.assert_allclose(share, expected, atol=1e-4)


def test_top_p_keeps_the_fewest_ids_that_hold_it() -> None:
    logits = np.full(V, -np.inf)
    logits[[3, 8, 11, 2]] = np.log([0.5, 0.25, 0.15, 0.1])
    logits = np.maximum(logits, -1e4)
    for top_p, kept in ((0.4, {3}), (0.6, {3, 8}), (0.8, {3, 8, 11}), (1.0, {3, 8, 11, 2})):
        assert set(draw(logits, 10_000, top_p=top_p).tolist()) == kept
    share = np.bincount(draw(logits, 10_000, top_p=0.6), minlength=V) / 10_000
    assert share[3] == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize("temperature", [1e-320, 1e-9, 1.0, 5.0])
@pytest.mark.parametrize("top_p", [1e-9, 0.5, 1.0])
def test_a_masked_id_is_never_drawn(temperature: float, top_p: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        allowed = rng.random((1, V)) < 0.3
        allowed[0, rng.integers(V)] = True
        logits = rng.standard_normal(V) * 10.0 ** rng.integers(0, 5)
        ids = draw(logits, 50, allowed=allowed, temperature=temperature, top_p=top_p)
        assert allowed[0, ids].all()


def test_a_low_temperature_or_top_p_leaves_the_likeliest() -> None:
    logits = some_logits()
    for temperature, top_p in ((1e-320, 1.0), (1e-6, 1.0), (1.0, 1e-9)):
        ids = draw(logits, 100, temperature=temperature, top_p=top_p)
        assert set(ids.tolist()) == {int(logits.argmax())}


def test_the_ends_of_the_uniform_number_draw_allowed_ids() -> None:
    logits = np.zeros((2, V), dtype=np.float32)
    allowed = np.zeros((2, V), dtype=bool)
    allowed[:, [4, 9]] = True
    uniform = np.array([0.0, np.nextafter(1.0, 0.0)])
    assert sample_ids(logits, allowed, uniform, temperature=1.0, top_p=1.0).tolist() == [4, 9]


def test_rows_may_have_settings_of_their_own() -> None:
    logits = np.broadcast_to(some_logits().astype(np.float32), (2, V))
    uniform = np.array([0.999999, 0.999999])
    ids = sample_ids(
        logits,
        np.ones((2, V), dtype=bool),
        uniform,
        temperature=np.array([1e-6, 5.0]),
        top_p=np.array([1.0, 1.0]),
    )
    assert ids[0] == logits[0].argmax() and ids[1] == logits[0].argmin()


class Walk:
    """Begin with given ids, then write even ids only, a given number of them."""

    def __init__(self, start: list[int], n: int, n_given: int = 0) -> None:
        self.start, self.n, self.n_given = list(start), n, n_given
        self.written: list[int] = []

    def forced(self) -> int | None:
        return self.start[len(self.written)] if len(self.written) < len(self.start) else None

    def allowed(self) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = np.arange(V) % 2 == 0
        return mask

    def push(self, token: int) -> None:
        self.written.append(token)

    @property
    def done(self) -> bool:
        return len(self.written) >= self.n


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(ModelConfig(vocab_size=V, context=64, **SIZES["tiny"])).eval()
    with torch.no_grad():  # so that what came before decides, not the last id alone
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(15.0 if name.startswith("embedding") else 25.0)
    return model


def written(model: Transformer, places: list[int | None], **settings: Any) -> dict[int, list[int]]:
    """Write rows, each named by its seed, and return their ids."""
    walks = {
        seed: Walk([1, seed % V, (3 * seed) % V], 30 + seed, n_given=2)
        for seed in places
        if seed is not None
    }
    write_block(
        model,
        [None if seed is None else walks[seed] for seed in places],
        [None if seed is None else np.random.default_rng(seed) for seed in places],
        **settings,
    )
    return {seed: walk.written for seed, walk in walks.items()}


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_a_row_is_the_same_whatever_its_neighbours(model: Transformer, guidance: float) -> None:
    def rows(*places: int | None) -> dict[int, list[int]]:
        return written(model, list(places), guidance=guidance)

    full = rows(*range(BLOCK))
    assert rows(None, 1, *[None] * 6)[1] == full[1]
    assert rows(0) == {0: full[0]}
    assert rows(*range(7)) == {seed: full[seed] for seed in range(7)}
    assert rows(3, 1, 5, None, 2, 9, 7, 8)[1] == full[1]
    assert len({tuple(ids[3:20]) for ids in full.values()}) == BLOCK


@torch.inference_mode()
def likeliest(model: Transformer, start: list[int], n_given: int, guidance: float) -> list[int]:
    """Write the likeliest ids without a cache, guidance spelt out."""
    ids = list(start)
    while len(ids) < 25:
        told = model(torch.tensor([ids]))[0, -1]
        free = model(torch.tensor([[ids[0], *ids[1 + n_given :]]]))[0, -1]
        logits = free + guidance * (told - free)
        logits[1::2] = -torch.inf
        ids.append(int(logits.argmax()))
    return ids


@pytest.mark.parametrize("guidance", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("n_given", [0, 1, 3])
def test_guidance_leads_on_from_what_is_likely_without_controls(
    model: Transformer, guidance: float, n_given: int
) -> None:
    starts = [[1, *range(3 + i, 3 + i + n_given), 2 * i] for i in range(3)]
    walks = [Walk(start, 25, n_given) for start in starts]
    generators = [np.random.default_rng(i) for i in range(3)]
    write_block(model, walks, generators, temperature=1e-6, guidance=guidance)
    for start, walk in zip(starts, walks, strict=True):
        assert walk.written == likeliest(model, start, n_given, guidance)


def test_guidance_matters_only_where_something_is_given(model: Transformer) -> None:
    def ids(n_given: int, guidance: float) -> list[int]:
        walk = Walk([1, 5, 7, 2], 40, n_given)
        write_block(model, [walk], [np.random.default_rng(0)], guidance=guidance)
        return walk.written

    assert ids(0, 3.0) == ids(0, 1.0)
    assert ids(2, 3.0) != ids(2, 1.0)


def test_forced_ids_come_first_and_the_mask_holds(model: Transformer) -> None:
    for seed, ids in written(model, [0, 3, 5]).items():
        assert ids[:3] == [1, seed, 3 * seed]
        assert len(ids) == 30 + seed and all(token % 2 == 0 for token in ids[3:])


def test_one_number_is_drawn_for_each_sampled_id(model: Transformer) -> None:
    generator = np.random.default_rng(4)
    write_block(model, [Walk([1, 2, 3], 13)], [generator])
    expected = np.random.default_rng(4)
    expected.random(10)
    assert generator.random() == expected.random()


def test_writing_ends_where_the_context_is_full(model: Transformer) -> None:
    walk = Walk([1], 10_000)
    write_block(model, [walk], [np.random.default_rng(0)])
    assert len(walk.written) == model.config.context


def test_a_place_keeps_its_own_temperature(model: Transformer) -> None:
    both = written(model, [1, 2], temperature=[0.5, 2.0])
    assert both[1] == written(model, [1], temperature=0.5)[1]
    assert both[2] == written(model, [None, 2], temperature=2.0)[2]


def test_wrong_blocks_and_settings_are_refused(model: Transformer) -> None:
    with pytest.raises(ValueError, match="a block holds at most 8 rows with a generator each"):
        write_block(model, [None] * 9, [None] * 9)
    with pytest.raises(ValueError, match="a block holds at most 8 rows"):
        write_block(model, [None] * 2, [None] * 3)
    with pytest.raises(ValueError, match=r"top_p must be in \(0, 1\], got 1.2"):
        write_block(model, [None], [None], top_p=1.2)
    with pytest.raises(ValueError, match=r"guidance must be in \[1, 5\], got 0.5"):
        write_block(model, [None], [None], guidance=0.5)
