"""What steers each clip of a checkpoint: the controller, repetition, chords that are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.controller import ALONG_A_CURVE, BAR_BY_BAR, FeedbackController
from emomusic.compose.directions import ControlDirections, Pairs, Response, is_major
from emomusic.compose.plan import ClipPlan
from emomusic.compose.token_plan import decode_bars
from emomusic.model.engine import LogitBias, Steer
from emomusic.model.grammar import Segments
from emomusic.music.form import FORM_BARS, bars_back, harmony_moves
from emomusic.music.hands import LEFT, hands_of
from emomusic.music.notes import Notes
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT, Tokenizer, Vocabulary

# How strongly a bar is led along the one that it takes up, in nats.
REPEAT_ONSET = 2.5
REPEAT_PITCH = 3.5
REPEAT_LENGTH = 1.0
REPEAT_VELOCITY = 0.25
REPEAT_CHORD = 2.5
MOVE_CHORD = 1.5  # Away from the chords of the bar before, where harmony is to move.
TEXTURE_PITCH, TEXTURE_SEMITONES = 1.0, 5
"""To about the height of what is struck there in a bar whose rhythm is taken up."""
TEXTURE_MORE = {1: -1.0, 2: 0.0, 3: 0.5}
"""To another note at the same moment, by how many are struck there; to one of more 1."""
FIGURE_ONSET, FIGURE_PITCH, FIGURE_SEMITONES = 2.0, 1.0, 7
"""Not to pass by an onset of the left hand, and to about the height of its note."""
# How much an attribute matters to the controller, where 1 tells emotions apart best.
LEAST_WEIGHT = 0.2
ASKED_WEIGHT = 5.0  # Of what is asked for by itself.
MOTION = {"onset_density": 2.0}
"""What weighs more than it tells emotions apart: else length is reached where nothing moves."""
GENTLE_WEIGHT = 2.0
GENTLE = frozenset({"mode", "chord_mode", "key_clarity", "pitch_class_entropy"})
"""The same of these: pulled hard for them, music loses its key."""
TO_MINOR, TO_MAJOR = {4: 3, 9: 8, 11: 10}, {3: 4, 8: 9, 10: 11}
"""Pitch classes of C major, and of C minor, that the other mode has beside them."""


class RepetitionBias:
    """Lead a bar along an earlier one: its notes, its rhythm and texture, its left hand.

    What leads are pairs of an id and one that followed it; onsets are led to from wherever the
    bar is, so that it may leave the other anywhere, and comes back.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Look up what each id says."""
        self._end, self._same = vocabulary.id_of("Bar_None"), len(vocabulary)
        self._positions = vocabulary.kind_ids("Position")
        self._pitches = vocabulary.kind_ids("Pitch")  # they go up by semitones
        self._kind = dict.fromkeys(self._positions.tolist(), "Position")
        self._kind |= dict.fromkeys(self._pitches.tolist(), "Pitch")
        self._lowest = int(vocabulary.values("Pitch")[0])

    def notes(self, bar: Sequence[int], *, to_major: bool | None = None) -> Pairs:
        """Return the pairs of `LogitBias` that lead along all that a bar has.

        Args:
            bar: Its sampled ids.
            to_major: The mode in which it is taken up, where that is another one: its third,
                sixth and seventh are altered. None takes it as it is.
        """
        altered = {} if to_major is None else TO_MAJOR if to_major else TO_MINOR
        found: dict[tuple[int, int], float] = {}
        before = (-1, -1)
        for position, written, velocity, duration in self._struck(bar):
            pitch = self._altered(written, altered)
            found[position, pitch] = REPEAT_PITCH
            if before[0] == position:
                found[before[1], self._same] = REPEAT_ONSET
            found[pitch, velocity] = REPEAT_VELOCITY
            found[pitch, duration] = REPEAT_LENGTH
            before = position, pitch
        return _joined(self._onsets(bar), _pairs(found))

    def rhythm(self, bar: Sequence[int]) -> Pairs:
        """Return what leads along a bar's onsets, with as many notes at about the same height."""
        moments: dict[int, list[int]] = {}
        for position, pitch, _, _ in self._struck(bar):
            moments.setdefault(position, []).append(pitch)
        found: dict[tuple[int, int], float] = {}
        for position, pitches in moments.items():
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
        n, onsets = len(self._positions), np.unique(steps)
        # Of none and each position, the next onset; n stands for the bar's end.
        nexts = np.append(onsets, n + 1)[np.searchsorted(onsets, np.arange(-1, n), side="right")]
        first, second = np.nonzero(np.arange(n + 1) > nexts[:, None])
        firsts, seconds = np.append(-1, self._positions), np.append(self._positions, self._end)
        past = np.stack([firsts[first], seconds[second]], axis=1).astype(np.int32)
        return _joined(_pairs(found), (past, np.full(len(past), -FIGURE_ONSET, np.float32)))

    def _onsets(self, bar: Sequence[int]) -> Pairs:
        """Return what leads from each position, and from none, to the bar's next onset."""
        firsts = np.append(-1, self._positions)
        onsets = np.intersect1d(bar, self._positions)
        nexts = np.append(onsets, self._end)[np.searchsorted(onsets, firsts, side="right")]
        pairs = np.stack([firsts, nexts], axis=1).astype(np.int32)
        return pairs, np.full(len(pairs), REPEAT_ONSET, np.float32)

    def _struck(self, bar: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        """Yield the ids of position, pitch, velocity and duration of each note."""
        position = -1
        for at, token in enumerate(bar):
            kind = self._kind.get(token)
            if kind == "Position":
                position = token
            elif kind == "Pitch":
                yield position, token, bar[at + 1], bar[at + 2]

    def _altered(self, token: int, altered: Mapping[int, int]) -> int:
        """Return the id of a pitch in the other mode; off the piano it stays."""
        pitch_class = (token - int(self._pitches[0]) + self._lowest) % 12
        moved = token + altered.get(pitch_class, pitch_class) - pitch_class
        return moved if self._kind.get(moved) == "Pitch" else token

    def _near(self, pitch: int, semitones: int) -> list[int]:
        """Return the ids of the pitches at most so far away."""
        inside = np.abs(self._pitches - pitch) <= semitones
        return list(self._pitches[inside].tolist())


def _pairs(found: Mapping[tuple[int, int], float]) -> Pairs:
    pairs = np.array(list(found), np.int32).reshape(-1, 2)
    return pairs, np.array(list(found.values()), np.float32)


def _joined(*led: Pairs) -> Pairs:
    """Return the pairs of all together."""
    return np.concatenate([pairs for pairs, _ in led]), np.concatenate([w for _, w in led])


class Steerer:
    """Make the controller of each clip."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        response: Response | None,
        *,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Take what a checkpoint's levers do, and how much its attributes matter for an emotion.

        Without a response nothing is steered; what is asked for by itself matters more.
        """
        self.tokenizer, self.response, self.weights = tokenizer, response, weights or {}
        self._repetition = RepetitionBias(tokenizer.vocabulary)
        self.levers = ControlDirections(tokenizer.vocabulary)

    def steer(self, plan: ClipPlan) -> Steer | None:
        """Return what steers a clip, or None."""
        if self.response is None or not plan.request.steering:
            return None
        beats, gains = plan.request.beats_per_bar, ALONG_A_CURVE if plan.moves else BAR_BY_BAR
        whole = plan.in_c(plan.targets)
        goals = [whole | plan.in_c(plan.targets_in(bar)) for bar in range(plan.n_bars)]
        controller = FeedbackController(
            goals, self.response, weights=self._weights(plan), gains=gains
        )
        chords, seen = plan.chords_in_c(), [list(bar) for bar in plan.shown]
        moves = harmony_moves(plan.harmony, n_before=len(seen))
        last: tuple[int, LogitBias] | None = None

        def steer(segments: Segments) -> LogitBias:
            nonlocal last
            bar, own = len(segments), segments[-gains.window :]
            if last is not None and last[0] == bar:  # a row that begins anew asks again
                return last[1]
            written, heard = [*seen, *segments], None
            if bar:
                n_beats = float(len(own) * beats)
                heard = passage_of(self._notes(plan, own), n_beats=n_beats, tempo=plan.tempo)
            about = goals[bar] if plan.moves else whole
            pulled, crowded = controller.pulls(bar, heard, is_major=is_major(about))
            bias = self.levers.bias(pulled, about, bar=bar, beats_per_bar=beats, crowded=crowded)
            led = self._led(plan, written, bar=bar)
            if chords:
                after = chords[bar + 1][0] if bar + 1 < len(chords) else chords[bar][1]
                more, pairs = self.levers.along(chords[bar], after, beats_per_bar=beats)
                bias = bias + more
                led.append(pairs)
            else:  # a bar's chords come first
                if moves[bar]:
                    bias[0, written[-1][:2]] -= MOVE_CHORD
                if back := plan.harmony[bar]:
                    bias[0, written[-back][:2]] += REPEAT_CHORD
            last = bar, LogitBias(bias, *_joined(*led)) if led else LogitBias(bias)
            return last[1]

        return steer

    def _led(self, plan: ClipPlan, written: Segments, *, bar: int) -> list[Pairs]:
        """Return what leads a bar along those that it takes up, of all that the model sees."""
        followed, code = plan.follows[bar], plan.form[bar]
        if followed is not None and plan.primer is not None:
            to_major = plan.is_major_at(bar)
            altered = to_major if to_major != plan.primer.is_major else None
            return [self._repetition.notes(plan.primer.bars[followed], to_major=altered)]
        back = bars_back(code) if code and bars_back(code) <= len(written) else 0
        if back and code <= len(FORM_BARS):
            return [self._repetition.notes(written[-back])]
        led = []
        if plan.copies[bar]:
            led.append(self._repetition.notes(written[-plan.copies[bar]]))
        elif back:
            led.append(self._repetition.rhythm(written[-back]))
        if plan.figures[bar]:
            notes = self._notes(plan, [written[-plan.figures[bar]]])
            notes = notes.where(hands_of(notes) == LEFT)
            if len(notes):
                steps = np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64)
                led.append(self._repetition.left_hand(steps, notes.pitch))
        return led

    def _notes(self, plan: ClipPlan, segments: Segments) -> Notes:
        """Return neighbouring bars as they are written, in C."""
        beats = plan.request.beats_per_bar
        return notes_of(
            decode_bars(self.tokenizer, segments, beats_per_bar=beats, tempo=plan.tempo)
        )

    def _weights(self, plan: ClipPlan) -> dict[str, float]:
        asked = {*plan.request.fixed, *plan.request.per_bar}
        if plan.request.is_major is not None:
            asked.add("mode")
        names = () if self.response is None else self.response.attributes
        weights = {name: self.weights.get(name, 1.0) for name in names} | MOTION
        return weights | {name: GENTLE_WEIGHT if name in GENTLE else ASKED_WEIGHT for name in asked}


def attribute_weights(telling: Mapping[str, float]) -> dict[str, float]:
    """Return how much attributes matter from how far they tell emotions apart."""
    most = max(telling.values())
    return {
        name: LEAST_WEIGHT + (1 - LEAST_WEIGHT) * (value / most) ** 0.5
        for name, value in telling.items()
    }
