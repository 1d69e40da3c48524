"""The studio as a server: how it opens, what it serves, and what it refuses to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from helpers.composing import tune
from studio_server import (
    POINT,
    ROOT,
    Studio,
    Visitor,
    command,
    environment,
    form,
    free_port,
    open_studio,
)

import emomusic.extras as extras
import emomusic.studio.launch as launch
from emomusic.compose.composer import Composer
from emomusic.compose.parse import ENDPOINT, parse_settings_file
from emomusic.extras import MissingExtraError
from emomusic.music.score import dump_score
from emomusic.studio.callbacks import AT_ONCE

PASSWORDS = {"path": "/etc/passwd", "orig_name": "a.mid", "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = open_studio(tiny_checkpoint, tmp_path_factory.mktemp("studio"))
    yield studio
    studio.close()


@pytest.fixture
def visitor(studio: Studio) -> Visitor:
    return Visitor(studio.url)


# How it opens


def refused(tmp_path: Path, *arguments: object, **more: str) -> str:
    """Open a studio that cannot be opened; return the one line that is said of it."""
    ended = subprocess.run(
        command(*arguments), env=environment(tmp_path, **more), cwd=ROOT, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 2, ended
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in ended.stderr
    return line


def test_a_port_that_is_taken_is_told_in_a_line(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refused(tmp_path, "--checkpoint", tiny_checkpoint, GRADIO_SERVER_PORT=port)
    assert line.startswith("Error: the studio cannot listen: ") and port in line


def test_a_missing_checkpoint_is_told_in_a_line(tmp_path: Path) -> None:
    assert "checkpoint" in refused(tmp_path, "--checkpoint", tmp_path / "none")


def test_mcp_without_its_package_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda *_: None)
    with pytest.raises(MissingExtraError, match=r"package mcp: pip install 'emomusic\[mcp\]'"):
        launch.open_studio(tmp_path, mcp=True)


def test_address_and_port_are_taken_from_the_environment(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    own = {"SERVER_NAME": "127.0.0.2", "SERVER_PORT": str(port), "ANALYTICS_ENABLED": "False"}
    for name, value in own.items():
        monkeypatch.setenv(f"GRADIO_{name}", value)
    blocks = launch.open_studio(tiny_checkpoint, threads=1, block=False)
    try:
        assert (blocks.server_name, blocks.server_port) == ("127.0.0.2", port)
        with socket.create_connection(("127.0.0.2", port), timeout=30):
            pass
    finally:
        blocks.close()


def test_all_that_compose_share_one_limit(tiny_composer: Composer) -> None:
    listeners = launch.build(tiny_composer).fns.values()
    assert {one.concurrency_limit for one in listeners if one.queue} == {AT_ONCE}
    assert {one.concurrency_id for one in listeners if one.queue} == {"model", "files"}


def test_files_are_removed_when_the_service_ends(tiny_checkpoint: Path, tmp_path: Path) -> None:
    studio = open_studio(tiny_checkpoint, tmp_path)
    Visitor(studio.url).compose(*form())
    before = studio.folders
    studio.close()
    assert len(before) == 2  # the endpoint's, and the visitor's
    assert studio.folders == set()
    assert not [path for path in (tmp_path / "gradio").rglob("*") if path.is_file()]


# What programs see


def test_programs_see_one_endpoint(studio: Studio, visitor: Visitor) -> None:
    info = visitor.http.get(f"{studio.url}/gradio_api/info").json()
    dependencies = visitor.config["dependencies"]
    visible = [one["api_name"] for one in dependencies if one["api_visibility"] != "private"]
    assert list(info["named_endpoints"]) == ["/compose"] and not info["unnamed_endpoints"]
    assert visible == ["compose"]
    names = [one["parameter_name"] for one in info["named_endpoints"]["/compose"]["parameters"]]
    assert names == [*ENDPOINT]


def test_a_client_composes_a_clip_and_brings_it_back_or_is_refused_with_a_sentence(
    studio: Studio, tiny_composer: Composer, tmp_path: Path
) -> None:
    client = Client(studio.url, verbose=False, download_files=str(tmp_path))
    answer = client.predict(emotion="joy", bars=2, seed=8, api_name="/compose")
    settings = parse_settings_file(json.dumps(answer["settings"]))
    (clip,) = tiny_composer.compose(settings.request, seed=settings.seed)
    assert Path(str(answer["midi"])).read_bytes() == dump_score(clip.score)
    assert answer["card"]["emotion"] == "joy"
    with pytest.raises(AppError, match=r"^bars must be in \[1, 128\], got 1000\.$"):
        client.predict(emotion="joy", bars=1_000, api_name="/compose")


# What the page's listeners refuse


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"picker": "joy"}, "the feeling must be an object, got str."),
        ({"picker": PASSWORDS}, "was not uploaded by a user"),
        ({"faders": {"set": {"beauty": 1}}}, "there is no fader for 'beauty'."),
        ({"length": 10_000}, "greater than maximum value 256"),
        ({"length": float("nan")}, "bars must be a whole number, got nan."),
        ({"key": None}, "key must be one of any, C, "),
        ({"best_of": 64}, "greater than maximum value 16"),
        ({"variations": float("nan")}, "variations must be a whole number, got nan."),
        ({"seed": None}, "seed must be a whole number, got None."),
        ({"seed": -1}, "less than minimum value 0"),
    ],
)
def test_a_forged_form_is_refused_with_a_sentence(
    visitor: Visitor, changes: dict[str, Any], words: str
) -> None:
    assert words in visitor.refused("compose.click", *form(**changes))


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd", "/proc/self/mem"])
@pytest.mark.parametrize("event", ["music.upload", "recipe.upload"])
def test_only_what_was_uploaded_is_read(visitor: Visitor, event: str, path: str) -> None:
    words = visitor.refused(event, {**PASSWORDS, "path": path})
    assert words.endswith("was not uploaded by a user.")


def test_a_file_of_this_machine_is_not_fetched_by_its_address(
    studio: Studio, visitor: Visitor
) -> None:
    forged = {**PASSWORDS, "path": f"{studio.url}/config"}
    assert "failed validation" in visitor.refused("music.upload", forged)


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "renamed.mid", "not a MIDI file"),
        (b"", "empty.mid", "empty"),
        (dump_score(tune(1)), "tune.exe", "Invalid file type"),
    ],
)
def test_a_file_that_is_no_music_is_refused(
    visitor: Visitor, data: bytes, name: str, words: str
) -> None:
    assert words in visitor.refused("music.upload", visitor.upload(data, name))


def test_fifty_megabytes_are_not_taken(studio: Studio, visitor: Visitor) -> None:
    files = {"files": ("large.mid", bytes(50 * 2**20))}
    answer = visitor.http.post(f"{studio.url}/gradio_api/upload", files=files)
    assert answer.status_code == 413
    assert "maximum allowed size" in answer.text.lower()


def test_a_script_in_a_file_name_is_text(visitor: Visitor) -> None:
    uploaded = visitor.upload(dump_score(tune(2)), "<script>alert(1)<script>.mid")
    last = visitor.ask("music.upload", {**uploaded, "orig_name": "<script>.mid"})[-1]
    assert last["success"]
    assert "<script>alert" not in json.dumps(last)


@pytest.mark.parametrize("event", ["vary.click", "undo.click", "happier.click"])
def test_nothing_is_done_with_nothing(visitor: Visitor, event: str) -> None:
    assert visitor.refused(event) == "Compose something first, or bring a MIDI file."


def test_a_forged_choice_is_refused_with_a_sentence(visitor: Visitor) -> None:
    cards = {"cards": [{}], "selected": -1}
    assert "variation" in visitor.refused("variations.select", cards)
    assert "variation" in visitor.at_once("variations.favourite", None, cards).json()["error"]


def test_a_forged_feeling_suggests_nothing(visitor: Visitor) -> None:
    answer = visitor.at_once("picker.change", {**POINT, "point": {"valence": "x"}}, {"set": {}})
    assert answer.json()["error"].startswith("valence must be a number")


@pytest.mark.parametrize(
    "text", ["damaged", "{}", "[" * 10_000, '{"format": "emomusic settings 1", "seed": 1e999}']
)
def test_a_damaged_link_is_refused_with_a_sentence(visitor: Visitor, text: str) -> None:
    assert visitor.refused("None.load", text).startswith("these settings cannot be used: ")


def test_no_file_is_served_but_what_was_uploaded_or_answered(
    studio: Studio, visitor: Visitor, tiny_checkpoint: Path
) -> None:
    visitor.compose(*form())
    others = [path for name in studio.folders for path in (studio.folder / name).rglob("*.*")]
    files = [
        "/etc/passwd", "../../etc/passwd", ROOT / "app.py", ROOT / "emomusic/studio/launch.py",
        tiny_checkpoint / "config.json", *others,
    ]  # fmt: skip
    assert others
    served = [visitor.http.get(f"{studio.url}/gradio_api/file={os.fspath(path)}") for path in files]
    assert {answer.status_code for answer in served} <= {403, 404}
