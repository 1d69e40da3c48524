"""Write docs/job.schema.json: what a row of a job may say, as JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emomusic.compose.fields import Field, Kind
from emomusic.compose.jobs.table import COLUMNS, ID
from emomusic.compose.request import attribute_field
from emomusic.files import write_text
from emomusic.music.attributes import ATTRIBUTE_NAMES

ROOT = Path(__file__).parent.parent


def schema_of(field: Field) -> dict[str, Any]:
    """Return the schema of a value."""
    if field.kind is Kind.CHOICE:
        return {"enum": list(field.choices), "description": field.explanation}
    if field.kind in (Kind.TEXT, Kind.PATH):
        return {"type": "string", "maxLength": field.longest, "description": field.explanation}
    found: dict[str, Any] = {"type": field.kind.value}
    if field.bounds is not None:
        least = "exclusiveMinimum" if field.open_low else "minimum"
        found |= {least: field.bounds[0], "maximum": field.bounds[1]}
    return found | {"description": field.explanation}


def schema() -> dict[str, Any]:
    """Return the schema of a row, as of one of JSON lines."""
    properties = {name: schema_of(field) for name, field in COLUMNS.items()}
    properties[ID.name]["type"] = ["string", "integer"]
    attributes = {name: schema_of(attribute_field(name)) for name in ATTRIBUTE_NAMES}
    for name, field in COLUMNS.items():
        if field.kind is Kind.ATTRIBUTES:
            properties[name] |= {"properties": attributes, "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A row of a job for emomusic generate --spec",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def page() -> str:
    """Return the schema as text."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    write_text(ROOT / "docs" / "job.schema.json", page())
