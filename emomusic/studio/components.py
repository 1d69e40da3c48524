"""Parts of the page that gradio lacks: markup, style and scripts lie in `assets/`."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, NamedTuple

import gradio as gr

from emomusic.compose.fields import Field, Kind
from emomusic.compose.parse import ENDPOINT
from emomusic.compose.request import attribute_field
from emomusic.emotion import CurvePoint, Emotion, EmotionCurve, emotion_names, find_emotion, mix
from emomusic.emotion.curve import MAX_POINTS
from emomusic.emotion.space import aliases
from emomusic.music.attributes import ATTRIBUTE_NAMES, attribute
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
    "joy", "calm", "sadness", "anger", "nostalgia", "hope", "tension", "relief", "loneliness",
    "excited", "melancholy", "serene", "surprise", "disgust", "tired", "power", "tenderness",
    "grief", "mysterious", "rage", "gloomy", "longing", "peacefulness", "worship", "guilt",
    "startle", "confusion", "transcendence", "sleepy", "anticipation", "glad", "pride", "respect",
    "dissatisfaction", "hatred", "fascination", "lust",
)  # fmt: skip
GROUPS = {
    "Rhythm": (
        "tempo", "note_density", "onset_density", "note_length", "regularity", "syncopation",
        "silence",
    ),
    "Dynamics & touch": ("velocity_mean", "velocity_spread", "articulation", "polyphony"),
    "Pitch & register": ("register", "pitch_range", "leap_size", "melodic_direction"),
    "Harmony": (
        "mode", "chord_mode", "key_clarity", "chromaticism", "dissonance", "bass_change",
        "pitch_class_entropy",
    ),
}  # fmt: skip
"""The faders, as they stand on the page."""


def asset(name: str) -> str:
    """Return the text of a file in `assets/`, such as `roll.js`."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def refusal(reason: object) -> gr.Error:
    """Return what tells a person, or a program, one sentence and no more."""
    return gr.Error(f"{reason}.", print_exception=False)


@contextmanager
def refusing(*more: type[Exception]) -> Iterator[None]:
    """Refuse with one sentence what is found to be amiss.

    Args:
        more: What is a refusal beside a ValueError.

    Raises:
        gr.Error: The sentence.
    """
    kinds: tuple[type[Exception], ...] = (ValueError, *more)
    try:
        yield
    except kinds as error:
        raise refusal(error) from error


class Widget(gr.HTML):
    """Stand on the page as `assets/` says; values go to and from the browser as plain JSON."""

    def __init__(self, value: Any = None, *, part: str, scripts: list[str], **kwargs: Any) -> None:
        """Take the first value, the name of markup and style, the scripts; else as `gr.HTML`."""
        super().__init__(
            value=value,
            html_template=asset(f"{part}.html"),
            css_template=asset(f"{part}.css"),
            js_on_load="\n".join(scripts),
            apply_default_css=False,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> Any:
        """Return what the browser holds, checked.

        Raises:
            gr.Error: If it is not of the component's form.
        """
        with refusing(TypeError):
            return self.read(payload)

    def read(self, payload: Any) -> Any:
        """Return what the browser holds, checked; an output is not read.

        Raises:
            TypeError: If a value is of another type.
            ValueError: If one is missing or out of its range.
        """

    def postprocess(self, value: Any) -> Any:
        """Return what the browser is to hold."""
        return self.show(value)

    @abstractmethod
    def show(self, value: Any) -> dict[str, Any]:
        """Return what the browser is to hold; None is what stands there at first."""

    def api_info(self) -> dict[str, Any]:
        """Describe the value as a JSON schema."""
        return {"type": "object"}

    def example_payload(self) -> Any:
        """Return a payload such as the browser sends."""
        return self.postprocess(None)

    def example_value(self) -> Any:
        """Return a value such as Python sets."""
        return None


class EmotionPicker(Widget):
    """Let a person say what to feel: on a circle, by name, as a mixture, or as a curve over bars.

    Takes an emotion or a curve, and gives one; a mixture is the emotion that it makes. Events:
    `change` whenever the value changes, by Python too; `input` by hand, while a point is dragged
    too, a few times a second; `release` by hand, when a step is complete.
    """

    def __init__(self, value: Feeling | None = None, *, n_bars: int = 16, **kwargs: Any) -> None:
        """Take what is felt at first (None is hope), and the bars of a curve, updated later."""
        steps = ("_space", "_search", "_plane", "_strip", "_state", "")
        super().__init__(
            value, part="picker", scripts=[asset(f"picker{step}.js") for step in steps],
            n_bars=n_bars, names=name_rows(), aliases=dict(aliases()), **kwargs,
        )  # fmt: skip

    def read(self, payload: Any) -> Feeling:
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

    def show(self, value: Feeling | None) -> dict[str, Any]:
        """Return what the browser is to hold of one mode; the others stay as they are there."""
        if isinstance(value, EmotionCurve):
            points = [{"bar": p.bar, **_point(p.emotion)} for p in value.points]
            return {"mode": "curve", "curve": points}
        return {"mode": "point", "point": _point(value or find_emotion(DEFAULT_FEELING))}


def name_rows() -> list[dict[str, str | float]]:
    """List all named emotions with their valence and arousal; those to be printed come first."""
    others = (name for name in emotion_names() if name not in PRINTED_FIRST)
    found = [find_emotion(name) for name in (*PRINTED_FIRST, *others)]
    return [{"name": str(e.name), "valence": e.valence, "arousal": e.arousal} for e in found]


def _read_point(value: object) -> Emotion:
    row = _table("a point", value)
    valence, arousal = (ENDPOINT[axis].read(row.get(axis)) for axis in ("valence", "arousal"))
    here = Emotion(valence, arousal)
    named = here if row.get("name") is None else _named(row["name"])
    return named if _is_at(named, here) else here


def _point(emotion: Emotion) -> dict[str, Any]:
    name = emotion.name if emotion.name in emotion_names() else None
    if name is not None and not _is_at(find_emotion(name), emotion):
        name = None
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
    the value. Events as `EmotionPicker`.
    """

    def __init__(self, value: Any = None, **kwargs: Any) -> None:
        """Take what is set and suggested at first."""
        # Not as a property: gradio forgets those of a folded section that is updated.
        rows = f"const ATTRIBUTES = {json.dumps(fader_rows())};"
        super().__init__(value, part="faders", scripts=[rows, asset("faders.js")], **kwargs)

    def read(self, payload: Any) -> dict[str, float]:
        """Return the attributes that are set; what is suggested is not looked at."""
        fixed = _table("what is set", _table("the faders", payload).get("set", {}))
        if len(fixed) > len(ATTRIBUTE_NAMES):
            raise ValueError(f"at most {len(ATTRIBUTE_NAMES)} attributes can be set")
        for name in fixed:
            if name not in ATTRIBUTE_NAMES:
                raise ValueError(f"there is no fader for {name!r:.40}")
        return {name: attribute_field(name).read(number) for name, number in fixed.items()}

    def show(self, value: dict[str, Any] | None) -> dict[str, Any]:
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
        for own in map(attribute, names)
    ]  # fmt: skip


class PianoRoll(Widget):
    """Show a clip growing bar by bar; then play it, with cursor, seeking, loop and volume.

    An output only. It takes `notes` (as `pack_notes` writes them), `bars` (where each begins, in
    seconds, and where the last one ends), `n_bars` (asked for: they fix the width while the clip
    grows), `composing`, `label` (for screen readers) and `audio`: None, or a file as `sound_file`
    names it. Gradio copies that to its cache and serves the copy alone; the original may be
    deleted at once.
    """

    def __init__(self, value: Any = None, **kwargs: Any) -> None:
        """Take what is shown at first."""
        scripts = [asset(name) for name in ("roll.js", "roll_drawing.js", "roll_player.js")]
        super().__init__(value, part="roll", scripts=scripts, **kwargs)

    def show(self, value: dict[str, Any] | None) -> dict[str, Any]:
        """Return what the page draws; None is an empty roll."""
        empty = {"notes": "", "bars": [], "n_bars": 0, "composing": False, "label": ""}
        return {**empty, "audio": None, **(value or {})}


def sound_file(path: str | None) -> dict[str, Any] | None:
    """Name a file so that gradio moves it to its cache and adds a `url` (as `FileData` does)."""
    return None if path is None else {"path": path, "meta": {"_type": "gradio.FileData"}}


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

    def __init__(self, value: Any = None, **kwargs: Any) -> None:
        """Take the cards that are there at first."""
        super().__init__(value, part="variations", scripts=[asset("variations.js")], **kwargs)

    def read(self, payload: Any) -> Choice:
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

    def show(self, value: dict[str, Any] | None) -> dict[str, Any]:
        """Return what the page draws; None is no card."""
        return value or {"take": "", "selected": None, "cards": []}
