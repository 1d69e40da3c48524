"""What a person takes away, and how it brings the same piece back."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import music21
import numpy as np
import soundfile
from studio_pages import Visitor, Visits, small

from emomusic.music.score import notes_of, read_score

FORMATS = ("mid", "mp3", "wav", "musicxml", "svg", "json", "zip")


def test_every_format_is_what_it_says(comer: Visitor, tmp_path: Path) -> None:
    comer.open_with(small(), files=True)
    paths = {suffix: comer.download(suffix, tmp_path) for suffix in FORMATS}
    assert {path.suffix[1:] for path in paths.values()} == set(FORMATS)

    n_notes = len(notes_of(read_score(paths["mid"])))
    assert n_notes > 8
    for suffix in ("mp3", "wav"):
        samples, rate = soundfile.read(paths[suffix])
        assert len(samples) / rate > 4
        assert np.sqrt(np.mean(samples**2)) > 0.01

    score = music21.converter.parse(paths["musicxml"])
    assert len(score.parts) == 2
    assert len(list(score.parts[0].getElementsByClass("Measure"))) == 4
    heads = [e for e in ET.parse(paths["svg"]).iter() if "notehead" in (e.get("class") or "")]
    assert len(heads) > n_notes / 2
    assert json.loads(paths["json"].read_text())["bars"] == 4

    with zipfile.ZipFile(paths["zip"]) as archive:
        packed = {Path(name).suffix[1:]: archive.read(name) for name in archive.namelist()}
    assert packed == {s: paths[s].read_bytes() for s in FORMATS if s != "zip"}

    comer.unfold("reading")
    comer.page.locator("#sheet svg .notehead").first.wait_for()
    assert_the_command_line_writes_the_same(paths, tmp_path)


def assert_the_command_line_writes_the_same(paths: dict[str, Path], folder: Path) -> None:
    out = folder / "again"
    command = [sys.executable, "-m", "emomusic", "generate", "--settings", paths["json"]]
    done = subprocess.run([*command, "--out", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (midi,) = out.glob("*.mid")
    assert midi.read_bytes() == paths["mid"].read_bytes()


def test_a_link_or_a_settings_file_brings_the_same_piece_back(
    visits: Visits, tmp_path: Path
) -> None:
    first = visits()
    first.open_with(small("wonder", n_bars=5, tempo=100.0), files=True)
    wanted = first.download("mid", tmp_path).read_bytes()
    settings = first.download("json", tmp_path)
    link = first.page.input_value("#link input")
    assert link.startswith(f"{first.address}#settings=")

    second = visits()
    fragment = link.removeprefix(first.address)
    second.until_ready(lambda: second.open(fragment), files=True, before=0)
    assert second.download("mid", tmp_path).read_bytes() == wanted
    assert second.page.inner_text(".now-name") == "wonder"

    third = visits().open()
    third.unfold("bring")
    third.until_ready(lambda: third.upload("#recipe", settings), files=True)
    assert third.download("mid", tmp_path).read_bytes() == wanted
    third.unfold("shape")
    assert third.page.input_value("#length input[type=number]") == "5"
    assert third.page.locator(".fader[data-name='tempo']").get_attribute("data-state") == "set"


def test_a_damaged_link_is_told_in_a_sentence(comer: Visitor) -> None:
    comer.open("#settings=!!!")
    comer.page.locator(".toast-body").first.wait_for()
    assert "these settings cannot be used" in comer.toast()
    comer.compose()
