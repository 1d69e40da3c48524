from __future__ import annotations

import pytest
import torch

from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Cache, Transformer

VOCABULARY = 50


def tiny(seed: int = 0, **changes: int) -> Transformer:
    torch.manual_seed(seed)
    shape = {"vocab_size": VOCABULARY, "context": 32, **SIZES["tiny"], **changes}
    model = Transformer(ModelConfig(**shape)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(5.0)  # so that attention matters
    return model


def some_ids(n: int = 3, length: int = 20) -> torch.Tensor:
    return torch.randint(VOCABULARY, (n, length), generator=torch.Generator().manual_seed(1))


def stepwise(model: Transformer, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits after each id, taken one at a time."""
    cache = Cache(model.config, len(ids), device="cpu")
    steps = [
        model.step(ids[:, t], cache, torch.full((len(ids),), t), span=t + 1)
        for t in range(ids.shape[1])
    ]
    return torch.stack(steps, dim=1)


@pytest.mark.parametrize(
    "heads", [{"n_heads": 4, "n_kv_heads": 2}, {"n_heads": 4, "n_kv_heads": 4}]
)
@torch.inference_mode()
def test_with_and_without_cache_the_logits_are_the_same(heads: dict[str, int]) -> None:
    model, ids = tiny(**heads), some_ids()
    torch.testing.assert_close(stepwise(model, ids), model(ids), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_later_id_never_changes_earlier_logits() -> None:
    model, ids = tiny(), some_ids(1)
    changed = ids.clone()
    changed[0, 12] = (changed[0, 12] + 1) % VOCABULARY
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:], atol=1e-3)


@torch.inference_mode()
def test_bfloat16_matrices_say_nearly_the_same() -> None:
    model, ids = tiny(), some_ids()
    exact = model(ids)
    model.use_bfloat16()
    rounded = model(ids)
    assert rounded.dtype == torch.float32 and model.embedding.weight.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.1 * exact.std()
    assert (stepwise(model, ids) - rounded).abs().max() < 0.1 * exact.std()


@torch.inference_mode()
def test_where_an_id_stands_matters() -> None:
    model = tiny()
    ids = torch.tensor([[5, 9, 7], [9, 5, 7]])
    one, other = model(ids)[:, 2]
    assert not torch.allclose(one, other, atol=1e-4)


def test_logits_have_one_number_for_each_id() -> None:
    assert tiny()(some_ids(2, 7)).shape == (2, 7, VOCABULARY)


@pytest.mark.parametrize("size", SIZES)
def test_number_of_parameters_is_as_told(size: str) -> None:
    shape = ModelConfig(vocab_size=600, **SIZES[size])
    with torch.device("meta"):
        model = Transformer(shape)
    assert sum(p.numel() for p in model.parameters()) == shape.n_parameters


@pytest.mark.parametrize(("size", "low", "high"), [("small", 9e6, 11e6), ("base", 21e6, 25e6)])
def test_sizes_are_about_as_large_as_they_say(size: str, low: float, high: float) -> None:
    assert low < ModelConfig(vocab_size=600, **SIZES[size]).n_parameters < high


def test_same_seed_gives_the_same_weights() -> None:
    one, same, other = (tiny(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embedding.weight"], other["embedding.weight"])


def test_more_ids_than_the_context_are_refused() -> None:
    with pytest.raises(ValueError, match="33 ids do not fit into a context of 32"):
        tiny()(some_ids(1, 33))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dim": 0}, "dim must be a number in 1 to 1000000, got 0"),
        ({"dim": 2.5}, "dim must be a number in 1 to 1000000, got 2.5"),
        ({"n_layers": True}, "n_layers must be a number"),
        ({"rope_base": float("nan")}, "rope_base must be a number"),
        ({"dim": 65}, "dim / n_heads must be even, got 65 / 4"),
        ({"dim": 60}, "dim / n_heads must be even, got 60 / 4"),
        ({"n_heads": 4, "n_kv_heads": 3}, "n_heads must be a multiple of n_kv_heads, got 4, 3"),
        ({"n_layers": 129}, "at most 128 layers and a context of 16384, got 129, 2048"),
        ({"context": 16_385}, "at most 128 layers and a context of 16384"),
        ({"vocab_size": 1_000_000, "dim": 4096}, "at most 500000000 parameters, these are"),
    ],
)
def test_a_shape_out_of_range_is_refused(changes: dict[str, float], words: str) -> None:
    values = {"vocab_size": VOCABULARY, **SIZES["tiny"], **changes}
    with pytest.raises(ValueError, match=words):
        ModelConfig.from_dict(values)


def test_a_shape_survives_as_plain_values() -> None:
    shape = ModelConfig(vocab_size=VOCABULARY, **SIZES["tiny"])
    assert ModelConfig.from_dict(shape.to_dict()) == shape


@pytest.mark.parametrize("values", [{"vocab_size": 5, "depth": 2}, {"dim": 64}])
def test_unknown_or_missing_keys_of_a_shape_are_named(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"unknown or missing keys .*(depth|vocab_size); known"):
        ModelConfig.from_dict(values)
