"""Write docs/job.schema.json: what a row of a job may say, as JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emomusic.compose.asking.given import MAX_TEMPO, MIN_TEMPO
from emomusic.compose.asking.request import MAX_BARS, MAX_BEST_OF, MAX_SECONDS, MAX_TAKE
from emomusic.compose.asking.settings import MAX_SEED
from emomusic.compose.jobs.columns import COLUMNS, MAX_COUNT, MAX_ID, MAX_TEXT
from emomusic.files import write_text
from emomusic.model.sampling import MAX_GUIDANCE, MAX_TEMPERATURE
from emomusic.music.attributes import ATTRIBUTES

ROOT = Path(__file__).parent.parent
TEXTS = {
    "emotion": "A named emotion, or Q1 to Q4.",
    "mix": "A mixture, such as `nostalgia:0.7 hope:0.3`.",
    "curve": "An emotion that moves, such as `0:calm 8:tense`.",
    "continue": "Path of a MIDI file to go on from.",
    "vary": "Path of a MIDI file to write a variation of.",
    "key": "Such as `D`, `F# minor` or `Bbm`.",
    "chords": "A chord a bar, or two with a comma between: `Am F C,G7 N`.",
}
WHOLES = {
    "count": (1, MAX_COUNT, "Clips of this row."),
    "bars": (1, MAX_BARS, "Length in bars."),
    "seed": (0, MAX_SEED, "Same seed, same clips."),
    "take": (0, MAX_TAKE, "Other notes for the same plan."),
    "guided_bars": (0, MAX_BARS, "Bars at the beginning that guidance holds for."),
    "best_of": (1, MAX_BEST_OF, "Candidates a clip; 1 is the first draw."),
}
NUMBERS = {
    "valence": (-1, 1, "Unpleasant to pleasant; with arousal."),
    "arousal": (-1, 1, "Calm to excited; with valence."),
    "seconds": (0.5, MAX_SECONDS, "Length in seconds, instead of bars."),
    "tempo": (MIN_TEMPO, MAX_TEMPO, "Quarter notes a minute."),
    "temperature": (0, MAX_TEMPERATURE, "Of sampling, above 0."),
    "top_p": (0, 1, "Of sampling, above 0."),
    "guidance": (1, MAX_GUIDANCE, "How strongly controls count."),
    "diversity": (0, 1, "Spread of the targets."),
}
FLAGS = {
    "free": "No emotion: what else is said is all that is asked.",
    "steering": "Whether what is heard so far corrects what is written next.",
    "two_hands": "Whether nothing is struck that two hands cannot reach.",
}


def schema() -> dict[str, Any]:
    """Return the schema of a row, as of one of JSON lines."""
    attributes = {a.name: _attribute(a.low, a.high, a.explanation) for a in ATTRIBUTES}
    table = {"type": "object", "properties": attributes, "additionalProperties": False}
    known: dict[str, Any] = {
        "id": {"type": ["string", "integer"], "maxLength": MAX_ID,
               "description": "Whatever you call it; the manifest repeats it."},
        **{name: _text(words) for name, words in TEXTS.items()},
        **{name: _number("integer", *own) for name, own in WHOLES.items()},
        **{name: _number("number", *own) for name, own in NUMBERS.items()},
        **{name: {"type": "boolean", "description": words} for name, words in FLAGS.items()},
        "time_signature": {"enum": ["2/4", "3/4", "4/4"], "description": "Metre."},
        "set": table | {"description": "Attributes to fix; each may be a column of its own, too."},
        "attributes": table | {"description": "Another name of set."},
    }  # fmt: skip
    properties = {name: known.get(name) or attributes[name] for name in COLUMNS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A row of a job for emomusic generate --spec",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _text(words: str) -> dict[str, Any]:
    return {"type": "string", "maxLength": MAX_TEXT, "description": words}


def _number(kind: str, low: float, high: float, words: str) -> dict[str, Any]:
    return {"type": kind, "minimum": low, "maximum": high, "description": words}


def _attribute(low: float, high: float, words: str) -> dict[str, Any]:
    width = high - low  # as much outside the natural range is taken
    return _number("number", low - width, high + width, words)


def page() -> str:
    """Return the schema as text."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    write_text(ROOT / "docs" / "job.schema.json", page())
