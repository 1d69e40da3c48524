"""The same network in llama.cpp: q8_0 matrices, sampling in its own sampler chain."""

from __future__ import annotations

import ctypes
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Bench
from benchmarks.network import llama_arrays, network
from benchmarks.writing import TOP_P, Spent, Work, measure_writer, prompt_ids
from emomusic.model.transformer import Transformer

NEEDS = ("gguf", "llama_cpp")
PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def export(model: Transformer, path: Path, *, quantised: bool = True) -> None:
    """Write the network as GGUF, its matrices in q8_0 or in float32."""
    gguf = import_module("gguf")
    c = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.dim)
    writer.add_block_count(c.n_layers)
    writer.add_feed_forward_length(c.hidden)
    writer.add_head_count(c.n_heads)
    writer.add_head_count_kv(c.n_kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_base)
    writer.add_vocab_size(c.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, value in llama_arrays(model).items():
        value = _turned(name, value, model)
        if quantised and value.ndim == 2:
            writer.add_tensor(_name(name), gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            writer.add_tensor(_name(name), np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _name(name: str) -> str:
    """Return what GGUF calls a weight of a Llama network."""
    if not name.startswith("model.layers."):
        return "token_embd.weight" if "embed" in name else "output_norm.weight"
    number, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    return f"blk.{number}.{PARTS[part]}.weight"


def _turned(name: str, value: NDArray[np.float32], model: Transformer) -> NDArray[np.float32]:
    """Return queries and keys with each head's halves interleaved, as llama.cpp rotates them."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return value
    heads = value.reshape(-1, 2, model.config.head_dim // 2, value.shape[1])
    return heads.swapaxes(1, 2).reshape(value.shape)


class LlamaCppWriter:
    """Write with the library's own calls: a batch a step, a sampler for each row."""

    def __init__(self, path: Path, *, threads: int, vocab_size: int) -> None:
        """Load a network that was exported."""
        self.lib = import_module("llama_cpp")
        self.lib.llama_backend_init()
        self._keep_quiet()
        parameters = self.lib.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path.name}")
        self.threads, self.vocab_size = threads, vocab_size

    def _keep_quiet(self) -> None:
        self.log = self.lib.llama_log_callback(lambda *_: None)
        self.lib.llama_log_set(self.log, ctypes.c_void_p(0))

    def start(self, n_clips: int, *, capacity: int, n_first: int) -> Any:
        """Return a context for rows of at most `capacity` ids, `n_first` of them in one step."""
        parameters = self.lib.llama_context_default_params()
        parameters.n_ctx = n_clips * capacity
        parameters.n_batch = parameters.n_ubatch = max(n_clips * n_first, n_clips)
        parameters.n_seq_max = n_clips
        parameters.n_threads = parameters.n_threads_batch = self.threads
        context = self.lib.llama_init_from_model(self.model, parameters)
        if not context:
            raise RuntimeError("llama.cpp cannot begin")
        return context

    def step(self, context: Any, ids: NDArray[np.int64], *, at: int) -> None:
        """Take ids, shape (B, T), from a position on; the last of each row tells its logits."""
        length = ids.shape[1]
        batch = self.lib.llama_batch_init(ids.size, 0, 1)
        batch.n_tokens = ids.size
        for i, token in enumerate(ids.ravel().tolist()):
            row, t = divmod(i, length)
            batch.token[i], batch.pos[i] = token, at + t
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, row
            batch.logits[i] = t + 1 == length
        status = self.lib.llama_decode(context, batch)
        self.lib.llama_batch_free(batch)
        if status:
            raise RuntimeError(f"llama.cpp cannot decode: {status}")

    def logits(self, context: Any, n: int) -> NDArray[np.float32]:
        """Return the logits told last, shape (n, vocab_size)."""
        told = self.lib.llama_get_logits(context)
        return np.ctypeslib.as_array(told, shape=(n, self.vocab_size)).copy()

    def _sampler(self, seed: int) -> Any:
        chain = self.lib.llama_sampler_chain_init(self.lib.llama_sampler_chain_default_params())
        self.lib.llama_sampler_chain_add(chain, self.lib.llama_sampler_init_top_p(TOP_P, 1))
        self.lib.llama_sampler_chain_add(chain, self.lib.llama_sampler_init_dist(seed))
        return chain

    def write(self, work: Work) -> Spent:
        """Write; what is held is read before the time begins."""
        n, given = work.n_clips, work.n_held + work.n_given
        ids = prompt_ids(n, given, vocab_size=self.vocab_size)
        context = self.start(n, capacity=given + work.n_ids, n_first=given)
        samplers = [self._sampler(seed) for seed in range(n)]
        if work.n_held:
            self.step(context, ids[:, : work.n_held], at=0)
        start = time.perf_counter()
        self.step(context, ids[:, work.n_held :], at=work.n_held)
        where = [(row + 1) * work.n_given - 1 for row in range(n)]
        for t in range(work.n_ids):
            drawn = [
                self.lib.llama_sampler_sample(sampler, context, at)
                for sampler, at in zip(samplers, where, strict=True)
            ]
            where = list(range(n))
            if t + 1 < work.n_ids:
                self.step(context, np.array(drawn)[:, None], at=given + t)
        seconds = time.perf_counter() - start
        for sampler in samplers:
            self.lib.llama_sampler_free(sampler)
        self.lib.llama_free(context)
        return Spent(seconds, work.n_ids)


def measure(bench: Bench, *, n_clips: int = 1) -> None:
    """Measure it; the first round writes the network into the scratch folder."""
    model = network(bench.weights)
    path = bench.scratch / "q8_0.gguf"
    if not path.is_file():
        export(model, path)
    writer = LlamaCppWriter(path, threads=bench.threads, vocab_size=model.config.vocab_size)
    measure_writer(bench, writer, n_clips=n_clips)
