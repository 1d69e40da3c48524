"""Commands in processes of their own, that can be killed and kept from writing."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO

PRELOADED = ["torch._dynamo", "emomusic.cli", "emomusic.data.prepare", "emomusic.fit",
             "emomusic.training.train", "torch.utils.tensorboard"]  # fmt: skip
NO_RIGHTS = 77


@cache
def nursery() -> ForkServerContext:
    """Return what starts processes that need not load the libraries anew."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(*arguments: object, told: Path | None = None, **how: Any) -> ForkServerProcess:
    """Start a command; what it says goes to a file, or nowhere.

    Args:
        arguments: Of the command line.
        told: The file.
        how: `n_bytes` is the longest file that it may write, as on a disk that is full then; where
            it is `powerless`, root's rights over others' files are taken from it; `die_in_save` is
            the save of the state in which it is killed half way.
    """
    command = ["emomusic", *map(str, arguments)]
    process = nursery().Process(target=_born, args=(command, told or Path(os.devnull)), kwargs=how)
    process.start()
    return process


def ended(process: ForkServerProcess) -> int:
    """Wait for a process's end; return its status, below 0 if a signal ended it."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def run(*arguments: object, **how: Any) -> tuple[int, str]:
    """Run a command to its end; return its status and what it said."""
    with NamedTemporaryFile("r", encoding="utf-8") as told:
        status = ended(start(*arguments, told=Path(told.name), **how))
        return status, told.read()


def _born(
    command: list[str],
    told: Path,
    *,
    n_bytes: int | None = None,
    powerless: bool = False,
    die_in_save: int = 0,
) -> None:
    with told.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if n_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    if powerless:
        header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None).capset(header, rights):
            sys.exit(NO_RIGHTS)
    if die_in_save:
        _die_in_save(die_in_save)
    from emomusic.cli import main

    sys.argv = command
    main()


def _die_in_save(n: int) -> None:
    """Have this process killed when half of the n-th state is written."""
    from emomusic.training import state

    written, n_left = state.write_atomically, n

    def write(path: Path, save: Callable[[BinaryIO], object]) -> None:
        nonlocal n_left
        n_left -= 1

        def half(file: BinaryIO) -> None:
            save(file)
            file.truncate(file.tell() // 2)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

        written(path, save if n_left else half)

    state.write_atomically = write


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
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    is_root = os.geteuid() == 0
    mounted = is_root and not subprocess.run(mount, check=False, capture_output=True).returncode
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
