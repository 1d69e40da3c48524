"""From the options of a command, or the columns of a job's row, to what a clip is to be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emomusic.compose.asking.given import CONTINUE, VARY, Given
from emomusic.compose.asking.request import MAX_BARS, Request, make_emotion, parse_key
from emomusic.compose.asking.settings import Settings
from emomusic.emotion import Emotion, EmotionCurve, parse_curve
from emomusic.music.score import ScoreError, read_bytes
from emomusic.music.tokenizer import BEATS_PER_BAR

EMOTIONS = ("emotion", "valence", "arousal", "mix", "curve", "free")
"""They say what to feel, each in its way."""
LENGTHS = ("bars", "seconds")
MUSIC = ("continue", "vary")
SAME = ("seconds", "tempo", "temperature", "top_p", "guidance", "guided_bars", "steering",
        "two_hands", "chords", "best_of", "diversity", "take")  # fmt: skip
"""Called alike in a request."""
OPTIONS = (*EMOTIONS, *MUSIC, "bars", *SAME, "seed", "key", "time_signature", "set")


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings of the first clip that options ask for.

    Args:
        options: Values by the names of `OPTIONS`; what is missing or None takes its default.
            `set` is a mapping of attributes to values, `continue` and `vary` are paths.

    Raises:
        ValueError: If one is out of range, or they contradict each other.
    """
    given = {name: value for name, value in options.items() if value is not None}
    music = _music(given.get("continue"), given.get("vary"))
    curve = None if "curve" not in given else parse_curve(given["curve"])
    emotion = _emotion(given, curve, may_be_free=music is not None)
    tonic, is_major = parse_key(given["key"]) if "key" in given else (None, None)
    request = Request(
        emotion,
        curve=curve,
        given=music,
        n_bars=given.get("bars"),
        tonic=tonic,
        is_major=is_major,
        beats_per_bar=_beats(given.get("time_signature", "4/4")),
        fixed=given.get("set", {}),
        **{name: given[name] for name in SAME if name in given},
    )
    return Settings(request, given.get("seed", 0))


def _emotion(
    given: Mapping[str, Any], curve: EmotionCurve | None, *, may_be_free: bool
) -> Emotion | None:
    named = [given.get(name) for name in ("emotion", "valence", "arousal", "mix")]
    is_free = bool(given.get("free", False))
    says_nothing = all(value is None for value in named)
    if curve is None:
        return make_emotion(*named, free=is_free or (may_be_free and says_nothing))
    if is_free or not says_nothing:
        raise ValueError("a curve says what to feel: give no other emotion")
    n_bars = given.get("bars", curve.n_bars)
    return curve.mean(n_bars if 1 <= n_bars <= MAX_BARS else curve.n_bars)


def _beats(time_signature: str) -> int:
    known = {f"{beats}/4": beats for beats in BEATS_PER_BAR}
    if time_signature not in known:
        raise ValueError(
            f"time_signature must be one of {', '.join(known)}, got {time_signature!r}"
        )
    return known[time_signature]


def _music(continued: Path | str | None, varied: Path | str | None) -> Given | None:
    """Return the music of a file that is to be continued or varied."""
    if continued is not None and varied is not None:
        raise ValueError("give --continue or --vary, not both")
    path = continued or varied
    if path is None:
        return None
    try:
        return Given(read_bytes(Path(path)), CONTINUE if continued else VARY)
    except ScoreError as error:
        raise ValueError(f"{path}: {error}") from error
