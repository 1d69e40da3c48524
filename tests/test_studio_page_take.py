"""What a person takes away, how it brings the same piece back, and what else may be brought."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from midi import song
from studio_pages import Visitor, Visits, small

from emomusic.music.score import notes_of, read_score, write_score

FORMATS = ("mid", "mp3", "wav", "musicxml", "svg", "json", "zip")
SCRIPT = "<img src=x onerror=alert(1)>.mid"


def test_every_format_is_taken_away_and_the_command_line_writes_the_same(
    comer: Visitor, tmp_path: Path
) -> None:
    comer.open_with(small(), files=True)
    paths = {suffix: comer.download(suffix, tmp_path) for suffix in FORMATS}
    assert {path.suffix[1:] for path in paths.values()} == set(FORMATS)
    assert len(notes_of(read_score(paths["mid"]))) > 8
    assert json.loads(paths["json"].read_text())["bars"] == 4
    with zipfile.ZipFile(paths["zip"]) as archive:
        packed = {Path(name).suffix[1:]: archive.read(name) for name in archive.namelist()}
    assert packed == {s: paths[s].read_bytes() for s in FORMATS if s != "zip"}
    comer.unfold("reading")
    comer.page.locator("#sheet svg .notehead").first.wait_for()

    out = tmp_path / "again"
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


def test_a_midi_file_is_heard_and_continued_and_a_script_in_its_name_is_text(
    visitor: Visitor, tmp_path: Path
) -> None:
    visitor.unfold("bring")
    write_score(song(3, n_bars=6), tmp_path / SCRIPT)
    visitor.until_ready(lambda: visitor.upload("#music", tmp_path / SCRIPT), files=True)
    assert visitor.n_bars() == 6
    assert visitor.page.locator(".emo-headline").inner_text().startswith("Heard as Q")
    assert visitor.page.locator("#result .emo-asked").count() == 0
    assert visitor.page.locator("img[src='x']").count() == 0
    assert "onerror" in visitor.page.inner_text("body")
    assert len(visitor.rows()) > 15
    brought = notes_of(read_score(visitor.download("mid", tmp_path)))
    assert visitor.page.locator("#get-json").is_disabled()

    visitor.until_ready(visitor.click("#extend"), files=True)
    assert visitor.n_bars() == 14
    longer = notes_of(read_score(visitor.download("mid", tmp_path)))
    assert len(longer) > len(brought)
    assert longer.pitch[: len(brought)].tolist() == brought.pitch.tolist()


def test_what_is_no_music_is_refused_with_a_sentence(visitor: Visitor, tmp_path: Path) -> None:
    visitor.unfold("bring")
    path = tmp_path / "music.mid"
    for data, words in ((b"\x89PNG\r\n\x1a\n", "not a MIDI file"), (bytes(5 * 2**20), "maximum")):
        path.write_bytes(data)
        visitor.upload("#music", path)
        visitor.page.locator(".toast-body").first.wait_for()
        assert words in visitor.toast()
        visitor.page.locator(".toast-close").click()
        visitor.page.locator("#music").get_by_label("Clear").click()
        visitor.page.locator(".toast-body").first.wait_for(state="hidden")
    assert "Traceback" not in visitor.page.inner_text("body")
    visitor.compose()
    assert visitor.n_bars() == 16
