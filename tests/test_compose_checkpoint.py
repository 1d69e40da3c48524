"""A checkpoint's folder: where it is found, here or on a hub, its checksums, its copies."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from helpers.shell import Shell
from huggingface_hub import constants

import emomusic
from emomusic.compose import checkpoint
from emomusic.compose.checkpoint import (
    CHECKSUMS_NAME,
    NAME,
    VARIABLE,
    check_files,
    checkpoint_files,
    checkpoint_name,
    fetch_checkpoint,
    find_checkpoint,
    read_checksums,
    save_checkpoint,
    seal,
)
from emomusic.compose.composer import Composer
from emomusic.model.checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "checkpoints" / NAME
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = "someone/tiny"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, with the package in another; keep what is fetched in a third."""
    (tmp_path / "here").mkdir()
    (tmp_path / "installed" / "emomusic").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(
        emomusic, "__file__", str(tmp_path / "installed" / "emomusic" / "__init__.py")
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_a_folder_is_found_where_it_is_named_then_here_then_beside_the_package(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=f"name one with --checkpoint or the variable {VARIABLE}"):
        find_checkpoint(None)
    beside = made(tmp_path / "installed" / "checkpoints" / NAME)
    assert find_checkpoint(None) == beside
    here = made(tmp_path / "here" / "checkpoints" / NAME)
    assert find_checkpoint(None).resolve() == here
    monkeypatch.setenv(VARIABLE, str(made(tmp_path / "other")))
    asked = made(tmp_path / "asked")
    assert find_checkpoint(asked) == asked
    assert find_checkpoint(None) == tmp_path / "other"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "lost"))
    with pytest.raises(ValueError, match=r"no such checkpoint folder: .*lost"):
        find_checkpoint(None)


def test_a_folder_wins_and_what_would_lie_in_one_is_not_fetched(cache: Path) -> None:
    Path(TINY).mkdir(parents=True)
    assert find_checkpoint(TINY) == Path(TINY)
    names = ("someone/other", "one", "a/b/c", "/a/b", "../b", "a b/c", ".a/b", "a/b@")
    for name in names:
        with pytest.raises(ValueError, match="no such checkpoint folder: "):
            find_checkpoint(name)


@dataclass
class Hub:
    """Hold what a hub has, what it was asked for, and how it misbehaves."""

    files: Path
    address: str = ""
    asked: list[str] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)

    def bytes_of(self, name: str) -> bytes | None:
        path = self.files / name
        return self.sent.get(name) or (path.read_bytes() if path.is_file() else None)


class Handler(BaseHTTPRequestHandler):
    """Answer as a hub does."""

    shown: Hub

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
        if found is None or found[1] != TINY:
            return self.refuse("RepoNotFound")
        if found[2] not in {None, "main", "v1", COMMIT}:
            return self.refuse("RevisionNotFound")
        about = {"id": TINY, "modelId": TINY, "sha": COMMIT, "siblings": []}
        data = json.dumps(about).encode() if api else self.shown.bytes_of(found[3])
        if data is None:
            return self.refuse("EntryNotFound")
        self.shown.asked += [found[3]] if with_body and not api else []
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


@pytest.fixture
def served(own_checkpoint: Path, cache: Path) -> Iterator[Hub]:
    """Serve a checkpoint as a hub does, to the hub's own client."""
    seal(own_checkpoint)
    (own_checkpoint / "payload.py").write_text("raise SystemExit", encoding="utf-8")
    shown = Hub(own_checkpoint)
    handler = type("HubHandler", (Handler,), {"shown": shown})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    shown.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shown
    server.shutdown()
    thread.join()
    server.server_close()


def nobody_listens() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def same_files(one: Path, other: Path) -> bool:
    names = {path.name for path in checkpoint_files(one)}
    assert names == {path.name for path in checkpoint_files(other)}
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_a_checkpoint_is_fetched_checked_and_named_and_serves_without_a_hub_then(
    served: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_checkpoint(TINY, revision="v1", endpoint=served.address)
    assert same_files(folder, served.files)
    assert (folder / "README.md").is_file() and folder.is_relative_to(cache)
    assert not (folder / "payload.py").exists()
    assert checkpoint_name(folder) == TINY
    assert sorted(served.asked) == sorted({*read_checksums(folder), CHECKSUMS_NAME, "README.md"})
    n_asked = len(served.asked)
    assert fetch_checkpoint(TINY, revision="v1", endpoint=served.address) == folder
    assert len(served.asked) == n_asked
    assert fetch_checkpoint(TINY, revision="v1", local_files_only=True) == folder
    assert fetch_checkpoint(TINY, revision=COMMIT, endpoint=nobody_listens()) == folder
    fetch = partial(fetch_checkpoint, endpoint=served.address)
    monkeypatch.setattr(checkpoint, "fetch_checkpoint", fetch)
    composer = Composer.from_pretrained(TINY, revision="v1", threads=1)
    assert composer.name == TINY
    again = Composer.from_pretrained(f"{TINY}@{COMMIT}", local_files_only=True)
    assert again.folder == composer.folder


def flipped(data: bytes) -> bytes:
    return bytes([*data[:-1], data[-1] ^ 1])


@pytest.mark.parametrize("change", [flipped, lambda data: data[:-1]])
def test_a_file_that_is_not_what_its_sum_says_is_refused(
    served: Hub, change: Callable[[bytes], bytes]
) -> None:
    name = "verifier.safetensors"
    served.sent[name] = change((served.files / name).read_bytes())
    with pytest.raises(CheckpointError, match=rf"{name} is not what checksums.json says and"):
        fetch_checkpoint(TINY, endpoint=served.address)
    with pytest.raises(CheckpointError, match=r"is not used: delete .* and fetch it again"):
        fetch_checkpoint(TINY, local_files_only=True)


def sum_of(sha256: str = "0" * 64, n_bytes: int = 1) -> dict[str, object]:
    return {"sha256": sha256, "bytes": n_bytes}


@pytest.mark.parametrize(
    ("name", "entry", "told"),
    [
        ("payload.py", sum_of(), "no checkpoint has a file 'payload.py'"),
        ("../x", sum_of(), r"no checkpoint has a file '\.\./x'"),
        ("config.json", sum_of("0" * 63), "config.json needs a sha256"),
        ("config.json", sum_of(n_bytes=-1), "config.json needs a sha256"),
        ("config.json", sum_of(n_bytes=2**40), "larger than 8 GiB together"),
        ("config.json", "0" * 64, "cannot be used"),
    ],
)
def test_sums_that_name_what_no_checkpoint_has_are_refused(
    served: Hub, name: str, entry: object, told: str
) -> None:
    values = json.loads((served.files / CHECKSUMS_NAME).read_text(encoding="utf-8"))
    values["files"][name] = entry
    served.sent[CHECKSUMS_NAME] = json.dumps(values).encode()
    with pytest.raises(CheckpointError, match=told):
        fetch_checkpoint(TINY, endpoint=served.address)
    assert served.asked == [CHECKSUMS_NAME]


def test_damaged_sums_are_refused(tmp_path: Path) -> None:
    head = b'{"format": "emomusic checksums 1", "files": '
    for data in (b"", b"[]", b"{}", b"\xff", b"[" * 10_000, b" " * (2**20 + 1),
                 b'{"format": 1, "files": 2}', head + b"{}}", head + b"[3]}"):  # fmt: skip
        (tmp_path / CHECKSUMS_NAME).write_bytes(data)
        with pytest.raises(CheckpointError, match=r"checksums\.json cannot be used: "):
            read_checksums(tmp_path)


def test_what_the_hub_does_not_have_is_told_in_a_sentence(served: Hub) -> None:
    with pytest.raises(CheckpointError, match="nobody/tiny is neither a folder here nor open to"):
        fetch_checkpoint("nobody/tiny", endpoint=served.address)
    with pytest.raises(CheckpointError, match="has no such revision: someone/tiny@v9"):
        fetch_checkpoint(TINY, revision="v9", endpoint=served.address)
    (served.files / CHECKSUMS_NAME).unlink()
    with pytest.raises(CheckpointError, match="is no checkpoint that save_pretrained wrote"):
        fetch_checkpoint(TINY, endpoint=served.address)


def test_a_command_without_a_hub_says_what_to_do_and_ends_with_2(
    cache: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", nobody_listens())
    asked = ("generate", "--emotion", "calm", "--out", "out")
    told = shell.refused(*asked, "--checkpoint", TINY)
    assert told.startswith("Error: the checkpoint someone/tiny is neither a folder here nor")
    assert f"{constants.ENDPOINT} is not reached: connect once, or name a folder" in told
    monkeypatch.setenv(VARIABLE, TINY)
    assert shell.refused(*asked) == told


def test_saved_and_loaded_again_it_is_the_same(tiny_checkpoint: Path, tmp_path: Path) -> None:
    saved = Composer.from_pretrained(tiny_checkpoint).save_pretrained(tmp_path / "a" / "copy")
    assert same_files(saved, tiny_checkpoint)
    assert (saved / "README.md").is_file()
    check_files(saved, read_checksums(saved))
    assert Composer.from_pretrained(saved).name == "copy"
    with pytest.raises(CheckpointError, match=r"holds config\.json of a checkpoint already: name"):
        save_checkpoint(tiny_checkpoint, saved)
    (saved / "mapper.json").unlink()
    with pytest.raises(CheckpointError, match=r"cannot read .*mapper\.json: No such file"):
        check_files(saved, read_checksums(saved))
    for attempt in (partial(seal, saved), partial(save_checkpoint, saved, tmp_path / "b")):
        with pytest.raises(CheckpointError, match=r"is no whole checkpoint: it lacks mapper\.json"):
            attempt()


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


def test_the_sums_of_the_shipped_checkpoint_are_true() -> None:
    sums = read_checksums(SHIPPED)
    anew = "after a change seal it anew, as CONTRIBUTING.md says"
    assert set(sums) == {path.name for path in checkpoint_files(SHIPPED)}, anew
    try:
        check_files(SHIPPED, sums)
    except CheckpointError as error:
        pytest.fail(f"{error}; {anew}")
