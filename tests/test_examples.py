"""The examples run as they stand."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from emomusic.extras import EXTRAS

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_every_cell_of_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "quickstart.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}
    for cell in cells:
        exec(cell, names)
    assert Path("curve.mid").is_file() and names["verdict"].quadrant.startswith("Q")
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    shown = ElementTree.fromstring(names["clip"]._repr_html_().replace(" controls", ""))
    notes = names["clip"].score.note_num()
    assert len(shown.findall("svg/rect")) == notes and shown.find("audio") is not None
    assert "asked " in shown.findtext("p", "") and "heard Q" in shown.findtext("p", "")
    monkeypatch.setitem(EXTRAS, "audio", ("no_such_package",))  # then it says what is missing
    shown = ElementTree.fromstring(names["clip"]._repr_html_())
    assert shown.find("audio") is None and len(shown.findall("p")) == 2
    assert "emomusic[audio]" in "".join(shown.findall("p")[1].itertext())


def test_an_attribute_of_ones_own_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "custom_attribute.py"), run_name="__main__")
    assert capsys.readouterr().out.count("left_hand_share 0.") == 2
