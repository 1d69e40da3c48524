"""The network in eager torch, id by id with its cache: what any torch program gets for nothing."""

from __future__ import annotations

import time

import torch

from benchmarks.llama import LlamaNet, as_llama
from benchmarks.measure import Bench
from benchmarks.network import network
from benchmarks.writing import TOP_P, Spent, Work, measure_writer, prompt_ids

NEEDS: tuple[str, ...] = ()


class TorchWriter:
    """Write in eager torch, sampling in torch."""

    def __init__(self, model: LlamaNet) -> None:
        """Take the network as it is."""
        self.model = model

    @torch.inference_mode()
    def write(self, work: Work) -> Spent:
        """Write; what is held before the time begins is made up."""
        vocab_size = self.model.config.vocab_size
        ids = torch.from_numpy(prompt_ids(work.n_clips, work.n_given, vocab_size=vocab_size))
        past = self.model.start(work.n_clips, capacity=work.n_held + work.n_given + work.n_ids)
        past.pretend(work.n_held)
        start = time.perf_counter()
        logits = self.model.logits(ids, past)[:, -1]
        for at in range(work.n_ids):
            drawn = draw_top_p(logits)
            if at + 1 < work.n_ids:
                logits = self.model.logits(drawn, past)[:, 0]
        return Spent(time.perf_counter() - start, work.n_ids)


def draw_top_p(logits: torch.Tensor, *, top_p: float = TOP_P, top_k: int = 0) -> torch.Tensor:
    """Draw an id for each row, shape (n, 1); a top_k above 0 keeps that many at most."""
    odds, order = torch.sort(torch.softmax(logits.float(), dim=-1), dim=-1, descending=True)
    odds[odds.cumsum(dim=-1) - odds > top_p] = 0.0
    if top_k:
        odds[:, top_k:] = 0.0
    return order.gather(-1, torch.multinomial(odds, 1))


def measure(bench: Bench, *, n_clips: int = 1, dtype: str = "float32") -> None:
    """Measure it with a data type."""
    torch.set_num_threads(bench.threads)
    model = as_llama(network(bench.weights)).to(getattr(torch, dtype))
    measure_writer(bench, TorchWriter(model), n_clips=n_clips)
