"""The folder of a job: what is done of it is there whole, whenever it is stopped.

Clips are written below `.emomusic/doing` and moved into the folder; a block is done once its lines
are in `.emomusic/blocks`. When all are, they become the manifest.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emomusic.compose.output import MANIFEST_NAME, OutputError
from emomusic.files import UNREADABLE, write_text

FAILURES_NAME = "failures.jsonl"
STATE_NAME = ".emomusic"
JOB_NAME, BEGIN_NAME = "job.json", "begin.lock"
DONE, HALF = ".jsonl", ".half"


@dataclass(frozen=True)
class Shard:
    """Hold which part of a job is meant: the blocks whose number leaves `index` over.

    Attributes:
        index: From 0.
        count: Above index.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            ValueError: If index is not below count.
        """
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"shard must be I/K with I from 0 to K - 1, got {self.index}/{self.count}"
            )

    @property
    def name(self) -> str:
        """Return a name for its folders."""
        return f"{self.index}-of-{self.count}"

    def has(self, block: int) -> bool:
        """Tell whether a block is of it."""
        return block % self.count == self.index


def parse_shard(text: str) -> Shard:
    """Return the shard of a text such as `0/4`.

    Raises:
        ValueError: If the text is none.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.strip().isdecimal() and count.strip().isdecimal() and len(text) < 24):
        raise ValueError(f"shard must be I/K, such as 0/4, got {text!r}")
    return Shard(int(index), int(count))


class Store:
    """Keep what is done of a job in its folder."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        """Take the folder, and the part of the job that is done here."""
        self.folder, self.shard = folder, shard
        self.state = folder / STATE_NAME
        self.blocks, self.doing = self.state / "blocks", self.state / "doing" / shard.name

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that no other process does the same part.

        Raises:
            OutputError: If another does, or the folder cannot be written into.
        """
        with told(self.folder):
            self.state.mkdir(parents=True, exist_ok=True)
            lock = (self.state / f"{self.shard.name}.lock").open("wb")
        with lock:
            if not _locked(lock.fileno()):
                raise OutputError(f"another process composes this part of a job into {self.folder}")
            yield

    def begin(self, identity: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder ready for a job; what another one left is removed, but its clips.

        Args:
            identity: What must be the same to go on.
            resume: Whether to go on; else this part of the job begins anew.

        Raises:
            OutputError: If it holds another job to go on with, or cannot be written into.
        """
        with told(self.folder), self.alone():
            known = self._identity()
            if known != dict(identity):
                if resume and known is not None:
                    raise OutputError(
                        f"{self.folder} holds another job ({_difference(known, identity)}): take "
                        "another folder, or leave out --resume to begin anew"
                    )
                (self.state / JOB_NAME).unlink(missing_ok=True)  # or it seems whole without blocks
                shutil.rmtree(self.blocks, ignore_errors=True)
            elif not resume:
                for path in self.blocks.glob("*"):
                    if self.shard.has(int(path.stem)):
                        path.unlink(missing_ok=True)
            if resume and known is not None and self._is_whole():
                return
            self.blocks.mkdir(exist_ok=True)
            shutil.rmtree(self.doing, ignore_errors=True)
            self.doing.mkdir(parents=True, exist_ok=True)  # a process of before may just be ending
            write_text(self.state / JOB_NAME, json.dumps(dict(identity), indent=1) + "\n")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other parts of the job from beginning and from ending at the same time."""
        with (self.state / BEGIN_NAME).open("wb") as lock:
            _locked(lock.fileno(), wait=True)
            yield

    def _is_whole(self) -> bool:
        return not self.blocks.is_dir() and (self.folder / MANIFEST_NAME).is_file()

    def _identity(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.state / JOB_NAME).read_text(encoding="utf-8"))
        except UNREADABLE:
            return None
        return found if isinstance(found, dict) else None

    def chosen(self, n_blocks: int) -> list[bool]:
        """Return for each block whether it is to be done here, and is not yet."""
        if not self.blocks.is_dir():
            return [False] * n_blocks
        done = self.done()
        return [self.shard.has(block) and block not in done for block in range(n_blocks)]

    def done(self) -> set[int]:
        """Return the blocks that are done, by whomever."""
        return {int(path.stem) for path in self.blocks.glob(f"*{DONE}")}

    def staging(self, block: int) -> Path:
        """Return a new folder for what is being written of a block."""
        folder = self.doing / f"{block:08d}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return folder

    def lines_path(self, block: int, suffix: str = DONE) -> Path:
        """Return where the lines of a block are."""
        return self.blocks / f"{block:08d}{suffix}"

    def leave(self) -> None:
        """Remove what is needed only while a job runs."""
        for path in (self.blocks, self.doing.parent):
            gone = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.gone")
            with suppress(FileNotFoundError):
                path.rename(gone)
        for path in self.state.glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != JOB_NAME:
                path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove all that is known of a job but its clips and its manifest."""
        shutil.rmtree(self.state, ignore_errors=True)


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn trouble with files into one sentence.

    Raises:
        OutputError: If a file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error


def _difference(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in wanted if known.get(name) != wanted[name]]
    values = {name: (known.get(name), wanted[name]) for name in names}
    shown = {name: pair for name, pair in values.items() if len(str(pair)) < 60}
    return ", ".join(f"{name} {a} and not {b}" for name, (a, b) in shown.items()) or ", ".join(
        f"other {name}" for name in names
    )


def _locked(handle: int, *, wait: bool = False) -> bool:
    """Lock an open file, which holds as long as it is open; tell whether nobody else has."""
    try:
        import fcntl
    except ImportError:  # Windows: whoever starts a job twice there gets the same clips twice
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True
