"""The folder of a job: what is done of it is there whole, whenever it is stopped.

Clips are written below `.emomusic/doing` and moved into the folder; a batch is done once its lines
are in `.emomusic/blocks`. When all batches are done, their lines become the manifest.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

from emomusic.compose.export import (
    MANIFEST_NAME,
    OutputError,
    line_of,
    raise_as_output_error,
    stem_of,
    write_files,
)
from emomusic.compose.jobs.job import ItemResult, Job, Output
from emomusic.emotion import Emotion
from emomusic.files import UNREADABLE, locked, write_text
from emomusic.verify.verifier import Verifier

FAILURES_NAME = "failures.jsonl"
STATE_NAME = ".emomusic"
JOB_NAME, BEGIN_NAME = "job.json", "begin.lock"
DONE, PARTIAL = ".jsonl", ".half"
"""Suffixes of the lines of a batch: of one that is done, and of one that was interrupted."""
ROW_GROUP = 16
"""Clips of a row group of parquet: with sound, a batch may not fit into memory."""
Line = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """Part of a job: the batches whose number leaves the remainder `index` over `count`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Check that index is below count."""
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"shard must be I/K with I from 0 to K - 1, got {self.index}/{self.count}"
            )

    def has(self, batch: int) -> bool:
        """Tell whether a batch belongs to it."""
        return batch % self.count == self.index

    def choose(self, n_batches: int) -> list[bool]:
        """Tell of each batch of a job whether it belongs to it."""
        return [self.has(batch) for batch in range(n_batches)]


def parse_shard(text: str) -> Shard:
    """Read a shard such as `0/4`.

    Raises:
        ValueError: If the text is none.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.strip().isdecimal() and count.strip().isdecimal() and len(text) < 24):
        raise ValueError(f"shard must be I/K, such as 0/4, got {text!r}")
    return Shard(int(index), int(count))


class Store:
    """Keep track of what is done of a shard, in the job's folder."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        """Take the folder of the job, and the part of it that is done here."""
        self.folder, self.shard = folder, shard
        self.state = folder / STATE_NAME
        name = f"{shard.index}-of-{shard.count}"
        self.done_dir, self.doing_dir = self.state / "blocks", self.state / "doing" / name
        self._lock_path = self.state / f"{name}.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from doing the same shard.

        Raises:
            OutputError: If another one does, or the folder cannot be written into.
        """
        with raise_as_output_error(self.folder):
            self.state.mkdir(parents=True, exist_ok=True)
            self._lock_path.touch()
        with locked(self._lock_path) as is_free:
            if not is_free:
                raise OutputError(f"another process composes this part of a job into {self.folder}")
            yield

    def exclusive(self) -> AbstractContextManager[bool]:
        """Keep other shards of the job from beginning and ending at the same time."""
        return locked(self.state / BEGIN_NAME, wait=True)

    def begin(self, identity: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder ready for a job; what another one left is removed, but not its clips.

        To resume, the identity must be the same; otherwise this shard begins anew.

        Raises:
            OutputError: If another job would be resumed, or the folder cannot be written into.
        """
        with raise_as_output_error(self.folder), self.exclusive():
            known = self._identity()
            if known != dict(identity):
                if resume and known is not None:
                    raise OutputError(
                        f"{self.folder} holds another job ({_difference(known, identity)}): take "
                        "another folder, or leave out --resume to begin anew"
                    )
                (self.state / JOB_NAME).unlink(missing_ok=True)  # or it seems whole without batches
                shutil.rmtree(self.done_dir, ignore_errors=True)
            elif not resume:
                for path in self.done_dir.glob("*"):
                    if self.shard.has(int(path.stem)):
                        path.unlink(missing_ok=True)
            is_complete = not self.done_dir.is_dir() and (self.folder / MANIFEST_NAME).is_file()
            if resume and known is not None and is_complete:
                return
            self.done_dir.mkdir(exist_ok=True)
            shutil.rmtree(self.doing_dir, ignore_errors=True)
            self.doing_dir.mkdir(parents=True, exist_ok=True)  # another may just be ending
            write_text(self.state / JOB_NAME, json.dumps(dict(identity), indent=1) + "\n")

    def _identity(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.state / JOB_NAME).read_text(encoding="utf-8"))
        except UNREADABLE:
            return None
        return found if isinstance(found, dict) else None

    def missing(self, n_batches: int) -> list[bool]:
        """Tell of each batch whether it belongs to this shard and is not done yet."""
        if not self.done_dir.is_dir():
            return [False] * n_batches
        done = self.done()
        return [self.shard.has(batch) and batch not in done for batch in range(n_batches)]

    def done(self) -> set[int]:
        """Return the batches that are done, of all shards."""
        return {int(path.stem) for path in self.done_dir.glob(f"*{DONE}")}

    def staging_dir(self, batch: int) -> Path:
        """Make a new folder for what is being written of a batch."""
        folder = self.doing_dir / f"{batch:08d}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return folder

    def lines_path(self, batch: int, suffix: str = DONE) -> Path:
        """Return where the lines of a batch are."""
        return self.done_dir / f"{batch:08d}{suffix}"

    def clean_up(self) -> None:
        """Remove what is needed only while a job runs."""
        for path in (self.done_dir, self.doing_dir.parent):
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


def _difference(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in wanted if known.get(name) != wanted[name]]
    values = {name: (known.get(name), wanted[name]) for name in names}
    shown = {name: pair for name, pair in values.items() if len(str(pair)) < 60}
    return ", ".join(f"{name} {a} and not {b}" for name, (a, b) in shown.items()) or ", ".join(
        f"other {name}" for name in names
    )


class BatchWriter:
    """Write one batch, clip after clip; one that is not closed cleanly is to be done again.

    Attributes:
        folder: Where its files are written before they are kept.
        lines: Of the clips so far.
    """

    def __init__(self, store: Store, batch: int, output: Output) -> None:
        """Begin a batch, by its number in the job."""
        self._store, self._batch, self._output = store, batch, output
        self.lines: list[Line] = []
        with raise_as_output_error(store.folder):
            self.folder = store.staging_dir(batch)

    def __enter__(self) -> BatchWriter:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Commit the batch; where something went wrong, note what is whole of it instead."""
        try:
            if kind is None:
                with raise_as_output_error(self._store.folder):
                    self._commit()
            elif self._output.pack == "files" and self.lines:
                with suppress(OSError):
                    self._put_lines(PARTIAL)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, result: ItemResult, *, explain_by: Verifier | None = None) -> Line:
        """Write the files of a clip, and return its line; one that fails gets the reason instead.

        Raises:
            OutputError: If the files cannot be written.
        """
        item, clip, reason = result.item, result.clip, result.reason
        stem, formats = stem_of(item.number), self._output.formats
        with raise_as_output_error(self._store.folder):
            if clip is not None:
                try:
                    line = line_of(clip, stem, formats, explain_by=explain_by) | item.labels
                    write_files(clip, self.folder, stem, formats)
                    return self.keep(line)
                except ValueError as error:
                    reason = str(error)
            own = {"number": item.number, "seed": item.settings.seed, "index": item.settings.index}
            return self.keep({**own, **item.labels, "reason": " ".join(reason.split())})

    def keep(self, line: Line) -> Line:
        """Keep the clip of a line, whose files are in the folder; or note why there is none."""
        if "file" in line:
            if self._output.pack == "files":
                for name in line["files"]:
                    (self.folder / name).replace(self._store.folder / name)
            else:
                line["pack"] = self._pack_name
        self.lines.append(line)
        return line

    @property
    def _pack_name(self) -> str:
        return f"pack_{self._batch:05d}.{self._output.pack}"

    def _commit(self) -> None:
        kept = [line for line in self.lines if "file" in line]
        if self._output.pack != "files" and kept:
            write_pack = write_tar if self._output.pack == "tar" else write_parquet
            write_pack(self.folder / self._pack_name, kept, self.folder)
            (self.folder / self._pack_name).replace(self._store.folder / self._pack_name)
        self._put_lines(DONE)
        self._store.lines_path(self._batch, PARTIAL).unlink(missing_ok=True)

    def _put_lines(self, suffix: str) -> None:
        path = self.folder / "lines"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in self.lines), encoding="utf-8")
        path.replace(self._store.lines_path(self._batch, suffix))


def write_tar(path: Path, lines: Sequence[Line], folder: Path) -> None:
    """Write the files of lines into a tar file: the same clips, the same bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in (name for line in lines for name in line["files"]):
            entry = tarfile.TarInfo(name)  # with neither time nor owner
            entry.size, entry.mode = (folder / name).stat().st_size, 0o644
            with (folder / name).open("rb") as file:
                archive.addfile(entry, file)


def write_parquet(path: Path, lines: Sequence[Line], folder: Path) -> None:
    """Write clips into a parquet file: a row a clip, a column a format, and the card as JSON."""
    from pyarrow import parquet

    groups = (lines[at : at + ROW_GROUP] for at in range(0, len(lines), ROW_GROUP))
    tables = (_table(group, folder) for group in groups)
    first = next(tables)
    with parquet.ParquetWriter(path, first.schema) as writer:
        for table in chain((first,), tables):
            writer.write_table(table)


def _table(lines: Sequence[Line], folder: Path) -> Any:
    import pyarrow as pa

    kinds = {"file": pa.string(), "row": pa.int64(), "id": pa.string(), "seed": pa.int64(),
             "index": pa.int64(), "emotion": pa.string(), "valence": pa.float64(),
             "arousal": pa.float64(), "bars": pa.int64(), "tempo": pa.float64(),
             "key": pa.string()}  # fmt: skip
    columns = {name: pa.array([line.get(name) for line in lines], t) for name, t in kinds.items()}
    heard = [line["verdict"]["quadrant"] for line in lines]
    columns |= {"heard": pa.array(heard, pa.string()),
                "card": pa.array(map(json.dumps, lines), pa.string())}  # fmt: skip
    for suffix in dict.fromkeys(Path(name).suffix[1:] for line in lines for name in line["files"]):
        files = (next(n for n in line["files"] if n.endswith(f".{suffix}")) for line in lines)
        columns[suffix] = pa.array([(folder / name).read_bytes() for name in files], pa.binary())
    return pa.table(columns)


@dataclass
class Summary:
    """Count what became of a job.

    Attributes:
        n_clips: Clips that are there.
        n_asked: Those for which an emotion was asked.
        n_heard: Those of these in which its quadrant is heard.
        reasons: How often each reason kept a row or a clip from being composed.
        is_complete: Whether nothing is left to be done, here or elsewhere.
    """

    n_clips: int = 0
    n_asked: int = 0
    n_heard: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    is_complete: bool = False

    def count(self, lines: Iterable[Line]) -> Summary:
        """Count lines of batches, and return itself."""
        for line in lines:
            if "file" not in line:
                self.reasons[line["reason"]] += 1
                continue
            self.n_clips += 1
            if line["valence"] is not None:
                asked = Emotion(line["valence"], line["arousal"]).quadrant
                self.n_asked += 1
                self.n_heard += line["verdict"]["quadrant"] == asked
        return self


def write_manifest(store: Store, job: Job) -> Summary:
    """Write the manifest of what is there, and clean up once everything is.

    Where other shards keep their batches in the same folder, whoever comes last writes.

    Raises:
        OutputError: If the folder cannot be written into.
    """
    with raise_as_output_error(store.folder), store.exclusive():
        while store.done_dir.is_dir():
            done = store.done()
            is_complete = len(done) == job.n_batches
            if not is_complete and not all(map(store.shard.has, done)):
                summary, own = Summary(), filter(store.shard.has, done)
                with suppress(FileNotFoundError):
                    summary.count(_bad_rows(job)).count(map(json.loads, _lines(store, own)))
                return summary
            try:
                summary = _merge(store, job, done)
            except FileNotFoundError:  # whoever came last has cleaned up
                continue
            if store.done() == done:  # otherwise another shard has finished meanwhile
                if is_complete:
                    store.clean_up()
                summary.is_complete = is_complete
                return summary
        store.clean_up()  # whoever came last may have been stopped while it cleaned up
        summary = Summary(is_complete=True)
        for path in (store.folder / MANIFEST_NAME, store.folder / FAILURES_NAME):
            if path.is_file():
                with path.open(encoding="utf-8") as file:
                    summary.count(map(json.loads, file))
        return summary


def _merge(store: Store, job: Job, done: Iterable[int]) -> Summary:
    """Write manifest and failures from the batches that are done."""
    summary = Summary()
    if not any(store.done_dir.iterdir()):
        return summary  # what another run left stays until there is something
    folder = store.staging_dir(0)
    failures = folder / FAILURES_NAME
    with (folder / MANIFEST_NAME).open("w") as manifest, failures.open("w") as failed:
        for line in _bad_rows(job):
            summary.count([line])
            failed.write(f"{json.dumps(line)}\n")
        for text in _lines(store, done):
            line = json.loads(text)
            summary.count([line])
            (manifest if "file" in line else failed).write(text)
    (folder / MANIFEST_NAME).replace(store.folder / MANIFEST_NAME)
    if summary.reasons:
        failures.replace(store.folder / FAILURES_NAME)
    else:
        (store.folder / FAILURES_NAME).unlink(missing_ok=True)
        failures.unlink()
    folder.rmdir()
    return summary


def _bad_rows(job: Job) -> Iterator[Line]:
    return ({"row": row.line, "reason": row.reason} for row in job.bad_rows())


def _lines(store: Store, done: Iterable[int]) -> Iterator[str]:
    """Yield the lines of batches, in order, with those of this shard that were interrupted.

    Raises:
        FileNotFoundError: If the batches are there no more.
    """
    partial = (int(path.stem) for path in store.done_dir.glob(f"*{PARTIAL}"))
    found = {batch: store.lines_path(batch, PARTIAL) for batch in filter(store.shard.has, partial)}
    found |= {batch: store.lines_path(batch) for batch in done}
    for batch in sorted(found):
        with found[batch].open(encoding="utf-8") as file:
            yield from file
