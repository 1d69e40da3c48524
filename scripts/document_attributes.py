"""Write docs/attributes.md from the registry."""

from __future__ import annotations

from pathlib import Path

from emomusic.files import write_text
from emomusic.music.attributes import ATTRIBUTES, BAR_ATTRIBUTE_NAMES

HEAD = """# Attributes

What can be asked for with `--set NAME=VALUE`, what every card reports under `targets` and
`achieved`, and what `emomusic attributes FILE` measures. Range is what real piano music shows;
a value may lie outside it by its width at most. "Bar" marks those that the model also knows for
each bar. Key-relative attributes refer to the key found by correlating the sounding pitch classes
with Aarden's profiles. This page is written by `scripts/document_attributes.py`.

| name | unit | range | bar | what it is | source |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the page as Markdown."""
    lines = [
        f"| `{a.name}` | {a.unit} | {a.low:g} to {a.high:g} | "
        f"{'yes' if a.name in BAR_ATTRIBUTE_NAMES else ''} | {a.explanation} | {a.source} |"
        for a in ATTRIBUTES
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_text(Path(__file__).parent.parent / "docs" / "attributes.md", page())
