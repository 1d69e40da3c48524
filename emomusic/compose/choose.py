"""Which of several candidates becomes the clip."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from emomusic.compose.clip import Clip
from emomusic.compose.realness import Realness
from emomusic.emotion import EmotionCurve
from emomusic.music.score import notes_of
from emomusic.verify.verifier import Verifier

WINDOW_BARS, MIN_NOTES = 4, 4
"""A curve is heard in windows of so many bars, those of fewer notes left out."""


REAL = 0.5
"""What a clip that is surely real gains over one that surely is not; to be surely heard in its
quadrant, and not at all, are 1 apart."""


@dataclass
class Candidates:
    """Gather the candidates of one clip."""

    n_wanted: int
    found: dict[int, Clip] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Tell whether all are there."""
        return len(self.found) == self.n_wanted

    def best(self, verifier: Verifier, realness: Realness | None) -> Clip:
        """Return the one that is heard best as what was asked, and is built most like music."""
        clips = [self.found[i] for i in sorted(self.found)]
        if len(clips) == 1:
            return clips[0]
        return max(clips, key=lambda clip: _merit(clip, verifier) + _music(clip, realness))


def _music(clip: Clip, realness: Realness | None) -> float:
    """Return what a clip gains for being built like real music, 0 to `REAL`."""
    if realness is None or clip.n_given:
        return 0.0
    beats = clip.request.beats_per_bar
    notes, n_beats = notes_of(clip.score), float(clip.n_bars * beats)
    return REAL * realness.of(notes, n_beats=n_beats, beats_per_bar=beats)


def _merit(clip: Clip, verifier: Verifier) -> float:
    """Return how well the verifier hears what was asked; the nearest by listeners' values."""
    request, verdict = clip.request, clip.verdict
    if request.curve is not None and request.curve.moves and not clip.n_given:
        return -_distance(clip, request.curve, verifier)
    if request.emotion is None:
        return 0.0
    valence, arousal = request.emotion.valence, request.emotion.arousal
    away = math.hypot(verdict.valence - valence, verdict.arousal - arousal)
    return verdict.probabilities[request.emotion.quadrant] - 0.1 * away


def _distance(clip: Clip, curve: EmotionCurve, verifier: Verifier) -> float:
    """Return the mean distance between a curve and what is heard along it; 2 where nothing is."""
    notes, beats = notes_of(clip.score), clip.request.beats_per_bar
    windows, asked = [], []
    for first in range(0, clip.n_bars, WINDOW_BARS):
        last = min(first + WINDOW_BARS, clip.n_bars)
        inside = notes.where((notes.onset >= first * beats) & (notes.onset < last * beats))
        if len(inside) >= MIN_NOTES:
            windows.append(inside)
            asked.append(curve.at((first + last) / 2))
    if not windows:
        return 2.0
    heard = verifier.verdicts(windows)
    pairs = zip(heard, asked, strict=True)
    away = [math.hypot(h.valence - a.valence, h.arousal - a.arousal) for h, a in pairs]
    return math.fsum(away) / len(away)
