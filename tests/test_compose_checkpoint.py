"""A checkpoint's folder: where it is found, here or on a hub, its checksums, its copies."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from helpers.shell import Shell
from huggingface_hub import constants

import emomusic
from emomusic.compose import checkpoint
from emomusic.compose.checkpoint import NAME, VARIABLE, fetch_checkpoint, find_checkpoint, seal
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


def test_a_folder_is_found_where_it_is_named_then_here_then_beside_the_package(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=f"name one with --checkpoint or the variable {VARIABLE}"):
        find_checkpoint(None)
    asked, other, here, beside = (
        tmp_path / name for name in ("asked", "other", f"here/checkpoints/{NAME}",
                                     f"installed/checkpoints/{NAME}")
    )  # fmt: skip
    beside.mkdir(parents=True)
    assert find_checkpoint(None) == beside
    here.mkdir(parents=True)
    assert find_checkpoint(None).resolve() == here
    monkeypatch.setenv(VARIABLE, str(other))
    other.mkdir()
    asked.mkdir()
    assert (find_checkpoint(None), find_checkpoint(asked)) == (other, asked)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "lost"))
    with pytest.raises(ValueError, match=r"no such checkpoint folder: .*lost"):
        find_checkpoint(None)


def test_a_folder_wins_and_what_would_lie_in_one_is_not_fetched(cache: Path) -> None:
    Path(TINY).mkdir(parents=True)
    assert find_checkpoint(TINY) == Path(TINY)
    for name in ("someone/other", "one", "a/b/c", "/a/b", "../b", "a b/c", ".a/b", "a/b@"):
        with pytest.raises(ValueError, match="no such checkpoint folder: "):
            find_checkpoint(name)


class Hub(ThreadingHTTPServer):
    """Serve a checkpoint as a hub does, to the hub's own client."""

    def __init__(self, files: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.sent = files, list[str](), dict[str, bytes]()
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.removeprefix("/api/models")
        found = re.fullmatch(r"/(\w+/\w+)(?:/(?:resolve|revision)/(\w+)(?:/(.+))?)?", path)
        data, code = None, "EntryNotFound"
        if found is None or found[1] != TINY:
            code = "RepoNotFound"
        elif found[2] not in {None, "main", "v1", COMMIT}:
            code = "RevisionNotFound"
        elif path != self.path:
            about = {"id": TINY, "modelId": TINY, "sha": COMMIT, "siblings": []}
            data = json.dumps(about).encode()
        elif found[3] in self.server.sent or (self.server.files / found[3]).is_file():
            data = self.server.sent.get(found[3]) or (self.server.files / found[3]).read_bytes()
            self.server.asked += [found[3]] if self.command == "GET" else []
        self.send_response(404 if data is None else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        if data is None:
            self.send_header("X-Error-Code", code)
        self.send_header("ETag", f'"{hashlib.sha1(data or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if data and self.command == "GET":
            self.wfile.write(data)
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def served(own_checkpoint: Path, cache: Path) -> Iterator[Hub]:
    seal(own_checkpoint)
    (own_checkpoint / "payload.py").write_text("raise SystemExit", encoding="utf-8")
    with Hub(own_checkpoint) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def nobody_listens() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def same_files(one: Path, other: Path) -> bool:
    names = {path.name for path in checkpoint.checkpoint_files(one)}
    assert names == {path.name for path in checkpoint.checkpoint_files(other)}
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_a_checkpoint_is_fetched_checked_and_named_and_serves_without_a_hub_then(
    served: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_checkpoint(TINY, revision="v1", endpoint=served.address)
    assert same_files(folder, served.files)
    assert (folder / "README.md").is_file() and folder.is_relative_to(cache)
    assert not (folder / "payload.py").exists()
    assert checkpoint.checkpoint_name(folder) == TINY
    assert fetch_checkpoint(TINY, revision="v1", endpoint=served.address) == folder
    assert sorted(served.asked) == sorted(
        {*checkpoint.read_checksums(folder), checkpoint.CHECKSUMS_NAME, "README.md"}
    )
    assert fetch_checkpoint(TINY, revision="v1", local_files_only=True) == folder
    assert fetch_checkpoint(TINY, revision=COMMIT, endpoint=nobody_listens()) == folder
    fetch = partial(fetch_checkpoint, endpoint=served.address)
    monkeypatch.setattr(checkpoint, "fetch_checkpoint", fetch)
    assert Composer.from_pretrained(TINY, revision="v1", threads=1).name == TINY
    again = Composer.from_pretrained(f"{TINY}@{COMMIT}", local_files_only=True)
    assert again.folder == folder


@pytest.mark.parametrize("end", [b"?", b""])
def test_a_file_that_is_not_what_its_sum_says_is_refused(served: Hub, end: bytes) -> None:
    name = "verifier.safetensors"
    served.sent[name] = (served.files / name).read_bytes()[:-1] + end
    with pytest.raises(CheckpointError, match=rf"{name} is not what checksums.json says and"):
        fetch_checkpoint(TINY, endpoint=served.address)
    with pytest.raises(CheckpointError, match=r"is not used: delete .* and fetch it again"):
        fetch_checkpoint(TINY, local_files_only=True)


def test_sums_that_name_what_no_checkpoint_has_or_are_damaged_are_refused(
    served: Hub, tmp_path: Path
) -> None:
    own = {"sha256": "0" * 64, "bytes": 1}
    for name, entry, told in (
        ("payload.py", own, "no checkpoint has a file 'payload.py'"),
        ("../x", own, r"no checkpoint has a file '\.\./x'"),
        ("config.json", {**own, "sha256": "0" * 63}, "config.json needs a sha256"),
        ("config.json", {**own, "bytes": -1}, "config.json needs a sha256"),
        ("config.json", {**own, "bytes": 2**40}, "larger than 8 GiB together"),
        ("config.json", "0" * 64, "cannot be used"),
    ):
        values = json.loads((served.files / checkpoint.CHECKSUMS_NAME).read_text(encoding="utf-8"))
        values["files"][name] = entry
        (tmp_path / checkpoint.CHECKSUMS_NAME).write_text(json.dumps(values))
        with pytest.raises(CheckpointError, match=told):
            checkpoint.read_checksums(tmp_path)
    served.sent[checkpoint.CHECKSUMS_NAME] = (tmp_path / checkpoint.CHECKSUMS_NAME).read_bytes()
    with pytest.raises(CheckpointError, match="cannot be used"):
        fetch_checkpoint(TINY, endpoint=served.address)
    assert served.asked == [checkpoint.CHECKSUMS_NAME]
    head = b'{"format": "emomusic checksums 1", "files": '
    for data in (b"", b"[]", b"{}", b"\xff", b"[" * 10_000, b" " * (2**20 + 1),
                 b'{"format": 1, "files": 2}', head + b"{}}", head + b"[3]}"):  # fmt: skip
        (tmp_path / checkpoint.CHECKSUMS_NAME).write_bytes(data)
        with pytest.raises(CheckpointError, match=r"checksums\.json cannot be used: "):
            checkpoint.read_checksums(tmp_path)


def test_what_the_hub_does_not_have_is_told_in_a_sentence(served: Hub) -> None:
    (served.files / checkpoint.CHECKSUMS_NAME).unlink()
    for name, revision, words in (
        ("nobody/tiny", None, "nobody/tiny is neither a folder here nor open to"),
        (TINY, "v9", "has no such revision: someone/tiny@v9"),
        (TINY, None, "is no checkpoint that save_pretrained wrote"),
    ):
        with pytest.raises(CheckpointError, match=words):
            fetch_checkpoint(name, revision=revision, endpoint=served.address)


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
    checkpoint.check_files(saved, checkpoint.read_checksums(saved))
    assert Composer.from_pretrained(saved).name == "copy"
    with pytest.raises(CheckpointError, match=r"holds config\.json of a checkpoint already: name"):
        checkpoint.save_checkpoint(tiny_checkpoint, saved)
    (saved / "mapper.json").unlink()
    with pytest.raises(CheckpointError, match=r"cannot read .*mapper\.json: No such file"):
        checkpoint.check_files(saved, checkpoint.read_checksums(saved))
    for attempt in (
        partial(seal, saved),
        partial(checkpoint.save_checkpoint, saved, tmp_path / "b"),
    ):
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
        checkpoint.save_checkpoint(tiny_checkpoint, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_sums_of_the_shipped_checkpoint_are_true() -> None:
    sums = checkpoint.read_checksums(SHIPPED)
    anew = "after a change seal it anew, as CONTRIBUTING.md says"
    assert set(sums) == {path.name for path in checkpoint.checkpoint_files(SHIPPED)}, anew
    checkpoint.check_files(SHIPPED, sums)
