"""The one endpoint for programs."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from emomusic.compose.asking.request import Request, make_emotion, parse_key
from emomusic.compose.asking.settings import Settings
from emomusic.compose.composer import Composer
from emomusic.emotion import parse_curve
from emomusic.files import write_atomically
from emomusic.music.score import dump_score
from emomusic.verify.timeline import explain_score

MAX_API_BARS = 128
MAX_TEXT = 4_000
N_FILES = 64
"""So many answers' files are there at once; gradio copies each as soon as it is answered."""


class Tray:
    """Hold the files of the last answers; those before make room."""

    def __init__(self) -> None:
        """Make a folder that goes with the tray."""
        self._folder = tempfile.TemporaryDirectory(prefix="emomusic_")
        self._numbers = itertools.count()

    def put(self, data: bytes) -> dict[str, Any]:
        """Write a MIDI file that gradio takes into its cache, and serves from there alone.

        Raises:
            gr.Error: If it cannot be written.
        """
        place = Path(self._folder.name) / str(next(self._numbers) % N_FILES)
        path = place / "emomusic.mid"
        try:
            place.mkdir(exist_ok=True)
            write_atomically(path, lambda file: file.write(data))
        except OSError as error:
            told = f"The file cannot be written: {error.strerror or error}."
            raise gr.Error(told, print_exception=False) from error
        return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def endpoint(composer: Composer) -> Callable[..., dict[str, Any]]:
    """Return the function that programs call."""
    tray = Tray()

    def compose(
        emotion: str = "",
        valence: float | None = None,
        arousal: float | None = None,
        curve: str = "",
        bars: int = 16,
        tempo: float | None = None,
        key: str = "",
        time_signature: str = "4/4",
        attributes: dict[str, float] | None = None,
        best_of: int = 1,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Compose a piano piece for an emotion, and tell which emotion is heard in it.

        Args:
            emotion: A named emotion such as nostalgia, Q1 to Q4, or a mixture such as
                "nostalgia:0.7 hope:0.3"; empty if valence and arousal or a curve are given.
            valence: Unpleasant -1 to pleasant 1, together with arousal.
            arousal: Calm -1 to excited 1.
            curve: An emotion that moves over the bars, such as "0:calm 8:tense 16:relief".
            bars: Length, 1 to 128.
            tempo: Quarter notes a minute, 20 to 300; none lets the emotion decide.
            key: Such as D, "F# minor" or Bbm; empty draws one.
            time_signature: 4/4 or 3/4.
            attributes: Musical attributes to fix, such as {"register": 70}.
            best_of: Candidates among which the verifier keeps one, 1 to 16; 1 is the first draw.
            seed: The same seed gives the same piece; 0 to 2**53 - 1.

        Returns:
            `midi`: the MIDI file; `card`: what was asked and what is heard; `settings`: what
            brings the same piece back.
        """
        try:
            request = _request(
                emotion, valence, arousal, curve, bars, tempo, key, time_signature, attributes,
                best_of,
            )  # fmt: skip
            (clip,) = composer.compose(request, seed=_whole("seed", seed, 0, 2**53 - 1))
        except (TypeError, ValueError, OverflowError) as error:
            raise gr.Error(f"{error}.", print_exception=False) from error
        explanation, _ = explain_score(clip.score, composer.verifier)
        return {
            "midi": tray.put(dump_score(clip.score)),
            "card": {**clip.card(), "explanation": explanation.sentence},
            "settings": Settings.of(clip).to_dict(),
        }

    return compose


def _request(
    emotion: Any,
    valence: Any,
    arousal: Any,
    curve: Any,
    bars: Any,
    tempo: Any,
    key: Any,
    time_signature: Any,
    attributes: Any,
    best_of: Any,
) -> Request:
    """Return the request; what programs send is checked here, types too."""
    texts = {"emotion": emotion, "curve": curve, "key": key, "time_signature": time_signature}
    emotion, curve, key, time_signature = (_text(name, text) for name, text in texts.items())
    if time_signature not in ("4/4", "3/4"):
        raise ValueError(f"time_signature must be 4/4 or 3/4, got {time_signature!r:.40}")
    n_bars = _whole("bars", bars, 1, MAX_API_BARS)
    moving = parse_curve(curve) if curve else None
    if moving is not None:
        if emotion or valence is not None or arousal is not None:
            raise ValueError("a curve says what to feel: give no other emotion")
        felt = moving.mean(n_bars)
    else:
        is_mixed = ":" in emotion
        found = make_emotion(
            emotion if emotion and not is_mixed else None,
            _number("valence", valence),
            _number("arousal", arousal),
            emotion if is_mixed else None,
        )
        assert found is not None  # only `free` gives none
        felt = found
    tonic, is_major = parse_key(key) if key else (None, None)
    return Request(
        felt,
        curve=moving,
        n_bars=n_bars,
        tempo=_number("tempo", tempo),
        tonic=tonic,
        is_major=is_major,
        beats_per_bar=int(time_signature[0]),
        fixed=_table(attributes),
        best_of=_whole("best_of", best_of, 1, 16),
    )


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if type(value) is not str or len(value) > MAX_TEXT:
        raise ValueError(f"{name} must be a text of at most {MAX_TEXT} characters")
    return value.strip()


def _number(name: str, value: Any) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise ValueError(f"{name} must be a number, got {value!r:.40}")
    try:
        return None if value is None else float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be a number of common size") from error


def _whole(name: str, value: Any, low: int, high: int) -> int:
    is_whole = type(value) is int or (type(value) is float and value.is_integer())
    if not is_whole or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number in [{low}, {high}], got {value!r:.40}")
    return int(value)


def _table(attributes: Any) -> dict[str, float]:
    if attributes is None:
        return {}
    if type(attributes) is not dict or len(attributes) > 64:
        raise ValueError("attributes must be a table of names and numbers")
    found = {str(name)[:64]: _number(str(name)[:64], v) for name, v in attributes.items()}
    return {name: value for name, value in found.items() if value is not None}
