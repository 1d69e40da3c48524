"""A small vocabulary, scripts and rows in it, and the engines that write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from emomusic.model.checkpoint import SIZES, ModelConfig
from emomusic.model.engine import Engine, EngineRow, Segments, Uniforms
from emomusic.model.events import ADVANCE, CHORD_A, PITCH, SAME, VELOCITY, EventLayout
from emomusic.model.grammar import FREE, BarScript, GivenNote, Grammar, Script, Walk
from emomusic.model.int8.library import is_built
from emomusic.model.torch_engine import TorchEngine, sample_choice
from emomusic.model.transformer import Transformer

TEXTS = (
    *("PAD_None", "BOS_None", "EOS_None"),
    *(f"Control-mood_{b}" for b in range(4)),
    *(f"BarControl-mood_{b}" for b in range(3)),
    *("Given_None", "Behind_None", "Here_None"),
    *(f"Chord{half}_{name}" for half in "AB" for name in ("0:maj", "5:maj", "7:7", "none")),
    "Bar_None",
    *(f"Pitch_{pitch}" for pitch in range(40, 80)),
    *(f"Velocity_{v}" for v in (30, 60, 90)),
    *(f"Duration_{beats}.0.2" for beats in range(1, 6)),
    *(f"Position_{p}" for p in range(8)),
    "TimeSig_4/4",
)
V, CONTEXT = len(TEXTS), 96
LAYOUT = EventLayout.from_texts(TEXTS)
GRAMMAR = Grammar(V, LAYOUT)
BOS, EOS, BAR, GIVEN = LAYOUT.bos, LAYOUT.eos, LAYOUT.bar, LAYOUT.given
CONTROL, BAR_CONTROL, SIGN = (TEXTS.index(t) for t in ("Control-mood_0", "BarControl-mood_0",
                                                       "TimeSig_4/4"))  # fmt: skip
SLOT_IDS = [range(first, first + n) for first, n in LAYOUT.ranges]
POSITIONS, PITCHES, VELOCITIES, DURATIONS, CHORDS_A, CHORDS_B = SLOT_IDS
ENGINES: dict[str, Callable[[Transformer], Engine]] = {"torch": TorchEngine}
VARIANTS: dict[str, Callable[[Transformer], Engine]] = {
    "torch": lambda model: TorchEngine(model, threads=3)
}
"""The same with other threads and instructions, which are to change nothing."""
if is_built():
    ENGINES["int8"] = lambda model: int8(model)
    VARIANTS |= {
        "int8": lambda model: int8(model, threads=3, places=2),
        "int8 plain": lambda model: int8(model, instructions="plain"),
    }
if torch.cuda.is_available():
    ENGINES["cuda"] = lambda model: TorchEngine(model, device="cuda")


def int8(model: Transformer, **settings: Any) -> Any:
    """Return an int8 engine of a model's weights."""
    from emomusic.model.int8.engine import Int8Engine

    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return Int8Engine(model.config, tensors.items(), **settings)


def make_model(*, seed: int = 0, **changes: Any) -> Transformer:
    """Return a random model that heeds all of what came before."""
    torch.manual_seed(seed)
    shape = {"vocab_size": V, "layout": LAYOUT, "context": CONTEXT, **SIZES["tiny"], **changes}
    model = Transformer(ModelConfig(**shape)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.5 if "embedding" in name or "told" in name else 0.15)
            elif "norm" in name:
                parameter.uniform_(0.8, 1.2)
    return model


def make_bars(n: int, **changes: Any) -> tuple[BarScript, ...]:
    """Return bars, the last of which ends all."""
    heads = [(BAR, SIGN, BAR_CONTROL + at % 3) for at in range(n)]
    bars = [BarScript(**{"head": head, **changes}) for head in heads]
    return (*bars[:-1], replace(bars[-1], ends_bar=False, ends_all=True))


def make_script(n_bars: int = 3, *, controls: tuple[int, ...] = (0, 2), **changes: Any) -> Script:
    """Return a script of a narrow range, the last bar of which ends all."""
    script = Script(
        prompt=(BOS, *(CONTROL + control for control in controls)),
        bars=make_bars(n_bars),
        max_notes=8,
        positions=(POSITIONS[0], POSITIONS[-1]),
        pitches=(PITCHES[4], PITCHES[9]),
    )
    return replace(script, **changes)


def given_note(position: int, pitch: int, velocity: int = FREE, duration: int = FREE) -> GivenNote:
    """Return a note's ids from its places in their ranges."""
    return (
        POSITIONS[position],
        PITCHES[pitch],
        FREE if velocity == FREE else VELOCITIES[velocity],
        FREE if duration == FREE else DURATIONS[duration],
    )


def shown(given: Iterable[GivenNote]) -> list[int]:
    """Return the ids that show notes in the head of a bar."""
    return [token for note in given for token in (GIVEN, *note) if token != FREE]


def make_row(seed: int, script: Script | None = None, **settings: Any) -> EngineRow:
    """Return a row whose numbers and controls follow from the seed."""
    if script is None:
        script = make_script(2 + seed % 3, controls=(seed % 4, (seed + 1 + seed // 4 % 3) % 4))
    uniforms = Uniforms(np.random.default_rng(seed))
    return EngineRow(script, uniforms, **settings)


def written(engine: Engine, rows: Iterable[EngineRow]) -> list[Segments]:
    """Return the segments of rows, in the rows' order."""
    found = dict(engine.write(rows, GRAMMAR))
    return [found[at] for at in range(len(found))]


def choices_of(ids: list[int]) -> list[tuple[int, int]]:
    """Return the slots and choices by which ids are written; V may say SAME, all others go."""
    bar = LAYOUT.advance_bar
    own, found = {BAR: (ADVANCE, bar), EOS: (ADVANCE, bar + 1), V: (ADVANCE, SAME)}, []
    for before, token in zip([None, *ids], ids, strict=False):
        if token in own:
            found.append(own[token])
        for slot, choices in enumerate(SLOT_IDS):
            if token in choices:
                if slot == PITCH and before is not None and before not in (*POSITIONS, V):
                    found.append((ADVANCE, SAME))
                found.append((slot, token - choices[0] + (slot == ADVANCE)))
    return found


def reference(engine: Engine, row: EngineRow, *, context: int = CONTEXT - 1) -> Segments:
    """Write a row from what an engine says of whole sequences, guidance spelt out.

    The engine's own context is longer: it has to hold what is tried after the last event, too.
    """
    walk = Walk(GRAMMAR, row.script)
    while not walk.done:
        walk.restart()
        ids = row.script.opening(walk.segments)
        while len(GRAMMAR.rows(ids)) <= context and not walk.done:
            ids += _next_event(engine, row, walk, ids)
    return walk.segments


def _next_event(engine: Engine, row: EngineRow, walk: Walk, ids: list[int]) -> list[int]:
    """Return the ids of an event, or an end and the head after it."""
    lean, n_bars = row.steer and row.steer(walk.segments), len(walk.segments)
    guidance, own = row.guidance_after(n_bars), list[int]()
    hidden = next(at for at in range(1, len(ids)) if ids[at] in (BAR, LAYOUT.behind))
    while True:
        slot, allowed = walk.slot, walk.allowed()
        logits = _told(engine, ids, own, slot, allowed)
        if guidance != 1:
            free = _told(engine, [BOS, *ids[hidden:]], own, slot, allowed)
            logits = free + np.float32(guidance) * (logits - free)
        if lean is not None:
            logits = logits + walk.leaning(lean.bias, lean.pairs, lean.weights)
        heat, nucleus = (np.broadcast_to(x, 6)[slot] for x in (row.temperature, row.top_p))
        settings = {"temperature": heat, "top_p": nucleus}
        choice = sample_choice(logits, allowed, row.uniforms.take(), **settings)
        token = int(GRAMMAR.slot_ids[slot][choice])
        events = walk.push(choice)
        if len(walk.segments) > n_bars:
            return [] if walk.done else [*walk.bar.head]
        own += [] if token == V else [token]
        if events:
            return own


def _told(
    engine: Engine, ids: list[int], own: list[int], slot: int, allowed: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return log-probabilities of what is allowed, from the costs of sequences that choose it."""
    found = np.full(len(allowed), -1e9, np.float32)
    note = [PITCHES[0], VELOCITIES[0], DURATIONS[0]]
    rest = {ADVANCE: note, PITCH: note[1:], VELOCITY: note[2:], CHORD_A: [CHORDS_B[0]]}
    at = len(GRAMMAR.rows(ids)) - 1
    for choice in np.flatnonzero(allowed).tolist():
        token = int(GRAMMAR.slot_ids[slot][choice])
        whole = [*ids, *own, *([] if token == V else [token])]
        whole += [] if token in (BAR, EOS) else rest.get(slot, [])
        found[choice] = -engine.nats(np.array(whole))[at, slot]
    return found


class Music(NamedTuple):
    """Hold a sequence drawn at random: what is given, what is written, and all of it.

    It is foretold by slots and choices, given chords among them, `n_told` of them in the prompt.
    """

    script: Script
    segments: Segments
    ids: list[int]
    told: list[tuple[int, int]]
    n_told: int


def draw_music(rng: np.random.Generator, *, reach: int = 0) -> Music:
    """Draw bars of notes, some with notes that are given, chords and a gap."""
    n_behind, n_bars = (int(rng.integers(0, 3)) if rng.random() < 0.5 else 0), rng.integers(1, 4)
    prompt = [BOS, *(CONTROL + c for c in range(4) if rng.random() < 0.4)]
    behind = [_draw_bar(rng) for _ in range(n_behind)]
    if behind:
        prompt += [LAYOUT.behind, *(t for bar, own in behind for t in (*bar.head, *own))]
        prompt += [LAYOUT.here]
    parts = [_draw_bar(rng) for _ in range(n_bars)]
    bars = [bar for bar, _ in parts]
    bars[-1] = replace(bars[-1], ends_bar=False, ends_all=True)
    script = Script(
        prompt=tuple(prompt),
        bars=tuple(bars),
        max_notes=max(len(own) for _, own in parts) if not reach else int(rng.integers(0, 9)),
        positions=(POSITIONS[0], POSITIONS[-1]),
        pitches=(PITCHES[0], PITCHES[-1]),
        max_repeated=10**6,
        reach=reach,
    )
    segments = [own for _, own in parts]
    ids = [*prompt, *(t for bar, own in parts for t in (*bar.head, *own)), EOS]
    first, rest = ([t for bar, own in some for t in (BAR, *_chords(bar.head), *own)][1:]
                   for some in (behind, parts))  # fmt: skip
    told = choices_of(first)
    return Music(script, segments, ids, [*told, *choices_of([*rest, EOS])], len(told))


def _chords(head: tuple[int, ...]) -> list[int]:
    return [token for token in head if token in CHORDS_A or token in CHORDS_B]


def _draw_bar(rng: np.random.Generator) -> tuple[BarScript, list[int]]:
    notes = [
        (POSITIONS[p], PITCHES[n], rng.choice(VELOCITIES), rng.choice(DURATIONS))
        for p in range(8) if rng.random() < 0.4
        for n in sorted(rng.choice(40, rng.integers(1, 5), replace=False).tolist())
    ] or [(POSITIONS[3], PITCHES[5], VELOCITIES[0], DURATIONS[1])]  # fmt: skip
    notes = [tuple(map(int, note)) for note in notes]
    has_chords, writes_chords = rng.random(2) < 0.5
    chords = [int(rng.choice(CHORDS_A)), int(rng.choice(CHORDS_B))] if has_chords else []
    given = tuple(
        (p, n, v if rng.random() < 0.5 else FREE, d if rng.random() < 0.5 else FREE)
        for p, n, v, d in notes
        if rng.random() < 0.3
    )
    head = [BAR, SIGN, *([BAR_CONTROL] if rng.random() < 0.5 else []), *shown(given)]
    own = [t for at, note in enumerate(notes)
           for t in note[bool(at and notes[at - 1][0] == note[0]):]]  # fmt: skip
    writes_chords = bool(has_chords and writes_chords)
    head += [] if writes_chords else chords
    own = [*(chords if writes_chords else []), *own]
    return BarScript(tuple(head), writes_chords=writes_chords, given=given), own
