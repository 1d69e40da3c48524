"""The network that every peer computes; run as a module, it is written to a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.writing import VOCAB_SIZE
from emomusic.model.checkpoint import load_model, save_model
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer

CONTEXT = 2048


def base_shape() -> ModelConfig:
    """Return the shape compared: 22.7 M parameters."""
    return ModelConfig(vocab_size=VOCAB_SIZE, context=CONTEXT, **SIZES["base"])


def network(weights: Path | None, *, shape: ModelConfig | None = None) -> Transformer:
    """Return the network compared, in float32.

    Args:
        weights: A checkpoint; None draws random weights, always the same.
        shape: Of random weights; None is the shape compared.
    """
    if weights is not None:
        return load_model(weights)
    torch.manual_seed(0)
    return Transformer(shape or base_shape()).eval()


def llama_arrays(model: Transformer) -> dict[str, NDArray[np.float32]]:
    """Return the weights under the names of a Llama network, with its matrices apart.

    Joined matrices are parted: queries, keys and values; gate and up.
    """
    c = model.config
    heads = [c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim, c.n_kv_heads * c.head_dim]
    state = {name: np.asarray(value.float()) for name, value in model.state_dict().items()}
    found = {
        "model.embed_tokens.weight": state["embedding.weight"],
        "model.norm.weight": state["norm.weight"],
    }
    for i in range(c.n_layers):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        q, k, v = np.split(state[f"{ours}.attention.qkv.weight"], np.cumsum(heads)[:2])
        gate, up = np.split(state[f"{ours}.gate_up.weight"], 2)
        found |= {
            f"{theirs}.input_layernorm.weight": state[f"{ours}.attention_norm.weight"],
            f"{theirs}.self_attn.q_proj.weight": q,
            f"{theirs}.self_attn.k_proj.weight": k,
            f"{theirs}.self_attn.v_proj.weight": v,
            f"{theirs}.self_attn.o_proj.weight": state[f"{ours}.attention.out.weight"],
            f"{theirs}.post_attention_layernorm.weight": state[f"{ours}.hidden_norm.weight"],
            f"{theirs}.mlp.gate_proj.weight": gate,
            f"{theirs}.mlp.up_proj.weight": up,
            f"{theirs}.mlp.down_proj.weight": state[f"{ours}.down.weight"],
        }
    return found


if __name__ == "__main__":
    save_model(Path(sys.argv[1]), network(None), recipe={"drawn": "at random"})
