"""The schema of a job's rows says what is taken, and what is not."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from emomusic.compose.jobs.rows import COLUMNS, BadRow, JobRow, read_rows

ROOT = Path(__file__).parent.parent
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "job.schema.json").read_text("utf-8"))


def read(row: dict[str, Any]) -> JobRow | BadRow:
    (found,) = read_rows(io.BytesIO(json.dumps(row).encode()), {})
    return found


def test_the_schema_is_that_of_the_columns() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from document_jobs import page
    finally:
        sys.path.pop(0)
    assert (ROOT / "docs" / "job.schema.json").read_text("utf-8") == page()
    assert list(SCHEMA["properties"]) == list(COLUMNS)


@pytest.mark.parametrize("attribute", SCHEMA["properties"]["set"]["properties"])
def test_attributes_may_be_fixed(attribute: str) -> None:
    limits = SCHEMA["properties"]["set"]["properties"][attribute]
    middle = (limits["minimum"] + limits["maximum"]) / 2
    for name in ("set", "attributes"):
        found = read({"emotion": "joy", name: {attribute: middle}})
        assert isinstance(found, JobRow) and found.settings.request.fixed == {attribute: middle}
        assert isinstance(read({"emotion": "joy", name: {attribute: 1e9}}), BadRow)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_the_rows_on_the_page_can_be_used(kind: str) -> None:
    text = (ROOT / "docs" / "scale.md").read_text("utf-8")
    (rows,) = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    found = list(read_rows(io.BytesIO(rows.encode()), {}))
    assert len(found) > 1 and all(isinstance(row, JobRow) for row in found), found
