"""From a request to a draft: the emotion's targets, the length, the plan in ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.form import Form, draw_form
from emomusic.compose.guide import Plan
from emomusic.compose.request import DEFAULT_BARS, MAX_BARS, MAX_TEMPO, MIN_TEMPO, Request
from emomusic.mapping.mapper import Mapper
from emomusic.music.attributes import attribute
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH

TEMPO_BEND = 1.12
MODE_STRENGTH = 0.25


@dataclass(frozen=True)
class Controls:
    """Hold which control id says which value.

    Attributes:
        names: Attributes, in the order in which the model reads them.
        edges: Inner edges of each attribute's bins, shape (n_names, n_bins - 1).
        first: The first control id of each, shape (n_names,); the other bins follow it.
    """

    names: Sequence[str]
    edges: NDArray[np.float64]
    first: NDArray[np.int64]

    def ids(self, values: Mapping[str, float], *, shift: int) -> tuple[int, ...]:
        """Return the control ids of values, those that are absent left out.

        Args:
            values: Attribute values, as they are to be heard.
            shift: Semitones by which the music is moved after it was written.
        """
        found = []
        for name, edges, first in zip(self.names, self.edges, self.first.tolist(), strict=True):
            if name in values:
                written = values[name] - shift * attribute(name).per_semitone
                found.append(first + int((written >= edges).sum()))
        return tuple(found)


@dataclass(frozen=True)
class Draft:
    """Hold one candidate before it is written.

    Attributes:
        request: What was asked for.
        index: The clip's number in the run.
        candidate: The candidate's number among those of the clip.
        tempo: Quarter notes a minute.
        tonic: Pitch class.
        n_bars: Bars.
        targets: Attribute values asked for; what is not among them is free.
        form: Which earlier bar each bar takes up, None where it is free.
        rng: What its ids are drawn with.
    """

    request: Request
    index: int
    candidate: int
    tempo: float
    tonic: int
    n_bars: int
    targets: dict[str, float]
    form: Form
    rng: np.random.Generator

    @property
    def is_major(self) -> bool:
        """Tell whether the mode aimed at is major; a free one counts as major."""
        return self.targets.get("mode", 0.0) >= 0

    @property
    def n_beats(self) -> float:
        """Return the length in beats."""
        return float(self.n_bars * self.request.beats_per_bar)

    def plan(self, clip: Controls, bar: Controls) -> Plan:
        """Return the plan in ids: the model writes in C, so the targets are moved there.

        Args:
            clip: The control ids of clip-wide attributes.
            bar: Those of the bars' attributes.
        """
        shift = transposition(self.tonic)
        per_bar = self.request.per_bar
        return Plan(
            controls=clip.ids(self.targets, shift=shift),
            bar_controls=tuple(
                bar.ids({name: per_bar[name][at] for name in per_bar}, shift=shift)
                for at in range(self.n_bars)
            ),
            beats_per_bar=self.request.beats_per_bar,
            lowest=max(LOWEST_PITCH, LOWEST_PITCH - shift),
            highest=min(HIGHEST_PITCH, HIGHEST_PITCH - shift),
        )


def make_draft(
    request: Request, mapper: Mapper, *, seed: int, index: int, candidate: int = 0
) -> Draft:
    """Draw targets and key of one candidate; the same numbers give the same draft.

    Args:
        request: What is asked for.
        mapper: Emotions to targets.
        seed: Of the run.
        index: The clip's number.
        candidate: The candidate's number among those of the clip.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, index, candidate]))
    targets: dict[str, float] = {}
    if request.emotion is not None:
        targets = mapper.targets(request.emotion, rng, diversity=request.diversity)
    drawn_tonic = int(rng.integers(12))
    tonic = drawn_tonic if request.tonic is None else request.tonic
    targets |= request.fixed
    if request.is_major is not None:
        _set_mode(targets, is_major=request.is_major)
    if request.tempo is not None:
        targets["tempo"] = request.tempo
    n_bars, tempo = _length(request, targets.get("tempo", mapper.middle["tempo"]))
    if "tempo" in targets or request.emotion is not None:
        targets["tempo"] = tempo
    form = draw_form(n_bars, rng)
    if request.per_bar:  # what bars are to be is said: they take up nothing
        form = (None,) * n_bars
    return Draft(request, index, candidate, tempo, tonic, n_bars, targets, form, rng)


def transposition(tonic: int) -> int:
    """Return the semitones from the model's C to a tonic, -6 to 5."""
    return (tonic + 6) % 12 - 6


def _set_mode(targets: dict[str, float], *, is_major: bool) -> None:
    sign = 1.0 if is_major else -1.0
    targets["mode"] = sign * max(abs(targets.get("mode", 0.0)), MODE_STRENGTH)
    if targets.get("chord_mode", 0.0) * sign < 0:
        targets["chord_mode"] = 0.0


def _length(request: Request, tempo: float) -> tuple[int, float]:
    tempo = min(max(tempo, MIN_TEMPO), MAX_TEMPO)
    if request.seconds is None:
        return request.n_bars or DEFAULT_BARS, round(tempo, 1)
    bar_s = 60.0 * request.beats_per_bar / tempo
    n_bars = min(max(round(request.seconds / bar_s), 1), MAX_BARS)
    if request.tempo is None and "tempo" not in request.fixed:
        met = 60.0 * request.beats_per_bar * n_bars / request.seconds
        tempo = min(max(met, tempo / TEMPO_BEND, MIN_TEMPO), tempo * TEMPO_BEND, MAX_TEMPO)
    return n_bars, round(tempo, 2)
