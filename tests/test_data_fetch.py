"""Data fetched from a server on this machine, and archives unpacked with care."""

import hashlib
import importlib.util
import io
import json
import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emomusic.data import fetch as fetch_module
from emomusic.data.fetch import (
    ArchiveError,
    DownloadError,
    Source,
    download,
    fetch,
    read_sources,
    unpack,
)

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "datasets/sources.json"


class Server(ThreadingHTTPServer):
    """Serve `files`; `plan` holds what to do with the next requests: a status, or a cut."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"s.zip": SONGS}
        self.plan: list[int | str] = []
        self.ranges: list[str | None] = []
        self.supports_range = True

    def url(self, name: str = "s.zip") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        step = self.server.plan.pop(0) if self.server.plan else "all"
        content = self.server.files.get(self.path[1:])
        if isinstance(step, int) or content is None:
            self.send_error(step if isinstance(step, int) else 404)
            return
        start = 0
        if asked and self.server.supports_range:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start > len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            shown = start + 1 if step == "wrong place" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + (len(content) - start) // 2 if step == "cut" else len(content)
        self.wfile.write(content[start:end])


def zipped(files: dict[str, bytes], **options: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:  # type: ignore[arg-type]
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


SONGS = zipped({"top/midi/a.mid": b"MThd" * 5000, "top/labels.csv": b"a,1\n", "top/x.py": b"x"})
HALF = len(SONGS) // 2


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(fetch_module.time, "sleep", waited.append)
    return waited


def source_at(url: str, **changes: object) -> Source:
    values: dict[str, object] = {
        "name": "songs", "url": url, "home": "a home", "licence": "CC0 1.0", "used_for": "tests",
        "processing": "none", "unverified": "nothing", "keep": ("midi/*.mid", "labels.csv"),
    }  # fmt: skip
    return Source(**values | changes)  # type: ignore[arg-type]


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_source_is_fetched_once_unpacked_and_its_digest_recorded(
    server: Server, tmp_path: Path
) -> None:
    source, digest = source_at(server.url()), hashlib.sha256(SONGS).hexdigest()
    result = fetch(source, tmp_path)
    assert (result.n_files, result.sha256, result.first_seen) == (2, digest, True)
    assert result.skipped == {"neither MIDI, score nor labels": 1}
    assert json.loads((tmp_path / "checksums.json").read_text()) == {server.url(): digest}
    assert files_below(tmp_path) == {
        "checksums.json", "downloads/songs.zip",
        "downloads/songs/top/midi/a.mid", "downloads/songs/top/labels.csv",
    }  # fmt: skip
    assert not fetch(source, tmp_path).first_seen
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    ("plan", "part", "ranges", "waited"),
    [
        (["cut"], b"", [None, f"bytes={HALF}-"], [1.0]),
        ([], SONGS[:100], ["bytes=100-"], []),  # of an earlier run
        (["wrong place"], b"z" * 10, ["bytes=10-", None], [1.0]),
        ([], b"z" * (len(SONGS) + 10), [f"bytes={len(SONGS) + 10}-", None], [1.0]),
        ([503, 500, 429], b"", [None] * 4, [1.0, 2.0, 4.0]),
        (["no ranges"], b"old" * 50, ["bytes=150-"], []),
    ],
)
def test_a_download_arrives_whole_whatever_happens_on_the_way(
    server: Server,
    tmp_path: Path,
    waits: list[float],
    plan: list[int | str],
    part: bytes,
    ranges: list[str | None],
    waited: list[float],
) -> None:
    server.plan, server.supports_range = [*plan], plan != ["no ranges"]
    if part:
        (tmp_path / "s.zip.part").write_bytes(part)
    download(server.url(), tmp_path / "s.zip", wait_s=1.0)
    assert (tmp_path / "s.zip").read_bytes() == SONGS
    assert files_below(tmp_path) == {"s.zip"}
    assert (server.ranges, waits) == (ranges, waited)


@pytest.mark.parametrize(
    ("name", "plan", "words", "n_requests"),
    [
        ("s.zip", [503] * 9, r"^cannot fetch http.* after 3 attempts: HTTP Error 503", 3),
        ("gone.zip", [], "after 1 attempt: HTTP Error 404", 1),
        ("large.zip", [], "the file is larger than", 1),
    ],
)
def test_a_download_that_fails_is_one_line_and_leaves_no_file(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    plan: list[int | str],
    words: str,
    n_requests: int,
) -> None:
    server.plan, server.files["large.zip"] = plan, SONGS
    monkeypatch.setattr(fetch_module, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(DownloadError, match=words):
        download(server.url(name), tmp_path / "s.zip", attempts=3)
    assert len(server.ranges) == n_requests and not (tmp_path / "s.zip").exists()


@pytest.mark.parametrize(("kind", "length"), [("sha256", 64), ("md5", 32)])
def test_wrong_checksum_of_the_recipe_removes_the_file(
    server: Server, tmp_path: Path, kind: str, length: int
) -> None:
    source = source_at(server.url(), **{kind: "0" * length})
    with pytest.raises(DownloadError, match=f"^songs: {kind} must be 0+, got .*; file removed"):
        fetch(source, tmp_path)
    assert files_below(tmp_path) == set()


def test_changed_file_differs_from_the_recorded_checksum(server: Server, tmp_path: Path) -> None:
    source = source_at(server.url())
    fetch(source, tmp_path)
    (tmp_path / "downloads/songs.zip").unlink()
    server.files["s.zip"] = zipped({"top/midi/b.mid": b"MThd"})
    with pytest.raises(DownloadError, match=r"sha256 must be .*, got .*; file removed"):
        fetch(source, tmp_path)
    assert (tmp_path / "downloads/songs/top/midi/a.mid").exists()
    for content in ("{", '["a"]'):
        (tmp_path / "checksums.json").write_text(content)
        with pytest.raises(DownloadError, match=r"checksums\.json"):
            fetch(source, tmp_path)


DAMAGED = SONGS.index(b"MThd" * 10) + 20


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SONGS[:-50], "^songs: not a whole zip archive"),
        (SONGS[:DAMAGED] + b"?" + SONGS[DAMAGED + 1 :], "not a whole zip archive: Bad CRC-32"),
    ],
)
def test_a_damaged_archive_is_removed_and_its_digest_not_recorded(
    server: Server, tmp_path: Path, data: bytes, words: str
) -> None:
    server.files["s.zip"] = data
    with pytest.raises(DownloadError, match=words):
        fetch(source_at(server.url()), tmp_path)
    assert files_below(tmp_path) == set()
    server.files["s.zip"] = SONGS
    assert fetch(source_at(server.url()), tmp_path).n_files == 2


def test_the_recipe_is_whole_and_mistakes_in_it_are_named(tmp_path: Path) -> None:
    sources = read_sources(RECIPE)
    assert {"pop1k7", "pop909", "emopia", "vgmidi", "openscore_lieder"} <= sources.keys()
    for source in sources.values():
        assert source.url.startswith("https://")
        assert all((source.home, source.licence, source.used_for, source.processing, source.keep))
        assert source.unverified
    row = json.loads(RECIPE.read_text())["sources"][0]
    for change, words in [
        ({"url": "ftp://x"}, "must start with https://, got ftp://x"),
        ({"sha256": "abc"}, "must have 64 digits, got abc"),
        ({"shasum": None}, "unknown keys"),
    ]:
        (tmp_path / "r.json").write_text(json.dumps({"sources": [row | change]}))
        with pytest.raises(DownloadError, match=words):
            read_sources(tmp_path / "r.json")
    with pytest.raises(DownloadError, match="cannot read the recipe"):
        read_sources(tmp_path / "none.json")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("script", ROOT / "scripts/download_data.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(folder: Path, name: str, *sources: Source) -> list[str]:
    """Write a recipe, and return the options that ask for one of its sources."""
    recipe = folder / "r.json"
    recipe.write_text(json.dumps({"sources": [vars(source) for source in sources]}))
    return ["--source", name, "--out", str(folder / "data"), "--recipe", str(recipe)]


def test_script_tells_all_nothing_and_part_apart(
    server: Server, tmp_path: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = source_at(server.url()), source_at(server.url("gone.zip"), name="gone")
    for name, status in (("gone", 1), ("songs", 0), ("all", 3)):
        assert script.main([*asked(tmp_path, name, *sources), "--yes"]) == status
    shown = capsys.readouterr()
    assert "licence: CC0 1.0" in shown.out and hashlib.sha256(SONGS).hexdigest() in shown.out
    assert shown.err.count("\n") == 2


def test_script_asks_for_consent_before_it_fetches(
    server: Server, tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = asked(tmp_path, "songs", source_at(server.url()))
    monkeypatch.setattr(script.sys.stdin, "isatty", lambda: True, raising=False)
    for answer, status, n_requests in [("n", 1, 0), ("", 1, 0), ("y", 0, 1)]:
        monkeypatch.setattr("builtins.input", lambda prompt, answer=answer: answer)
        assert script.main(arguments) == status
        assert len(server.ranges) == n_requests


@pytest.mark.parametrize(
    ("name", "yes", "words"),
    [
        ("nosuch", ["--yes"], "--source must be all or one of songs, got nosuch"),
        ("songs", [], "pass --yes"),
    ],
)
def test_script_answers_wrong_usage_with_status_2(
    tmp_path: Path,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    yes: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(script.sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit) as caught:
        script.main([*asked(tmp_path, name, source_at("https://nowhere.invalid/s.zip")), *yes])
    assert caught.value.code == 2 and words in capsys.readouterr().err


def write_zip(path: Path, *names: str, content: bytes = b"x", **options: int) -> Path:
    path.write_bytes(zipped(dict.fromkeys(names, content), **options))
    return path


def test_only_music_scores_and_labels_that_match_are_taken(tmp_path: Path) -> None:
    names = ["t/a.mid", "t/B.MIDI", "t/c.mxl", "t/l.csv", "t/l.json", "t/run.py", "t/raw/d.mid"]
    archive = write_zip(tmp_path / "a.zip", *names)
    assert unpack(archive, tmp_path / "all") == (6, {"neither MIDI, score nor labels": 1})
    n_files, skipped = unpack(archive, tmp_path / "all", keep=("raw/*.mid",))
    assert (n_files, skipped["not part of the recipe"]) == (1, 5)
    assert files_below(tmp_path / "all") == {"t/raw/d.mid"}  # in the place of what was there
    with pytest.raises(ArchiveError, match=r"^no file in the archive matches \*\.xyz$"):
        unpack(archive, tmp_path / "all", keep=("*.xyz",))


def with_password(data: bytes) -> bytes:
    content = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


LARGE = zipped({"a.mid": bytes(4000), "b.mid": bytes(4000)}, compression=zipfile.ZIP_DEFLATED)
OUTSIDE = "^the archive names a file outside its folder: "


@pytest.mark.parametrize(
    ("data", "limits", "words"),
    [
        *(
            (zipped({"good.mid": b"x", name: b"x"}), {}, OUTSIDE)
            for name in ("../x.mid", "a/../../x.mid", "/x.mid", "a\\..\\..\\x.mid", "C:/x.mid")
        ),
        (with_password(LARGE), {}, r"cannot be unpacked: .*encrypted"),
        (LARGE, {"MAX_MEMBER_BYTES": 1000}, r"'a.mid' unpacks to over"),
        (LARGE, {"MAX_TOTAL_BYTES": 5000}, "the archive unpacks to over"),
        (LARGE, {"MAX_MEMBERS": 1}, "more than 1 files"),
    ],
)
def test_archives_that_mean_harm_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, limits: dict[str, Any], words: str
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(fetch_module, name, value)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ArchiveError, match=words):
        unpack(tmp_path / "a.zip", tmp_path / "deep" / "out")
    assert files_below(tmp_path) == {"a.zip"}


def test_links_are_left_out_and_counted(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.mid")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.mid", b"x")
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == (1, {"link": 1})
    assert files_below(tmp_path / "out") == {"a.mid"}


@pytest.mark.parametrize("damage", ["foreign", "stream"])
def test_failure_leaves_the_old_content(tmp_path: Path, damage: str) -> None:
    unpack(write_zip(tmp_path / "a.zip", "old.mid"), tmp_path / "out")
    content = bytearray(LARGE)
    content[36:40] = b"\xff\xff\xff\xff"
    (tmp_path / "b.zip").write_bytes(content if damage == "stream" else b"PK no zip")
    with pytest.raises((zipfile.BadZipFile, zlib.error)):
        unpack(tmp_path / "b.zip", tmp_path / "out")
    assert files_below(tmp_path / "out") == {"old.mid"}
