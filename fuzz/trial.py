"""One input after another: timed, measured, and told apart by what came of it."""

from __future__ import annotations

import hashlib
import mmap
import resource
import signal
import struct
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from emomusic.music.score import MAX_MEMORY as MAX_MEMORY

MAX_INPUT = 2**20
MAX_FINDINGS = 20
HANG_S = 1.0
"""Seconds of processor time that an input may take."""
STATUS = Path("/proc/self/status")
_FIELDS = struct.Struct("<6q")
N_INPUTS, N_REACHED, SLOWEST_NS, BASE_KIB, PEAK_KIB, LENGTH = range(6)


class Ledger:
    """Hold counts, and the input at work, where they outlive a process that is killed."""

    def __init__(self, path: Path) -> None:
        """Open the ledger, or make it."""
        if not path.exists():
            path.write_bytes(bytes(_FIELDS.size + MAX_INPUT))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.counts = list(_FIELDS.unpack_from(self._map))

    def begin(self, data: bytes) -> None:
        """Note an input before it is tried."""
        self.counts[LENGTH] = len(data)
        self._map[_FIELDS.size : _FIELDS.size + len(data)] = data
        self.write()

    def write(self) -> None:
        """Write the counts down."""
        _FIELDS.pack_into(self._map, 0, *self.counts)

    @property
    def input(self) -> bytes:
        """Return the input at work."""
        return self._map[_FIELDS.size : _FIELDS.size + self.counts[LENGTH]]


class Trial:
    """Try inputs on a target, in this process."""

    def __init__(self, run: Callable[[bytes], bool], ledger: Ledger, found: Path) -> None:
        """Take what tries an input, which raises what is a finding; the counts; a folder."""
        self._run, self._ledger, self._found = run, ledger, found
        self._seen: set[str] = set()

    def begin(self, seeds: list[bytes]) -> None:
        """Load what the target needs, measure what that takes, and set limits from there on."""
        for seed in seeds:
            self._run(seed)
        counts = self._ledger.counts
        counts[BASE_KIB] = peak_kib()
        counts[PEAK_KIB] = max(counts[PEAK_KIB], counts[BASE_KIB])
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, inside of C code too

    def __call__(self, data: bytes) -> bool:
        """Try one input; return whether it reached what is to be tested."""
        data = data[:MAX_INPUT]
        counts, reached = self._ledger.counts, False
        self._ledger.begin(data)
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        start = time.process_time_ns()
        try:
            reached = self._run(data)
        except Exception as error:
            self._tell(data, error)
        signal.setitimer(signal.ITIMER_PROF, 0)
        counts[SLOWEST_NS] = max(counts[SLOWEST_NS], time.process_time_ns() - start)
        counts[N_INPUTS] += 1
        counts[N_REACHED] += reached
        peak = peak_kib()
        if peak > counts[PEAK_KIB]:
            counts[PEAK_KIB] = peak
            if (peak - counts[BASE_KIB]) * 1024 > MAX_MEMORY:
                self._tell(data, MemoryError(f"the process has grown to {peak} KiB"))
        self._ledger.write()
        return reached

    def _tell(self, data: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)[-2:]
        where = f"{type(error).__name__} {[(frame.filename, frame.lineno) for frame in frames]}"
        if where in self._seen or len(self._seen) >= MAX_FINDINGS:
            return
        self._seen.add(where)
        keep(self._found, "error", data, "".join(traceback.format_exception(error)))


def keep(folder: Path, kind: str, data: bytes, told: str) -> Path:
    """Keep an input that is a finding, and beside it what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(told, encoding="utf-8")
    return path


def peak_kib() -> int:
    """Return the most memory that this process has held, in KiB."""
    try:
        told = STATUS.read_bytes()
    except OSError:  # no Linux; there the number below begins at that of the parent
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    at = told.index(b"VmHWM:") + 6
    return int(told[at : told.index(b"kB", at)])
