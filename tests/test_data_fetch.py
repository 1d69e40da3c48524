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


class Server(ThreadingHTTPServer):
    """Serve `files`; `plan` holds what to do with the next requests: a status, or a cut."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.plan: list[int | str] = []
        self.ranges: list[str | None] = []
        self.supports_range = True

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        step = self.server.plan.pop(0) if self.server.plan else "all"
        content = self.server.files.get(self.path[1:])
        if isinstance(step, int) or content is None:
            self.send_error(step if isinstance(step, int) else 404)
            return
        start = self._start(step)
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

    def _start(self, step: int | str) -> int:
        asked = self.headers.get("Range")
        if not asked or not self.server.supports_range:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr(fetch_module.time, "sleep", waits.append)
    return waits


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


SONGS = zipped({"top/midi/a.mid": b"MThd" * 5000, "top/labels.csv": b"a,1\n", "top/x.py": b"x"})


def source_at(url: str, **changes: object) -> Source:
    values: dict[str, object] = {
        "name": "songs", "url": url, "home": "a home", "licence": "CC0 1.0", "used_for": "tests",
        "processing": "none", "unverified": "nothing", "keep": ("midi/*.mid", "labels.csv"),
    }  # fmt: skip
    return Source(**values | changes)  # type: ignore[arg-type]


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_fetch_unpacks_what_is_wanted_and_records_the_digest(
    server: Server, tmp_path: Path
) -> None:
    server.files["s.zip"] = SONGS
    result = fetch(source_at(server.url("s.zip")), tmp_path)
    digest = hashlib.sha256(SONGS).hexdigest()
    assert files_below(result.folder) == {"top/midi/a.mid", "top/labels.csv"}
    assert (result.n_files, result.sha256, result.first_seen) == (2, digest, True)
    assert result.skipped == {"neither MIDI, score nor labels": 1}
    assert json.loads((tmp_path / "checksums.json").read_text()) == {server.url("s.zip"): digest}
    assert files_below(tmp_path) == {
        "checksums.json", "downloads/songs.zip",
        "downloads/songs/top/midi/a.mid", "downloads/songs/top/labels.csv",
    }  # fmt: skip


def test_second_run_fetches_nothing(server: Server, tmp_path: Path) -> None:
    server.files["s.zip"] = SONGS
    source = source_at(server.url("s.zip"))
    fetch(source, tmp_path)
    assert not fetch(source, tmp_path).first_seen
    assert len(server.ranges) == 1


def test_broken_connection_is_continued_where_it_broke(
    server: Server, tmp_path: Path, no_waiting: list[float]
) -> None:
    server.files["s.zip"] = SONGS
    server.plan = ["cut"]
    download(server.url("s.zip"), tmp_path / "s.zip")
    assert server.ranges == [None, f"bytes={len(SONGS) // 2}-"]
    assert (tmp_path / "s.zip").read_bytes() == SONGS
    assert files_below(tmp_path) == {"s.zip"}
    assert no_waiting == [2.0]


def test_later_run_continues_the_part_of_an_earlier_one(server: Server, tmp_path: Path) -> None:
    server.files["s.zip"] = SONGS
    (tmp_path / "s.zip.part").write_bytes(SONGS[:100])
    download(server.url("s.zip"), tmp_path / "s.zip")
    assert server.ranges == ["bytes=100-"]
    assert (tmp_path / "s.zip").read_bytes() == SONGS


def test_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.files["s.zip"] = SONGS
    server.supports_range = False
    (tmp_path / "s.zip.part").write_bytes(b"old" * 50)
    download(server.url("s.zip"), tmp_path / "s.zip")
    assert (tmp_path / "s.zip").read_bytes() == SONGS


@pytest.mark.parametrize("plan", [["wrong place"], []])
def test_part_that_does_not_fit_is_thrown_away(
    server: Server, tmp_path: Path, plan: list[int | str]
) -> None:
    server.files["s.zip"] = SONGS
    server.plan = plan
    (tmp_path / "s.zip.part").write_bytes(b"z" * (10 if plan else len(SONGS) + 10))
    download(server.url("s.zip"), tmp_path / "s.zip")
    assert server.ranges[1] is None
    assert (tmp_path / "s.zip").read_bytes() == SONGS


def test_passing_server_errors_are_tried_again_with_growing_waits(
    server: Server, tmp_path: Path, no_waiting: list[float]
) -> None:
    server.files["s.zip"] = SONGS
    server.plan = [503, 500, 429]
    download(server.url("s.zip"), tmp_path / "s.zip", wait_s=1.0)
    assert no_waiting == [1.0, 2.0, 4.0]
    assert (tmp_path / "s.zip").read_bytes() == SONGS


def test_lasting_server_error_is_one_line(server: Server, tmp_path: Path) -> None:
    server.plan = [503] * 9
    with pytest.raises(
        DownloadError, match=r"^cannot fetch http.* after 3 attempts: HTTP Error 503"
    ):
        download(server.url("s.zip"), tmp_path / "s.zip", attempts=3)
    assert len(server.ranges) == 3
    assert not (tmp_path / "s.zip").exists()


def test_missing_file_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="after 1 attempt: HTTP Error 404"):
        download(server.url("gone.zip"), tmp_path / "s.zip")
    assert len(server.ranges) == 1


def test_too_large_a_file_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["s.zip"] = SONGS
    monkeypatch.setattr(fetch_module, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(DownloadError, match="the file is larger than"):
        download(server.url("s.zip"), tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()


@pytest.mark.parametrize(("kind", "length"), [("sha256", 64), ("md5", 32)])
def test_wrong_checksum_of_the_recipe_removes_the_file(
    server: Server, tmp_path: Path, kind: str, length: int
) -> None:
    server.files["s.zip"] = SONGS
    source = source_at(server.url("s.zip"), **{kind: "0" * length})
    with pytest.raises(DownloadError, match=f"^songs: {kind} must be 0+, got .*; file removed"):
        fetch(source, tmp_path)
    assert files_below(tmp_path) == set()


def test_changed_file_differs_from_the_recorded_checksum(server: Server, tmp_path: Path) -> None:
    server.files["s.zip"] = SONGS
    source = source_at(server.url("s.zip"))
    fetch(source, tmp_path)
    (tmp_path / "downloads/songs.zip").unlink()
    server.files["s.zip"] = zipped({"top/midi/b.mid": b"MThd"})
    with pytest.raises(DownloadError, match=r"sha256 must be .*, got .*; file removed"):
        fetch(source, tmp_path)
    assert (tmp_path / "downloads/songs/top/midi/a.mid").exists()


def test_truncated_archive_is_removed_and_its_digest_not_recorded(
    server: Server, tmp_path: Path
) -> None:
    server.files["s.zip"] = SONGS[:-50]
    source = source_at(server.url("s.zip"))
    with pytest.raises(DownloadError, match=r"^songs: not a whole zip archive"):
        fetch(source, tmp_path)
    assert files_below(tmp_path) == set()
    server.files["s.zip"] = SONGS
    assert fetch(source, tmp_path).n_files == 2


def test_damaged_member_is_found_by_its_checksum(server: Server, tmp_path: Path) -> None:
    position = SONGS.index(b"MThd" * 10) + 20
    server.files["s.zip"] = SONGS[:position] + b"?" + SONGS[position + 1 :]
    with pytest.raises(DownloadError, match=r"not a whole zip archive: Bad CRC-32"):
        fetch(source_at(server.url("s.zip")), tmp_path)
    assert files_below(tmp_path) == set()


def test_broken_checksum_file_is_named(server: Server, tmp_path: Path) -> None:
    server.files["s.zip"] = SONGS
    for content in ("{", '["a"]'):
        (tmp_path / "checksums.json").write_text(content)
        with pytest.raises(DownloadError, match=r"checksums\.json"):
            fetch(source_at(server.url("s.zip")), tmp_path)


def test_recipe_is_whole() -> None:
    sources = read_sources(ROOT / "datasets/sources.json")
    assert {"pop1k7", "pop909", "emopia", "vgmidi", "openscore_lieder"} <= sources.keys()
    for source in sources.values():
        assert source.url.startswith("https://")
        assert all((source.home, source.licence, source.used_for, source.processing, source.keep))
        assert source.unverified


def test_recipe_mistakes_are_named(tmp_path: Path) -> None:
    row = json.loads((ROOT / "datasets/sources.json").read_text())["sources"][0]
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
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_recipe(path: Path, *sources: Source) -> None:
    path.write_text(json.dumps({"sources": [vars(source) for source in sources]}))


def test_script_tells_all_nothing_and_part_apart(
    server: Server, tmp_path: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["s.zip"] = SONGS
    good, bad = source_at(server.url("s.zip")), source_at(server.url("gone.zip"), name="gone")
    write_recipe(tmp_path / "r.json", good, bad)
    common = ["--out", str(tmp_path / "data"), "--recipe", str(tmp_path / "r.json"), "--yes"]
    assert script.main(["--source", "gone", *common]) == 1
    assert script.main(["--source", "songs", *common]) == 0
    assert script.main(["--source", "all", *common]) == 3
    shown = capsys.readouterr()
    assert "licence: CC0 1.0" in shown.out
    assert hashlib.sha256(SONGS).hexdigest() in shown.out
    assert shown.err.count("\n") == 2


def test_script_asks_for_consent_before_it_fetches(
    server: Server,
    tmp_path: Path,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.files["s.zip"] = SONGS
    write_recipe(tmp_path / "r.json", source_at(server.url("s.zip")))
    arguments = ["--source", "songs", "--out", str(tmp_path), "--recipe", str(tmp_path / "r.json")]
    monkeypatch.setattr(script.sys.stdin, "isatty", lambda: True, raising=False)
    for answer, status, n_requests in [("n", 1, 0), ("", 1, 0), ("y", 0, 1)]:
        monkeypatch.setattr("builtins.input", lambda prompt, answer=answer: answer)
        assert script.main(arguments) == status
        assert len(server.ranges) == n_requests


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", "nosuch", "--yes"], "--source must be all or one of songs, got nosuch"),
        (["--source", "songs"], "pass --yes"),
    ],
)
def test_script_answers_wrong_usage_with_status_2(
    tmp_path: Path,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    write_recipe(tmp_path / "r.json", source_at("https://nowhere.invalid/s.zip"))
    monkeypatch.setattr(script.sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit) as caught:
        script.main([*arguments, "--out", str(tmp_path), "--recipe", str(tmp_path / "r.json")])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def write_zip(path: Path, files: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[arg-type]
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_only_music_scores_and_labels_that_match_are_taken(tmp_path: Path) -> None:
    names = ["t/a.mid", "t/B.MIDI", "t/c.mxl", "t/l.csv", "t/l.json", "t/run.py", "t/raw/d.mid"]
    archive = write_zip(tmp_path / "a.zip", dict.fromkeys(names, b"x"))
    assert unpack(archive, tmp_path / "all") == (6, {"neither MIDI, score nor labels": 1})
    n_files, skipped = unpack(archive, tmp_path / "some", keep=("raw/*.mid",))
    assert files_below(tmp_path / "some") == {"t/raw/d.mid"}
    assert (n_files, skipped["not part of the recipe"]) == (1, 5)


@pytest.mark.parametrize(
    "name", ["../x.mid", "a/../../x.mid", "/x.mid", "a\\..\\..\\x.mid", "C:/x.mid"]
)
def test_no_file_is_written_outside(tmp_path: Path, name: str) -> None:
    archive = write_zip(tmp_path / "a.zip", {"good.mid": b"x", name: b"x"})
    with pytest.raises(ArchiveError, match=r"^the archive names a file outside its folder: "):
        unpack(archive, tmp_path / "deep" / "out")
    assert files_below(tmp_path) == {"a.zip"}


def test_links_are_left_out_and_counted(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.mid")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.mid", b"x")
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == (1, {"link": 1})
    assert files_below(tmp_path / "out") == {"a.mid"}


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MAX_MEMBER_BYTES", 1000, r"'a.mid' unpacks to over"),
        ("MAX_TOTAL_BYTES", 5000, "the archive unpacks to over"),
        ("MAX_MEMBERS", 1, "more than 1 files"),
    ],
)
def test_bombs_are_stopped_by_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, words: str
) -> None:
    files = {"a.mid": bytes(4000), "b.mid": bytes(4000)}
    archive = write_zip(tmp_path / "a.zip", files, compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(fetch_module, limit, value)
    with pytest.raises(ArchiveError, match=words):
        unpack(archive, tmp_path / "out")
    assert files_below(tmp_path) == {"a.zip"}


def test_new_content_replaces_the_old_whole(tmp_path: Path) -> None:
    unpack(write_zip(tmp_path / "a.zip", {"old.mid": b"x"}), tmp_path / "out")
    unpack(write_zip(tmp_path / "b.zip", {"new.mid": b"x"}), tmp_path / "out")
    assert files_below(tmp_path) == {"a.zip", "b.zip", "out/new.mid"}


@pytest.mark.parametrize("damage", ["foreign", "stream"])
def test_failure_leaves_the_old_content(tmp_path: Path, damage: str) -> None:
    unpack(write_zip(tmp_path / "a.zip", {"old.mid": b"x"}), tmp_path / "out")
    archive = tmp_path / "b.zip"
    write_zip(archive, {"a.mid": b"MThd" * 999}, compression=zipfile.ZIP_DEFLATED)
    content = bytearray(archive.read_bytes())
    content[36:40] = b"\xff\xff\xff\xff"
    archive.write_bytes(content if damage == "stream" else b"PK no zip")
    with pytest.raises((zipfile.BadZipFile, zlib.error)):
        unpack(archive, tmp_path / "out")
    assert files_below(tmp_path / "out") == {"old.mid"}


def test_password_is_named(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.mid": b"x"})
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"cannot be unpacked: .*encrypted"):
        unpack(archive, tmp_path / "out")


def test_nothing_to_keep_is_an_error(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.txt": b"x"})
    with pytest.raises(ArchiveError, match=r"^no file in the archive matches \*\.mid$"):
        unpack(archive, tmp_path / "out", keep=("*.mid",))
    assert io.BytesIO(archive.read_bytes()).read(2) == b"PK"
