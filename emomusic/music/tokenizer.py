"""Scores to token ids and back: MidiTok's REMI with control tokens of our own."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from symusic.core import (
    NoteTick,
    NoteTickList,
    ScoreTick,
    TempoTick,
    TempoTickList,
    TrackTick,
    TrackTickList,
)

from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.notes import FloatColumn

STEPS_PER_BEAT = 12
LOWEST_PITCH, HIGHEST_PITCH = 21, 108
N_VELOCITIES = 16
N_BINS = 12
ENDING_BARS = 4
BEATS_PER_BAR = (2, 3, 4)
SPECIAL_TOKENS = ("PAD", "BOS", "EOS")


def control_name(attribute: str, bin_index: int, *, per_bar: bool = False) -> str:
    """Return the text of a control token (MidiTok allows one underscore only)."""
    kind = "BarControl" if per_bar else "Control"
    return f"{kind}-{attribute.replace('_', '-')}_{bin_index}"


def _special_tokens() -> list[str]:
    clip = [control_name(name, b) for name in ATTRIBUTE_NAMES for b in range(N_BINS)]
    bar = [
        control_name(name, b, per_bar=True) for name in BAR_ATTRIBUTE_NAMES for b in range(N_BINS)
    ]
    ending = [f"Ending_{left}" for left in range(1, ENDING_BARS + 1)]
    return [*(f"{token}_None" for token in SPECIAL_TOKENS), *clip, *bar, *ending]


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

    def control_ids(self, names: tuple[str, ...], *, per_bar: bool = False) -> NDArray[np.int64]:
        """Return the first control id of each attribute; the other bins follow it.

        Raises:
            ValueError: If the vocabulary lacks one.
        """
        return np.array([self.id_of(control_name(n, 0, per_bar=per_bar)) for n in names])


class Tokenizer:
    """Turn scores into ids, bar by bar, and ids into scores.

    A bar is `Bar TimeSig`, then for each moment `Position`, then `Pitch Velocity Duration`
    for each note, lowest first. Positions and durations count twelfths of a beat; there are
    16 velocities. Tempo is an attribute, not a token.

    Reference: REMI of Huang and Yang (2020) as MidiTok 3.1 writes it; we differ in the
    control tokens, which stand in the vocabulary as special tokens.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Build the tokenizer, or load it.

        Args:
            path: A `tokenizer.json`; None builds the one described above.

        Raises:
            ValueError: If the file is no tokenizer of this kind.
        """
        import miditok

        logging.getLogger("miditok").setLevel(logging.ERROR)
        if path is None:
            self._remi = miditok.REMI(_config(miditok))
        else:
            self._remi = _load(miditok, path)
        if len(self._remi) != len(self._remi.vocab):
            raise ValueError("the tokenizer must not be trained (no byte-pair encoding)")
        texts = sorted(self._remi.vocab, key=self._remi.vocab.__getitem__)
        self.vocabulary = Vocabulary(tuple(texts))
        if path is not None and not set(_special_tokens()) <= set(texts):
            raise ValueError(f"{path.name} is no tokenizer of this kind: it lacks our controls")

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` into a folder."""
        self._remi.save(folder / "tokenizer.json")

    def encode(self, score: ScoreTick) -> list[list[int]]:
        """Return the ids of each bar of a score, `Bar` and `TimeSig` first.

        Args:
            score: One track; time signatures 2/4, 3/4 and 4/4 only.
        """
        ids = self._remi.encode(score, no_preprocess_score=False)[0].ids
        starts = [i for i, token in enumerate(ids) if token == self._bar_id]
        return [ids[a:b] for a, b in zip(starts, [*starts[1:], len(ids)], strict=True)]

    @cached_property
    def _bar_id(self) -> int:
        return self.vocabulary.id_of("Bar_None")

    @cached_property
    def _is_control(self) -> NDArray[np.bool_]:
        kinds = ("Control-", "BarControl-", "Ending_", *(f"{token}_" for token in SPECIAL_TOKENS))
        return np.array([text.startswith(kinds) for text in self.vocabulary.texts])

    def decode(
        self, ids: list[int], *, tempo: float = 120.0, n_beats: float | None = None
    ) -> ScoreTick:
        """Return the score that the ids write, at one tempo, on one piano track.

        Control tokens are passed over; a note that is struck again ends the one before it.

        Args:
            ids: Ids in the order of the grammar.
            tempo: Quarter notes a minute.
            n_beats: Where every note ends at the latest; None lets the last ones ring.
        """
        plain = [i for i in ids if not self._is_control[i]]
        decoded: ScoreTick = self._remi.decode([plain])
        score = ScoreTick(decoded.ticks_per_quarter)
        track = TrackTick("Piano", 0, False)
        notes = [note for part in decoded.tracks for note in part.notes]
        track.notes = NoteTickList(_without_overlaps(notes))
        if n_beats is not None:
            end = round(n_beats * score.ticks_per_quarter)
            for note in track.notes:
                note.duration = max(min(note.duration, end - note.time), 1)
        score.tracks = TrackTickList([track])
        score.time_signatures = decoded.time_signatures
        score.tempos = TempoTickList([TempoTick(0, tempo)])
        return score


def _config(miditok: Any) -> Any:  # miditok ships no types
    return miditok.TokenizerConfig(
        pitch_range=(LOWEST_PITCH, HIGHEST_PITCH + 1),
        beat_res={(0, 2): STEPS_PER_BEAT, (2, 4): 4, (4, 12): 2},
        num_velocities=N_VELOCITIES,
        special_tokens=_special_tokens(),
        encode_ids_split="no",
        use_velocities=True,
        use_note_duration_programs=[0],
        use_chords=False,
        use_rests=False,
        use_tempos=False,
        use_time_signatures=True,
        use_sustain_pedals=False,
        use_pitch_bends=False,
        use_programs=False,
        use_pitch_intervals=False,
        use_pitchdrum_tokens=False,
        time_signature_range={4: list(BEATS_PER_BAR)},
        remove_duplicated_notes=True,
        delete_equal_successive_time_sig_changes=True,
    )


def _load(miditok: Any, path: Path) -> Any:
    try:
        return miditok.REMI(params=path)
    except Exception as error:
        raise ValueError(f"{path.name} is no tokenizer of this kind: {error}") from error


def _without_overlaps(notes: list[NoteTick]) -> list[NoteTick]:
    last: dict[int, NoteTick] = {}
    kept = []
    for note in sorted(notes, key=lambda note: (note.time, note.pitch)):
        before = last.get(note.pitch)
        if before is not None and before.end > note.time:
            before.duration = max(note.time - before.time, 1)
        last[note.pitch] = note
        kept.append(note)
    return kept


def bin_edges(values: FloatColumn) -> FloatColumn:
    """Return the inner edges that part values into equally filled bins, shape (N_BINS - 1,)."""
    edges: FloatColumn = np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1])
    return edges
