"""What can be made of a clip: more of it, a variation, another mood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from emomusic.compose.clip import Clip
from emomusic.compose.parse import parse_key
from emomusic.compose.primer import Primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.emotion import CurvePoint, Emotion, EmotionCurve
from emomusic.music.score import dump_score

STEP = 0.4
RUN_ALONE = ("curve", "n_bars", "seconds", "n_kept", "time_signature")
"""What belongs to one run of a clip; the metre is that of its music."""
MOVES: Mapping[str, tuple[float, float]] = {
    "happier": (STEP, 0.0),
    "sadder": (-STEP, 0.0),
    "livelier": (0.0, STEP),
    "calmer": (0.0, -STEP),
}
"""What each move adds to valence and arousal."""


def continue_clip(clip: Clip, n_bars: int, *, emotion: Emotion | None = None) -> Request:
    """Return the request for so many bars that go on from a clip.

    They carry the emotion, or what the clip carries, at its end.
    """
    before = clip.request
    if emotion is None:
        emotion = before.emotion if before.curve is None else before.curve.points[-1].emotion
    best_of = 1 if emotion is None else before.best_of
    return _after(clip, CONTINUE, emotion=emotion, n_bars=n_bars, best_of=best_of)


def vary_clip(clip: Clip, *, take: int) -> Request:
    """Return the request for a clip's plan with the notes of a take, which take up its bars."""
    curve, candidate = clip.request.curve, clip.candidate
    return _after(clip, VARY, curve=curve, take=take, candidate=candidate, best_of=1)


def shift_clip(clip: Clip, move: str) -> Request:
    """Return the request for a clip in another mood, by one of `MOVES`.

    Raises:
        ValueError: If it was composed for none.
    """
    emotion, curve = clip.request.emotion, clip.request.curve
    if emotion is None:
        raise ValueError("the clip was composed for no emotion that could be moved")
    emotion = shift_emotion(emotion, move)
    if curve is not None:
        points = tuple(CurvePoint(p.bar, shift_emotion(p.emotion, move)) for p in curve.points)
        curve = EmotionCurve(points)
        emotion = curve.mean(clip.n_bars)
    return _after(clip, VARY, emotion=emotion, curve=curve, is_major=None, chords=None)


def shift_emotion(emotion: Emotion, move: str) -> Emotion:
    """Return an emotion a step away by one of `MOVES`, within the plane."""
    by_valence, by_arousal = MOVES[move]
    valence, arousal = emotion.valence + by_valence, emotion.arousal + by_arousal
    return Emotion(min(max(valence, -1.0), 1.0), min(max(arousal, -1.0), 1.0))


def _after(clip: Clip, use: str, **changes: Any) -> Request:
    """Return a clip's request with the clip as given music in its key, and some changes.

    What belongs to one run of it is left out: its length, metre, curve, bars, take and candidate.
    """
    tonic = parse_key(clip.key)[0]
    kept: dict[str, Any] = dict.fromkeys(RUN_ALONE)
    kept |= {"per_bar": {}, "take": 0, "candidate": 0, "tonic": tonic}
    written = None if clip.written is None else dump_score(clip.written)
    if use == VARY:
        kept["given"] = Primer(written or clip.midi, use, tonic)
    else:
        kept["given"] = Primer(clip.midi, use, tonic, written=written)
    return replace(clip.request, **(kept | changes))
