"""The folder of a job: what is done of it is there whole, whenever it is stopped.

Clips are written below `.emomusic/doing` and moved into the folder; a batch is done once its lines
are in `.emomusic/blocks`. When all batches are done, their lines become the manifest. Nothing is
written over that the job did not make: that of an earlier job goes where asked, all else is kept.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from emomusic.compose.clip import MANIFEST_NAME, Clip, line_of, write_files
from emomusic.compose.jobs.job import PACKS, Item, Job, Output
from emomusic.compose.request import FORMATS, INFILL
from emomusic.emotion import Emotion
from emomusic.files import UNREADABLE, OutputError, locked, raise_as_output_error, write_text
from emomusic.verify.verifier import Verifier

FAILURES_NAME = "failures.jsonl"
STATE_NAME = ".emomusic"
JOB_NAME, BEGIN_NAME = "job.json", "begin.lock"
LISTS = (FAILURES_NAME, MANIFEST_NAME)
NAME = re.compile(rf"(clip|pack)_[0-9]{{5,19}}\.({'|'.join((*FORMATS, *PACKS))})")
"""Of clips and packs."""
STRANGE = "{} is there, and no earlier run made it: move it, or take another folder"
DONE, PARTIAL, NAMES = ".jsonl", ".half", ".names"
"""Suffixes of the lines of a batch: of one that is done, and of one that was interrupted; and of
the names that it has written, noted before they are."""
ROW_GROUP = 16
"""Clips of a row group of parquet: with sound, a batch may not fit into memory."""
Line = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """Part of a job: the batches whose number leaves the remainder `index` over `count`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"shard must be I/K with I from 0 to K - 1, got {self.index}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read a shard such as `0/4`."""
        found = re.fullmatch(r"\s*([0-9]{1,10})\s*/\s*([0-9]{1,10})\s*", text)
        if found is None:
            raise ValueError(f"shard must be I/K, such as 0/4, got {text!r}")
        return cls(int(found[1]), int(found[2]))

    def has(self, batch: int) -> bool:
        """Tell whether a batch belongs to it."""
        return batch % self.count == self.index

    def choose(self, n_batches: int) -> list[bool]:
        """Tell of each batch of a job whether it belongs to it."""
        return [self.has(batch) for batch in range(n_batches)]


class TakenError(OutputError):
    """Say in one line what is in the way of a run that writes over nothing that it did not make."""


class Store:
    """Keep track of what is done of a shard, in the job's folder."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        self.folder, self.shard = folder, shard
        self.state = folder / STATE_NAME
        name = f"{shard.index}-of-{shard.count}"
        self.done_dir, self.doing_dir = self.state / "blocks", self.state / "doing" / name
        self._lock_path = self.state / f"{name}.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from doing the same shard, or raise an `OutputError`."""
        with raise_as_output_error(self.folder):
            self.state.mkdir(parents=True, exist_ok=True)
            self._lock_path.touch()
        with locked(self._lock_path) as is_free:
            if not is_free:
                raise OutputError(f"another process composes this part of a job into {self.folder}")
            yield

    def check(
        self,
        identity: Mapping[str, Any],
        writes: Callable[[str], bool],
        *,
        resume: bool = False,
        overwrite: bool = False,
        inputs: Iterable[Path] = (),
    ) -> set[str] | None:
        """Check that a job can be done in the folder without harm, and touch nothing.

        Args:
            identity: As `Job.identity` has it.
            writes: Tells of a name whether the job writes a file of that name.
            resume: Go on with the same job.
            overwrite: Remove what an earlier run has made.
            inputs: Files that the job reads.

        Returns:
            The files of an earlier run that are to be removed; None where there was none, or this
            shard goes on with it.

        Raises:
            TakenError: If an earlier run is there, and neither is asked for or another job would
                be resumed; or if something that no run made, or an input, would be written over.
        """
        if self.state.is_symlink() or (self.state.exists() and not self.state.is_dir()):
            raise TakenError(STRANGE.format(self.state))
        known, there = self._known(), self._there()
        has_begun = self._lock_path.with_suffix(".begun").exists() or not self.done_dir.is_dir()
        goes_on = known == dict(identity) and (not has_begun or resume)
        has_run = known is not None or MANIFEST_NAME in there
        if has_run and not goes_on and not overwrite:
            if resume and known:
                told = (
                    f"holds another job ({_difference(known, identity)}): take another folder, or"
                )
            elif resume:
                told = "holds a run that does not say its job: take another folder, or"
            else:
                told = "holds an earlier run: --resume goes on with the same job,"
            what = "--overwrite removes what that run made and begins anew"
            raise TakenError(f"{self.folder} {told} {what}")
        made = self._made() if has_run else set()
        own = {name for name in there if name in LISTS or writes(self._as_written(name))}
        gone = made & there if has_run and not goes_on else set()
        self._keep_apart(inputs, own | gone)
        if strangers := own - made:
            raise TakenError(STRANGE.format(self.folder / min(strangers)))
        return gone if has_run and not goes_on else None

    def _as_written(self, name: str) -> str:
        """Return a name in small letters where the disk takes both for the same."""
        small = self.folder / name.lower()
        is_same = small.name != name and small.exists() and small.samefile(self.folder / name)
        return small.name if is_same else name

    def look(
        self, identity: Mapping[str, Any], writes: Callable[[str], bool], **asked: Any
    ) -> None:
        """Check as `check` does, while nobody else begins or ends the job."""
        is_busy = self.done_dir.is_dir()
        with locked(self.state / BEGIN_NAME, wait=True) if is_busy else nullcontext():
            self.check(identity, writes, **asked)

    def _keep_apart(self, inputs: Iterable[Path], outputs: Iterable[str]) -> None:
        read = {}
        for path in inputs:
            with suppress(OSError):
                about = path.stat()
                read[about.st_dev, about.st_ino] = path
        for path in map(self.folder.joinpath, outputs if read else ()):
            about = path.stat() if path.exists() else path.lstat()
            if own := read.get((about.st_dev, about.st_ino)):
                raise TakenError(
                    f"{own} is read by this run, and would be written over: take another folder"
                )

    def _known(self) -> dict[str, Any] | None:
        """Return what is noted of an earlier job, if anything can be read."""
        with suppress(*UNREADABLE):
            known = json.loads((self.state / JOB_NAME).read_text(encoding="utf-8"))
            return known if isinstance(known, dict) else {}
        return {} if (self.state / JOB_NAME).exists() else None

    def _there(self) -> set[str]:
        """Return what is in the folder."""
        with suppress(FileNotFoundError):
            return {path.name for path in self.folder.iterdir()}
        return set()

    def _made(self) -> set[str]:
        """Return the names of what a run has written, as its lists and notes have them.

        Raises:
            TakenError: If a list is no list of clips.
        """
        lists, made = [self.folder / name for name in LISTS], set[str]()
        lists = [path for path in lists if path.is_file() and not path.is_symlink()]
        try:
            for path in (*lists, *self.done_dir.glob(f"*{DONE}")):
                with path.open(encoding="utf-8") as file:
                    for line in map(json.loads, file):
                        if path.name != MANIFEST_NAME and "file" not in line:
                            _ = line["reason"]
                            continue
                        made |= {line["pack"]} if "pack" in line else {*line["files"]}
            if not all(map(NAME.fullmatch, made)):
                raise ValueError("no run writes files of such names")
        except (*UNREADABLE, AttributeError) as error:
            told = f"{path} is damaged, or no list of clips: move it, or take another folder"
            raise TakenError(told) from error
        for path in self.done_dir.glob(f"*{NAMES}"):
            made |= {*path.read_text(encoding="utf-8").split()}
        made |= {path.name for path in lists}
        found = (self.folder / name for name in made)
        return {path.name for path in found if path.is_file() and not path.is_symlink()}

    def begin(
        self, identity: Mapping[str, Any], writes: Callable[[str], bool], **asked: Any
    ) -> None:
        """Make the folder ready for a job: what goes of an earlier run is removed, nothing else.

        Whenever that is stopped, what is left is still known as that of an earlier run.

        Args:
            identity: As `Job.identity` has it.
            writes: As `check` takes it.
            asked: What else `check` takes.

        Raises:
            TakenError: As of `check`.
            OutputError: If another process is at work, or the folder cannot be written into.
        """
        with raise_as_output_error(self.folder), locked(self.state / BEGIN_NAME, wait=True):
            gone = self.check(identity, writes, **asked)
            if gone is not None:
                self._remove(gone)
            elif not self.done_dir.is_dir() and (self.folder / MANIFEST_NAME).is_file():
                return  # all is there
            self.done_dir.mkdir(exist_ok=True)
            shutil.rmtree(self.doing_dir, ignore_errors=True)
            self.doing_dir.mkdir(parents=True, exist_ok=True)  # another may just be ending
            self._lock_path.with_suffix(".begun").touch()
            write_text(self.state / JOB_NAME, json.dumps(dict(identity), indent=1) + "\n")

    def _remove(self, names: Iterable[str]) -> None:
        """Remove files of an earlier run, what lists them last."""
        for path in self.state.glob("*-of-*.lock"):
            with locked(path) as is_free:
                if not is_free and path != self._lock_path:
                    raise OutputError(f"another process composes into {self.folder}")
        write_text(self.state / JOB_NAME, "{}\n")  # so that it is not gone on with
        for name in sorted(names, key=LISTS.__contains__):
            (self.folder / name).unlink(missing_ok=True)
        for path in self.state.glob("*.begun"):
            path.unlink()
        for folder in (self.doing_dir.parent, self.done_dir):
            shutil.rmtree(folder, ignore_errors=True)

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


def _difference(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in wanted if known.get(name) != wanted[name]]
    pairs = {name: f"{known.get(name)} and not {wanted[name]}" for name in names}
    told = [f"{name} {pair}" for name, pair in pairs.items() if len(pair) < 60]
    return ", ".join(told or [f"other {name}" for name in names])


class BatchWriter:
    """Write one batch, clip after clip; one that is not closed cleanly is to be done again.

    Attributes:
        folder: Where its files are written before they are kept.
        lines: Of the clips so far.
    """

    def __init__(self, store: Store, batch: int, output: Output) -> None:
        self._store, self._batch, self._output = store, batch, output
        self.lines: list[Line] = []
        self._pack = f"pack_{batch:05d}.{output.pack}"
        with raise_as_output_error(store.folder):
            self.folder = store.staging_dir(batch)

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with raise_as_output_error(self._store.folder):
                    self._commit()
            elif self._output.pack == "files" and self.lines:
                with suppress(OSError):
                    self._put_lines(PARTIAL)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(
        self, item: Item, clip: Clip | None, *, reason: str = "", explain_by: Verifier | None = None
    ) -> Line:
        """Write the files of a clip, and return its line; without one, or its files, the reason."""
        labels = {"row": item.row, "id": item.id}
        labels = {name: value for name, value in labels.items() if value is not None}
        with raise_as_output_error(self._store.folder):
            if clip is not None:
                try:
                    line = line_of(
                        clip, self._output.formats, number=item.number, explain_by=explain_by
                    )
                    write_files(clip, self.folder, line["files"])
                    return self.keep(line | labels)
                except ValueError as error:
                    reason = str(error)
            own = {"number": item.number, "seed": item.settings.seed, "index": item.settings.index}
            return self.keep({**own, **labels, "reason": " ".join(reason.split())})

    def keep(self, line: Line) -> Line:
        """Keep the clip of a line, whose files are in the folder; or note why there is none."""
        if "file" in line:
            if self._output.pack == "files":
                self._note(line["files"])
                for name in line["files"]:
                    (self.folder / name).replace(self._store.folder / name)
            else:
                line["pack"] = self._pack
        self.lines.append(line)
        return line

    def _commit(self) -> None:
        kept = [line for line in self.lines if "file" in line]
        if self._output.pack != "files" and kept:
            write_pack = write_tar if self._output.pack == "tar" else write_parquet
            write_pack(self.folder / self._pack, kept, self.folder)
            self._note([self._pack])
            (self.folder / self._pack).replace(self._store.folder / self._pack)
        self._put_lines(DONE)
        for suffix in (PARTIAL, NAMES):
            self._store.lines_path(self._batch, suffix).unlink(missing_ok=True)

    def _note(self, names: Iterable[str]) -> None:
        with self._store.lines_path(self._batch, NAMES).open("a", encoding="utf-8") as file:
            file.write("".join(f"{name}\n" for name in names))

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
    import pyarrow as pa
    from pyarrow import parquet

    suffixes = [Path(name).suffix[1:] for name in lines[0]["files"]]
    columns = {"file": pa.string(), "row": pa.int64(), "id": pa.string(), "seed": pa.int64(),
               "index": pa.int64(), "emotion": pa.string(), "valence": pa.float64(),
               "arousal": pa.float64(), "bars": pa.int64(), "tempo": pa.float64(),
               "key": pa.string(), "heard": pa.string(), "card": pa.string(),
               **dict.fromkeys(suffixes, pa.binary())}  # fmt: skip
    schema = pa.schema(columns)
    with parquet.ParquetWriter(path, schema) as writer:
        for at in range(0, len(lines), ROW_GROUP):
            rows = []
            for line in lines[at : at + ROW_GROUP]:
                files = [(folder / name).read_bytes() for name in line["files"]]
                own = {"heard": line["verdict"]["quadrant"], "card": json.dumps(line)}
                rows.append({**line, **own, **dict(zip(suffixes, files, strict=True))})
            writer.write_table(pa.Table.from_pylist(rows, schema))


@dataclass
class Summary:
    """Count what became of a job.

    `n_asked` are clips for which an emotion was asked, `n_heard` those of them in which its
    quadrant is heard; `reasons` say why rows or clips were not composed. `is_complete` is true
    where nothing is left to be done, here or elsewhere.
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
                is_filled = line.get("given") == INFILL  # what was asked is asked of new bars
                heard = line["heard_new"] if is_filled else line["verdict"]
                self.n_heard += heard["quadrant"] == asked
        return self


def write_manifest(store: Store, job: Job) -> Summary:
    """Write the manifest of what is there, and clean up once everything is.

    Where other shards keep their batches in the same folder, whoever comes last writes.
    """
    with raise_as_output_error(store.folder), locked(store.state / BEGIN_NAME, wait=True):
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
    if not any(path.suffix != NAMES for path in store.done_dir.iterdir()):
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
    """Yield the lines of batches, in order, with those of this shard that were interrupted."""
    partial = (int(path.stem) for path in store.done_dir.glob(f"*{PARTIAL}"))
    found = {batch: store.lines_path(batch, PARTIAL) for batch in filter(store.shard.has, partial)}
    found |= {batch: store.lines_path(batch) for batch in done}
    for batch in sorted(found):
        with found[batch].open(encoding="utf-8") as file:
            yield from file
