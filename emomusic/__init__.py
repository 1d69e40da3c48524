"""Compose piano music for an emotion, and show that the emotion is in it.

What `__all__` names is for programs (`docs/python.md`): it keeps working until the next major
version. A name is loaded when it is first asked for, so that `import emomusic` costs nothing.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"
_HOME = {
    "CheckpointError": "model.checkpoint",
    "Clip": "compose.clip",
    "Composer": "compose.composer",
    "Emotion": "emotion",
    "EmotionCurve": "emotion",
    "EngineError": "model.engine",
    "Given": "compose.primer",
    "Request": "compose.request",
    "ScoreError": "music.score",
    "Verdict": "verify.verifier",
    "Verifier": "verify.verifier",
    "emotion_names": "emotion",
    "find_emotion": "emotion",
    "hear": "compose.checkpoint",
    "parse_curve": "emotion",
    "parse_mix": "emotion",
}
__all__ = [*_HOME, "__version__"]

if TYPE_CHECKING:
    from emomusic.compose.checkpoint import hear as hear
    from emomusic.compose.clip import Clip as Clip
    from emomusic.compose.composer import Composer as Composer
    from emomusic.compose.primer import Given as Given
    from emomusic.compose.request import Request as Request
    from emomusic.emotion import Emotion as Emotion
    from emomusic.emotion import EmotionCurve as EmotionCurve
    from emomusic.emotion import emotion_names as emotion_names
    from emomusic.emotion import find_emotion as find_emotion
    from emomusic.emotion import parse_curve as parse_curve
    from emomusic.emotion import parse_mix as parse_mix
    from emomusic.model.checkpoint import CheckpointError as CheckpointError
    from emomusic.model.engine import EngineError as EngineError
    from emomusic.music.score import ScoreError as ScoreError
    from emomusic.verify.verifier import Verdict as Verdict
    from emomusic.verify.verifier import Verifier as Verifier
else:

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        return found

    def __dir__():
        return sorted({*globals(), *__all__})
