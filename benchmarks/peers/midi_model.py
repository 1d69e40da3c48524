"""A network of the published size of SkyTNT's midi-model, tv2o-medium, with random weights.

A Llama network of 12 layers writes events; of each event a second one of 3 layers writes the
kind and up to seven parameters, id by id. 233.8 M parameters. Here every event is a note, so
nothing is spent on others. Both have caches; the published loop draws with top-p and top-k.

Reference: https://github.com/SkyTNT/midi-model, its configuration of the medium size (width
1024, 16 and 4 heads, inner widths 4096 and 1024, 3406 ids); written anew from these numbers.
"""

from __future__ import annotations

import time
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from benchmarks.llama import LlamaNet, Past
from benchmarks.measure import Bench, Clock
from benchmarks.peers.torch_eager import draw_top_p
from emomusic.model.shape import ModelConfig

NEEDS: tuple[str, ...] = ()
VOCAB_SIZE = 3406
EVENTS = ModelConfig(VOCAB_SIZE, 1024, 12, n_heads=16, n_kv_heads=16, hidden=4096, context=4096)
TOKENS = ModelConfig(VOCAB_SIZE, 1024, 3, n_heads=4, n_kv_heads=4, hidden=1024, context=16)
NOTE, KINDS = 3, 9
"""The id of a note among the kinds of event, and where the parameters' ids begin."""
NOTE_SIZES = (128, 16, 128, 16, 128, 128, 2048)
"""Values of a note's parameters: beat, sixteenth, track, channel, pitch, velocity, duration."""
TOP_P, TOP_K = 0.98, 20
N_HELD, N_NOTES = 72, 48
"""Events before the time begins, and notes written in it: the middle of a clip of 190 notes."""


class MidiModel(nn.Module):
    """Write notes, event by event and id by id."""

    def __init__(self, events: ModelConfig = EVENTS, tokens: ModelConfig = TOKENS) -> None:
        """Build both networks with random weights."""
        super().__init__()
        self.events, self.tokens = LlamaNet(events), LlamaNet(tokens)
        self.head = nn.Linear(events.dim, events.vocab_size, bias=False)
        self.ranges = [(NOTE, NOTE + 1), *pairwise(accumulate(NOTE_SIZES, initial=KINDS))]
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.uniform_(parameter, -0.03, 0.03)

    def note(self, last: Tensor, past: Past) -> Tensor:
        """Return the ids of the next note, shape (1, 8), after the last event's."""
        x = self.events(self.events.embedding(last).sum(dim=1, keepdim=True), past)
        own, ids = self.tokens.start(1, capacity=len(self.ranges)), []
        for first, end in self.ranges:
            logits = self.head(self.tokens(x, own)[:, 0])[:, first:end]
            ids.append(draw_top_p(logits, top_p=TOP_P, top_k=TOP_K) + first)
            x = self.tokens.embedding(ids[-1])
        return torch.cat(ids, dim=1)


@torch.inference_mode()
def notes_a_second(model: MidiModel, n_notes: int, *, n_held: int) -> float:
    """Write notes after events that are made up, and return how many a second."""
    past = model.events.start(1, capacity=n_held + n_notes)
    past.pretend(n_held)
    last = torch.zeros(1, len(model.ranges), dtype=torch.long)
    start = time.perf_counter()
    for _ in range(n_notes):
        last = model.note(last, past)
    return n_notes / (time.perf_counter() - start)


def measure(bench: Bench, *, dtype: str = "float32") -> None:
    """Measure notes a second with a data type."""
    torch.set_num_threads(bench.threads)
    torch.manual_seed(0)
    model = MidiModel().to(getattr(torch, dtype)).eval()
    notes_a_second(model, 2, n_held=0)
    n_notes, end = 8 if bench.quick else N_NOTES, time.perf_counter() + bench.seconds
    while True:
        with Clock() as clock:
            rate = notes_a_second(model, n_notes, n_held=N_HELD)
        bench.sample("notes", "notes/s", rate, clock)
        if time.perf_counter() + clock.seconds > end:
            break
    bench.memory()
