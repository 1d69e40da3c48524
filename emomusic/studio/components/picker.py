"""Say what you feel: a point of the plane, a mixture, or a curve over the bars, set by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from emomusic.emotion import CurvePoint, Emotion, EmotionCurve, emotion_names, find_emotion, mix
from emomusic.emotion.names import aliases
from emomusic.studio.components.assets import asset

MODES = ("point", "mix", "curve")
MAX_PARTS = 3
MAX_POINTS = 64
MAX_NAME = 40
SCRIPTS = (
    "picker_space.js",
    "picker_search.js",
    "picker_plane.js",
    "picker_strip.js",
    "picker_state.js",
    "picker.js",
)
# Printed on the circle where there is room, the first before the others; all names are dots.
PRINTED_FIRST = (
    "joy", "calm", "sadness", "anger", "nostalgia", "hope", "tension", "relief", "loneliness",
    "excited", "melancholy", "serene", "surprise", "disgust", "tired", "power", "tenderness",
    "grief", "mysterious", "rage", "gloomy", "longing", "peacefulness", "worship", "guilt",
    "startle", "confusion", "transcendence", "sleepy", "anticipation", "glad", "pride", "respect",
    "dissatisfaction", "hatred", "fascination", "lust",
)  # fmt: skip
DEFAULT_FEELING = "hope"


@dataclass(frozen=True)
class Feeling:
    """Hold what was said in the picker.

    Attributes:
        mode: "point", "mix" or "curve".
        emotion: The emotion of a point or of a mixture; None for a curve.
        curve: The curve; None for a point and a mixture.
        parts: The named emotions of a mixture with their weights; else empty.

    Raises:
        ValueError: If the mode is unknown, or what it needs is missing.
    """

    mode: str
    emotion: Emotion | None = None
    curve: EmotionCurve | None = None
    parts: tuple[tuple[Emotion, float], ...] = ()

    def __post_init__(self) -> None:
        """Check that the feeling holds what its mode needs."""
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r:.40}")
        if (self.mode == "curve") != (self.curve is not None):
            raise ValueError("a feeling has a curve if, and only if, its mode is curve")
        if (self.mode == "curve") != (self.emotion is None):
            raise ValueError("a feeling has an emotion if, and only if, its mode is not curve")
        if (self.mode == "mix") != bool(self.parts):
            raise ValueError("a feeling has parts if, and only if, its mode is mix")


def point_feeling(emotion: Emotion) -> Feeling:
    """Return the feeling of one emotion."""
    return Feeling("point", emotion)


def mixed_feeling(parts: Sequence[tuple[Emotion, float]]) -> Feeling:
    """Return the feeling of one to three named emotions with weights.

    Raises:
        ValueError: If there are too many or too few, one has no known name, or `mix` refuses them.
    """
    if not 1 <= len(parts) <= MAX_PARTS:
        raise ValueError(f"a mixture must have 1 to {MAX_PARTS} emotions, got {len(parts)}")
    return Feeling("mix", mix(parts), parts=tuple(parts))


def curved_feeling(curve: EmotionCurve) -> Feeling:
    """Return the feeling of a curve over the bars."""
    return Feeling("curve", curve=curve)


def feeling_of(value: object) -> Feeling:
    """Read the value that the browser holds, checked.

    Args:
        value: `{"mode": "point", "point": {"valence": 0.2, "arousal": -0.4, "name": null}}`,
            `{"mode": "mix", "mix": [{"name": "hope", "weight": 0.3}, ...]}` or
            `{"mode": "curve", "curve": [{"bar": 0, "valence": ..., "arousal": ..., "name": ...},
            ...]}`; what belongs to another mode is not looked at.

    Raises:
        TypeError: If a value is of another type.
        ValueError: If a value is missing or out of its range.
    """
    held = _table("the feeling", value)
    mode = held.get("mode")
    if mode == "point":
        return point_feeling(_emotion(held.get("point")))
    if mode == "mix":
        rows = [_table("a part", part) for part in _rows("a mixture", held.get("mix"), MAX_PARTS)]
        return mixed_feeling([(_named(row.get("name")), _weight(row)) for row in rows])
    if mode == "curve":
        points = _rows("a curve", held.get("curve"), MAX_POINTS)
        return curved_feeling(EmotionCurve(tuple(_curve_point(point) for point in points)))
    raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r:.40}")


def value_of(feeling: Feeling) -> dict[str, Any]:
    """Build the value that the browser holds; what belongs to other modes stays as it is there.

    Returns:
        What `feeling_of` reads.

    Raises:
        ValueError: If a part of a mixture has no known name.
    """
    if feeling.curve is not None:
        points = [{"bar": p.bar, **_point(p.emotion)} for p in feeling.curve.points]
        return {"mode": "curve", "curve": points}
    if feeling.parts:
        # the browser's weights are in (0, 1]
        top = max(1.0, *(weight for _, weight in feeling.parts))
        kept = [(_named(part.name).name, weight / top) for part, weight in feeling.parts if weight]
        parts = [{"name": name, "weight": weight} for name, weight in kept]
        return {"mode": "mix", "mix": parts}
    assert feeling.emotion is not None  # what is no curve has an emotion: checked when it was made
    return {"mode": "point", "point": _point(feeling.emotion)}


def name_rows() -> list[dict[str, str | float]]:
    """List all named emotions with their valence and arousal; those to be printed come first."""
    others = (name for name in emotion_names() if name not in PRINTED_FIRST)
    found = [find_emotion(name) for name in (*PRINTED_FIRST, *others)]
    return [{"name": str(e.name), "valence": e.valence, "arousal": e.arousal} for e in found]


class EmotionPicker(gr.HTML):
    """Let a person say what to feel: on a circle, by name, as a mixture, or as a curve over bars.

    Events: `change` whenever the value changes, by Python too; `input` by hand, while a point is
    dragged too, a few times a second; `release` by hand, when a step is complete.
    """

    def __init__(
        self,
        value: Feeling | Emotion | EmotionCurve | None = None,
        *,
        n_bars: int = 16,
        **kwargs: Any,
    ) -> None:
        """Make the component.

        Args:
            value: What is felt at first; None is hope.
            n_bars: Bars of the piece, the length of the curve; may be updated later.
            kwargs: Of `gr.HTML`, such as elem_id.
        """
        self.n_bars = n_bars
        super().__init__(
            value=value,
            n_bars=n_bars,
            **{
                "html_template": asset("picker.html"),
                "css_template": asset("picker.css"),
                "js_on_load": "\n".join(asset(name) for name in SCRIPTS),
                "apply_default_css": False,
                "names": name_rows(),
                "aliases": aliases(),
                **kwargs,
            },
        )

    def preprocess(self, payload: Any) -> Feeling:  # type: ignore[override]  # no string here
        """Return what was said in the browser.

        Raises:
            gr.Error: If the payload is not of the component's form; one sentence.
        """
        try:
            return feeling_of(payload)
        except (TypeError, ValueError, OverflowError) as error:
            raise gr.Error(f"{error}.", print_exception=False) from None

    def postprocess(  # type: ignore[override]  # takes feelings, not HTML
        self, value: Feeling | Emotion | EmotionCurve | None
    ) -> dict[str, Any]:
        """Return the value that the browser shows; None is hope."""
        if value is None:
            value = find_emotion(DEFAULT_FEELING)
        if isinstance(value, Emotion):
            value = point_feeling(value)
        return value_of(curved_feeling(value) if isinstance(value, EmotionCurve) else value)

    def api_info(self) -> dict[str, Any]:
        """Describe the value as a JSON schema."""
        number, name = {"type": "number"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}
        place = {"valence": number, "arousal": number, "name": name}
        part = {"name": {"type": "string"}, "weight": number}
        return {
            "type": "object",
            "properties": {
                "mode": {"type": "string", "enum": list(MODES)},
                "point": {"type": "object", "properties": place},
                "mix": _list_schema(part, MAX_PARTS),
                "curve": _list_schema({"bar": number, **place}, MAX_POINTS),
            },
            "required": ["mode"],
        }

    def example_payload(self) -> Any:
        """Return a payload such as the browser sends."""
        return self.postprocess(None)

    def example_value(self) -> Any:
        """Return a value such as Python sets."""
        return find_emotion(DEFAULT_FEELING)


def _list_schema(properties: dict[str, Any], max_items: int) -> dict[str, Any]:
    items = {"type": "object", "properties": properties}
    return {"type": "array", "items": items, "maxItems": max_items}


def _table(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{what} must be an object, got {type(value).__name__}")
    return value


def _rows(what: str, value: object, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{what} must be a list, got {type(value).__name__}")
    if not 1 <= len(value) <= most:
        raise ValueError(f"{what} must have 1 to {most} entries, got {len(value)}")
    return value


def _named(name: object) -> Emotion:
    if not isinstance(name, str):
        raise TypeError(f"an emotion's name must be a string, got {type(name).__name__}")
    return find_emotion(name[: MAX_NAME + 1])  # so long a name is none, and is not searched for


def _weight(row: dict[str, Any]) -> float:
    weight = row.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise TypeError(f"a weight must be a number, got {type(weight).__name__}")
    if not 0 < weight <= 1:  # false for NaN too
        raise ValueError(f"a weight must be in (0, 1], got {weight:g}")
    return float(weight)


def _emotion(value: object) -> Emotion:
    row = _table("a point", value)
    for axis in ("valence", "arousal"):
        if isinstance(row.get(axis), bool) or not isinstance(row.get(axis), int | float):
            raise TypeError(f"{axis} must be a number in [-1, 1], got {row.get(axis)!r:.40}")
    here = Emotion(row["valence"], row["arousal"])
    if row.get("name") is None:
        return here
    return _is_at(_named(row["name"]), here) or here


def _is_at(named: Emotion, here: Emotion) -> Emotion | None:
    """Return the named emotion where it lies here: a name that moved away is none."""
    far = max(abs(named.valence - here.valence), abs(named.arousal - here.arousal))
    return named if far < 0.005 else None


def _curve_point(value: object) -> CurvePoint:
    row = _table("a point", value)
    bar = row.get("bar")
    if isinstance(bar, bool) or not isinstance(bar, int | float):
        raise TypeError(f"bar must be a number, got {bar!r:.40}")
    return CurvePoint(bar, _emotion(row))


def _point(emotion: Emotion) -> dict[str, Any]:
    known = emotion.name in emotion_names() and _is_at(find_emotion(str(emotion.name)), emotion)
    name = emotion.name if known else None
    return {"valence": emotion.valence, "arousal": emotion.arousal, "name": name}
