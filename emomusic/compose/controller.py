"""The feedback controller: what is measured of the bars so far moves the levers of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.directions import LEVER_REACH, LEVERS, Response
from emomusic.music.attributes import measure
from emomusic.music.key import key_correlations
from emomusic.music.passage import SAME_ONSET_BEATS, Passage
from emomusic.music.tokenizer import ENDING_BARS

Vector = NDArray[np.float64]
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
    ) -> None:
        """Solve for the levers once.

        Args:
            goals: Attribute values aimed at in each bar, as written in C, of the same attributes
                in all; what is not named is free.
            response: Of the checkpoint.
            weights: How much each attribute matters.
            gains: How goals that change from bar to bar are followed.
        """
        names = [n for n in response.attributes if n in goals[0] and n not in SET_BY_ITSELF]
        self._names = names
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

    def pulls(self, bar: int, heard: Passage | None, *, is_major: bool) -> tuple[Vector, Vector]:
        """Return how far each lever is pulled for a bar; each bar is asked for once, in order.

        Args:
            bar: Which one.
            heard: The last bars before it, as written in C, at most as many as the gains say;
                None before the first.
            is_major: The mode that the bar is to have.

        Returns:
            Shape (n_levers,), and what is taken off each pitch class, shape (12,).
        """
        pulled, crowded = self._pull(self._foreseen(bar)), np.zeros(12)
        if heard is not None:
            correction = self._corrected(pulled, measure_written(heard, self._names), bar)
            n_ending = bar - (len(self._goals) - ENDING_BARS)
            if n_ending >= 0:
                correction[np.isin(LEVERS, STAY_IN_ENDING)] = 0.0
                share = n_ending / min(bar, self._gains.window)
                correction[LEVERS.index("higher")] -= ENDING_GAIN * _strayed(heard, share)
            pulled = pulled + correction
            pulled[LEVERS.index("at_home")] += self._home(heard, is_major=is_major)
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

    def _home(self, heard: Passage, *, is_major: bool) -> float:
        """Return the pull away from keys that would be taken for the one asked for."""
        if not self._has_mode:
            return 0.0
        fits, own = key_correlations(heard.notes), (int(not is_major), 0)
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
