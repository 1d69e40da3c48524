"""Files are written whole or not at all."""

from pathlib import Path
from typing import BinaryIO

import pytest

from emomusic.files import locked, write_atomically, write_text


def test_the_file_holds_what_was_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.bin", lambda file: file.write(b"\x00\xff"))
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_text_is_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Ärger, 悲しみ\n")
    assert (tmp_path / "a.txt").read_bytes() == "Ärger, 悲しみ\n".encode()


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(file: BinaryIO) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.bin", interrupt)
    assert not list(tmp_path.iterdir())


def test_others_may_read_the_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "none" / "a.txt", "x")


def test_a_file_or_a_folder_is_locked_for_as_long_as_it_is_held(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a.lock"):
        with locked(path) as first, locked(path) as second:
            assert first and not second
        with locked(path, wait=True) as again:
            assert again
