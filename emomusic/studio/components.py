"""Parts of the page that gradio lacks: markup, style and scripts lie in `assets/`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, ClassVar, NamedTuple

import gradio as gr

from emomusic.compose.fields import Field, Kind
from emomusic.compose.parse import ENDPOINT
from emomusic.compose.request import attribute_field
from emomusic.emotion import CurvePoint, Emotion, EmotionCurve, emotion_names, find_emotion, mix
from emomusic.emotion.curve import MAX_POINTS
from emomusic.emotion.space import aliases
from emomusic.music.attributes import ATTRIBUTE_NAMES, attribute
from emomusic.music.grand import FOLDER
from emomusic.studio.session import MAX_TAKES

Feeling = Emotion | EmotionCurve
DEFAULT_FEELING = "hope"
MODE = Field(Kind.CHOICE, name="mode", choices=("point", "mix", "curve"))
WEIGHT = Field(Kind.NUMBER, name="weight", bounds=(0, 1), open_low=True)
BAR = Field(Kind.NUMBER, name="bar")
MAX_PARTS, MAX_NAME = 3, 40
SELECTED = Field(Kind.WHOLE, name="the selected variation")
# Printed on the circle where there is room, the first before the others; all names are dots.
PRINTED_FIRST = (
    "joy calm sadness anger nostalgia hope tension relief loneliness excited melancholy serene "
    "surprise disgust tired power tenderness grief mysterious rage gloomy longing peacefulness "
    "worship guilt startle confusion transcendence sleepy anticipation glad pride respect "
    "dissatisfaction hatred fascination lust"
)
GROUPS = {
    "Rhythm": "tempo note_density onset_density note_length regularity syncopation silence",
    "Dynamics & touch": "velocity_mean velocity_spread articulation polyphony",
    "Pitch & register": "register pitch_range leap_size melodic_direction",
    "Harmony": "mode chord_mode key_clarity chromaticism dissonance bass_change "
    "pitch_class_entropy",
}
"""The faders, as they stand on the page."""


def asset(name: str) -> str:
    """Return the text of a file in `assets/`, such as `roll.js`."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def file_data(path: str) -> dict[str, Any]:
    """Name a file so that gradio moves a copy to its cache, and serves that alone."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def refusal(reason: object) -> gr.Error:
    """Return what tells a person, or a program, one sentence and no more."""
    return gr.Error(f"{reason}.", print_exception=False)


@contextmanager
def refusing(*more: type[Exception]) -> Iterator[None]:
    """Turn a ValueError, and what else is named, into a gr.Error of one sentence."""
    kinds: tuple[type[Exception], ...] = (ValueError, *more)
    try:
        yield
    except kinds as error:
        raise refusal(error) from error


class Widget(gr.HTML):
    """Stand on the page as `assets/` says; values go to and from the browser as plain JSON.

    `preprocess` checks what the browser holds; a part that only shows something reads nothing.
    """

    part: ClassVar[str]
    scripts: ClassVar[tuple[str, ...]]

    def __init__(self, value: Any = None, *, ahead: str = "", **kwargs: Any) -> None:
        super().__init__(
            value=value,
            html_template=asset(f"{self.part}.html"),
            css_template=asset(f"{self.part}.css"),
            js_on_load="\n".join([ahead, *(asset(f"{name}.js") for name in self.scripts)]),
            apply_default_css=False,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> Any:
        """Return nothing: an output is not read."""


class EmotionPicker(Widget):
    """Let a person say what to feel: on a circle, by name, as a mixture, or as a curve over bars.

    Takes an emotion or a curve, and gives one; a mixture is the emotion that it makes.
    """

    part = "picker"
    scripts = (*(f"picker_{of}" for of in ("space", "search", "plane", "strip", "state")), "picker")

    def __init__(self, value: Feeling | None = None, *, n_bars: int = 16, **kwargs: Any) -> None:
        printed_first = dict.fromkeys(PRINTED_FIRST.split())  # and the others after them
        found = [find_emotion(name) for name in printed_first | dict.fromkeys(emotion_names())]
        names = [{"name": e.name, "valence": e.valence, "arousal": e.arousal} for e in found]
        super().__init__(value, n_bars=n_bars, names=names, aliases=dict(aliases()), **kwargs)

    @refusing(TypeError)
    def preprocess(self, payload: Any) -> Any:
        """Return the emotion, or the curve; what belongs to another mode is not looked at.

        Args:
            payload: `{"mode": "point", "point": {"valence": 0.2, "arousal": -0.4, "name": null}}`,
                `{"mode": "mix", "mix": [{"name": "hope", "weight": 0.3}, ...]}` or
                `{"mode": "curve", "curve": [{"bar": 0, "valence": ..., "arousal": ...}, ...]}`.
        """
        held = _table("the feeling", payload)
        mode = MODE.read(held.get("mode"))
        if mode == "point":
            return _read_point(held.get("point"))
        if mode == "mix":
            rows = _rows("a mixture", held.get("mix"), MAX_PARTS)
            return mix([(_named(row.get("name")), WEIGHT.read(row.get("weight"))) for row in rows])
        points = _rows("a curve", held.get("curve"), MAX_POINTS)
        return EmotionCurve(
            tuple(CurvePoint(BAR.read(point.get("bar")), _read_point(point)) for point in points)
        )

    def postprocess(self, value: Any) -> Any:
        """Return what the browser is to hold of one mode; the others stay as they are there."""
        if isinstance(value, EmotionCurve):
            points = [{"bar": p.bar, **_point(p.emotion)} for p in value.points]
            return {"mode": "curve", "curve": points}
        return {"mode": "point", "point": _point(value or find_emotion(DEFAULT_FEELING))}


def _read_point(value: object) -> Emotion:
    row = _table("a point", value)
    valence, arousal = (ENDPOINT[axis].read(row.get(axis)) for axis in ("valence", "arousal"))
    here = Emotion(valence, arousal)
    named = here if row.get("name") is None else _named(row["name"])
    return named if _is_at(named, here) else here


def _point(emotion: Emotion) -> dict[str, Any]:
    name = emotion.name if emotion.name in emotion_names() else None
    name = name if name and _is_at(find_emotion(name), emotion) else None
    return {"valence": emotion.valence, "arousal": emotion.arousal, "name": name}


def _is_at(named: Emotion, here: Emotion) -> bool:
    """Tell whether a named emotion lies here: a name that moved away is none."""
    return max(abs(named.valence - here.valence), abs(named.arousal - here.arousal)) < 0.005


def _named(name: object) -> Emotion:
    if not isinstance(name, str):
        raise TypeError(f"an emotion's name must be a string, got {type(name).__name__}")
    return find_emotion(name[: MAX_NAME + 1])  # so long a name is none, and is not searched for


def _table(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{what} must be an object, got {type(value).__name__}")
    return value


def _rows(what: str, value: object, most: int, least: int = 1) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise TypeError(f"{what} must be a list, got {type(value).__name__}")
    if not least <= len(value) <= most:
        raise ValueError(f"{what} must have {least} to {most} entries, got {len(value)}")
    return [_table(f"an entry of {what}", row) for row in value]


class Faders(Widget):
    """Let a person fix attributes of the music; free ones follow what the emotion suggests.

    Takes `{"set": {"register": 61.0}, "suggested": {...}}`, where a missing part stays as it is
    in the browser, and gives what is set. With `"keep": True` faders that are on the screen keep
    what is set there, whatever is sent: while a section is folded the browser holds nothing but
    the value.
    """

    part, scripts = "faders", ("faders",)

    def __init__(self, value: Any = None, **kwargs: Any) -> None:
        # Not as a property: gradio forgets those of a folded section that is updated.
        rows = f"const ATTRIBUTES = {json.dumps(fader_rows())};"
        super().__init__(value, ahead=rows, **kwargs)

    @refusing(TypeError)
    def preprocess(self, payload: Any) -> Any:
        """Return the attributes that are set; what is suggested is not looked at."""
        fixed = _table("what is set", _table("the faders", payload).get("set", {}))
        if len(fixed) > len(ATTRIBUTE_NAMES):
            raise ValueError(f"at most {len(ATTRIBUTE_NAMES)} attributes can be set")
        for name in fixed:
            if name not in ATTRIBUTE_NAMES:
                raise ValueError(f"there is no fader for {name!r:.40}")
        return {name: attribute_field(name).read(number) for name, number in fixed.items()}

    def postprocess(self, value: Any) -> Any:
        """Return what the browser is to hold; None frees all."""
        return {"set": {}} if value is None else value


def fader_rows() -> list[dict[str, Any]]:
    """List the attributes, group by group, as the browser wants them."""
    return [
        {
            "name": own.name, "label": own.name.replace("_", " "), "unit": own.unit,
            "low": own.low, "high": own.high, "explanation": own.explanation, "group": group,
        }
        for group, names in GROUPS.items()
        for own in map(attribute, names.split())
    ]  # fmt: skip


class PianoRoll(Widget):
    """Show a clip growing bar by bar; then play it, with cursor, seeking, loop and volume.

    Takes `notes` (as `pack_notes` writes them), `bars` (where each begins, in seconds, and where
    the last one ends), `n_bars` (asked for: they fix the width while the clip grows), `composing`,
    `label` (for screen readers) and `until`: when the damper falls on each note, in milliseconds
    with commas between, -1 where none does. What has it can be heard, played by the browser.
    """

    part, scripts = "roll", ("roll", "roll_sound", "roll_drawing", "roll_player")

    def __init__(self, value: Any = None, **kwargs: Any) -> None:
        gr.set_static_paths([FOLDER])
        place = f"const PIANO = {json.dumps(f'gradio_api/file={FOLDER.as_posix()}/')};"
        super().__init__(value, ahead=place, **kwargs)

    def postprocess(self, value: Any) -> Any:
        """Return what the page draws; None is an empty roll."""
        empty = {"notes": "", "bars": [], "n_bars": 0, "composing": False, "label": ""}
        return {**empty, "until": "", **(value or {})}


class Choice(NamedTuple):
    """Hold what the person chose: the index of a card and the sorted indices of favourites."""

    selected: int = 0
    favourites: tuple[int, ...] = ()


class Variations(Widget):
    """Show one to eight variations as cards; one is selected, each may be a favourite.

    Takes `cards`, `selected` and `take` (which set of cards this is: a new one forgets choice and
    favourites), and gives a `Choice`. Listeners that stream leave `favourite` and `selected` None,
    so that a click made in the meantime is not undone. `select` and `favourite` are triggered by
    a person only; `change` follows every change of the value, by Python too.
    """

    part, scripts = "variations", ("variations",)

    @refusing(TypeError)
    def preprocess(self, payload: Any) -> Any:
        """Return which card is selected and which are favourites."""
        if payload is None:
            return Choice()
        held = _table("the variations", payload)
        cards = _rows("the variations", held.get("cards"), MAX_TAKES, 0)
        selected = 0 if held.get("selected") is None else SELECTED.read(held["selected"])
        if not 0 <= selected < max(len(cards), 1):
            raise ValueError(f"the selected variation must be one of {len(cards)}, got {selected}")
        kept = (at for at, card in enumerate(cards) if card.get("favourite") is True)
        return Choice(selected, tuple(kept))

    def postprocess(self, value: Any) -> Any:
        """Return what the page draws; None is no card."""
        return value or {"take": "", "selected": None, "cards": []}
