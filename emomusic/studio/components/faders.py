"""Faders for the attributes of the music: each is free until it is touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import gradio as gr

from emomusic.compose.request import check_attribute
from emomusic.music.attributes import ATTRIBUTES, Attribute
from emomusic.studio.components.assets import asset

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Rhythm": (
            "tempo",
            "note_density",
            "onset_density",
            "note_length",
            "regularity",
            "syncopation",
            "silence",
        ),
        "Dynamics & touch": ("velocity_mean", "velocity_spread", "articulation", "polyphony"),
        "Pitch & register": ("register", "pitch_range", "leap_size", "melodic_direction"),
        "Harmony": (
            "mode",
            "chord_mode",
            "key_clarity",
            "chromaticism",
            "dissonance",
            "bass_change",
            "pitch_class_entropy",
        ),
    }
)


@dataclass(frozen=True)
class FaderValues:
    """Hold what the faders are to show; None leaves that part as it is in the browser.

    Attributes:
        fixed: Values that are set, by attribute.
        suggested: Values of the emotion, by attribute, where free faders stand.
        keep: Whether faders that are on the screen keep what is set there, whatever `fixed` says:
            while a section is folded the browser holds nothing but the value.

    Raises:
        ValueError: If an attribute is unknown or a value out of reason.
    """

    fixed: Mapping[str, float] | None = None
    suggested: Mapping[str, float] | None = None
    keep: bool = False

    def __post_init__(self) -> None:
        """Check the values that are set."""
        for name, value in (self.fixed or {}).items():
            check_attribute(name, value)


def attribute_rows() -> list[dict[str, Any]]:
    """List the attributes that have a fader, group by group, as the browser wants them."""
    by_name = {attribute.name: attribute for attribute in ATTRIBUTES}
    return [_row(by_name[name], group) for group, names in GROUPS.items() for name in names]


def fixed_of(value: object) -> dict[str, float]:
    """Read the values that are set from what the browser holds, checked.

    Args:
        value: `{"set": {"register": 61.0}, "suggested": {...}}`; what is suggested is not looked
            at.

    Raises:
        TypeError: If a value is of another type.
        ValueError: If an attribute has no fader, or its value is out of reason.
    """
    fixed = _table("the faders", value).get("set", {})
    names = {name for group in GROUPS.values() for name in group}
    if len(_table("what is set", fixed)) > len(names):
        raise ValueError(f"at most {len(names)} attributes can be set, got {len(fixed)}")
    for name, number in fixed.items():
        if name not in names:
            raise ValueError(f"there is no fader for {name!r:.40}")
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"{name} must be a number, got {number!r:.40}")
        check_attribute(name, number)
    return {name: float(number) for name, number in fixed.items()}


class Faders(gr.HTML):
    """Let a person fix attributes of the music; free ones follow what the emotion suggests.

    Events: `change` whenever the value changes, by Python too (what is suggested is part of it);
    `input` by hand, while a fader moves too, a few times a second; `release` by hand, when a step
    is complete.
    """

    def __init__(
        self,
        value: FaderValues | Mapping[str, float] | None = None,
        *,
        suggested: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Make the component.

        Args:
            value: What is shown at first; a mapping is what is set, None sets nothing.
            suggested: Where free faders stand at first, unless value says so.
            kwargs: Of `gr.HTML`, such as elem_id.
        """
        first = value if isinstance(value, FaderValues) else FaderValues(fixed=value or {})
        if first.suggested is None:
            first = FaderValues(fixed=first.fixed, suggested=suggested or {})
        super().__init__(
            value=first,
            **{
                "html_template": asset("faders.html"),
                "css_template": asset("faders.css"),
                # Not as a property: gradio forgets those of a folded section that is updated.
                "js_on_load": f"const ATTRIBUTES = {json.dumps(attribute_rows())};\n"
                + asset("faders.js"),
                "apply_default_css": False,
                **kwargs,
            },
        )

    def preprocess(self, payload: Any) -> dict[str, float]:  # type: ignore[override]  # no string
        """Return the attributes that are set, with their values.

        Raises:
            gr.Error: If the payload is not of the component's form; one sentence.
        """
        try:
            return fixed_of(payload)
        except (TypeError, ValueError, OverflowError) as error:
            raise gr.Error(f"{error}.", print_exception=False) from None

    def postprocess(  # type: ignore[override]  # takes values, not HTML
        self, value: FaderValues | Mapping[str, float] | None
    ) -> dict[str, Any]:
        """Return what the browser is to show; a mapping is what is set, None frees all."""
        told = value if isinstance(value, FaderValues) else FaderValues(fixed=value or {})
        parts = {"set": told.fixed, "suggested": told.suggested}
        sent: dict[str, Any] = {
            part: {name: float(number) for name, number in table.items()}
            for part, table in parts.items()
            if table is not None
        }
        return {**sent, "keep": True} if told.keep else sent

    def api_info(self) -> dict[str, Any]:
        """Describe the value as a JSON schema."""
        table = {"type": "object", "additionalProperties": {"type": "number"}}
        return {
            "type": "object",
            "properties": {"set": table, "suggested": table},
            "required": ["set"],
        }

    def example_payload(self) -> Any:
        """Return a payload such as the browser sends."""
        return {"set": {"register": 60.0}, "suggested": {}}

    def example_value(self) -> Any:
        """Return a value such as Python sets."""
        return {"register": 60.0}


def _row(attribute: Attribute, group: str) -> dict[str, Any]:
    return {
        "name": attribute.name,
        "label": attribute.name.replace("_", " "),
        "unit": attribute.unit,
        "low": attribute.low,
        "high": attribute.high,
        "explanation": attribute.explanation,
        "group": group,
    }


def _table(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{what} must be an object, got {type(value).__name__}")
    return value
