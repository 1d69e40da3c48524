"""The same network in ONNX Runtime: int8 matrices, fused attention, one buffer for the past.

The graph is written here: RMSNorm and grouped-query attention with rotary positions are the
runtime's own fused operators, and past and present share one preallocated buffer.
"""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Bench
from benchmarks.network import llama_arrays, network
from benchmarks.writing import TOP_P, Spent, Work, draw, measure_writer, prompt_ids
from emomusic.model.shape import ModelConfig
from emomusic.model.transformer import Transformer, rotary_table

NEEDS = ("onnx", "onnx_ir", "onnxruntime")
OPSET, FUSED = 21, "com.microsoft"


class _Graph:
    """Gather nodes and weights."""

    def __init__(self) -> None:
        self.helper = import_module("onnx.helper")
        self.numpy = import_module("onnx.numpy_helper")
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def keep(self, name: str, value: NDArray[Any]) -> str:
        self.weights.append(self.numpy.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def norm(self, x: str, weight: NDArray[np.float32], name: str) -> str:
        scale = self.keep(f"{name}.weight", weight)
        return self.add(
            "SimplifiedLayerNormalization", [x, scale], name, axis=-1, epsilon=1e-5, stash_type=1
        )

    def product(self, x: str, weight: NDArray[np.float32], name: str) -> str:
        return self.add("MatMul", [x, self.keep(f"{name}.weight", weight.T)], name)


def export(model: Transformer, path: Path) -> None:
    """Write the network in float32, with its cache as inputs and outputs."""
    onnx = import_module("onnx")
    c, graph, arrays = model.config, _Graph(), llama_arrays(model)
    cos, sin = rotary_table(c)
    graph.keep("cos", np.asarray(cos))
    graph.keep("sin", np.asarray(sin))
    embedding = arrays["model.embed_tokens.weight"]
    x = graph.add("Gather", [graph.keep("embedding", embedding), "ids"], "embedded")
    for layer in range(c.n_layers):
        x = _block(graph, arrays, c, layer, x)
    x = graph.norm(x, arrays["model.norm.weight"], "norm")
    graph.product(x, embedding, "logits")
    made = graph.helper.make_graph(graph.nodes, "network", *_ends(graph, c), graph.weights)
    opsets = [graph.helper.make_opsetid("", OPSET), graph.helper.make_opsetid(FUSED, 1)]
    onnx.save(graph.helper.make_model(made, opset_imports=opsets, ir_version=10), str(path))


def _block(graph: _Graph, arrays: dict[str, Any], c: ModelConfig, layer: int, x: str) -> str:
    own, name = f"model.layers.{layer}", f"b{layer}"
    y = graph.norm(x, arrays[f"{own}.input_layernorm.weight"], f"{name}.norm")
    joined = [arrays[f"{own}.self_attn.{part}_proj.weight"] for part in "qkv"]
    y = graph.product(y, np.concatenate(joined), f"{name}.qkv")
    graph.nodes.append(
        graph.helper.make_node(
            "GroupQueryAttention",
            [y, "", "", f"past_k{layer}", f"past_v{layer}", "seen", "total", "cos", "sin"],
            [f"{name}.attended", f"k{layer}", f"v{layer}"],
            f"{name}.attention",
            domain=FUSED,
            num_heads=c.n_heads,
            kv_num_heads=c.n_kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
        )
    )
    y = graph.product(f"{name}.attended", arrays[f"{own}.self_attn.o_proj.weight"], f"{name}.out")
    x = graph.add("Add", [x, y], f"{name}.between")
    y = graph.norm(x, arrays[f"{own}.post_attention_layernorm.weight"], f"{name}.hidden")
    gate = graph.product(y, arrays[f"{own}.mlp.gate_proj.weight"], f"{name}.gate")
    up = graph.product(y, arrays[f"{own}.mlp.up_proj.weight"], f"{name}.up")
    soft = graph.add("Sigmoid", [gate], f"{name}.sigmoid")
    silu = graph.add("Mul", [gate, soft], f"{name}.silu")
    y = graph.add("Mul", [silu, up], f"{name}.gated")
    y = graph.product(y, arrays[f"{own}.mlp.down_proj.weight"], f"{name}.down")
    return graph.add("Add", [x, y], f"{name}.output")


def _ends(graph: _Graph, c: ModelConfig) -> tuple[list[Any], list[Any]]:
    kinds = import_module("onnx").TensorProto
    value = graph.helper.make_tensor_value_info
    past = ["B", c.n_kv_heads, "S", c.head_dim]
    inputs = [
        value("ids", kinds.INT64, ["B", "T"]),
        value("seen", kinds.INT32, ["B"]),
        value("total", kinds.INT32, []),
    ]
    outputs = [value("logits", kinds.FLOAT, ["B", "T", c.vocab_size])]
    for layer in range(c.n_layers):
        for part in "kv":
            inputs.append(value(f"past_{part}{layer}", kinds.FLOAT, past))
            outputs.append(value(f"{part}{layer}", kinds.FLOAT, past))
    return inputs, outputs


def quantise(path: Path, out: Path) -> None:
    """Write the network with int8 matrices, a scale for each column; activations as they come."""
    quantization = import_module("onnxruntime.quantization")
    quantization.quantize_dynamic(
        str(path),
        str(out),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        extra_options={"DefaultTensorType": import_module("onnx").TensorProto.FLOAT},
    )


def quantise_blocks(path: Path, out: Path) -> None:
    """Write the network with int8 matrices, a scale for each 128 weights of a column."""
    nbits = import_module("onnxruntime.quantization.matmul_nbits_quantizer")
    quantizer = nbits.MatMulNBitsQuantizer(
        import_module("onnx").load(str(path)), bits=8, block_size=128, is_symmetric=True,
        accuracy_level=4,
    )  # fmt: skip
    quantizer.process()
    quantizer.model.save_model_to_file(str(out))


QUANTISERS = {"dynamic": quantise, "blockwise": quantise_blocks}


class OnnxWriter:
    """Write step by step with bound buffers, sampling in numpy."""

    def __init__(self, path: Path, config: ModelConfig, *, threads: int) -> None:
        """Load a network that was exported."""
        self.runtime = import_module("onnxruntime")
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = self.runtime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.config = config

    def start(self, n_clips: int, *, capacity: int) -> _Decoding:
        """Return a decoding of rows that hold no more than `capacity` ids."""
        return _Decoding(self, n_clips, capacity)

    def write(self, work: Work) -> Spent:
        """Write; what is held before the time begins are the zeros of a fresh buffer."""
        ids = prompt_ids(work.n_clips, work.n_given, vocab_size=self.config.vocab_size)
        rng = np.random.default_rng(1)
        decoding = self.start(work.n_clips, capacity=work.n_held + work.n_given + work.n_ids)
        decoding.length = work.n_held
        start = time.perf_counter()
        logits = decoding.step(ids)[:, -1]
        for at in range(work.n_ids):
            drawn = draw(logits, rng, top_p=TOP_P)
            if at + 1 < work.n_ids:
                logits = decoding.step(drawn[:, None])[:, -1]
        return Spent(time.perf_counter() - start, work.n_ids)


class _Decoding:
    """Hold the buffers of some rows, bound once."""

    def __init__(self, writer: OnnxWriter, n_clips: int, capacity: int) -> None:
        c = writer.config
        self.session, self.runtime, self.length = writer.session, writer.runtime, 0
        self.binding, self.vocab_size = self.session.io_binding(), c.vocab_size
        shape = (n_clips, c.n_kv_heads, capacity, c.head_dim)
        self.seen = np.zeros(n_clips, dtype=np.int32)
        self.total = np.zeros((), dtype=np.int32)
        self.kept = []
        for layer in range(c.n_layers):
            for part in "kv":
                past = self.runtime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
                self.kept.append(past)
                self.binding.bind_ortvalue_input(f"past_{part}{layer}", past)
                self.binding.bind_ortvalue_output(f"{part}{layer}", past)
        self.n_steps = 0  # of the ids that the bound output has room for

    def step(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Take ids, shape (B, T), T above 1 at the beginning only; return their logits."""
        self.length += ids.shape[1]
        self.seen[:], self.total[...] = self.length - 1, self.length
        self.binding.bind_cpu_input("ids", np.ascontiguousarray(ids))
        self.binding.bind_cpu_input("seen", self.seen)
        self.binding.bind_cpu_input("total", self.total)
        if ids.shape[1] != self.n_steps:
            self._bind_logits(*ids.shape)
        self.session.run_with_iobinding(self.binding)
        logits: NDArray[np.float32] = self.logits.numpy()
        return logits

    def _bind_logits(self, n_clips: int, n_steps: int) -> None:
        shape = (n_clips, n_steps, self.vocab_size)
        self.n_steps = n_steps
        self.logits = self.runtime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
        self.binding.bind_ortvalue_output("logits", self.logits)


def measure(bench: Bench, *, n_clips: int = 1, quantisation: str = "dynamic") -> None:
    """Measure it; the first round exports the network into the scratch folder."""
    model = network(bench.weights)
    path = bench.scratch / f"{quantisation}.onnx"
    if not path.is_file():
        export(model, bench.scratch / "float32.onnx")
        QUANTISERS[quantisation](bench.scratch / "float32.onnx", path)
    writer = OnnxWriter(path, model.config, threads=bench.threads)
    measure_writer(bench, writer, n_clips=n_clips)
