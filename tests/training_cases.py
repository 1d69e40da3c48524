"""Settings of runs that last a moment, and sequences read anew, slowly, by their texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from synthetic import row_vocabulary

from emomusic.model.events import SLOTS
from emomusic.training.batches import Augmentation, ClipBatches

SMALL: dict[str, Any] = {
    "size": "tiny",
    "context": 128,
    "batch_events": 130,
    "micro_batches": 2,
    "precision": "fp32",
    "warmup_steps": 2,
    "eval_minutes": 0,
    "device": "cpu",
    "threads": 1,
    "seed": 3,
}
STILL = Augmentation(
    drop_all=0, keep_all=1, bar_controls=0, chords=0, form=0, given=0, gap=0, octave=0, tempo=0
)
LIVELY = Augmentation(bar_controls=0.7, chords=0.8, form=0.9, given=0.6, gap=0.5, octave=0.5)
TEXTS = row_vocabulary()
N_POSITIONS = sum(text.startswith("Position_") for text in TEXTS)


@dataclass
class Read:
    """Hold an event: what enters, what its slots choose, and whether each choice is learnt."""

    rows: list[int] = field(default_factory=list)
    chosen: dict[str, tuple[int, bool]] = field(default_factory=dict)
    is_note: bool = False


def _choice(text: str) -> int:
    kind = text.split("_")[0]
    return [own for own in TEXTS if own.startswith(f"{kind}_")].index(text)


def read_events(
    texts: list[str], *, dynamics: bool, durations: bool, unknown: set[int]
) -> list[Read]:
    """Return the events of a sequence; a last one, in which nothing enters, chooses the end.

    Args:
        texts: Of its ids.
        dynamics: Whether velocities are learnt.
        durations: Whether durations are.
        unknown: Places in the texts of chords that are not known.
    """
    events: list[Read] = []
    is_behind, shown, moment, joins = False, 0, "", False
    for at, text in enumerate(texts):
        kind, own = text.split("_")[0], TEXTS.index(text)
        learnt = not is_behind
        if kind == "Pitch" and not shown:
            at_once = len(TEXTS), TEXTS.index(moment)
            choice = 0 if joins else 1 + _choice(moment)
            velocity, duration = texts[at + 1 : at + 3]
            note = {
                "advance": (choice, learnt),
                "pitch": (_choice(text), learnt),
                "velocity": (_choice(velocity), learnt and dynamics),
                "duration": (_choice(duration), learnt and durations),
            }
            events.append(Read([own, *at_once] if joins else [own, at_once[1]], note, True))
            joins = True
        elif kind == "Position" and not shown:
            moment, joins = text, False
        elif kind in ("Bar", "EOS"):
            ends = {"advance": (N_POSITIONS + 1 + (kind == "EOS"), learnt)}
            events.append(Read([own][: kind == "Bar"], ends if events[-1].is_note else {}))
        elif kind == "ChordA":
            halves = {
                f"chord_{half}": (_choice(texts[place]), learnt and place not in unknown)
                for half, place in (("a", at), ("b", at + 1))
            }
            events.append(Read([own], halves))
        elif kind in ("BOS", "Given", "Behind", "Here"):
            events.append(Read([own]))
        else:
            events[-1].rows.append(own)
        is_behind = kind == "Behind" or (is_behind and kind != "Here")
        shown = 2 if kind == "Given" else max(shown - (kind in ("Position", "Pitch")), 0)
    return events


def read_clip(made: ClipBatches, clip: int, rng: np.random.Generator) -> list[Read]:
    """Return the events of a clip as drawn, learnt as the rows say of its song and its chords."""
    rows, song = made.rows, made.rows.clip_song[clip]
    texts = [TEXTS[i] for i in made.sequence(clip, rng)[0]]
    here = texts.index("Here_None") if "Here_None" in texts else 0
    n_bars, n_behind = int(rows.clip_n_bars[clip]), texts[:here].count("Bar_None")
    bars = [*range(n_bars - n_behind, n_bars), *range(n_bars - n_behind)]
    unknown, n_read = set(), -1
    for at, text in enumerate(texts):
        n_read += text == "Bar_None"
        if text.startswith("Chord"):
            known = rows.bar_chords[rows.clip_bar[clip] + bars[n_read]] >= 0
            unknown |= set() if known["AB".index(text[5])] else {at}
    return read_events(
        texts,
        dynamics=bool(rows.song_has_dynamics[song]),
        durations=bool(rows.song_has_durations[song]),
        unknown=unknown,
    )


def choices(events: list[Read]) -> tuple[list[list[int]], list[list[bool]]]:
    """Return what is to be foretold from each event, and what of it is learnt, by slot."""
    after = [own.chosen for own in events[1:]] + ([{}] if events[-1].rows else [])
    found = [[chosen.get(slot, (-1, False)) for slot in SLOTS] for chosen in after]
    return [[c for c, _ in row] for row in found], [[told for _, told in row] for row in found]
