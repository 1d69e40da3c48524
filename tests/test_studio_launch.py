"""The studio as a server: how it opens, what its endpoint answers, and what it refuses."""

from __future__ import annotations

import gc
import inspect
import json
import math
import os
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import gradio as gr
import pytest
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
from emomusic.emotion import parse_mix
from emomusic.extras import MissingExtraError
from emomusic.music.score import dump_score
from emomusic.studio.callbacks import AT_ONCE

Endpoint = Callable[..., dict[str, Any]]
PASSWORDS = {"path": "/etc/passwd", "orig_name": "a.mid", "meta": {"_type": "gradio.FileData"}}
DAMAGED = '{"format": "emomusic settings 1", "seed": 1e999}'
NO_CARD = {"cards": [{}], "selected": -1}
INF, NAN = math.inf, math.nan


@pytest.fixture(scope="module")
def compose(tiny_composer: Composer) -> Endpoint:
    return launch.endpoint(tiny_composer)


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = open_studio(tiny_checkpoint, tmp_path_factory.mktemp("studio"))
    yield studio
    studio.close()


@pytest.fixture
def visitor(studio: Studio) -> Visitor:
    return Visitor(studio.url)


# The endpoint


def midi(answer: dict[str, Any]) -> bytes:
    return Path(answer["midi"]["path"]).read_bytes()


def refusal(compose: Endpoint, **arguments: Any) -> str:
    """Ask for what must be refused, and return the one sentence."""
    with pytest.raises(gr.Error) as error:
        compose(**{"emotion": "joy", "bars": 1, **arguments})
    assert not error.value.print_exception
    return str(error.value.message)


def test_the_answer_is_the_clip_its_card_and_its_settings(
    compose: Endpoint, tiny_composer: Composer
) -> None:
    answer = compose("joy", bars=2, seed=5, key="Ebm", attributes={"register": 65})
    settings = parse_settings_file(json.dumps(answer["settings"], allow_nan=False))
    (clip,) = tiny_composer.compose(settings.request, seed=settings.seed, start=settings.index)
    assert midi(answer) == clip.midi
    assert (settings.request.tonic, settings.request.is_major) == (3, False)
    assert settings.request.fixed == {"register": 65.0}
    card = answer["card"]
    assert (card["emotion"], card["bars"], card["seed"]) == ("joy", 2, 5)
    assert card["explanation"].endswith(".")
    json.dumps(card, allow_nan=False)


def test_emotions_are_named_placed_mixed_and_curved_and_none_says_nothing(
    compose: Endpoint,
) -> None:
    place = {"valence": 0.5, "arousal": -0.5}
    mixed = compose("nostalgia:0.7 hope:0.3", bars=1)["settings"]["emotion"]
    curved = compose(curve="0:calm 2:tense", bars=2)["settings"]
    felt = parse_mix("nostalgia:0.7 hope:0.3")
    assert compose(**place, bars=1)["settings"]["emotion"] == place
    assert (mixed["valence"], mixed["arousal"]) == (felt.valence, felt.arousal)
    assert [point["bar"] for point in curved["curve"]] == [0.0, 2.0]
    nothing = dict.fromkeys(["curve", "key", "tempo", "attributes", "valence"])
    assert midi(compose("joy", bars=1, **nothing)) == midi(compose("joy", bars=1))


def test_its_arguments_are_told_with_their_kinds_and_ranges(compose: Endpoint) -> None:
    assert [*inspect.signature(compose).parameters] == [*ENDPOINT]
    kinds = get_type_hints(compose)
    assert (kinds["emotion"], kinds["bars"], kinds["tempo"]) == (str, int, float | None)
    assert "In [1, 128]." in str(compose.__doc__)
    assert "colour" in refusal(compose, colour="red")


def test_no_argument_of_any_kind_breaks_it(compose: Endpoint) -> None:
    """Whatever comes, the answer is a clip or one sentence: a thousand draws of a fixed seed."""
    rng = random.Random(6)
    anything = [
        None, True, 0, -1, 1, 2.0, 1e308, -1e308, 5e-324, NAN, INF, -INF, 10**400, 2**63, -(2**63),
        "", " ", "joy", "Q1", ":", "joy:", ":1", "joy:-1", "joy:nan", "joy:1e400 calm:1", "0:calm",
        "1:2,3", "0:calm 1e400:joy", "nan:calm", "C", "Bbm", "4/4", "\x00", "\ud800", "é" * 3_999,
        "../..", "%s%n{0}", [], [[]], {}, {"tempo": 90}, {"register": INF}, {"mode": None},
        {"": 1}, {"path": "/etc/passwd"}, {1: 2}, b"bytes", {"tempo": {"tempo": {}}},
    ]  # fmt: skip
    n_composed = 0
    for _ in range(1_000):
        names = rng.sample([*ENDPOINT], rng.randint(1, 3))
        changed = {name: rng.choice(anything) for name in names}
        try:
            n_composed += bool(midi(compose(**{"emotion": "joy", "bars": 1, **changed})))
        except gr.Error as error:
            words = str(error.message)
            assert words.endswith(".") and "\n" not in words and len(words) < 5_000, changed
    assert n_composed > 0


def test_files_of_answers_do_not_pile_up_and_a_full_disk_is_told_in_a_sentence(
    tiny_composer: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(launch.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(launch, "N_FILES", 2)
    compose = launch.endpoint(tiny_composer)
    answers = [midi(compose("joy", bars=1, seed=seed)) for seed in range(4)]
    held = [path.read_bytes() for path in tmp_path.rglob("emomusic.mid")]
    assert sorted(held) == sorted(answers[2:])
    monkeypatch.setattr(launch, "write_bytes", full)
    assert refusal(compose) == "The file cannot be written: No space left on device."
    del compose
    gc.collect()
    assert not any(tmp_path.iterdir())


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


def test_what_keeps_it_from_opening_is_told_in_a_line(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refused(tmp_path, "--checkpoint", tiny_checkpoint, GRADIO_SERVER_PORT=port)
    assert line.startswith("Error: the studio cannot listen: ") and port in line
    assert "checkpoint" in refused(tmp_path, "--checkpoint", tmp_path / "none")
    monkeypatch.setattr(extras, "find_spec", lambda *_: None)
    with pytest.raises(MissingExtraError, match=r"package mcp: pip install 'emomusic\[mcp\]'"):
        launch.open_studio(tmp_path, mcp=True)


def test_address_and_port_are_taken_from_the_environment_and_all_share_one_limit(
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
    queued = [listener for listener in blocks.fns.values() if listener.queue]
    assert {one.concurrency_limit for one in queued} == {AT_ONCE}
    assert {one.concurrency_id for one in queued} == {"model", "files"}


# What programs see


def test_programs_see_one_endpoint(studio: Studio, visitor: Visitor) -> None:
    info = visitor.http.get(f"{studio.url}/gradio_api/info").json()
    visible = [own for own in visitor.config["dependencies"] if own["api_visibility"] != "private"]
    assert [own["api_name"] for own in visible] == ["compose"]
    assert list(info["named_endpoints"]) == ["/compose"] and not info["unnamed_endpoints"]
    names = [own["parameter_name"] for own in info["named_endpoints"]["/compose"]["parameters"]]
    assert names == [*ENDPOINT]


# What the page's listeners refuse


@pytest.mark.parametrize(
    ("event", "data", "words"),
    [
        *(
            ("compose.click", form(**changes), words)
            for changes, words in (
                ({"picker": "joy"}, "the feeling must be an object, got str."),
                ({"picker": PASSWORDS}, "was not uploaded by a user"),
                ({"faders": {"set": {"beauty": 1}}}, "there is no fader for 'beauty'."),
                ({"length": 10_000}, "greater than maximum value 256"),
                ({"length": NAN}, "bars must be a whole number, got nan."),
                ({"key": None}, "key must be one of any, C, "),
                ({"best_of": 64}, "greater than maximum value 16"),
                ({"variations": NAN}, "variations must be a whole number, got nan."),
                ({"seed": None}, "seed must be a whole number, got None."),
                ({"seed": -1}, "less than minimum value 0"),
            )
        ),
        *(
            (event, [{**PASSWORDS, "path": path}], "was not uploaded by a user.")
            for event in ("music.upload", "recipe.upload")
            for path in ("/etc/passwd", "../../../../etc/passwd", "/proc/self/mem")
        ),
        ("music.upload", [{**PASSWORDS, "path": "http://127.0.0.1/config"}], "failed validation"),
        *(
            (event, [], "Compose something first, or bring a MIDI file.")
            for event in ("vary.click", "undo.click", "happier.click")
        ),
        ("variations.select", [NO_CARD], "variation"),
        *(
            ("None.load", [text], "these settings cannot be used: ")
            for text in ("damaged", "{}", "[" * 10_000, DAMAGED)
        ),
    ],
)  # fmt: skip
def test_what_is_forged_or_amiss_is_refused_with_a_sentence(
    visitor: Visitor, event: str, data: list[Any], words: str
) -> None:
    assert words in visitor.refused(event, *data)


def test_what_is_answered_at_once_and_files_that_are_no_music_are_refused_too(
    visitor: Visitor,
) -> None:
    assert "variation" in visitor.at_once("variations.favourite", None, NO_CARD).json()["error"]
    answer = visitor.at_once("picker.change", {**POINT, "point": {"valence": "x"}}, {"set": {}})
    assert answer.json()["error"].startswith("valence must be a number")
    for data, name, words in (
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "renamed.mid", "not a MIDI file"),
        (b"", "empty.mid", "empty"),
        (dump_score(tune(1)), "tune.exe", "Invalid file type"),
    ):
        assert words in visitor.refused("music.upload", visitor.upload(data, name))


def test_fifty_megabytes_are_not_taken_and_a_script_in_a_name_is_text(
    studio: Studio, visitor: Visitor
) -> None:
    files = {"files": ("large.mid", bytes(50 * 2**20))}
    answer = visitor.http.post(f"{studio.url}/gradio_api/upload", files=files)
    assert answer.status_code == 413
    assert "maximum allowed size" in answer.text.lower()
    uploaded = visitor.upload(dump_score(tune(2)), "<script>alert(1)<script>.mid")
    last = visitor.ask("music.upload", {**uploaded, "orig_name": "<script>.mid"})[-1]
    assert last["success"]
    assert "<script>alert" not in json.dumps(last)


def test_no_file_is_served_but_what_was_uploaded_or_answered_and_none_stays_when_it_ends(
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
    assert len(studio.folders) >= 2  # the endpoint's, and the visitor's
    studio.close()  # so this comes last
    assert studio.folders == set()
    files = [path.name for path in (studio.folder / "gradio").rglob("*") if path.is_file()]
    assert not [name for name in files if not name.startswith("tmp")]  # gradio's own, of uploads
