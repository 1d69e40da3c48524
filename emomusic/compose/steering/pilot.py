"""The pilot: what steers each clip of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from emomusic.compose.drafting.draft import Draft
from emomusic.compose.drafting.guide import ids_of, transposition
from emomusic.compose.steering.echo import Echoes
from emomusic.compose.steering.helm import ABRUPT, SMOOTH, Helm
from emomusic.compose.steering.levers import Centre, Levers, Pairs
from emomusic.compose.steering.response import Response
from emomusic.model.engine import Lean, Steer
from emomusic.model.grammar import Script, Segments
from emomusic.music.attributes import attribute
from emomusic.music.chords import shift_chords
from emomusic.music.form import FORM_BARS, bars_back
from emomusic.music.passage import Passage, passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import BEATS_PER_BAR, Tokenizer

CHORDS_AGAIN = 2.5
"""How strongly a bar is led to the chords that it repeats, in nats."""
MIDDLE_PITCH, MIDDLE_VELOCITY, MIDDLE_LENGTH = 62.0, 64.0, 0.7
LEAST_WEIGHT, ASKED_WEIGHT, GENTLE_WEIGHT = 0.2, 5.0, 2.0
GENTLE = frozenset({"mode", "chord_mode", "key_clarity", "pitch_class_entropy"})
"""Pulled hard for these, music loses its key."""
SHORTER, SHORTEST = 0.75, 0.1
"""Most notes are shorter than the mean, in beats."""


class Pilot:
    """Make the helm of each clip."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        response: Response | None,
        *,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Take what was measured on a checkpoint.

        Args:
            tokenizer: Its tokens.
            response: What its levers do; None steers nothing.
            weights: How much each attribute matters for an emotion; what is asked for by itself
                matters more.
        """
        self.tokenizer, self.response, self.weights = tokenizer, response, weights or {}
        self._echoes = Echoes(tokenizer.vocabulary)
        self._levers = {
            beats: Levers(tokenizer.vocabulary, beats_per_bar=beats) for beats in BEATS_PER_BAR
        }

    def levers(self, draft: Draft) -> Levers:
        """Return the levers for a clip's metre."""
        return self._levers[draft.request.beats_per_bar]

    def steer(self, draft: Draft, script: Script) -> Steer | None:
        """Return what steers a clip, or None."""
        if self.response is None or not draft.request.steering:
            return None
        levers = self.levers(draft)
        helm = Helm(
            goals_of(draft),
            self.response,
            levers,
            lambda segments: self.passage(draft, script, segments),
            n_bars=draft.n_bars,
            centres=centres_of(draft),
            weights=self._weights(draft),
            turns=SMOOTH if draft.moves else ABRUPT,
        )

        chords = shift_chords(np.array(draft.chords, np.int64), -transposition(draft.tonic))

        def steer(segments: Segments) -> Lean:
            bar = len(segments)
            bias, led = helm(segments).bias, self._led(draft, segments)
            if len(chords):
                first, second = chords[bar].tolist()
                after = int(chords[bar + 1, 0]) if bar + 1 < len(chords) else second
                more, pairs = levers.along((first, second), after)
                bias = bias + more
                led = [*led, pairs]
            elif draft.harmony[bar]:
                repeated = self._echoes.chords(segments[bar - draft.harmony[bar]])
                bias = bias.copy()
                bias[0, repeated] += CHORDS_AGAIN
            if not led:
                return Lean(bias)
            return Lean(bias, *(np.concatenate(own) for own in zip(*led, strict=True)))

        return steer

    def _led(self, draft: Draft, segments: Segments) -> list[Pairs]:
        """Return what leads the next bar along the one that it takes up, if it does."""
        bar = len(segments)
        followed, code = draft.follows[bar], draft.form[bar]
        if followed is not None and draft.theme is not None:
            is_major = draft.is_major_at(bar)
            to_major = is_major if is_major != draft.theme.is_major else None
            return [self._echoes.pairs(draft.theme.bars[followed], to_major=to_major)]
        if code and bars_back(code) <= bar:
            whole = code <= len(FORM_BARS)
            return [self._echoes.pairs(segments[bar - bars_back(code)], whole=whole)]
        return []

    def _weights(self, draft: Draft) -> dict[str, float]:
        request = draft.request
        asked = {*request.fixed, *request.per_bar}
        if request.is_major is not None:
            asked.add("mode")
        names = () if self.response is None else self.response.attributes
        weights = {name: self.weights.get(name, 1.0) for name in names}
        return weights | {name: GENTLE_WEIGHT if name in GENTLE else ASKED_WEIGHT for name in asked}

    def passage(self, draft: Draft, script: Script, segments: Segments) -> Passage:
        """Return neighbouring bars as they are written, in C; all heads say the same of a bar."""
        n_beats = float(len(segments) * draft.request.beats_per_bar)
        score = self.tokenizer.decode(ids_of(script, segments), tempo=draft.tempo, n_beats=n_beats)
        return passage_of(notes_of(score), n_beats=n_beats, tempo=draft.tempo)


def centre_of(targets: Mapping[str, float]) -> Centre:
    """Return what levers turn about, from the targets as they are written in C."""
    return Centre(
        pitch=targets.get("register", MIDDLE_PITCH),
        velocity=targets.get("velocity_mean", MIDDLE_VELOCITY),
        length=max(targets.get("note_length", MIDDLE_LENGTH) * SHORTER, SHORTEST),
        is_major=targets.get("mode", targets.get("chord_mode", 0.0)) >= 0,
    )


def centres_of(draft: Draft) -> list[Centre]:
    """Return what the levers of each bar turn about: it moves with a curve only."""
    if not draft.moves:
        return [centre_of(written(draft))] * draft.n_bars
    goals = goals_of(draft).items()
    return [centre_of({name: own[bar] for name, own in goals}) for bar in range(draft.n_bars)]


def goals_of(draft: Draft) -> dict[str, Sequence[float]]:
    """Return what each bar aims at, moved to C: the clip's targets, or the bar's own."""
    shift = transposition(draft.tonic)
    goals: dict[str, Sequence[float]] = {
        name: [value] * draft.n_bars for name, value in written(draft).items()
    }
    for name, values in draft.course.items():
        goals[name] = [value - shift * attribute(name).per_semitone for value in values]
    return goals


def written(draft: Draft) -> dict[str, float]:
    """Return a clip's targets, moved to C, where it is written."""
    shift = transposition(draft.tonic)
    return {
        name: value - shift * attribute(name).per_semitone for name, value in draft.targets.items()
    }


def weights_of(telling: Mapping[str, float]) -> dict[str, float]:
    """Return how much attributes matter from how far they tell emotions apart."""
    most = max(telling.values())
    return {
        name: LEAST_WEIGHT + (1 - LEAST_WEIGHT) * (value / most) ** 0.5
        for name, value in telling.items()
    }
