"""`generate` of transformers on a Llama network with the same weights."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import torch

from benchmarks.measure import Bench
from benchmarks.network import llama_arrays, network
from benchmarks.writing import TOP_P, Spent, Work, measure_writer, prompt_ids
from emomusic.model.transformer import Transformer

NEEDS = ("transformers",)


def llama(model: Transformer) -> Any:
    """Return a `LlamaForCausalLM` that computes what the model does."""
    transformers = import_module("transformers")
    c = model.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.dim,
        intermediate_size=c.hidden,
        num_hidden_layers=c.n_layers,
        num_attention_heads=c.n_heads,
        num_key_value_heads=c.n_kv_heads,
        max_position_embeddings=c.context,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_base},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    with torch.device("meta"):
        made = transformers.LlamaForCausalLM(config)
    made = made.to_empty(device="cpu")
    arrays = {name: torch.from_numpy(value) for name, value in llama_arrays(model).items()}
    made.load_state_dict(arrays, strict=False)
    made.tie_weights()
    rotary = made.model.rotary_emb
    made.model.rotary_emb = type(rotary)(config)
    return made.eval()


class GenerateWriter:
    """Write with `generate`, rows as one batch."""

    def __init__(self, model: Any, *, cache: str) -> None:
        """Take a network, and `dynamic` or `static` for its cache."""
        self.model, self.cache = model, cache

    @torch.inference_mode()
    def write(self, work: Work) -> Spent:
        """Write; the time of what is held is left out by beginning at the first new id."""
        n_given = work.n_held + work.n_given
        ids = prompt_ids(work.n_clips, n_given, vocab_size=self.model.config.vocab_size)
        times: list[float] = []
        start = time.perf_counter()
        self.model.generate(
            torch.from_numpy(ids),
            attention_mask=torch.ones(ids.shape, dtype=torch.long),
            max_new_tokens=work.n_ids,
            do_sample=True,
            top_p=TOP_P,
            top_k=0,
            temperature=1.0,
            cache_implementation=self.cache,
            disable_compile=True,
            stopping_criteria=[_noting(times, work.n_clips)],
        )
        if work.n_held:
            return Spent(times[-1] - times[0], len(times) - 1)
        return Spent(times[-1] - start, len(times))


def _noting(times: list[float], n_clips: int) -> Any:
    """Return a criterion that notes the time of each id and never stops a row."""
    go_on = torch.zeros(n_clips, dtype=torch.bool)

    def note(*_: Any, **__: Any) -> torch.Tensor:
        times.append(time.perf_counter())
        return go_on

    return note


def measure(
    bench: Bench, *, n_clips: int = 1, dtype: str = "float32", cache: str = "dynamic"
) -> None:
    """Measure it with a data type and a cache."""
    torch.set_num_threads(bench.threads)
    model = llama(network(bench.weights)).to(getattr(torch, dtype))
    measure_writer(bench, GenerateWriter(model, cache=cache), n_clips=n_clips)
