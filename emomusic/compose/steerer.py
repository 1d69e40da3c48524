"""What steers each clip of a checkpoint: the controller, repetition, chords that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.controller import ALONG_A_CURVE, BAR_BY_BAR, FeedbackController
from emomusic.compose.directions import ControlDirections, OperatingPoint, Pairs, Response
from emomusic.compose.plan import ClipPlan
from emomusic.compose.token_plan import body_ids, transposition
from emomusic.model.engine import LogitBias, Steer
from emomusic.model.grammar import Script, Segments
from emomusic.music.attributes import Passage, attribute, passage_of
from emomusic.music.chords import shift_chords
from emomusic.music.form import FORM_BARS, bars_back, harmony_moves
from emomusic.music.notes import LEFT, Notes, hands_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import BEATS_PER_BAR, STEPS_PER_BEAT, Tokenizer, Vocabulary

# How strongly a bar is led along the one that it takes up, in nats.
REPEAT_ONSET = 2.5
REPEAT_PITCH = 3.5
REPEAT_LENGTH = 1.0
REPEAT_VELOCITY = 0.25
REPEAT_CHORD = 2.5
MOVE_CHORD = 1.5
"""Away from the chords of the bar before, where harmony is to move."""
TEXTURE_PITCH, TEXTURE_SEMITONES = 1.0, 5
"""To about the height of what is struck there in a bar whose rhythm is taken up."""
TEXTURE_MORE = {1: -1.0, 2: 0.0, 3: 0.5}
"""To another note at the same moment, by how many are struck there; to one of more 1."""
FIGURE_ONSET, FIGURE_PITCH, FIGURE_SEMITONES = 2.0, 1.0, 7
"""Not to pass by an onset of the left hand, and to about the height of its note."""
# How much an attribute matters to the controller, where 1 tells emotions apart best.
LEAST_WEIGHT = 0.2
ASKED_WEIGHT = 5.0
"""Of what is asked for by itself."""
MOTION = {"onset_density": 2.0}
"""What weighs more than it tells emotions apart: else length is reached where nothing moves."""
GENTLE_WEIGHT = 2.0
GENTLE = frozenset({"mode", "chord_mode", "key_clarity", "pitch_class_entropy"})
"""The same of these: pulled hard for them, music loses its key."""
# What levers turn about where nothing is asked for.
MIDDLE_PITCH = 62.0
"""MIDI pitch."""
MIDDLE_VELOCITY = 64.0
MIDDLE_LENGTH = 0.7
"""Beats."""
USUAL_SHARE = 0.75
"""Most notes are shorter than the mean, by so much."""
SHORTEST = 0.1
"""Beats."""
TO_MINOR, TO_MAJOR = {4: 3, 9: 8, 11: 10}, {3: 4, 8: 9, 10: 11}
"""Pitch classes of C major, and of C minor, that the other mode has beside them."""


class RepetitionBias:
    """Lead a bar along an earlier one: its notes, its rhythm and texture, its left hand.

    What leads are pairs of an id and one that followed it; onsets are led to from wherever the
    bar is, so that it may leave the other anywhere, and comes back.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Look up what each id says."""
        self._kind = np.full(len(vocabulary), "", dtype=object)
        for kind in ("Position", "Pitch", "Velocity", "Duration"):
            self._kind[vocabulary.kind_ids(kind)] = kind
        self._is_chord = np.zeros(len(vocabulary), dtype=bool)
        self._is_chord[[*vocabulary.kind_ids("ChordA"), *vocabulary.kind_ids("ChordB")]] = True
        self._end, self._same = vocabulary.id_of("Bar_None"), len(vocabulary)
        self._positions, self._pitches = (
            vocabulary.kind_ids("Position"),
            vocabulary.kind_ids("Pitch"),
        )
        self._lowest = int(vocabulary.values("Pitch")[0])
        self._to = {
            is_major: _other_mode(vocabulary, TO_MAJOR if is_major else TO_MINOR)
            for is_major in (False, True)
        }

    def chords(self, bar: Sequence[int]) -> NDArray[np.int64]:
        """Return the ids of a bar's chords."""
        ids = np.array(bar, np.int64)
        return ids[self._is_chord[ids]]

    def notes(self, bar: Sequence[int], *, to_major: bool | None = None) -> Pairs:
        """Return the pairs of `LogitBias` that lead along all that a bar has.

        Args:
            bar: Its sampled ids.
            to_major: The mode in which it is taken up, where that is another one: its third,
                sixth and seventh are altered. None takes it as it is.
        """
        if to_major is not None:
            bar = self._to[to_major][np.array(bar, np.int64)].tolist()
        found: dict[tuple[int, int], float] = {}
        position = pitch = struck = -1
        for token in bar:
            kind = self._kind[token]
            if kind == "Position":
                position = token
            elif kind == "Pitch":
                found[position, token] = REPEAT_PITCH
                if struck == position:
                    found[pitch, self._same] = REPEAT_ONSET
                struck, pitch = position, token
            elif kind:
                found[pitch, token] = REPEAT_VELOCITY if kind == "Velocity" else REPEAT_LENGTH
        return _joined(self._onsets(bar), _pairs(found))

    def rhythm(self, bar: Sequence[int]) -> Pairs:
        """Return what leads along a bar's onsets, with as many notes at about the same height."""
        found: dict[tuple[int, int], float] = {}
        for position, pitches in self._moments(bar).items():
            found[position, self._same] = TEXTURE_MORE.get(len(pitches), 1.0)
            for pitch in pitches:
                near = self._near(pitch, TEXTURE_SEMITONES)
                found |= dict.fromkeys(((position, other) for other in near), TEXTURE_PITCH)
        return _joined(self._onsets(bar), _pairs(found))

    def left_hand(self, steps: NDArray[np.int64], pitches: NDArray[np.int64]) -> Pairs:
        """Return what leads along the notes of a bar's left hand, leaving the right hand free.

        Args:
            steps: Where in the bar they begin, in positions, shape (n,), at least one.
            pitches: MIDI pitches, in the same order.
        """
        found: dict[tuple[int, int], float] = {}
        for position, pitch in zip(self._positions[steps].tolist(), pitches.tolist(), strict=True):
            near = self._near(self._pitches[pitch - self._lowest], FIGURE_SEMITONES)
            found |= dict.fromkeys(((position, other) for other in near), FIGURE_PITCH)
        firsts = np.append(-1, self._positions)
        onsets = np.unique(self._positions[steps])
        follows = np.searchsorted(onsets, firsts, side="right")  # of each first, its next onset
        nexts = np.append(onsets, self._end)[follows]
        passes = (self._positions > nexts[:, None]) & (follows < len(onsets))[:, None]
        first, second = np.nonzero(passes)
        past = np.stack([firsts[first], self._positions[second]], axis=1)
        ends = firsts[follows < len(onsets)]
        past = np.concatenate([past, np.stack([ends, np.full(len(ends), self._end)], axis=1)])
        weights = np.full(len(past), -FIGURE_ONSET, np.float32)
        return _joined(_pairs(found), (past.astype(np.int32), weights))

    def _onsets(self, bar: Sequence[int]) -> Pairs:
        """Return what leads from each position, and from none, to the bar's next onset."""
        firsts = np.append(-1, self._positions)
        ids = np.array(bar, np.int64)
        onsets = np.unique(ids[np.isin(ids, self._positions)])
        nexts = np.append(onsets, self._end)[np.searchsorted(onsets, firsts, side="right")]
        pairs = np.stack([firsts, nexts], axis=1).astype(np.int32)
        return pairs, np.full(len(pairs), REPEAT_ONSET, np.float32)

    def _moments(self, bar: Sequence[int]) -> dict[int, list[int]]:
        """Return the ids of the pitches that are struck at each position."""
        found: dict[int, list[int]] = {}
        position = -1
        for token in bar:
            if self._kind[token] == "Position":
                position = token
            elif self._kind[token] == "Pitch":
                found.setdefault(position, []).append(token)
        return found

    def _near(self, pitch: int, semitones: int) -> list[int]:
        """Return the ids of the pitches at most so far away."""
        inside = np.abs(self._pitches - pitch) <= semitones  # their ids go up by semitones
        return list(self._pitches[inside].tolist())


def _pairs(found: Mapping[tuple[int, int], float]) -> Pairs:
    pairs = np.array(list(found), np.int32).reshape(-1, 2)
    return pairs, np.array(list(found.values()), np.float32)


def _joined(*led: Pairs) -> Pairs:
    return np.concatenate([pairs for pairs, _ in led]), np.concatenate([w for _, w in led])


def _other_mode(vocabulary: Vocabulary, altered: Mapping[int, int]) -> NDArray[np.int64]:
    """Return the id that stands for each in the other mode, shape (vocab_size,)."""
    ids = np.arange(len(vocabulary))
    own = vocabulary.kind_ids("Pitch")
    pitches = [int(text) for text in vocabulary.values("Pitch")]
    of_pitch = dict(zip(pitches, own.tolist(), strict=True))
    for pitch, token in of_pitch.items():
        to = pitch - pitch % 12 + altered.get(pitch % 12, pitch % 12)
        ids[token] = of_pitch.get(to, token)
    return ids


class Steerer:
    """Make the controller of each clip."""

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
        self._repetition = RepetitionBias(tokenizer.vocabulary)
        self._levers = {
            beats: ControlDirections(tokenizer.vocabulary, beats_per_bar=beats)
            for beats in BEATS_PER_BAR
        }

    def levers(self, plan: ClipPlan) -> ControlDirections:
        """Return the levers for a clip's metre."""
        return self._levers[plan.request.beats_per_bar]

    def steer(self, plan: ClipPlan, script: Script) -> Steer | None:
        """Return what steers a clip, or None."""
        if self.response is None or not plan.request.steering:
            return None
        levers = self.levers(plan)
        controller = FeedbackController(
            goals_by_bar(plan),
            self.response,
            levers=levers,
            listen=lambda segments: self.passage(plan, script, segments),
            n_bars=plan.n_bars,
            points=operating_points(plan),
            weights=self._weights(plan),
            gains=ALONG_A_CURVE if plan.moves else BAR_BY_BAR,
        )

        chords = shift_chords(np.array(plan.chords, np.int64), -transposition(plan.tonic))
        shown = plan.primer.bars if plan.primer is not None and plan.shows_primer else ()
        seen = [list(bar) for bar in shown]
        moves = harmony_moves(plan.harmony, n_before=len(seen))

        def steer(segments: Segments) -> LogitBias:
            bar, back = len(segments), plan.harmony[len(segments)]
            written = [*seen, *segments]
            bias, led = controller(segments).bias, self._led(plan, script, written, bar=bar)
            if len(chords):
                first, second = chords[bar].tolist()
                after = int(chords[bar + 1, 0]) if bar + 1 < len(chords) else second
                more, pairs = levers.along((first, second), after)
                bias = bias + more
                led.append(pairs)
            elif back or moves[bar]:
                bias = bias.copy()
                if moves[bar]:
                    bias[0, self._repetition.chords(written[-1])] -= MOVE_CHORD
                if back:
                    bias[0, self._repetition.chords(written[-back])] += REPEAT_CHORD
            return LogitBias(bias, *_joined(*led)) if led else LogitBias(bias)

        return steer

    def _led(self, plan: ClipPlan, script: Script, written: Segments, *, bar: int) -> list[Pairs]:
        """Return what leads the next bar along those that it takes up.

        Args:
            plan: Of the clip.
            script: Its heads.
            written: The bars so far, given ones that the model sees first.
            bar: Which bar of the clip is next.
        """
        followed, code = plan.follows[bar], plan.form[bar]
        if followed is not None and plan.primer is not None:
            is_major = plan.is_major_at(bar)
            to_major = is_major if is_major != plan.primer.is_major else None
            return [self._repetition.notes(plan.primer.bars[followed], to_major=to_major)]
        back = bars_back(code) if code and bars_back(code) <= len(written) else 0
        if back and code <= len(FORM_BARS):
            return [self._repetition.notes(written[-back])]
        led = []
        if plan.copies[bar]:
            led.append(self._repetition.notes(written[-plan.copies[bar]]))
        elif back:
            led.append(self._repetition.rhythm(written[-back]))
        if plan.figures[bar]:
            notes = self._notes(plan, script, [written[-plan.figures[bar]]])
            notes = notes.where(hands_of(notes) == LEFT)
            if len(notes):
                steps = np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64)
                led.append(self._repetition.left_hand(steps, notes.pitch))
        return led

    def _weights(self, plan: ClipPlan) -> dict[str, float]:
        request = plan.request
        asked = {*request.fixed, *request.per_bar}
        if request.is_major is not None:
            asked.add("mode")
        names = () if self.response is None else self.response.attributes
        weights = {name: self.weights.get(name, 1.0) for name in names} | MOTION
        return weights | {name: GENTLE_WEIGHT if name in GENTLE else ASKED_WEIGHT for name in asked}

    def passage(self, plan: ClipPlan, script: Script, segments: Segments) -> Passage:
        """Return neighbouring bars as they are written, in C; all heads say the same of a bar."""
        n_beats = float(len(segments) * plan.request.beats_per_bar)
        return passage_of(self._notes(plan, script, segments), n_beats=n_beats, tempo=plan.tempo)

    def _notes(self, plan: ClipPlan, script: Script, segments: Segments) -> Notes:
        ids = body_ids(script, segments)
        n_beats = float(len(segments) * plan.request.beats_per_bar)
        return notes_of(self.tokenizer.decode(ids, tempo=plan.tempo, n_beats=n_beats))


def operating_point(targets: Mapping[str, float]) -> OperatingPoint:
    """Return what levers turn about, from the targets as they are written in C."""
    return OperatingPoint(
        pitch=targets.get("register", MIDDLE_PITCH),
        velocity=targets.get("velocity_mean", MIDDLE_VELOCITY),
        length=max(targets.get("note_length", MIDDLE_LENGTH) * USUAL_SHARE, SHORTEST),
        is_major=targets.get("mode", targets.get("chord_mode", 0.0)) >= 0,
    )


def operating_points(plan: ClipPlan) -> list[OperatingPoint]:
    """Return what the levers of each bar turn about: it moves with a curve only."""
    if not plan.moves:
        return [operating_point(targets_in_c(plan))] * plan.n_bars
    goals = goals_by_bar(plan).items()
    return [operating_point({name: own[bar] for name, own in goals}) for bar in range(plan.n_bars)]


def goals_by_bar(plan: ClipPlan) -> dict[str, Sequence[float]]:
    """Return what each bar aims at, moved to C: the clip's targets, or the bar's own."""
    shift = transposition(plan.tonic)
    goals: dict[str, Sequence[float]] = {
        name: [value] * plan.n_bars for name, value in targets_in_c(plan).items()
    }
    for name, values in plan.bar_targets.items():
        goals[name] = [value - shift * attribute(name).per_semitone for value in values]
    return goals


def targets_in_c(plan: ClipPlan) -> dict[str, float]:
    """Return a clip's targets, moved to C, where it is written."""
    shift = transposition(plan.tonic)
    return {
        name: value - shift * attribute(name).per_semitone for name, value in plan.targets.items()
    }


def attribute_weights(telling: Mapping[str, float]) -> dict[str, float]:
    """Return how much attributes matter from how far they tell emotions apart."""
    most = max(telling.values())
    return {
        name: LEAST_WEIGHT + (1 - LEAST_WEIGHT) * (value / most) ** 0.5
        for name, value in telling.items()
    }
