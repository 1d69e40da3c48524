"""The vocabulary of tokens: what each id says, and the file that holds it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.files import write_text
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import CHORD_NAMES
from emomusic.music.form import FORM_BARS, FORM_KINDS
from emomusic.music.reading import read_json

STEPS_PER_BEAT = 12
LOWEST_PITCH, HIGHEST_PITCH = 21, 108
N_VELOCITIES = 16
N_BINS = 12
ENDING_BARS = 4
BEATS_PER_BAR = (2, 3, 4)
SPECIAL_TOKENS = ("PAD", "BOS", "EOS")
HALVES = ("A", "B")
MAX_BYTES = 2**20
"""Of a `tokenizer.json`: fifty times the size of ours."""
RESOLUTIONS = ((0, 2, STEPS_PER_BEAT), (2, 4, 4), (4, 12, 2))
"""Lengths from one beat to another, and into how many parts a beat is cut for them."""

_SETTINGS: dict[str, Any] = {
    "pitch_range": [LOWEST_PITCH, HIGHEST_PITCH + 1],
    "beat_res": {f"{first}_{last}": parts for first, last, parts in RESOLUTIONS},
    "num_velocities": N_VELOCITIES,
    "remove_duplicated_notes": True,
    "encode_ids_split": "no",
    "use_velocities": True,
    "use_note_duration_programs": [0],
    "use_chords": False,
    "use_rests": False,
    "use_tempos": False,
    "use_time_signatures": True,
    "use_key_signatures": False,
    "use_sustain_pedals": False,
    "use_pitch_bends": False,
    "use_control_changes": False,
    "use_programs": False,
    "use_pitch_intervals": False,
    "use_pitchdrum_tokens": False,
    "one_token_stream_for_programs": False,
    "program_changes": False,
    "time_signature_range": {"4": list(BEATS_PER_BAR)},
    "delete_equal_successive_time_sig_changes": True,
    "additional_params": {
        "max_bar_embedding": None,
        "use_bar_end_tokens": False,
        "add_trailing_bars": False,
    },
}
"""The settings with which MidiTok 3.1 has the same tokens, spelled out: its defaults move."""


def control_name(attribute: str, bin_index: int, *, per_bar: bool = False) -> str:
    """Return the text of a control token (MidiTok allows one underscore only)."""
    kind = "BarControl" if per_bar else "Control"
    return f"{kind}-{attribute.replace('_', '-')}_{bin_index}"


@dataclass(frozen=True)
class Vocabulary:
    """Hold which ids mean what; all a model-side program needs to know of the tokens.

    Attributes:
        texts: The text of each id.
    """

    texts: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.texts)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {text: index for index, text in enumerate(self.texts)}

    def id_of(self, text: str) -> int:
        """Return the id of a token's text.

        Raises:
            ValueError: If the vocabulary has no such token.
        """
        if text not in self._ids:
            raise ValueError(f"the vocabulary has no token {text!r}")
        return self._ids[text]

    def kind_ids(self, kind: str) -> NDArray[np.int64]:
        """Return all ids whose text begins with `kind` and an underscore, ascending."""
        found = [i for i, text in enumerate(self.texts) if text.startswith(f"{kind}_")]
        return np.array(found, dtype=np.int64)

    def values(self, kind: str) -> list[str]:
        """Return what follows the underscore, for each id of that kind."""
        return [self.texts[i].split("_", 1)[1] for i in self.kind_ids(kind)]

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Return the attributes of clips that have controls, in the order of their ids."""
        return _controlled(self.texts, "Control-")

    @cached_property
    def bar_attributes(self) -> tuple[str, ...]:
        """Return the attributes of bars that have controls, in the order of their ids."""
        return _controlled(self.texts, "BarControl-")

    def form_ids(self) -> NDArray[np.int64]:
        """Return the ids of a bar's form, by its code less 1: whole and each distance, rhythm.

        Raises:
            ValueError: If the vocabulary lacks one.
        """
        return np.array([self.id_of(text) for text in _form_tokens()])

    def chord_ids(self, half: str) -> NDArray[np.int64]:
        """Return the id of each chord's number in the half `A` or `B` of a bar, shape (109,).

        Raises:
            ValueError: If the vocabulary lacks one.
        """
        return np.array([self.id_of(text) for text in _chord_tokens(half)])

    def control_ids(self, names: tuple[str, ...], *, per_bar: bool = False) -> NDArray[np.int64]:
        """Return the first control id of each attribute; the other bins follow it.

        Raises:
            ValueError: If the vocabulary lacks one.
        """
        return np.array([self.id_of(control_name(n, 0, per_bar=per_bar)) for n in names])


def durations() -> dict[int, str]:
    """Return the token of each length that can be written, by its twelfths of a beat."""
    cuts = [
        (beat, part, parts)
        for first, last, parts in RESOLUTIONS
        for beat in range(first, last)
        for part in range(parts)
    ]
    longest = (RESOLUTIONS[-1][1], 0, RESOLUTIONS[-1][2])
    return {
        (beat * parts + part) * STEPS_PER_BEAT // parts: f"Duration_{beat}.{part}.{parts}"
        for beat, part, parts in [*cuts[1:], longest]
    }


def beats_of(text: str) -> float:
    """Return the beats that the text of a duration token says, 0 of other tokens."""
    if not text.startswith("Duration_"):
        return 0.0
    beats, part, parts = text.removeprefix("Duration_").split(".")
    return int(beats) + int(part) / int(parts)


def velocities() -> list[int]:
    """Return the velocities that can be written, rising."""
    return [127 * step // N_VELOCITIES for step in range(1, N_VELOCITIES + 1)]


def built_vocabulary(special: Sequence[str] | None = None) -> Vocabulary:
    """Return the vocabulary of this version.

    Args:
        special: Texts of the first ids, controls among them; None takes `special_tokens()`.
    """
    special = special_tokens() if special is None else special
    return Vocabulary((*special, *_music_tokens()))


def special_tokens(
    attributes: Sequence[str] = ATTRIBUTE_NAMES,
    bar_attributes: Sequence[str] = BAR_ATTRIBUTE_NAMES,
) -> list[str]:
    """Return the texts of the ids before the music.

    Args:
        attributes: What a clip can be asked for: a checkpoint owns its list.
        bar_attributes: What a single bar can be asked for.
    """
    return [
        *(f"{token}_None" for token in SPECIAL_TOKENS),
        *(control_name(name, b) for name in attributes for b in range(N_BINS)),
        *(control_name(name, b, per_bar=True) for name in bar_attributes for b in range(N_BINS)),
        *(f"Ending_{left}" for left in range(1, ENDING_BARS + 1)),
        *(f"Join_{left}" for left in range(1, ENDING_BARS + 1)),
        "Compound_None",
        *_form_tokens(),
        *("Given_None", "Behind_None", "Here_None"),
        *(text for half in HALVES for text in _chord_tokens(half)),
    ]


def _form_tokens() -> list[str]:
    return [f"Form-{kind}_{bars}" for kind in FORM_KINDS for bars in FORM_BARS]


def _chord_tokens(half: str) -> list[str]:
    return [f"Chord{half}_{name}" for name in CHORD_NAMES]


def _controlled(texts: Sequence[str], kind: str) -> tuple[str, ...]:
    names = (text.removeprefix(kind).split("_")[0] for text in texts if text.startswith(kind))
    return tuple(dict.fromkeys(name.replace("-", "_") for name in names))


def _music_tokens() -> Iterator[str]:
    yield "Bar_None"
    # MidiTok counts its upper end in; it is never used.
    yield from (f"Pitch_{pitch}" for pitch in range(LOWEST_PITCH, HIGHEST_PITCH + 2))
    yield from (f"Velocity_{velocity}" for velocity in velocities())
    yield from durations().values()
    yield from (f"Position_{step}" for step in range(max(BEATS_PER_BAR) * STEPS_PER_BEAT))
    yield from (f"TimeSig_{beats}/4" for beats in BEATS_PER_BAR)


def write_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write a vocabulary as a `tokenizer.json` that MidiTok's REMI loads too.

    Raises:
        OSError: If the folder is not writable or full.
    """
    n_special = len(vocabulary) - len(built_vocabulary(()))
    config = {**_SETTINGS, "special_tokens": list(vocabulary.texts[:n_special])}
    write_text(path, json.dumps({"config": config, "tokenization": "REMI"}, indent=4))


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the vocabulary of a `tokenizer.json`, as MidiTok or `write_vocabulary` writes it.

    Raises:
        ValueError: If the file is missing or damaged, or its tokens are others than ours.
    """
    try:
        saved = read_json(path, max_bytes=MAX_BYTES)
        return built_vocabulary(_checked(saved))
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error)
    raise ValueError(f"{path.name} is no tokenizer of this kind: {reason}")


def _checked(saved: Any) -> list[str]:
    """Return the special tokens of a saved tokenizer whose music tokens are ours."""
    if not isinstance(saved, dict) or not isinstance(saved.get("config"), dict):
        raise TypeError("it holds no settings")
    if saved.get("tokenization") != "REMI":
        raise ValueError(f"tokenization must be 'REMI', got {saved.get('tokenization')!r}")
    if saved.keys() & {"_model", "_vocab_base"}:
        raise ValueError("the tokenizer must not be trained (no byte-pair encoding)")
    for name, value in _SETTINGS.items():
        found = saved["config"].get(name)
        if found != value:
            raise ValueError(f"{name} must be {value}, got {found!r:.80}")
    return _special_of(saved["config"].get("special_tokens"))


def _special_of(special: Any) -> list[str]:
    if not isinstance(special, list) or not all(isinstance(text, str) for text in special):
        raise TypeError("its special tokens are no list of texts")
    if len(set(built_vocabulary(special).texts)) < len(built_vocabulary(special)):
        raise ValueError("a special token occurs twice, or is one of the music")
    found = Vocabulary(tuple(special))
    if special != special_tokens(found.attributes, found.bar_attributes):
        raise ValueError("its special tokens are not ours, or in another order")
    return special
