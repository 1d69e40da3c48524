"""Files are written whole or not at all; folders are locked."""

from pathlib import Path
from typing import BinaryIO

import pytest

from emomusic.files import alone_in, clear_parts, locked, write_atomically, write_text


def test_the_file_holds_what_was_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, lambda file: file.write(b"\x00\xff"))
    assert path.read_bytes() == b"\x00\xff"
    write_text(path, "Ärger, 悲しみ\n")
    assert path.read_bytes() == "Ärger, 悲しみ\n".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    (tmp_path / ".a.bin.x.part").write_bytes(b"half")  # of a killed process
    clear_parts(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError, match=r"none.a\.txt"):
        write_text(tmp_path / "none" / "a.txt", "x")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_names_the_file_keeps_the_old_one_and_leaves_nothing_behind(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    words = r"No space left on device: .*a\.bin" if isinstance(error, OSError) else None
    with pytest.raises(type(error), match=words):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_file_or_a_folder_is_locked_for_as_long_as_it_is_held(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a.lock"):
        with locked(path) as first, locked(path) as second:
            assert first and not second
        with locked(path, wait=True) as again:
            assert again
    with (
        alone_in(tmp_path),
        pytest.raises(ValueError, match="another process is at work"),
        alone_in(tmp_path),
    ):
        pass
