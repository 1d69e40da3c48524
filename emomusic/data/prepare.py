"""From a folder of MIDI files to packed rows: chunk by chunk, every file counted."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from emomusic.data.clean import SkippedError
from emomusic.data.packing import pack, read_tables
from emomusic.data.prepared import ForeignIdsError, PreparedSong, miditok_tokenizer, prepare_song
from emomusic.data.sources import CorpusFile, corpus_files
from emomusic.files import clear_parts, write_atomically
from emomusic.music.score import ScoreError

CHUNK = 16
"""Files worked on at once and kept together: few enough that all cores end at the same time."""
COMPARED = 4
"""The first of so many files is tokenized by MidiTok, too; all would take half as long again."""
PART_FORMAT = 10
Job = tuple[Sequence[CorpusFile], Path]


def prepare(
    source_dir: Path,
    out_path: Path,
    *,
    tables_dir: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Turn a folder of MIDI files into packed rows, and count what became of every file.

    Files are worked on in chunks, each kept beside the output until all are done, so a run
    that was stopped goes on where it was.

    Args:
        source_dir: A folder with `corpus/index.csv` and the like, or any folder of MIDI files.
        out_path: The `.npz` to write.
        tables_dir: A checkpoint whose attribute bins are kept, to train it further; None makes
            new ones.
        workers: Processes; None means one for each core.
        progress: Called with files done and files in all.

    Returns:
        The summary: by source songs, clips, notes, ids, and how many were skipped why.

    Raises:
        ValueError: If there is nothing to prepare, the bins cannot be read, or MidiTok, which
            tokenizes every fourth file, too, comes to other ids.
        ModuleNotFoundError: If MidiTok is not installed.
    """
    miditok_tokenizer()  # once, before the processes part
    tables = read_tables(tables_dir) if tables_dir else None
    files = corpus_files(source_dir)
    chunks = [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]
    parts_dir = out_path.parent / f"{out_path.stem}.parts"
    parts_dir.mkdir(parents=True, exist_ok=True)
    paths = [parts_dir / f"{_chunk_digest(chunk)}.npz" for chunk in chunks]
    todo = [(c, p) for c, p in zip(chunks, paths, strict=True) if not p.is_file()]
    done = len(files) - sum(len(chunk) for chunk, _ in todo)
    progress(done, len(files))
    if not workers:
        has_affinity = hasattr(os, "sched_getaffinity")
        workers = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    for n_files in _prepare_chunks(todo, workers):
        done += n_files
        progress(done, len(files))
    songs, skipped = _collect(paths)
    if not songs:
        counts = Counter(reason for _, reason in skipped).most_common(4)
        why = ", ".join(f"{reason} ({count})" for reason, count in counts)
        raise ValueError(f"none of {len(files)} files could be used: {why}")
    rows = pack(songs, skipped, tables=tables)
    rows.save(out_path)
    for path in paths:
        path.unlink(missing_ok=True)
    clear_parts(parts_dir)
    if not any(parts_dir.iterdir()):
        parts_dir.rmdir()
    summary: dict[str, Any] = rows.meta["account"]
    return summary


def format_summary(summary: Mapping[str, Any]) -> str:
    """Return a table with a line for each source, then what was skipped and why."""
    names = ("songs", "clips", "notes", "ids", "skipped")
    rows = {
        source: {**row, "skipped": sum(row["skipped"].values())} for source, row in summary.items()
    }
    rows["all"] = {name: sum(row[name] for row in rows.values()) for name in names}
    lines = [f"{'source':20}" + "".join(f"{name:>12}" for name in names)]
    for source, row in rows.items():
        lines.append(f"{source:20}" + "".join(f"{row[name]:>12,}" for name in names))
    reasons = [
        f"  {source}: {why} ({n})"
        for source, row in summary.items()
        for why, n in row["skipped"].items()
    ]
    lines += ["skipped:", *reasons] if reasons else []
    if not sum(row["validation_songs"] for row in summary.values()):
        lines.append("nothing to validate with: all is one piece, and train needs another one")
    return "\n".join(lines)


def _chunk_digest(chunk: Sequence[CorpusFile]) -> str:
    lines = [f"{PART_FORMAT}"]
    for file in chunk:
        stat = file.path.stat() if file.path.is_file() else None
        size, changed = (stat.st_size, stat.st_mtime_ns) if stat else (0, 0)
        lines.append(f"{file} {size} {changed}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:24]


def _prepare_chunks(jobs: Sequence[Job], workers: int) -> Iterator[int]:
    """Prepare chunks in processes; yield the number of files of each as it is done.

    Where a process dies (of memory, say), the files in hand are prepared one by one, each in a
    process of its own, so that only the file that is too much is lost.
    """
    left = deque(jobs)
    while left:
        in_hand: dict[Future[None], Job] = {}
        try:
            with ProcessPoolExecutor(max_workers=workers) as pool:
                while left or in_hand:
                    while left and len(in_hand) < workers:
                        in_hand[pool.submit(_prepare_chunk, left[0])] = left[0]
                        left.popleft()
                    for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
                        future.result()
                        yield len(in_hand.pop(future)[0])
        except BrokenProcessPool:
            for job in in_hand.values():
                _prepare_chunk(job, _prepare_alone)
                yield len(job[0])


def _prepare_file(file: CorpusFile, with_miditok: bool) -> list[PreparedSong] | str:
    """Prepare one file, or tell why it is left out."""
    try:
        return prepare_song(file, with_miditok=with_miditok)
    except ForeignIdsError:
        raise
    except (ScoreError, SkippedError) as error:
        return str(error)
    except Exception as error:  # one odd file in thousands must not cost the others
        return f"cannot be prepared: {type(error).__name__}"


def _prepare_alone(file: CorpusFile, with_miditok: bool) -> list[PreparedSong] | str:
    with ProcessPoolExecutor(max_workers=1) as pool:
        try:
            return pool.submit(_prepare_file, file, with_miditok).result()
        except BrokenProcessPool:
            return "the process that prepared it died"


def _prepare_chunk(
    job: Job, prepare_file: Callable[[CorpusFile, bool], list[PreparedSong] | str] = _prepare_file
) -> None:
    """Prepare the files of a chunk, and write its part."""
    songs: list[PreparedSong] = []
    skipped: list[tuple[str, str]] = []
    for i, file in enumerate(job[0]):
        found = prepare_file(file, not i % COMPARED)
        if isinstance(found, str):
            skipped.append((file.source, found))
        else:
            songs += found
    arrays: dict[str, Any] = {  # NDArray would be taken for savez's own keywords
        f"{i}.{name}": value for i, song in enumerate(songs) for name, value in vars(song).items()
    }
    head = json.dumps({"songs": len(songs), "skipped": skipped})
    write_atomically(job[1], lambda file: np.savez(file, head=np.array(head), **arrays))


def _collect(paths: Iterable[Path]) -> tuple[list[PreparedSong], list[tuple[str, str]]]:
    names = [field.name for field in fields(PreparedSong)]
    songs: list[PreparedSong] = []
    skipped: list[tuple[str, str]] = []
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as part:
                head = json.loads(part["head"].item())
                for i in range(head["songs"]):
                    values = {name: part[f"{i}.{name}"] for name in names}
                    plain = {n: v if v.ndim else v.item() for n, v in values.items()}
                    songs.append(PreparedSong(**plain))
                skipped += [(source, reason) for source, reason in head["skipped"]]
        except Exception as error:  # numpy has many kinds for a damaged file
            path.unlink(missing_ok=True)
            raise ValueError(
                f"{path} was damaged and is removed; the same command prepares its files again"
            ) from error
    return songs, skipped
