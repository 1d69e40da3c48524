"""Data fetched from a server on this machine, unpacked with care, and arranged as a corpus."""

import csv
import hashlib
import io
import json
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import download_data as room
import pytest
from download_data import (
    DownloadError,
    Source,
    arrange,
    download,
    fetch,
    main,
    read_sources,
    split_of,
    unpack,
)
from symusic import Note, Score, Tempo, Track

RECIPE = room.ROOT / "datasets/sources.json"


class Server(ThreadingHTTPServer):
    """Serve `files`; `plan` holds what to do with the next requests: a status, or a cut."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"s.zip": SONGS}
        self.plan: list[int | str] = []
        self.ranges: list[str | None] = []

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
        if asked and step != "no ranges":
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
HALF, DIGEST = len(SONGS) // 2, hashlib.sha256(SONGS).hexdigest()


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
    monkeypatch.setattr(room.time, "sleep", waited.append)
    return waited


def source_at(url: str = "https://nowhere.invalid/s.zip", **changes: object) -> Source:
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
    source, top = source_at(server.url()), "downloads/songs/top/"
    result = fetch(source, tmp_path)
    assert (result.n_files, result.sha256, result.first_seen) == (2, DIGEST, True)
    assert result.skipped == {"neither MIDI, score nor labels": 1}
    assert json.loads((tmp_path / "checksums.json").read_text()) == {server.url(): DIGEST}
    unpacked = {f"{top}midi/a.mid", f"{top}labels.csv"}
    assert files_below(tmp_path) == {"checksums.json", "downloads/songs.zip", *unpacked}
    assert not fetch(source, tmp_path).first_seen and len(server.ranges) == 1
    # Another file at the same address, and a damaged record, are told; what was there stays.
    (tmp_path / "downloads/songs.zip").unlink()
    server.files["s.zip"] = zipped({"top/midi/b.mid": b"MThd"})
    with pytest.raises(DownloadError, match=r"^songs: sha256 must be .*, got .*; file removed"):
        fetch(source, tmp_path)
    assert unpacked <= files_below(tmp_path)
    for content in ("{", '["a"]'):
        (tmp_path / "checksums.json").write_text(content)
        with pytest.raises(DownloadError, match=r"checksums\.json"):
            fetch(source, tmp_path)


@pytest.mark.parametrize(
    "case",
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
    server: Server, tmp_path: Path, waits: list[float], case: tuple[Any, ...]
) -> None:
    server.plan, part, ranges, waited = case[0].copy(), *case[1:]
    if part:
        (tmp_path / "s.zip.part").write_bytes(part)
    download(server.url(), tmp_path / "s.zip", wait_s=1.0)
    assert (tmp_path / "s.zip").read_bytes() == SONGS and files_below(tmp_path) == {"s.zip"}
    assert (server.ranges, waits) == (ranges, waited)


def test_a_download_that_fails_is_one_line_and_leaves_no_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_ARCHIVE_BYTES", 100)
    for name, plan, words, n_requests in (
        ("s.zip", [503] * 3, r"^cannot fetch http.* after 3 attempts: HTTP Error 503", 3),
        ("gone.zip", [], "after 1 attempt: HTTP Error 404", 1),
        ("s.zip", [], "the file is larger than", 1),
    ):
        server.plan, server.ranges = plan, []
        with pytest.raises(DownloadError, match=words):
            download(server.url(name), tmp_path / "s.zip", attempts=3)
        assert len(server.ranges) == n_requests and not (tmp_path / "s.zip").exists()


def with_password(data: bytes) -> bytes:
    content = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


DAMAGED = SONGS.index(b"MThd" * 10) + 20
LARGE = zipped({"a.mid": bytes(4000), "b.mid": bytes(4000)}, compression=zipfile.ZIP_DEFLATED)
STREAM = LARGE[:36] + b"\xff\xff\xff\xff" + LARGE[40:]


@pytest.mark.parametrize(
    ("data", "changes", "words"),
    [
        (SONGS[:-50], {}, "not a whole zip archive"),
        (SONGS[:DAMAGED] + b"?" + SONGS[DAMAGED + 1 :], {}, "not a whole zip archive: Bad CRC-32"),
        (STREAM, {"keep": ("*",)}, "not a whole zip archive: Error -3"),
        (SONGS, {"sha256": "0" * 64}, r"sha256 must be 0+, got .*; file removed"),
        (SONGS, {"md5": "0" * 32}, r"md5 must be 0+, got .*; file removed"),
    ],
)
def test_a_file_that_is_not_the_one_meant_is_removed(
    tmp_path: Path, data: bytes, changes: dict[str, Any], words: str
) -> None:
    archive = tmp_path / "downloads/songs.zip"
    archive.parent.mkdir()
    archive.write_bytes(SONGS)
    fetch(source_at(), tmp_path)
    before = files_below(tmp_path)
    archive.write_bytes(data)
    (tmp_path / "checksums.json").unlink()
    with pytest.raises(DownloadError, match=f"^songs: {words}"):
        fetch(source_at(**changes), tmp_path)
    assert files_below(tmp_path) == before - {"checksums.json", "downloads/songs.zip"}


@pytest.mark.parametrize(
    ("data", "limits", "words"),
    [
        *(
            (zipped({"good.mid": b"x", name: b"x"}), {}, "^the archive names a file outside its ")
            for name in ("../x.mid", "a/../../x.mid", "/x.mid", "a\\..\\..\\x.mid", "C:/x.mid")
        ),
        (with_password(LARGE), {}, r"cannot be unpacked: .*encrypted"),
        (LARGE, {"MAX_MEMBER_BYTES": 1000}, r"'a.mid' unpacks to over"),
        (LARGE, {"MAX_TOTAL_BYTES": 5000}, "the archive unpacks to over"),
        (LARGE, {"MAX_MEMBERS": 1}, "more than 1 files"),
        (zipped({"run.py": b"x"}), {}, r"^no file in the archive matches \*$"),
    ],
)
def test_archives_that_mean_harm_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, limits: dict[str, Any], words: str
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(room, name, value)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DownloadError, match=words):
        unpack(tmp_path / "a.zip", tmp_path / "deep" / "out")
    assert files_below(tmp_path) == {"a.zip"}


def test_only_music_scores_and_labels_that_match_are_taken(tmp_path: Path) -> None:
    names = ["t/a.mid", "t/B.MIDI", "t/c.mxl", "t/l.csv", "t/l.json", "t/run.py", "t/raw/d.mid"]
    archive, link = tmp_path / "a.zip", zipfile.ZipInfo("link.mid")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.write_bytes(zipped(dict.fromkeys(names, b"x")))
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc/passwd")
    skipped = {"neither MIDI, score nor labels": 1, "link": 1}
    assert unpack(archive, tmp_path / "all") == (6, skipped)
    kept = unpack(archive, tmp_path / "all", keep=("raw/*.mid",))
    assert kept == (1, {**skipped, "not part of the recipe": 5})
    assert files_below(tmp_path / "all") == {"t/raw/d.mid"}  # in the place of what was there


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
        ({"shasum": None}, r"unknown keys \['shasum'\], known are \['corpus', 'home', "),
    ]:
        (tmp_path / "r.json").write_text(json.dumps({"sources": [row | change]}))
        with pytest.raises(DownloadError, match=words):
            read_sources(tmp_path / "r.json")
    with pytest.raises(DownloadError, match="cannot read the recipe"):
        read_sources(tmp_path / "none.json")


def asked(folder: Path, name: str, *sources: Source) -> list[str]:
    """Write a recipe, and return the options that ask for one of its sources."""
    recipe = folder / "r.json"
    recipe.write_text(json.dumps({"sources": [vars(source) for source in sources]}))
    return ["--source", name, "--out", str(folder / "data"), "--recipe", str(recipe)]


def test_script_tells_all_nothing_part_and_wrong_usage_apart(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources = source_at(server.url()), source_at(server.url("gone.zip"), name="gone")
    for name, status in (("gone", 1), ("songs", 0), ("all", 3)):
        assert main([*asked(tmp_path, name, *sources), "--yes"]) == status
    shown = capsys.readouterr()
    assert "licence: CC0 1.0" in shown.out and DIGEST in shown.out
    assert shown.err.count("\n") == 2
    assert main([*asked(tmp_path, "songs", *sources), "--yes", "--arrange"]) == 3
    assert "cannot arrange: no file of a known source" in capsys.readouterr().err
    monkeypatch.setattr(room.sys, "stdin", io.StringIO())
    for name, yes, words in (
        ("nosuch", ["--yes"], "--source must be all or one of songs, gone, got nosuch"),
        ("songs", [], "pass --yes"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([*asked(tmp_path, name, *sources), *yes])
        assert caught.value.code == 2 and words in capsys.readouterr().err


def test_script_asks_for_consent_before_it_fetches(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.sys.stdin, "isatty", lambda: True, raising=False)
    for answer, status, n_requests in [("n", 1, 0), ("", 1, 0), ("y", 0, 1)]:
        monkeypatch.setattr("builtins.input", lambda prompt, answer=answer: answer)
        assert main(asked(tmp_path, "songs", source_at(server.url()))) == status
        assert len(server.ranges) == n_requests


def write_midi(path: Path, *tempos: float) -> None:
    score = Score(480)
    score.tracks.append(Track("", 0, False, [Note(0, 480, 60, 80)]))
    score.tempos.extend([Tempo(480 * i, qpm) for i, qpm in enumerate(tempos)])
    path.parent.mkdir(parents=True, exist_ok=True)
    score.dump_midi(path)


def arranged(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    return arrange(folder, read_sources(RECIPE).values())


def table(path: Path) -> list[tuple[str, ...]]:
    """Return the rows of a table without its header."""
    with path.open(newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


def test_names_are_those_of_the_index() -> None:
    lied = "Zumsteeg,_Emilie/6_Lieder,_Op.4/6_Lied_in_der_Ferne/lc6164142"
    named = "Zumsteeg__Emilie__6_Lieder__Op.4__6_Lied_in_der_Ferne__lc6164142.mid"
    live = "midi_kong/live/Bill Mays/An Album/A Song - Live"
    for source, path, name in (
        ("pop1k7", "r-1/midi_synchronized/src_001/10.mid", "src_001_10.mid"),
        ("pop909", "r-1/POP909-24-bin-midi/001.mid", "001.mid"),
        ("openscore_lieder", f"r-1/scores/{lied}.mxl", named),
        ("asap", "r-1/Bach/Fugue/bwv_848/midi_score.mid", "Bach_Fugue_bwv_848.mid"),
        ("asap", "r-1/Bach/Fugue/bwv_848/other.mid", None),
        ("game_piano", "r-1/midi_songs/A_(Piano).mid", "A__Piano_.mid"),
        ("vgmidi", "r-1/unlabelled/midi/A b_3DS_C.mid", "vgmidi_A_b_3DS_C.mid"),
        ("pianocore", "a.mid", "a.mid"),
        ("pijama", f"r-1/midi_dataset/{live}.midi", "Bill_Mays__An_Album__A_Song_-_Live.mid"),
    ):
        (rule,) = read_sources(RECIPE)[source].corpus
        assert rule.name(path) == name


def test_the_index_says_what_is_known_and_counts_what_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"no file of a known source in .*downloads"):
        arranged(tmp_path)
    assert not list(tmp_path.iterdir())
    downloads = tmp_path / "downloads"
    for name in ("001", "002"):
        write_midi(downloads / f"pop909/r/POP909-24-bin-midi/{name}.mid", 120)
    write_midi(downloads / "pop909_original/r/POP909/001/001.mid", 60, 90, 91)
    for folder in "ab":
        write_midi(downloads / f"pianocore/{folder}/x.mid", 120)
    (downloads / "pianocore/._x.mid").write_bytes(b"no music")
    n_files, skipped = arranged(tmp_path)
    assert n_files == {"pop909": 2, "pianocore": 1}
    unread = "not a MIDI file, nor an .rmi that holds one"
    assert skipped == {unread: 1, "name taken by another file": 1}
    rows = table(tmp_path / "corpus/index.csv")
    assert [row[:4] for row in rows] == [
        ("pop909/001.mid", "pop909", "bar", "90.0"),
        ("pop909/002.mid", "pop909", "bar", ""),
        ("pianocore/x.mid", "pianocore", "bar", ""),
    ]
    assert "placeholder" in rows[0][4]
    found = {path.relative_to(tmp_path / "corpus") for path in tmp_path.glob("corpus/*/*.mid")}
    assert found == {Path(row[0]) for row in rows}
    assert table(tmp_path / "emotion/labels.csv") == []
    with pytest.raises(DownloadError, match=r"index\.csv exists already"):
        arranged(tmp_path)


def test_labels_are_those_of_names_and_listeners(tmp_path: Path) -> None:
    for stem in ("Q3_ab_c-D_0", "Q3_ab_c-D_1", "strange"):
        write_midi(tmp_path / f"downloads/emopia/EMOPIA_2.2/midis/{stem}.mid", 120)
    top = tmp_path / "downloads/vgmidi/r/labelled"
    for name in ("A game_Song", "B"):
        write_midi(top / f"midi/{name}.mid", 120)
    curves = [[-0.2, 0.0], [-0.4, -0.2], [-1.0, 1.0]]
    annotations = {
        f"piece1_{i}": {"valence": curve, "arousal": [0.5, 0.7]} for i, curve in enumerate(curves)
    }
    told = {"annotations": annotations, "pieces": {"piece1": {"midi": "A game_Song.mid"}}}
    (top / "annotations").mkdir()
    (top / "annotations/vgmidi_raw_1.json").write_text(json.dumps(told))
    _, skipped = arranged(tmp_path)
    assert skipped == {"name without quadrant and song": 1, "labelled piece without annotation": 1}
    # The mean over a piece of the median over listeners: of -0.4 and 0, of 0.5 and 0.7.
    side, game = split_of("ab_c-D"), "A_game_Song"
    assert table(tmp_path / "emotion/labels.csv") == [
        ("emopia/Q3_ab_c-D_0.mid", "emopia", "ab_c-D", "Q3", side, "", ""),
        ("emopia/Q3_ab_c-D_1.mid", "emopia", "ab_c-D", "Q3", side, "", ""),
        (f"vgmidi/{game}.mid", "vgmidi", game, "Q2", split_of(game), "-0.200", "0.600"),
    ]
    sides = [split_of(f"song {i}") for i in range(2000)]
    assert 0.16 < sides.count("val") / len(sides) < 0.24


def test_musicxml_becomes_midi(tmp_path: Path) -> None:
    music21 = pytest.importorskip("music21")
    path = tmp_path / "downloads/musetrainer/r/scores/Tune.mxl"
    path.parent.mkdir(parents=True)
    stream = music21.stream.Stream([music21.note.Note("C4"), music21.note.Note("E4")])
    stream.write("mxl", fp=path)
    path.with_name("Bad.mxl").write_bytes(b"no zip")
    n_files, skipped = arranged(tmp_path)
    assert n_files == {"musetrainer": 1} and len(skipped) == 1
    assert next(iter(skipped)).startswith("music21 cannot convert it (")
    score = Score(tmp_path / "corpus/musetrainer/Tune.mid")
    assert [note.pitch for note in score.tracks[0].notes] == [60, 64]
