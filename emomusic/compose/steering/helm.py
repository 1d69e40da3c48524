"""The helm: after each bar, what was asked less what is heard so far moves the levers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.steering.hearing import Heard, Listen, hear
from emomusic.compose.steering.levers import LEVERS, Centre, Levers
from emomusic.compose.steering.response import Response
from emomusic.model.engine import Lean
from emomusic.model.grammar import Segments
from emomusic.music.passage import SAME_ONSET_BEATS, Passage
from emomusic.music.tokenizer import ENDING_BARS

Vector = NDArray[np.float64]
GIVEN = frozenset({"tempo"})
REACH = {
    "soon": 0.8, "bar_ends": 0.7, "on_eighths": 0.7, "on_sixteenths": 0.8, "on_triplets": 0.8,
    "fuller": 0.7, "higher": 0.7, "wider": 0.3, "major": 0.7, "clear": 0.6, "at_home": 0.5,
    "outside": 0.8, "major_chords": 0.7, "louder": 0.6, "swell": 0.7, "longer": 0.5,
    "unequal": 0.3,
}  # fmt: skip
"""How far each lever is easily pulled: in the solution it costs alike at this."""
MOST = 1.25
"""Times its reach that a lever is pulled at most."""
COST, DEAF = 0.6, 0.1
WINDOW = 16
"""So many bars are listened back to: what was long ago is neither mended nor paid for."""
ADDED = 0.25
"""How much of what is missed adds up from bar to bar, of harmony and what is asked for by itself.
Else nothing adds up: density and register would drift, and the end of a clip lie elsewhere."""
MAX_ERROR, MAX_SUM = 2.0, 3.0
FIRM, FIRMER = 4.0, 4.0
"""From what weight on the feedback does more, and how much."""
HELD = ("higher", "wider")
"""Levers that correct nothing in the last bars: an ending stays where the music is."""
STRAYED, STAY = 3.0, 0.12
"""Semitones by which an ending may lie off the bars before it, and the pull back for each more."""
HOME, HOMEWARD = 0.12, 0.25
REACHED = {"mode": 0.3}
"""Beyond this another key would be found: a goal that cannot be reached moves to the nearest."""
CROWDED, CROWDING = 0.26, 10.0
"""A pitch class that has more than this share of the last bars is held back, in nats a share: what
leans to few pitch classes takes after itself, and would end on one."""
EXACT = 256.0
"""Levers are rounded to this part, so that a clip does not depend on how a CPU adds up."""


@dataclass(frozen=True)
class Turns:
    """Say how goals that change from bar to bar are followed.

    Attributes:
        pulled: How much more they are pulled for: a single bar gives way less than a clip.
        most: Standard deviations that are pulled for at most.
        reach: Times its reach that a lever is pulled at most.
        calm: How much of what is heard is fed back.
        harmony: How much more mode and chords are pulled for, which carry valence.
        window: So many bars are listened back to.
    """

    pulled: float
    most: float
    reach: float
    calm: float
    harmony: float = 0.0
    window: int = WINDOW


ABRUPT = Turns(5.0, 10.0, 6.0, 0.5)
SMOOTH = Turns(2.0, 6.0, MOST, 1.0, harmony=5.0, window=6)
"""For bars that are asked for one by one, and for a curve, which has time to arrive."""
HARMONIC = frozenset({"mode", "chord_mode"})


class Helm:
    """Steer one clip; call it with the bars so far for what the next one leans to.

    The levers are solved for by least squares from the response measured on the checkpoint: as
    little as does it. Bar by bar, what is heard so far corrects them (proportional and integral
    feedback), whatever the reason for the difference: so a model that half listens still arrives.
    Where a lever is at its limit, what it is pulled for is not added up any further.

    Reference: the smallest change of a distribution that moves a mean is an exponential tilt;
    a lever is one of the logits. The feedback is that of a PI controller.
    """

    def __init__(
        self,
        goals: Mapping[str, Sequence[float]],
        response: Response,
        levers: Levers,
        listen: Listen,
        *,
        n_bars: int,
        centres: Sequence[Centre],
        weights: Mapping[str, float],
        turns: Turns = ABRUPT,
    ) -> None:
        """Set the course.

        Args:
            goals: Attribute values aimed at in each bar, as written in C, as many as bars; what
                is not named is free.
            response: Of the checkpoint.
            levers: Of its vocabulary and the metre.
            listen: Returns the bars it is given, the last ones so far.
            n_bars: Length of the clip.
            centres: What the levers of each bar turn about, as many as bars.
            weights: How much each attribute matters.
            turns: How goals that change from bar to bar are followed.
        """
        names = [name for name in response.attributes if name in goals and name not in GIVEN]
        self._names, self._own = names, response.columns(names)
        own = self._own
        self._levers, self._listen = levers, listen
        self._scale = response.scale[own]
        self._goals = np.array([_reached(name, goals[name]) for name in names])
        self._goals = self._goals.reshape(len(names), n_bars).T
        self._has_mode = "mode" in goals
        reach = np.array([REACH[name] for name in LEVERS])
        slopes = response.pulled[own] * reach
        heeds = (slopes**2).sum(axis=1)
        matters = np.array([weights[name] for name in names])
        self._weight = heeds / (heeds + DEAF) * matters
        self._firm = np.where(matters >= FIRM, FIRMER, 1.0)
        slopes = slopes * self._weight[:, None]
        gram = slopes.T @ slopes + COST * np.eye(len(LEVERS))
        self._solve = (reach[:, None] * np.linalg.solve(gram, slopes.T)).round(6)
        varies = np.ptp(self._goals, axis=0) > 0
        self._most = (turns.reach if varies.any() else MOST) * reach
        self._calm = np.where(varies, turns.calm, 1.0)
        self._turns = turns
        firmly = np.isin(names, sorted(HARMONIC)) | (matters >= FIRM) | varies
        self._added = np.where(firmly, ADDED, 0.0)
        self._pulled = turns.pulled + turns.harmony * np.isin(names, sorted(HARMONIC))
        self._response = response
        # The lever that does most for each attribute, and in which direction.
        self._strongest = np.abs(self._solve / reach[:, None]).argmax(axis=0)
        self._sign = np.sign(self._solve[self._strongest, np.arange(len(names))])
        self._sum = np.zeros(len(names))
        self._homeward = 0.0
        self._centres = centres
        self._last: tuple[int, Lean] | None = None

    def _pull(self, error: Vector) -> Vector:
        """Return the levers that take away an error in standard deviations."""
        moved: Vector = (self._solve * (self._weight * error)).sum(axis=1)
        return moved

    def __call__(self, segments: Segments) -> Lean:
        """Return what the next bar leans to."""
        n = len(segments)
        if self._last is None or self._last[0] != n:
            pulled, crowded = self._pull(self._course(n)), None
            if n:
                passage = self._listen(segments[-self._turns.window :])
                heard = hear(passage, self._names)
                correction = self._corrected(pulled, heard, n)
                n_ending = n - (len(self._goals) - ENDING_BARS)
                if n_ending >= 0:
                    correction[[LEVERS.index(name) for name in HELD]] = 0.0
                    share = n_ending / min(n, self._turns.window)
                    correction[LEVERS.index("higher")] -= STAY * _strayed(passage, share)
                pulled = pulled + correction
                pulled[LEVERS.index("at_home")] += self._home(heard, n)
                crowded = CROWDING * np.maximum(heard.lately - CROWDED, 0.0).round(6)
            pulled = np.clip(pulled, -self._most, self._most)
            exact = (pulled * EXACT).round() / EXACT
            self._last = n, Lean(self._levers.bias(exact, self._centres[n], bar=n, crowded=crowded))
        return self._last[1]

    def _course(self, bar: int) -> Vector:
        """Return by how much the model would miss a bar's goals, in standard deviations."""
        r, own = self._response, self._own
        asked = np.zeros(len(r.attributes))
        asked[own] = (self._goals[bar] - r.mean[own]) / self._scale
        expected = r.start + (r.asked * asked).sum(axis=1)
        turn = self._pulled * (self._goals[bar] - self._goals.mean(axis=0)) / self._scale
        steady = np.clip(asked[own] - expected[own], -MAX_SUM, MAX_SUM)
        missed: Vector = np.clip(steady + turn, -self._turns.most, self._turns.most)
        return missed

    def _corrected(self, pulled: Vector, heard: Heard, n: int) -> Vector:
        """Return what is added to the levers for the difference that is heard.

        Args:
            pulled: The levers without it.
            heard: The last bars.
            n: Bars so far.
        """
        goals = self._goals[max(n - self._turns.window, 0) : n].mean(axis=0)
        error = (goals - heard.values) / self._scale
        largest = MAX_ERROR * self._firm
        error = np.clip(error, -largest, largest) * n / (n + 2.0) * self._calm
        correction = self._pull(self._firm * error + self._sum)
        at = self._strongest
        full = np.abs(pulled + correction)[at] >= self._most[at]
        full &= np.sign(pulled + correction)[at] == self._sign * np.sign(error)
        most = MAX_SUM * self._firm
        self._sum = np.clip(self._sum + np.where(full, 0.0, self._added * error), -most, most)
        return correction

    def _home(self, heard: Heard, bar: int) -> float:
        """Return the pull away from keys that would be taken for the one asked for."""
        if not self._has_mode:
            return 0.0
        short = HOME - heard.at_home(is_major=self._centres[bar].is_major)
        self._homeward = min(max(self._homeward + HOMEWARD * short / HOME / 4, 0.0), 2.0)
        return self._homeward + max(HOMEWARD * short / HOME, 0.0)


def _strayed(passage: Passage, share: float) -> float:
    """Return by how many semitones too much the last share of a passage lies off the rest."""
    is_late = passage.notes.onset >= passage.n_beats * (1.0 - share) - SAME_ONSET_BEATS
    if is_late.all() or not is_late.any():
        return 0.0
    off = float(passage.notes.pitch[is_late].mean() - passage.notes.pitch[~is_late].mean())
    return off - float(np.clip(off, -STRAYED, STRAYED))


def _reached(name: str, goals: Sequence[float]) -> Vector:
    most = REACHED.get(name, np.inf)
    reached: Vector = np.clip(np.array(goals, np.float64), -most, most)
    return reached
