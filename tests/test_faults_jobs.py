"""Jobs that are killed, stopped, kept from writing or started twice end as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults_cases import NO_RIGHTS, is_one_sentence, run, small_disk
from helpers.jobs import tree
from helpers.shell import Shell

TABLE = "id,emotion,bars,count,seed\na,joy,8,40,1\nb,calm,8,20,\nc,anger,8,36,5\n"
CODE = "from emomusic.cli import main; main()"


@pytest.fixture(scope="module")
def whole(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return all files of the job done by one process, undisturbed."""
    work = Work(tiny_checkpoint, tmp_path_factory.mktemp("whole"))
    assert work.start(is_read=False).end() == 0
    return tree(work.out)


def heed_interrupts() -> None:
    """Undo what a shell does to what it starts in the background: it heeds no Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Started:
    """Hold a command in a process of its own; it waits until the clips it tells are read."""

    def __init__(self, arguments: list[str], told: Path, *, is_read: bool) -> None:
        self.told = told
        command = [sys.executable, "-c", CODE, *arguments]
        with told.open("w") as err:
            self.process = subprocess.Popen(
                command, stderr=err, stdout=subprocess.PIPE if is_read else subprocess.DEVNULL,
                text=True, pipesize=4096, preexec_fn=heed_interrupts,
            )  # fmt: skip

    def wait_for_clips(self, n: int) -> None:
        """Wait until so many clips have been told."""
        assert self.process.stdout is not None
        for _ in range(n):
            assert "file" in json.loads(self.process.stdout.readline()), self.told.read_text()

    def end(self, number: int = 0) -> int:
        """Wait for its end, after a signal if there is one; return its status."""
        if number:
            self.process.send_signal(number)
        self.process.communicate()
        return self.process.returncode


class Work:
    """Start and resume the job in one folder."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self.checkpoint, self.folder, self.out = checkpoint, folder, folder / "out"
        self.spec, self.n = folder / "jobs.csv", 0
        self.spec.write_text(TABLE)

    def arguments(self, *more: object) -> list[str]:
        asked = ("generate", "--spec", self.spec, "--out", self.out, "--checkpoint",
                 self.checkpoint, "--threads", 1, "--resume", "--json", *more)  # fmt: skip
        return list(map(str, asked))

    def start(self, *more: object, is_read: bool = True) -> Started:
        self.n += 1
        told = self.folder / f"told_{self.n}.txt"
        return Started(self.arguments(*more), told, is_read=is_read)

    def ends_as(self, whole: dict[str, bytes]) -> None:
        """Resume the job; it must end with the same files as if nothing had been."""
        last = self.start("--workers", 2)
        assert last.end() == 0, last.told.read_text()
        assert tree(self.out) == whole


@pytest.fixture
def work(tiny_checkpoint: Path, tmp_path: Path) -> Work:
    return Work(tiny_checkpoint, tmp_path)


def is_gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_job_killed_again_and_again_is_resumed(work: Work, whole: dict[str, bytes]) -> None:
    rng = random.Random(7)
    for n_clips in (0, rng.randint(1, 14), rng.randint(1, 14)):
        started = work.start("--workers", 2)
        started.wait_for_clips(n_clips)
        tasks = Path(f"/proc/{started.process.pid}/task").glob("*/children")
        left = [int(child) for task in tasks for child in task.read_text().split()]
        time.sleep(rng.uniform(0, 0.2))
        assert started.end(signal.SIGKILL) == -signal.SIGKILL
        while not all(map(is_gone, left)):  # by themselves
            time.sleep(0.02)
    assert (work.out / ".emomusic" / "blocks" / "00000000.jsonl").is_file()
    assert not (work.out / "manifest.jsonl").exists()
    work.ends_as(whole)


def test_a_job_stopped_politely_names_what_is_there(work: Work, whole: dict[str, bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        started = work.start("--workers", 2)
        started.wait_for_clips(1)
        assert started.end(number) == 130
        said = started.told.read_text()
        assert is_one_sentence(said) and "stopped; " in said
        cards = [json.loads(line) for line in (work.out / "manifest.jsonl").open()]
        assert f" {len(cards)} of 96 clips are there" in said and 16 <= len(cards) <= 96
        for card in cards:
            assert (work.out / card["file"]).read_bytes() == whole[card["file"]]
    work.ends_as(whole)


def test_parts_started_at_once_share_the_work(work: Work, whole: dict[str, bytes]) -> None:
    parts = [work.start("--shard", f"{index}/3", is_read=False) for index in range(3)]
    assert [part.end() for part in parts] == [0, 0, 0]
    assert tree(work.out) == whole


def test_a_job_at_work_is_not_disturbed(work: Work, shell: Shell, whole: dict[str, bytes]) -> None:
    started = work.start()
    started.wait_for_clips(1)
    os.kill(started.process.pid, signal.SIGSTOP)
    said = shell(*work.arguments())
    work.spec.write_text("emotion\nsadness\n")
    os.kill(started.process.pid, signal.SIGCONT)
    assert said.status == 1 and not said.out
    assert said.err == f"Error: another process composes this part of a job into {work.out}\n"
    assert started.end() == 0, started.told.read_text()
    assert tree(work.out) == whole


def test_on_a_full_disk_it_says_so_and_goes_on_once_there_is_room(
    work: Work, shell: Shell, whole: dict[str, bytes]
) -> None:
    with small_disk(work.out) as is_mounted:
        if not is_mounted:
            pytest.skip("no disk can be made here")
        ballast, left = work.out / "ballast", os.statvfs(work.out)
        ballast.write_bytes(bytes(left.f_bavail * left.f_bsize - 40 * 4096))
        for attempt in range(2):
            said = shell(*work.arguments())
            assert said.status == 1 and is_one_sentence(said.err), said.err
            assert f"cannot write into {work.out}: No space left on device" in said.err
            told = " of 96 clips are there, the same with --resume goes on"
            assert attempt or told in said.err
            ballast.write_bytes(ballast.read_bytes()[: -30 * 4096])
        ballast.unlink()
        assert shell(*work.arguments()).status == 0
        assert tree(work.out) == whole


def test_a_folder_without_permission_is_told(work: Work) -> None:
    work.out.mkdir()
    work.out.chmod(0o500)
    status, said = run(*work.arguments(), powerless=True)
    if status == NO_RIGHTS:
        pytest.skip("root's rights cannot be given up here")
    assert status == 2
    assert said == f"Error: cannot write into {work.out}: Permission denied\n"
    assert not list(work.out.iterdir())
