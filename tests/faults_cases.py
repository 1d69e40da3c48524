"""Commands in processes of their own, that can be killed and kept from writing."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

NURSERY = """
import json, os, resource, signal, sys, traceback

import torch._dynamo  # what optimisers load
import emomusic.data.prepare, emomusic.fit
import emomusic.training.train
from emomusic.cli import main
from emomusic.training import state
try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    pass

def powerless():
    import ctypes
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    rights = (ctypes.c_uint32 * 6)()
    return ctypes.CDLL(None).capset(header, rights)

def dying_in_save(n):
    written = state.write_atomically
    left = [n]
    def write(path, save):
        left[0] -= 1
        def half(file):
            data = []
            class Kept:
                write = data.append
            save(Kept)
            whole = b"".join(data)
            file.write(whole[: len(whole) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        written(path, save if left[0] else half)
    state.write_atomically = write

def born(order):
    if order["n_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["n_bytes"],) * 2)
    if order["powerless"] and powerless():
        return 77
    if order["die_in_save"]:
        dying_in_save(order["die_in_save"])
    sys.argv = ["emomusic", *order["argv"]]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 70

for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if not child:
        told = os.open(order["told"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 1)
        os.dup2(told, 2)
        status = 71
        try:
            status = born(order)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(child, flush=True)
"""


class Nursery:
    """Start commands in processes that need not load the libraries anew."""

    def __init__(self, told: Path) -> None:
        """Start the process that the others are forked from; their words are kept in `told`."""
        self.told = told
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, **order: Any) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(
        self,
        *arguments: object,
        n_bytes: int | None = None,
        powerless: bool = False,
        die_in_save: int = 0,
    ) -> int:
        """Start a command and return the number of its process.

        `n_bytes` is the longest file that it may write, as on a disk that is full then; where it
        is `powerless`, root's rights over others' files are taken from it; `die_in_save` is the
        save of the state in which it is killed half way.
        """
        return self._ask(
            argv=[str(argument) for argument in arguments],
            told=str(self.told),
            n_bytes=n_bytes,
            powerless=powerless,
            die_in_save=die_in_save,
        )

    def wait(self, process: int) -> int:
        """Wait for a process's end; return its status, below 0 if a signal ended it."""
        return self._ask(wait=process)

    def run(self, *arguments: object, **how: Any) -> tuple[int, str]:
        """Run a command to its end; return its status and what it said."""
        status = self.wait(self.start(*arguments, **how))
        return status, self.told.read_text(encoding="utf-8")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        shutil.rmtree(self.told.parent)


@cache
def nursery() -> Nursery:
    """Return the nursery of this process."""
    started = Nursery(Path(mkdtemp()) / "told.txt")
    atexit.register(started.close)
    return started


def is_one_sentence(said: str) -> bool:
    """Tell whether the last line is an error, and no other is one or part of a traceback."""
    *before, last = said.splitlines()
    return last.startswith("Error: ") and not any(
        line.startswith(("Error", "Traceback", "  File", "Exception")) for line in before
    )


@contextmanager
def small_disk(folder: Path, *, mib: int = 1) -> Iterator[bool]:
    """Mount a file system of so many MiB on a folder; yields whether that could be done."""
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)],
            check=False,
            capture_output=True,
        ).returncode
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder but TensorBoard's."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "tfevents" not in path.name
    }
