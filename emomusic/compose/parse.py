"""From words to what a clip follows from: options, rows, settings files."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import emomusic
from emomusic.compose.fields import (
    MAX_TEXT,
    Door,
    Field,
    Kind,
    described,
    make_plain,
    offered,
    shown,
    spec_field,
)
from emomusic.compose.request import AUTO, CALL, CONTINUE, FORMATS, INFILL, VALUES, VARY, Request
from emomusic.emotion import CurvePoint, Emotion, EmotionCurve, find_emotion, parse_curve, parse_mix
from emomusic.emotion.space import refusal
from emomusic.files import UNREADABLE, decode_text

if TYPE_CHECKING:
    from emomusic.compose.clip import Clip
    from emomusic.compose.primer import Primer

FORMAT = "emomusic settings 1"
MAX_CHARACTERS = 16 * 2**20
MAX_SEED = 2**63 - 1
LARGEST_SAFE_SEED = 2**53 - 1
"""JavaScript, and so the page and many readers of JSON, know no larger whole numbers."""
MODES = ("major", "minor")


@dataclass(frozen=True)
class ClipSpec:
    """Hold all that a clip follows from, but the checkpoint's own files.

    Attributes:
        request: What was asked for.
        seed: Of the run.
        index: The clip's number in the run.
        checkpoint: Name of the checkpoint; None if it is not known.
    """

    request: Request
    # fmt: off
    seed: int = spec_field(
        0, Kind.WHOLE, "Same seed, same clips.", bounds=(0, MAX_SEED),
        doors=CALL | Door.FILE | Door.PAGE, studio=(0, LARGEST_SAFE_SEED, 1))
    # fmt: on
    index: int = spec_field(0, Kind.WHOLE, bounds=(0, MAX_SEED), doors=Door.FILE)
    checkpoint: str | None = spec_field(None, Kind.TEXT, doors=Door.FILE)

    def __post_init__(self) -> None:
        make_plain(self)
        if not isinstance(self.request, Request):
            hint = "a Request, such as Request(find_emotion('joy'))"
            raise refusal("request", hint, self.request)

    @classmethod
    def of(cls, clip: Clip) -> ClipSpec:
        """Return what a clip followed from."""
        return cls(clip.request, clip.seed, clip.index, clip.checkpoint)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a settings file, those that say something."""
        from emomusic.music.key import TONIC_NAMES

        request, curve, given = self.request, self.request.curve, self.request.given
        music: dict[str, Any] = {}
        if given is not None:
            music = {"use": given.use, "midi": base64.b64encode(given.midi).decode()}
            music |= {} if given.tonic is None else {"key": TONIC_NAMES[given.tonic]}
            music |= {} if given.grid == AUTO else {"grid": given.grid}
            music |= {name: own for name in ("at", "lock") if (own := getattr(given, name))}
            if given.written is not None:
                music["written"] = base64.b64encode(given.written).decode()
        values: dict[str, Any] = {
            "format": FORMAT,
            "version": emomusic.__version__,
            "checkpoint": self.checkpoint,
            "seed": self.seed,
            "index": self.index,
            "emotion": None if request.emotion is None else _point(request.emotion),
            "curve": curve and [{"bar": p.bar, **_point(p.emotion)} for p in curve.points],
            "given": music,
            "bars": request.n_bars,
            "kept_bars": request.n_kept,
            "key": None if request.tonic is None else TONIC_NAMES[request.tonic],
            "mode": None if request.is_major is None else MODES[not request.is_major],
            "set": dict(request.fixed),
            "bar_by_bar": {name: list(column) for name, column in request.per_bar.items()},
        }
        values |= {
            name: getattr(request, name)
            for name, own in VALUES.items()
            if own.name == name and Door.FILE in own.doors
        }
        return {name: value for name, value in values.items() if value not in (None, {})}

    def to_json(self) -> str:
        """Return the text of a settings file."""
        return json.dumps(self.to_dict(), indent=1) + "\n"


def number_specs(requests: Iterable[Request], seed: int, start: int = 0) -> Iterator[ClipSpec]:
    """Yield what the clips of one run follow from, numbered from `start` on."""
    if not isinstance(requests, Iterable):
        raise refusal("requests", "a list or the like of them", requests)
    return (ClipSpec(request, seed, index) for index, request in enumerate(requests, start))


# Options and rows

COUNT = Field(Kind.WHOLE, "Clips.", name="count", bounds=(1, 10_000_000), default=1)
OPTIONS = offered(Door.OPTION, Request, ClipSpec) | {COUNT.name: COUNT}
"""What `emomusic generate` lets be asked of a clip, by the name that rows use."""
ROW = offered(Door.ROW, Request, ClipSpec)
ENDPOINT = offered(Door.ENDPOINT, Request, ClipSpec)
PAGE = offered(Door.PAGE, Request, ClipSpec)


def spec_from_options(options: Mapping[str, Any]) -> ClipSpec:
    """Return what the first clip that options ask for follows from.

    Args:
        options: Values by the names of `ROW`; what is missing or None takes its default. `set` is
            a mapping of attributes to values, `continue`, `vary` and `infill` are paths.

    Raises:
        ValueError: If one is out of range, or they contradict each other.
    """
    said = {name: ROW[name].read(own) for name, own in options.items() if own is not None}
    music = _read_music(said)
    emotion, curve = _emotion_and_curve(said, has_music=music is not None)
    tonic, is_major = parse_key(said["key"]) if "key" in said else (None, None)
    plain = {own: said[value.name] for own, value in VALUES.items() if value.name in said}
    request = Request(
        emotion,
        curve=curve,
        given=music,
        tonic=tonic,
        is_major=is_major,
        fixed=said.get("set", {}),
        **plain,
    )
    return ClipSpec(request, said.get("seed", 0))


def _emotion_and_curve(
    said: Mapping[str, Any], *, has_music: bool
) -> tuple[Emotion | None, EmotionCurve | None]:
    """Return the emotion that is asked for, and how it moves; a curve's mean stands for it.

    Where music is given nothing need be said.
    """
    valence, arousal, is_free = said.get("valence"), said.get("arousal"), said.get("free", False)
    is_point = valence is not None or arousal is not None
    n_ways = sum(("emotion" in said, is_point, "mix" in said, is_free))
    if "curve" in said:
        if n_ways:
            raise ValueError("a curve says what to feel: give no other emotion")
        curve = parse_curve(said["curve"])
        return curve.mean(said.get("bars", curve.n_bars)), curve
    if n_ways > 1:
        raise ValueError(
            "give one of --emotion, --valence with --arousal, --mix, --curve and --free"
        )
    if "emotion" in said:
        return find_emotion(said["emotion"]), None
    if "mix" in said:
        return parse_mix(said["mix"]), None
    if is_free or (has_music and not n_ways):
        return None, None
    if valence is None or arousal is None:
        raise ValueError(
            "say what to feel: --emotion NAME, or --valence V and --arousal A, or --mix, or --curve"
        )
    return Emotion(valence, arousal), None


def parse_key(text: str) -> tuple[int, bool | None]:
    """Return tonic and mode of a text such as `D`, `F# minor`, `Bbm` or `c major`.

    The mode is True for major, False for minor, None where not said.
    """
    from emomusic.music.key import TONIC_NAMES, parse_tonic

    words = text.replace("_", " ").split()
    if len(words) == 1 and len(words[0]) > 1 and words[0].endswith("m"):
        words = [words[0][:-1], "minor"]
    modes = {"major": True, "maj": True, "minor": False, "min": False}
    if len(words) == 1 or (len(words) == 2 and words[1].lower() in modes):
        with suppress(ValueError):
            return parse_tonic(words[0]), modes.get(words[1].lower()) if words[1:] else None
    raise ValueError(
        f"key must be a note name, alone or with major or minor, such as D, {TONIC_NAMES[3]} "
        f"major or F# minor, got {shown(text)}"
    )


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the file formats of a text such as `mid,mp3`, without repetition."""
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [part for part in wanted if part not in FORMATS]
    if unknown or not wanted:
        raise ValueError(f"format must be of {', '.join(FORMATS)}, got {text!r}")
    return tuple(dict.fromkeys(wanted))


def _read_music(said: Mapping[str, Any]) -> Primer | None:
    """Return the music of a file that is to be continued or varied."""
    from emomusic.compose.primer import Primer
    from emomusic.music.score import ScoreError, read_bytes

    uses = [use for use in (CONTINUE, VARY, INFILL) if said.get(use)]
    if len(uses) > 1:
        raise ValueError("give --continue, --vary or --infill, one of them")
    for name in {"at", "lock"} & said.keys() if uses != [INFILL] else ():
        raise ValueError(f"--{name} is about music to --infill")
    for use in uses:
        try:
            how = {name: said[name] for name in ("grid", "at", "lock") if name in said}
            return Primer(read_bytes(Path(said[use])), use, **how)
        except ScoreError as error:
            raise ValueError(f"{said[use]}: {error}") from error
    if "grid" in said:
        raise ValueError("--grid is about music to --continue, --vary or --infill")
    return None


# Settings files


class SettingsError(ValueError):
    """Tell in one line why settings cannot be used."""


def parse_settings_file(text: str | bytes) -> ClipSpec:
    """Return what the clip of a settings file follows from, given its text or its bytes.

    Raises:
        SettingsError: If it is no settings file, or a value is out of its range.
    """
    if len(text) > MAX_CHARACTERS:
        raise SettingsError(f"settings are at most {MAX_CHARACTERS // 2**20} MiB long")
    try:
        text = text if isinstance(text, str) else decode_text(text)
        values = json.loads(text, parse_constant=refuse_constant)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"they do not say that they are {FORMAT}")
        own: dict[str, Any] = {name: values[name] for name in described(ClipSpec) if name in values}
        known = {"format", "version", *described(ClipSpec), *_FILED}
        if unknown := sorted(set(values) - known):
            raise ValueError(
                f"unknown are {', '.join(unknown)[:80]}; known: {', '.join(sorted(known))}"
            )
        request: dict[str, Any] = {"emotion": None}
        for name, (field, read) in _FILED.items():
            if values.get(name) is not None:
                request[field] = read(values[name])
        return ClipSpec(Request(**request), **{"seed": None} | own)
    except UNREADABLE as error:
        raise SettingsError(f"these settings cannot be used: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return in one line of at most 600 characters why values cannot be used."""
    text = str(error)[:4_000] if isinstance(error, ValueError) else "a value is of the wrong kind"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:600]


def refuse_constant(text: str) -> float:
    """Refuse what JSON of Python knows beyond numbers: NaN and infinity."""
    raise ValueError(f"numbers must be finite, got {text}")


def _point(emotion: Emotion) -> dict[str, Any]:
    point = {"valence": emotion.valence, "arousal": emotion.arousal, "name": emotion.name}
    return {name: value for name, value in point.items() if value is not None}


def _emotion(values: Mapping[str, Any]) -> Emotion:
    name = values.get("name")
    if name is not None and len(name) > MAX_TEXT:
        raise ValueError(f"a name is at most {MAX_TEXT} characters long")
    valence, arousal = (
        Field(Kind.NUMBER, name=axis).read(values[axis]) for axis in ("valence", "arousal")
    )
    return Emotion(valence, arousal, name)


def _curve(points: Iterable[Mapping[str, Any]]) -> EmotionCurve:
    bar = Field(Kind.NUMBER, name="bar")
    return EmotionCurve(tuple(CurvePoint(bar.read(p["bar"]), _emotion(p)) for p in points))


def _primer(values: Mapping[str, Any]) -> Primer:
    from emomusic.compose.primer import Primer

    tonic = None if values.get("key") is None else _tonic(values["key"])
    midi = base64.b64decode(values["midi"], validate=True)
    how = {name: values[name] for name in ("grid", "at", "lock") if name in values}
    if values.get("written") is not None:
        how["written"] = base64.b64decode(values["written"], validate=True)
    return Primer(midi, values["use"], tonic, **how)


def _tonic(name: str) -> int:
    from emomusic.music.key import parse_tonic

    return parse_tonic(name)


_MODE = Field(Kind.CHOICE, name="mode", choices=MODES)
_FILED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **{own.name: (name, own.read) for name, own in VALUES.items() if Door.FILE in own.doors},
    "emotion": ("emotion", _emotion),
    "curve": ("curve", _curve),
    "given": ("given", _primer),
    "key": ("tonic", _tonic),
    "mode": ("is_major", lambda word: _MODE.read(word) == MODES[0]),
    "set": ("fixed", ROW["set"].read),
    "bar_by_bar": ("per_bar", dict),
}
"""By name in a settings file: the name in a request, and how a value is read."""
