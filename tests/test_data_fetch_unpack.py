import io
import stat
import zipfile
from pathlib import Path

import pytest

from emomusic.data.fetch import unpack as unpack_module
from emomusic.data.fetch.unpack import ArchiveError, DamagedArchiveError, unpack


def write_zip(path: Path, files: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[arg-type]
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


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
    monkeypatch.setattr(unpack_module, limit, value)
    with pytest.raises(ArchiveError, match=words):
        unpack(archive, tmp_path / "out")
    assert files_below(tmp_path) == {"a.zip"}


def test_new_content_replaces_the_old_whole(tmp_path: Path) -> None:
    unpack(write_zip(tmp_path / "a.zip", {"old.mid": b"x"}), tmp_path / "out")
    unpack(write_zip(tmp_path / "b.zip", {"new.mid": b"x"}), tmp_path / "out")
    assert files_below(tmp_path) == {"a.zip", "b.zip", "out/new.mid"}


def test_failure_leaves_the_old_content(tmp_path: Path) -> None:
    unpack(write_zip(tmp_path / "a.zip", {"old.mid": b"x"}), tmp_path / "out")
    (tmp_path / "b.zip").write_bytes(b"PK no zip")
    with pytest.raises(DamagedArchiveError, match=r"^not a whole zip archive: "):
        unpack(tmp_path / "b.zip", tmp_path / "out")
    assert files_below(tmp_path / "out") == {"old.mid"}


def test_damaged_stream_is_damage(tmp_path: Path) -> None:
    archive = write_zip(
        tmp_path / "a.zip", {"a.mid": b"MThd" * 999}, compression=zipfile.ZIP_DEFLATED
    )
    content = bytearray(archive.read_bytes())
    content[36:40] = b"\xff\xff\xff\xff"
    archive.write_bytes(content)
    with pytest.raises(DamagedArchiveError):
        unpack(archive, tmp_path / "out")


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
