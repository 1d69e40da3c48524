"""What steers each clip: a feedback controller of levers, repetition, chords that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.directions import (
    LEVER_REACH,
    LEVERS,
    ControlDirections,
    Pairs,
    Response,
    Vector,
    is_major,
)
from emomusic.compose.plan import ClipPlan
from emomusic.compose.token_plan import decode_bars
from emomusic.model.engine import LogitBias, Steer
from emomusic.model.grammar import Segments
from emomusic.music.attributes import SAME_ONSET_BEATS, Passage, measure, passage_of
from emomusic.music.form import FORM_BARS, bars_back, harmony_moves
from emomusic.music.key import key_correlations
from emomusic.music.notes import LEFT, Notes, hands_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import ENDING_BARS, HALVES, STEPS_PER_BEAT, Tokenizer

LATELY_BEATS = 12.0
LEAST_NOTES = 8

# What is tuned. Pulls of levers are in logits (nats), errors and gains in standard deviations of
# real music, weights as `attribute_weights` has them.
MAX_PULL = 1.25  # Times its reach that a lever is pulled at most.
LENGTH_LEVERS, LENGTH_REACH = ("longer", "unequal"), 0.1
"""These reach no further where nothing is asked for by itself: an emotion is told as well without
them, and what they draw out is no longer struck, the left hand first."""
RIDGE = 0.6  # What a pull costs in the solution, squared standard deviations a squared reach.
MIN_SENSITIVITY = 0.1
"""Squared response, over all levers at their reach, at which an attribute counts half."""
WINDOW_BARS = 16
"""So many bars are listened back to: what was long ago is neither mended nor paid for."""
INTEGRAL_GAIN = 0.25
"""How much of an error adds up from bar to bar: of harmony, of goals that move, and of what is
asked for by itself. Else nothing does: density and register would drift, and the end of a clip
lie elsewhere."""
MAX_ERROR = 2.0  # Standard deviations of an error that are fed back at most.
MAX_INTEGRAL = 3.0
"""Standard deviations that add up at most, and that are steered against from the start."""
FIRM_WEIGHT = 4.0  # From what weight on an attribute counts as asked for by itself.
FIRM_GAIN = 4.0  # Times as much is done for it.
STAY_IN_ENDING = ("higher", "wider")
"""Levers that correct nothing in the last bars: an ending stays where the music is."""
MAX_ENDING_OFFSET = 3.0  # Semitones by which an ending may lie off the bars before it.
ENDING_GAIN = 0.12  # Nats of the pull back for each semitone more.
STILL_SHARE = 0.75
"""Share of the onsets asked for below which the last bars have come to a halt: music that has
would stay so, because the model takes after it."""
STILL_BARS = 2  # So many are the last bars.
STILL_GAIN = 2.5
"""Nats of `soon` where nothing is struck any more, beyond what it is pulled at most."""
KEY_MARGIN = 0.12  # By how much the key asked for is to fit better than any other, in correlation.
KEY_GAIN = 0.25  # Nats of `at_home` where it does not fit better at all.
MAX_GOAL = {"mode": 0.3}
"""Beyond this another key would be found: a goal that cannot be reached moves to the nearest."""
MAX_PITCH_CLASS_SHARE = 0.26
"""Share of the last bars that a pitch class may have: what leans to few pitch classes takes after
itself, and would end on one."""
CROWDING_GAIN = 10.0  # Nats a share by which it is held back beyond that.
PULL_STEPS = 256.0
"""Levers are rounded to this part of a nat, so that a clip does not depend on how a CPU adds up."""
SET_BY_ITSELF = frozenset({"tempo"})  # Attributes that no lever moves.
HARMONY = frozenset({"mode", "chord_mode"})
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
TERNARY = {2: 2.0, 3: -2.0, 4: 2.0, 6: -1.5, 8: 2.0, 9: -2.0, 10: 2.0}
"""Nats of a moment, by its twelfths of a dotted beat: such bars are few in what was learnt, and
without given ones to see the network writes halves where thirds belong."""
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


def measure_written(passage: Passage, names: Sequence[str]) -> Vector:
    """Measure attributes of a passage as it is written, in the order of their names.

    `mode` counts on C, where it is written, and not on the tonic of the key that is found.
    """
    values = measure(passage, names)
    if "mode" in values:
        major, minor = key_correlations(passage.notes)[:, 0]
        values["mode"] = float(major - minor) / 2
    return np.array(list(values.values()))


@dataclass(frozen=True)
class Gains:
    """Say how goals that change from bar to bar are followed."""

    turn: float  # how much more they are pulled for: a single bar gives way less than a clip
    max_error: float  # standard deviations that are pulled for at most
    max_pull: float  # times its reach that a lever is pulled at most
    feedback: float  # share of what is measured that is fed back
    harmony: float = 0.0  # how much more mode and chords are pulled for, which carry valence
    window: int = WINDOW_BARS  # so many bars are listened back to


BAR_BY_BAR = Gains(turn=5.0, max_error=10.0, max_pull=6.0, feedback=0.5)
ALONG_A_CURVE = Gains(
    turn=2.0, max_error=6.0, max_pull=MAX_PULL, feedback=1.0, harmony=5.0, window=6
)
"""A curve has time to arrive."""


class FeedbackController:
    """Steer one clip; asked before each bar for how far the levers are pulled in it.

    The levers are solved for by least squares from the response measured on the checkpoint: as
    little as does it. With S the response (n_attributes, n_levers), R the levers' reach and W the
    attributes' weights, both diagonal, and M = W S R, an error e is taken away by

        u = R (M' M + RIDGE I)^-1 M' W e

    Bar by bar, what is measured so far corrects them, whatever the reason for the difference: so
    a model that half listens still arrives. After n bars, with g the goals and m what is measured,

        u = U(expected_n) + U(k e_n + I_n),  e_n = (g - m) n / (n + 2),  I_n+1 = I_n + K e_n

    where U is the solution above, k the gain of what is asked for by itself and K that of the
    sum. Where a lever is at its limit, what it is pulled for is not added up any further.

    Reference: the smallest change of a distribution that moves a mean is an exponential tilt;
    a lever is one of the logits. The feedback is that of a PI controller with anti-windup.
    """

    def __init__(
        self,
        goals: Sequence[Mapping[str, float]],
        response: Response,
        *,
        weights: Mapping[str, float],
        gains: Gains = BAR_BY_BAR,
        ends: bool = True,
    ) -> None:
        """Solve for the levers once.

        Args:
            goals: Attribute values aimed at in each bar, as written in C, of the same attributes
                in all; what is not named is free.
            response: Of the checkpoint.
            weights: How much each attribute matters.
            gains: How goals that change from bar to bar are followed.
            ends: Whether the last bars are those of a piece.
        """
        names = [n for n in response.attributes if n in goals[0] and n not in SET_BY_ITSELF]
        self._names, self._ends = names, ends
        self._own = np.array([response.attributes.index(name) for name in names], np.int64)
        self._response, self._gains, self._has_mode = response, gains, "mode" in goals[0]
        self._scale = response.scale[self._own]  # (n_attributes,), those asked for
        most = np.array([MAX_GOAL.get(name, np.inf) for name in names])[:, None]
        by_name = np.array([[goal[name] for goal in goals] for name in names], np.float64)
        # (n_bars, n_attributes)
        self._goals = np.clip(by_name.reshape(len(names), len(goals)), -most, most).T

        matters = np.array([weights[name] for name in names])  # (n_attributes,)
        reach = np.array(list(LEVER_REACH.values()))  # (n_levers,)
        if not (matters >= FIRM_WEIGHT).any():
            reach[np.isin(LEVERS, LENGTH_LEVERS)] = LENGTH_REACH
        slopes = response.pulled[self._own] * reach  # S R: (n_attributes, n_levers)
        sensitivity = (slopes**2).sum(axis=1)
        self._weight = sensitivity / (sensitivity + MIN_SENSITIVITY) * matters  # W
        slopes = slopes * self._weight[:, None]  # M
        gram = slopes.T @ slopes + RIDGE * np.eye(len(LEVERS))  # (n_levers, n_levers)
        # (n_levers, n_attributes)
        self._solution = (reach[:, None] * np.linalg.solve(gram, slopes.T)).round(6)

        varies = np.ptp(self._goals, axis=0) > 0
        harmony, is_asked = np.isin(names, sorted(HARMONY)), matters >= FIRM_WEIGHT
        self._max_pull = (gains.max_pull if varies.any() else MAX_PULL) * reach
        self._firm = np.where(is_asked, FIRM_GAIN, 1.0)
        self._share = np.where(varies, gains.feedback, 1.0)
        self._integral_gain = np.where(harmony | is_asked | varies, INTEGRAL_GAIN, 0.0)
        self._turn = gains.turn + gains.harmony * harmony
        # The lever that does most for each attribute, and in which direction.
        self._strongest = np.abs(self._solution / reach[:, None]).argmax(axis=0)
        self._sign = np.sign(self._solution[self._strongest, np.arange(len(names))])
        self._integral, self._homeward = np.zeros(len(names)), 0.0

    def pulls(self, bar: int, heard: Passage | None, *, in_major: bool) -> tuple[Vector, Vector]:
        """Return how far each lever is pulled for a bar; each bar is asked for once, in order.

        Args:
            bar: Which one.
            heard: The last bars before it, as written in C, at most as many as the gains say;
                None before the first.
            in_major: The mode that the bar is to have.

        Returns:
            Shape (n_levers,), and what is taken off each pitch class, shape (12,).
        """
        pulled, crowded = self._pull(self._foreseen(bar)), np.zeros(12)
        if heard is not None:
            correction = self._corrected(pulled, measure_written(heard, self._names), bar)
            n_ending = bar - (len(self._goals) - ENDING_BARS)
            if self._ends and n_ending >= 0:
                correction[np.isin(LEVERS, STAY_IN_ENDING)] = 0.0
                share = n_ending / min(bar, self._gains.window)
                correction[LEVERS.index("higher")] -= ENDING_GAIN * _strayed(heard, share)
            pulled = pulled + correction
            pulled[LEVERS.index("at_home")] += self._home(heard, in_major=in_major)
            crowded = _crowded(heard)
        pulled = np.clip(pulled, -self._max_pull, self._max_pull)
        if heard is not None and "onset_density" in self._names:
            pulled[LEVERS.index("soon")] += STILL_GAIN * self._stillness(heard, bar)
        return (pulled * PULL_STEPS).round() / PULL_STEPS, crowded

    def _pull(self, error: Vector) -> Vector:
        """Return the levers (n_levers,) that take away an error in standard deviations."""
        moved: Vector = (self._solution * (self._weight * error)).sum(axis=1)
        return moved

    def _foreseen(self, bar: int) -> Vector:
        """Return by how much the model would miss a bar's goals, in standard deviations."""
        r, own = self._response, self._own
        asked = np.zeros(len(r.attributes))
        asked[own] = (self._goals[bar] - r.mean[own]) / self._scale
        expected = r.start + (r.asked * asked).sum(axis=1)
        turn = self._turn * (self._goals[bar] - self._goals.mean(axis=0)) / self._scale
        steady = np.clip(asked[own] - expected[own], -MAX_INTEGRAL, MAX_INTEGRAL)
        missed: Vector = np.clip(steady + turn, -self._gains.max_error, self._gains.max_error)
        return missed

    def _corrected(self, pulled: Vector, measured: Vector, n: int) -> Vector:
        """Return what is added to levers for the difference that is heard after n bars."""
        goals = self._goals[max(n - self._gains.window, 0) : n].mean(axis=0)
        error = (goals - measured) / self._scale
        largest = MAX_ERROR * self._firm
        error = np.clip(error, -largest, largest) * n / (n + 2.0) * self._share
        correction = self._pull(self._firm * error + self._integral)
        at = self._strongest
        full = np.abs(pulled + correction)[at] >= self._max_pull[at]
        full &= np.sign(pulled + correction)[at] == self._sign * np.sign(error)
        most = MAX_INTEGRAL * self._firm
        added = np.where(full, 0.0, self._integral_gain * error)
        self._integral = np.clip(self._integral + added, -most, most)
        return correction

    def _stillness(self, passage: Passage, n: int) -> float:
        """Return how far the onsets of the last bars fall short of a halt, 0 to 1."""
        asked = self._goals[max(n - STILL_BARS, 0) : n, self._names.index("onset_density")].mean()
        n_beats = passage.n_beats / min(n, self._gains.window) * min(n, STILL_BARS)
        is_late = passage.onsets >= passage.n_beats - n_beats - SAME_ONSET_BEATS
        share = float(is_late.sum()) / n_beats / max(float(asked), 0.1)
        return max(STILL_SHARE - share, 0.0) / STILL_SHARE

    def _home(self, heard: Passage, *, in_major: bool) -> float:
        """Return the pull away from keys that would be taken for the one asked for."""
        if not self._has_mode:
            return 0.0
        fits, own = key_correlations(heard.notes), (int(not in_major), 0)
        others = np.delete(fits.ravel(), np.ravel_multi_index(own, fits.shape))
        short = KEY_GAIN * (KEY_MARGIN - float(fits[own] - others.max())) / KEY_MARGIN
        self._homeward = min(max(self._homeward + short / 4, 0.0), 2.0)
        return self._homeward + max(short, 0.0)


def _crowded(heard: Passage) -> Vector:
    """Return by how much pitch classes are held back, shape (12,)."""
    late = heard.notes.pitch[heard.notes.onset >= heard.n_beats - LATELY_BEATS]
    share = np.bincount(late % 12, minlength=12) / max(len(late), LEAST_NOTES)
    return CROWDING_GAIN * np.maximum(share - MAX_PITCH_CLASS_SHARE, 0.0).round(6)


def _strayed(passage: Passage, share: float) -> float:
    """Return by how many semitones too much the last share of a passage lies off the rest."""
    is_late = passage.notes.onset >= passage.n_beats * (1.0 - share) - SAME_ONSET_BEATS
    if is_late.all() or not is_late.any():
        return 0.0
    off = float(passage.notes.pitch[is_late].mean() - passage.notes.pitch[~is_late].mean())
    return off - float(np.clip(off, -MAX_ENDING_OFFSET, MAX_ENDING_OFFSET))


class RepetitionBias:
    """Lead a bar along an earlier one: its notes, its rhythm and texture, its left hand.

    What leads are pairs of an id and one that followed it; onsets are led to from wherever the
    bar is, so that it may leave the other anywhere, and comes back.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, vocabulary = tokenizer, tokenizer.vocabulary
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
        for position, written, velocity, duration in self._tokenizer.struck(bar):
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
        for position, pitch, _, _ in self._tokenizer.struck(bar):
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
        self._repetition = RepetitionBias(tokenizer)
        self.levers = ControlDirections(tokenizer.vocabulary)
        moments = map(int, tokenizer.vocabulary.values("Position"))
        self._ternary = np.zeros(len(tokenizer.vocabulary) + 1, np.float32)
        self._ternary[tokenizer.vocabulary.kind_ids("Position")] = [
            TERNARY.get(moment % STEPS_PER_BEAT, 0.0) for moment in moments
        ]

    def steer(self, plan: ClipPlan) -> Steer | None:
        """Return what steers a clip, or None."""
        if self.response is None or not plan.request.steering:
            return None
        beats, gains = plan.metre.beats, ALONG_A_CURVE if plan.moves else BAR_BY_BAR
        whole = plan.in_c(plan.targets)
        goals = [whole | plan.in_c(plan.targets_in(bar)) for bar in range(plan.n_bars)]
        controller = FeedbackController(
            goals, self.response, weights=self._weights(plan), gains=gains, ends=plan.ends
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
            pulled, crowded = controller.pulls(bar, heard, in_major=is_major(about))
            bias = self.levers.bias(pulled, about, bar=bar, beats_per_bar=beats, crowded=crowded)
            if plan.metre.beat != 1 and not seen:
                bias[0] += self._ternary
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
        figured = written[-plan.figures[bar]] if plan.figures[bar] else []
        if len(figured) > len(HALVES):  # a given bar may hold its chords alone
            notes = self._notes(plan, [figured])
            notes = notes.where(hands_of(notes) == LEFT)
            if len(notes):
                steps = np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64)
                led.append(self._repetition.left_hand(steps, notes.pitch))
        return led

    def _notes(self, plan: ClipPlan, segments: Segments) -> Notes:
        """Return neighbouring bars as they are written, in C."""
        beats = plan.metre.beats
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
