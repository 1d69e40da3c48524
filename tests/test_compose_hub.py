from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from emomusic.cli import main
from emomusic.compose import checkpoint, hub
from emomusic.compose.checkpoint import (
    CHECKSUMS_NAME,
    VARIABLE,
    check_files,
    checkpoint_files,
    checkpoint_name,
    find_checkpoint,
    read_checksums,
    save_checkpoint,
    seal,
)
from emomusic.compose.composer import Composer
from emomusic.compose.hub import fetch_checkpoint
from emomusic.model.checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "checkpoints" / "emomusic-12m"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "someone/tiny"


@dataclass
class Hub:
    """Hold what a hub has, what it was asked for, and how it misbehaves."""

    files: Path
    address: str = ""
    asked: list[str] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)

    def bytes_of(self, name: str) -> bytes | None:
        if name in self.sent:
            return self.sent[name]
        path = self.files / name
        return path.read_bytes() if path.is_file() else None


def handler_of(shown: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def answer(self, *, with_body: bool) -> None:
            api = self.path.startswith("/api/models/")
            path = self.path.removeprefix("/api/models") if api else self.path
            found = re.fullmatch(r"/(\w+/\w+)(?:/(?:resolve|revision)/(\w+)(?:/(.+))?)?", path)
            if found is None or found[1] != NAME:
                return self.refuse("RepoNotFound")
            if found[2] not in {None, "main", "v1", COMMIT}:
                return self.refuse("RevisionNotFound")
            name, about = found[3], {"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": []}
            data = json.dumps(about).encode() if api else shown.bytes_of(name)
            if data is None:
                return self.refuse("EntryNotFound")
            shown.asked += [name] if with_body and not api else []
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if with_body:
                self.wfile.write(data)
                self.close_connection = True
            return None

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


@pytest.fixture
def served(own_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve a checkpoint as a hub does, to the hub's own client."""
    seal(own_checkpoint)
    (own_checkpoint / "payload.py").write_text("raise SystemExit", encoding="utf-8")
    shown = Hub(own_checkpoint)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(shown))
    shown.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shown
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what is fetched in a folder of the test's own, and stand in an empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same_files(one: Path, other: Path) -> bool:
    names = {path.name for path in checkpoint_files(one)}
    assert names == {path.name for path in checkpoint_files(other)}
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_a_checkpoint_is_fetched_checked_and_named(served: Hub, cache: Path) -> None:
    folder = fetch_checkpoint(NAME, endpoint=served.address)
    assert same_files(folder, served.files)
    assert (folder / "README.md").is_file() and folder.is_relative_to(cache)
    assert not (folder / "payload.py").exists()
    assert checkpoint_name(folder) == NAME
    assert sorted(served.asked) == sorted({*read_checksums(folder), CHECKSUMS_NAME, "README.md"})


def test_what_was_fetched_once_serves_without_a_hub(served: Hub, cache: Path) -> None:
    folder = fetch_checkpoint(NAME, revision="v1", endpoint=served.address)
    n_asked = len(served.asked)
    assert fetch_checkpoint(NAME, revision="v1", endpoint=served.address) == folder
    assert len(served.asked) == n_asked
    assert fetch_checkpoint(NAME, revision="v1", local_files_only=True) == folder
    assert fetch_checkpoint(NAME, revision=COMMIT, endpoint=nobody_listens()) == folder


def test_a_composer_is_loaded_from_the_hub_and_says_which(
    served: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "fetch_checkpoint", partial(fetch_checkpoint, endpoint=served.address))
    composer = Composer.from_pretrained(NAME, revision="v1", threads=1)
    assert composer.name == NAME
    again = Composer.from_pretrained(f"{NAME}@{COMMIT}", local_files_only=True)
    assert again.folder == composer.folder


def test_saved_and_loaded_again_it_is_the_same(tiny_checkpoint: Path, tmp_path: Path) -> None:
    saved = Composer.from_pretrained(tiny_checkpoint).save_pretrained(tmp_path / "a" / "copy")
    assert same_files(saved, tiny_checkpoint)
    assert (saved / "README.md").is_file()
    check_files(saved, read_checksums(saved))
    assert Composer.from_pretrained(saved).name == "copy"
    with pytest.raises(CheckpointError, match=r"holds config\.json of a checkpoint already: name"):
        save_checkpoint(tiny_checkpoint, saved)


def test_where_saving_fails_nothing_is_left(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    write, written = checkpoint.write_atomically, []

    def fill_up(path: Path, put: Any) -> None:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(path)
        write(path, put)

    monkeypatch.setattr(checkpoint, "write_atomically", fill_up)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tiny_checkpoint, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_is_no_whole_checkpoint_is_neither_saved_nor_sealed(
    own_checkpoint: Path, tmp_path: Path
) -> None:
    (own_checkpoint / "mapper.json").unlink()
    for attempt in (
        lambda: seal(own_checkpoint),
        lambda: save_checkpoint(own_checkpoint, tmp_path),
    ):
        with pytest.raises(CheckpointError, match=r"is no whole checkpoint: it lacks mapper\.json"):
            attempt()


def flipped(data: bytes) -> bytes:
    return bytes([*data[:-1], data[-1] ^ 1])


@pytest.mark.parametrize("change", [flipped, lambda data: data[:-1], lambda data: b""])
def test_a_file_that_is_not_what_its_sum_says_is_refused(
    served: Hub, cache: Path, change: Callable[[bytes], bytes]
) -> None:
    name = "verifier.safetensors"
    served.sent[name] = change((served.files / name).read_bytes())
    with pytest.raises(CheckpointError, match=rf"{name} is not what checksums.json says and"):
        fetch_checkpoint(NAME, endpoint=served.address)
    with pytest.raises(CheckpointError, match=r"is not used: delete .* and fetch it again"):
        fetch_checkpoint(NAME, local_files_only=True)


def sums_with(served: Hub, **files: object) -> bytes:
    values = json.loads((served.files / CHECKSUMS_NAME).read_text(encoding="utf-8"))
    values["files"].update({name.replace("__", "."): entry for name, entry in files.items()})
    return json.dumps(values).encode()


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"payload__py": {"sha256": "0" * 64, "bytes": 1}},
            "no checkpoint has a file 'payload.py'",
        ),
        ({"../x": {"sha256": "0" * 64, "bytes": 1}}, r"no checkpoint has a file '\.\./x'"),
        ({"config__json": {"sha256": "0" * 63, "bytes": 1}}, "config.json needs a sha256"),
        ({"config__json": {"sha256": "0" * 64, "bytes": -1}}, "config.json needs a sha256"),
        ({"config__json": {"sha256": "0" * 64, "bytes": 2**40}}, "larger than 8 GiB together"),
        ({"config__json": "0" * 64}, "cannot be used"),
    ],
)
def test_sums_that_name_what_no_checkpoint_has_are_refused(
    served: Hub, cache: Path, files: dict[str, object], told: str
) -> None:
    served.sent[CHECKSUMS_NAME] = sums_with(served, **files)
    with pytest.raises(CheckpointError, match=told):
        fetch_checkpoint(NAME, endpoint=served.address)
    assert served.asked == [CHECKSUMS_NAME]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b"[" * 10_000, b" " * (2**20 + 1), b'{"format": 1, "files": 2}',
     b'{"format": "emomusic checksums 1", "files": {}}',
     b'{"format": "emomusic checksums 1", "files": [3]}'],
    ids=range(9),
)  # fmt: skip
def test_damaged_sums_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / CHECKSUMS_NAME).write_bytes(data)
    with pytest.raises(CheckpointError, match=r"checksums\.json cannot be used: "):
        read_checksums(tmp_path)


def test_what_the_hub_does_not_have_is_told_in_a_sentence(served: Hub, cache: Path) -> None:
    with pytest.raises(CheckpointError, match="nobody/tiny is neither a folder here nor open to"):
        fetch_checkpoint("nobody/tiny", endpoint=served.address)
    with pytest.raises(CheckpointError, match="has no such revision: someone/tiny@v9"):
        fetch_checkpoint(NAME, revision="v9", endpoint=served.address)
    (served.files / CHECKSUMS_NAME).unlink()
    with pytest.raises(CheckpointError, match="is no checkpoint that save_pretrained wrote"):
        fetch_checkpoint(NAME, endpoint=served.address)


def nobody_listens() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_command_without_a_hub_says_what_to_do_and_ends_with_2(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", nobody_listens())
    for arguments in (["--checkpoint", NAME], []):
        monkeypatch.setattr(
            sys, "argv", ["emomusic", "generate", "--emotion", "calm", "--out", "out", *arguments]
        )
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr().err
        assert end.value.code == 2 and told.count("\n") == 1, told
        assert told.startswith("Error: the checkpoint someone/tiny is neither a folder here nor")
        assert f"{constants.ENDPOINT} is not reached: connect once, or name a folder" in told
        monkeypatch.setenv(VARIABLE, NAME)


def test_a_folder_wins_and_what_would_lie_in_one_is_not_fetched(
    tiny_checkpoint: Path, cache: Path
) -> None:
    shutil.copytree(tiny_checkpoint, "someone/tiny")
    assert find_checkpoint(NAME) == Path("someone/tiny")
    with pytest.raises(ValueError, match="no such checkpoint folder: someone/other"):
        find_checkpoint("someone/other")


@pytest.mark.parametrize("name", ["one", "a/b/c", "/a/b", "../b", "a b/c", ".a/b", "a/b@"])
def test_a_name_that_is_none_of_a_hub_is_a_folder(cache: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no such checkpoint folder: "):
        find_checkpoint(name)


def test_the_sums_of_the_shipped_checkpoint_are_true() -> None:
    sums = read_checksums(SHIPPED)
    anew = "after a change: python -c 'from pathlib import Path; "
    anew += "from emomusic.compose.checkpoint import seal; "
    anew += 'seal(Path("checkpoints/emomusic-12m"))\''
    assert set(sums) == {path.name for path in checkpoint_files(SHIPPED)}, anew
    try:
        check_files(SHIPPED, sums)
    except CheckpointError as error:
        pytest.fail(f"{error}; {anew}")
