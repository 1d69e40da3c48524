"""The settings of a clip as a file: what brings the same clip back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import emomusic
from emomusic.compose.asking.given import Given
from emomusic.compose.asking.request import Request
from emomusic.compose.clip import Clip
from emomusic.emotion import CurvePoint, Emotion, EmotionCurve
from emomusic.files import UNREADABLE
from emomusic.music.key import TONIC_NAMES, parse_tonic

FORMAT = "emomusic settings 1"
MAX_CHARACTERS = 16 * 2**20
MAX_NAME, MAX_TOLD = 4_000, 600
MAX_SEED = 2**63 - 1
_PLAIN = ("seconds", "tempo", "temperature", "top_p", "guidance", "guided_bars", "steering",
          "two_hands", "chords", "best_of", "diversity", "take", "candidate")  # fmt: skip
_KEYS = {"format", "version", "checkpoint", "seed", "index", "emotion", "curve", "given", "bars",
         "kept_bars", "key", "mode", "time_signature", "set", "bar_by_bar", *_PLAIN}  # fmt: skip


class SettingsError(ValueError):
    """Tell in one line why settings cannot be used."""


@dataclass(frozen=True)
class Settings:
    """Hold all that a clip follows from, but the checkpoint's own files.

    Attributes:
        request: What was asked for.
        seed: Of the run.
        index: The clip's number in the run.
        checkpoint: Name of the checkpoint; None if it is not known.
    """

    request: Request
    seed: int
    index: int = 0
    checkpoint: str | None = None

    @classmethod
    def of(cls, clip: Clip) -> Settings:
        """Return the settings of a clip."""
        return cls(clip.request, clip.seed, clip.index, clip.checkpoint)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        r = self.request
        values = {
            "format": FORMAT,
            "version": emomusic.__version__,
            "checkpoint": self.checkpoint,
            "seed": self.seed,
            "index": self.index,
            "emotion": None if r.emotion is None else _point(r.emotion),
            "curve": None
            if r.curve is None
            else [{"bar": p.bar, **_point(p.emotion)} for p in r.curve.points],
            "given": None if r.given is None else _music(r.given),
            "bars": r.n_bars,
            "kept_bars": r.n_kept,
            "key": None if r.tonic is None else TONIC_NAMES[r.tonic],
            "mode": None if r.is_major is None else "major" if r.is_major else "minor",
            "time_signature": f"{r.beats_per_bar}/4",
            "set": dict(r.fixed),
            "bar_by_bar": {name: list(values) for name, values in r.per_bar.items()},
            **{name: getattr(r, name) for name in _PLAIN},
        }
        return {name: value for name, value in values.items() if value not in (None, {})}

    def to_json(self) -> str:
        """Return the text of a settings file."""
        return json.dumps(self.to_dict(), indent=1) + "\n"


def numbered(requests: Iterable[Request], seed: int, start: int = 0) -> Iterator[Settings]:
    """Yield the settings of the clips of one run, numbered from `start` on."""
    return (Settings(request, seed, index) for index, request in enumerate(requests, start))


def parse_settings_file(text: str) -> Settings:
    """Return the settings that a text holds.

    Raises:
        SettingsError: If it is no settings file, or a value is out of its range.
    """
    if len(text) > MAX_CHARACTERS:
        raise SettingsError(f"settings are at most {MAX_CHARACTERS // 2**20} MiB long")
    try:
        values = json.loads(text, parse_constant=_refused)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"they do not say that they are {FORMAT}")
        unknown = sorted(set(values) - _KEYS)
        if unknown:
            raise ValueError(
                f"unknown are {', '.join(unknown)[:80]}; known: {', '.join(sorted(_KEYS))}"
            )
        return _settings(values)
    except UNREADABLE as error:
        told = str(error) if isinstance(error, ValueError) else "a value is of the wrong kind"
        told = " ".join(told.split())[:MAX_TOLD]
        raise SettingsError(f"these settings cannot be used: {told}") from error


def _settings(values: Mapping[str, Any]) -> Settings:
    given, curve, emotion = values.get("given"), values.get("curve"), values.get("emotion")
    tonic = None if values.get("key") is None else parse_tonic(values["key"])
    request = Request(
        None if emotion is None else _emotion(emotion),
        curve=None if curve is None else _curve(curve),
        given=None if given is None else _given(given),
        n_bars=_whole(values, "bars"),
        n_kept=_whole(values, "kept_bars"),
        tonic=tonic,
        is_major=_choice(values, "mode", {"major": True, "minor": False}),
        beats_per_bar=_choice(values, "time_signature", {"2/4": 2, "3/4": 3, "4/4": 4}) or 4,
        fixed={str(name): _number(value) for name, value in values.get("set", {}).items()},
        per_bar={
            str(name): tuple(map(_number, own))
            for name, own in values.get("bar_by_bar", {}).items()
        },
    )
    plain = {name: values[name] for name in _PLAIN if values.get(name) is not None}
    wholes = {"best_of", "guided_bars", "take", "candidate"}
    for name, value in plain.items():
        if name in {"steering", "two_hands"}:
            if value is not True and value is not False:
                raise ValueError(f"{name} must be true or false, got {value!r}")
        elif name == "chords":
            if type(value) is not str or len(value) > MAX_NAME:
                raise ValueError(f"chords must be names of chords, got {str(value)[:40]!r}")
        else:
            plain[name] = _whole(plain, name) if name in wholes else _number(value)
    seed, index = _whole(values, "seed"), _whole(values, "index") or 0
    if seed is None or not 0 <= seed <= MAX_SEED or not 0 <= index <= MAX_SEED:
        raise ValueError(f"seed and index must be whole numbers in 0 to {MAX_SEED}")
    checkpoint = values.get("checkpoint")
    if checkpoint is not None and (type(checkpoint) is not str or len(checkpoint) > MAX_NAME):
        raise ValueError(f"checkpoint must be a name, got {str(checkpoint)[:40]!r}")
    return Settings(replace(request, **plain), seed, index, checkpoint)


def _point(emotion: Emotion) -> dict[str, Any]:
    point = {"valence": emotion.valence, "arousal": emotion.arousal, "name": emotion.name}
    return {name: value for name, value in point.items() if value is not None}


def _emotion(values: Mapping[str, Any]) -> Emotion:
    name = values.get("name")
    if name is not None and len(name) > MAX_NAME:
        raise ValueError(f"a name is at most {MAX_NAME} characters long")
    return Emotion(_number(values["valence"]), _number(values["arousal"]), name)


def _curve(points: list[Mapping[str, Any]]) -> EmotionCurve:
    return EmotionCurve(tuple(CurvePoint(_number(p["bar"]), _emotion(p)) for p in points))


def _given(values: Mapping[str, Any]) -> Given:
    tonic = None if values.get("key") is None else parse_tonic(values["key"])
    return Given(base64.b64decode(values["midi"], validate=True), values["use"], tonic)


def _music(given: Given) -> dict[str, Any]:
    key = {} if given.tonic is None else {"key": TONIC_NAMES[given.tonic]}
    return {"use": given.use, "midi": base64.b64encode(given.midi).decode(), **key}


def _choice(values: Mapping[str, Any], name: str, known: Mapping[str, Any]) -> Any:
    value = values.get(name)
    if value is None:
        return None
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return known[value]


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"a number is expected, got {str(value)[:40]!r}")
    return float(value)


def _whole(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise ValueError(f"{name} must be a whole number, got {str(value)[:40]!r}")
    return value


def _refused(text: str) -> float:
    raise ValueError(f"numbers must be finite, got {text}")
