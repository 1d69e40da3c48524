"""Files written whole or not at all, and small files of JSON."""

from __future__ import annotations

import codecs
import json
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

UNREADABLE = (
    OSError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    ValueError,
)
"""What reading a missing, damaged or foreign table of JSON may raise."""

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks, and how a text goes on after each."""
NOT_UTF8 = "is no UTF-8 text: save it as UTF-8"
_CHUNK = 2**18


def as_utf8(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a text as UTF-8 without a byte order mark, whichever it began with.

    Lines that end by CR alone, as on an old Mac, end by LF then. What is damaged stays no UTF-8.
    """
    chunk = file.read(_CHUNK)
    mark = next(filter(chunk.startswith, MARKS), b"")
    encoding, chunk = MARKS.get(mark, "utf-8"), chunk.removeprefix(mark)
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    is_first, has_cr = True, False
    while chunk:
        if encoding != "utf-8":
            chunk = decoder.decode(chunk).encode("utf-8", "surrogatepass")
        if is_first:
            is_first, has_cr = False, b"\r" in chunk[:-1] and b"\n" not in chunk
        yield chunk.replace(b"\r", b"\n") if has_cr else chunk
        chunk = file.read(_CHUNK)
    if decoder.getstate()[0]:  # half a character is left
        yield b"\xff"


def decode_text(data: bytes) -> str:
    """Return the text of a small file: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        ValueError: If it is neither.
    """
    try:
        return b"".join(as_utf8(BytesIO(data))).decode()
    except UnicodeDecodeError:
        raise ValueError(f"it {NOT_UTF8}") from None


def open_plain(path: Path) -> BinaryIO:
    """Open a file that has an end: no pipe, no device.

    Raises:
        OSError: If it is missing, cannot be read, or is no plain file.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is no plain file")
    return path.open("rb")


class OutputError(ValueError):
    """Tell in one line why a folder cannot be written into."""


@contextmanager
def raise_as_output_error(folder: Path) -> Iterator[None]:
    """Turn an OSError into an `OutputError` of one sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error


def check_folder(folder: Path) -> None:
    """Make an output folder and check that files can be made in it, or raise an `OutputError`."""
    with raise_as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"emomusic")


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside `path`, then rename it.

    Raises:
        OSError: If the folder is not writable or full, named with the file; nothing is left
            behind then, and what was there stays.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is None or error.filename == str(path):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes as `write_atomically` does."""
    write_atomically(path, lambda file: file.write(data))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as `write_atomically` does."""
    write_bytes(path, text.encode())


def read_json(path: Path, *, max_bytes: int) -> Any:
    """Read what a file of JSON says.

    Args:
        path: A plain file: a pipe would never end, nor would a link to a device.
        max_bytes: Of the file.

    Raises:
        OSError: If it is missing, cannot be read, or is no plain file.
        ValueError: If it is too large, not UTF-8 or not JSON.
        RecursionError: If it is nested too deep.
    """
    with open_plain(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"it is too large, at most {max_bytes} bytes are read")
    return json.loads(data.decode("utf-8"))


def rounded(value: Any, digits: int) -> Any:
    """Round all floats of nested values, which become plain dicts and lists."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, Mapping):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [rounded(item, digits) for item in value]
    return value


def walk_files(folder: Path) -> Iterator[Path]:
    """Find the files below a folder, in order; links are followed, each file comes once.

    What lies there comes before what links lead to, so that a link takes no other's name; a link
    that leads nowhere comes as a file. Two names of one file are known by its device and number.
    """
    seen: set[tuple[int, int]] = set()
    todo = deque([folder])

    def is_new(path: Path) -> bool:
        stat, n_before = path.stat(follow_symlinks=path.exists()), len(seen)
        seen.add((stat.st_dev, stat.st_ino))
        return len(seen) > n_before

    while todo:
        start = todo.popleft()
        if not start.is_dir():
            if is_new(start):
                yield start
            continue
        for directory, folders, names in os.walk(start):
            here = Path(directory)
            if not is_new(here):
                folders.clear()
                continue
            folders.sort()
            paths = [here / name for name in sorted(names)]
            todo += filter(Path.is_symlink, [*paths, *map(here.joinpath, folders)])
            own = (path for path in paths if path.is_file() and not path.is_symlink())
            yield from filter(is_new, own)


def clear_parts(folder: Path) -> None:
    """Remove what `write_atomically` left in a folder where its process was killed."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Lock a folder, or a file, which is made if missing; yield whether it was free.

    The lock ends with the process, however that ends. Windows and file systems without locks let
    all in. With `wait` it comes once it is free.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield True
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    is_free = True
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            is_free = False
        except OSError:  # a file system without locks
            pass
        yield is_free
    finally:
        os.close(handle)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder, or raise a ValueError."""
    with locked(folder) as is_free:
        if not is_free:
            raise ValueError(
                f"another process is at work in {folder}; wait for it, or take another folder"
            )
        yield
