"""Compose piano music for an emotion, and show that the emotion is in it.

What `__all__` names is for programs (`docs/python.md`): it keeps working until the next major
version. A name is loaded when it is first asked for, so that `import emomusic` costs nothing.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"
__all__ = [
    "CheckpointError",
    "Clip",
    "Composer",
    "Emotion",
    "EmotionCurve",
    "EngineError",
    "Given",
    "Request",
    "ScoreError",
    "Verdict",
    "Verifier",
    "__version__",
    "emotion_names",
    "find_emotion",
    "hear",
    "parse_curve",
    "parse_mix",
]

if TYPE_CHECKING:
    from emomusic.compose.checkpoint import hear
    from emomusic.compose.clip import Clip
    from emomusic.compose.composer import Composer
    from emomusic.compose.primer import Given
    from emomusic.compose.request import Request
    from emomusic.emotion import (
        Emotion,
        EmotionCurve,
        emotion_names,
        find_emotion,
        parse_curve,
        parse_mix,
    )
    from emomusic.model.checkpoint import CheckpointError
    from emomusic.model.engine import EngineError
    from emomusic.music.score import ScoreError
    from emomusic.verify.verifier import Verdict, Verifier
else:
    _HOME = {
        "CheckpointError": "model.checkpoint",
        "Clip": "compose.clip",
        "Composer": "compose.composer",
        "EngineError": "model.engine",
        "Given": "compose.primer",
        "Request": "compose.request",
        "ScoreError": "music.score",
        "Verdict": "verify.verifier",
        "Verifier": "verify.verifier",
        "hear": "compose.checkpoint",
    }

    def __getattr__(name):
        """Load a name of `__all__`."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(import_module(f"{__name__}.{_HOME.get(name, 'emotion')}"), name)
        globals()[name] = found
        return found

    def __dir__():
        """Return what is there, loaded or not."""
        return sorted({*globals(), *__all__})
