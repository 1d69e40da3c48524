"""From a folder of MIDI files to packed rows: cleaned, measured, cut into clips."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.data.clean import SkippedError, Song
from emomusic.data.sources import CorpusFile, corpus_files, read_song
from emomusic.data.split import group_songs, is_validation, melody_prints
from emomusic.files import write_atomically
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES, measure
from emomusic.music.key import estimate_key
from emomusic.music.passage import passage_of
from emomusic.music.score import ScoreError, notes_of
from emomusic.music.tokenizer import N_BINS, Tokenizer, bin_edges
from emomusic.training.rows import Rows

CHUNK = 64
CLIP_BARS = (16, 16, 16, 8, 24, 32)
STRIDE_BARS = 4
MAX_CLIP_IDS = 1_900
VALIDATION_SHARE = 0.04
PART_FORMAT = 3


@dataclass(frozen=True)
class PreparedSong:
    """Hold one song as `Rows` will, counted from its own first bar."""

    name: str
    source: str
    has_dynamics: bool
    ids: list[NDArray[np.uint16]]
    bar_values: NDArray[np.float32]
    clips: list[tuple[int, int, int, bool]]
    clip_values: NDArray[np.float32]
    prints: NDArray[np.uint64]
    n_notes: int


def prepare(
    source_dir: Path,
    out_path: Path,
    *,
    tables_dir: Path | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Turn a folder of MIDI files into packed rows, and account for every file.

    Files are worked on in chunks, each kept beside the output until all are done, so a run
    that was stopped goes on where it was.

    Args:
        source_dir: A folder with `corpus/index.csv`, or any folder of MIDI files.
        out_path: The `.npz` to write.
        tables_dir: A checkpoint whose attribute bins are kept, to train it further; None makes
            new ones.
        workers: Processes.
        progress: Called with files done and files in all.

    Returns:
        The account: by source files, clips, notes, ids, and how many were skipped why.

    Raises:
        ValueError: If there is nothing to prepare.
    """
    files = corpus_files(source_dir)
    chunks = [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]
    parts_dir = out_path.parent / f"{out_path.stem}.parts"
    parts_dir.mkdir(parents=True, exist_ok=True)
    paths = [parts_dir / f"{_chunk_digest(chunk)}.npz" for chunk in chunks]
    todo = [(c, p) for c, p in zip(chunks, paths, strict=True) if not p.is_file()]
    done = len(files) - sum(len(chunk) for chunk, _ in todo)
    progress(done, len(files))
    with ProcessPoolExecutor(max_workers=workers) as pool:
        for n_files in pool.map(_prepare_chunk, todo):
            done += n_files
            progress(done, len(files))
    songs, skipped = _collect(paths)
    if not songs:
        raise ValueError(f"none of {len(files)} files could be used: {_reasons(skipped)}")
    rows = pack(songs, skipped, tables=_read_tables(tables_dir) if tables_dir else None)
    rows.save(out_path)
    for path in paths:
        path.unlink(missing_ok=True)
    if not any(parts_dir.iterdir()):
        parts_dir.rmdir()
    account: dict[str, Any] = rows.meta["account"]
    return account


def _reasons(skipped: Iterable[tuple[str, str]]) -> str:
    counts = Counter(reason for _, reason in skipped)
    return ", ".join(f"{reason} ({count})" for reason, count in counts.most_common(4))


def _chunk_digest(chunk: Sequence[CorpusFile]) -> str:
    lines = [f"{PART_FORMAT}"]
    for file in chunk:
        stat = file.path.stat() if file.path.is_file() else None
        size, changed = (stat.st_size, stat.st_mtime_ns) if stat else (0, 0)
        lines.append(f"{file.path} {file.name} {file.grid} {file.bpm} {size} {changed}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:24]


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer()


def _prepare_chunk(job: tuple[Sequence[CorpusFile], Path]) -> int:
    chunk, path = job
    songs, skipped = [], []
    for file in chunk:
        try:
            songs.append(prepare_song(file))
        except ScoreError as error:
            skipped.append((file.source, str(error)))
        except SkippedError as error:
            skipped.append((file.source, str(error)))
    arrays: dict[str, NDArray[Any]] = {}
    heads = []
    for i, song in enumerate(songs):
        arrays[f"{i}.ids"] = np.concatenate(song.ids)
        arrays[f"{i}.lengths"] = np.array([len(bar) for bar in song.ids])
        arrays[f"{i}.bar_values"] = song.bar_values
        arrays[f"{i}.clip_values"] = song.clip_values
        arrays[f"{i}.prints"] = song.prints
        heads.append([song.name, song.source, song.has_dynamics, song.clips, song.n_notes])
    head = np.frombuffer(json.dumps({"songs": heads, "skipped": skipped}).encode(), np.uint8)
    write_atomically(path, lambda file: np.savez(file, head=head, **arrays))
    return len(chunk)


def _collect(paths: Iterable[Path]) -> tuple[list[PreparedSong], list[tuple[str, str]]]:
    songs: list[PreparedSong] = []
    skipped: list[tuple[str, str]] = []
    for path in paths:
        with np.load(path, allow_pickle=False) as part:
            head = json.loads(part["head"].tobytes())
            skipped += [(source, reason) for source, reason in head["skipped"]]
            for i, (name, source, has_dynamics, clips, n_notes) in enumerate(head["songs"]):
                cuts = np.cumsum(part[f"{i}.lengths"])[:-1]
                songs.append(
                    PreparedSong(
                        name=name,
                        source=source,
                        has_dynamics=has_dynamics,
                        ids=np.split(part[f"{i}.ids"], cuts),
                        bar_values=part[f"{i}.bar_values"],
                        clips=[(a, b, c, d) for a, b, c, d in clips],
                        clip_values=part[f"{i}.clip_values"],
                        prints=part[f"{i}.prints"],
                        n_notes=n_notes,
                    )
                )
    return songs, skipped


def prepare_song(file: CorpusFile) -> PreparedSong:
    """Read, clean, tokenize, measure and cut one file.

    Raises:
        ScoreError: If the file is no usable MIDI file.
        SkippedError: If it has no bars or no stretch of four bars with notes.
    """
    return prepare_clean(read_song(file), file.name, file.source)


def prepare_clean(song: Song, name: str, source: str) -> PreparedSong:
    """Tokenize, measure and cut a cleaned song.

    Raises:
        SkippedError: If it has no stretch of four bars with notes.
    """
    tokenizer = _tokenizer()
    bars = tokenizer.encode(song.score)
    if len(bars) != len(song.bar_beats):
        raise SkippedError("the tokenizer counts other bars")
    windows = cut_windows([len(bar) for bar in bars], name)
    if not windows:
        raise SkippedError("no four bars without an empty one")
    notes = notes_of(tokenizer.decode([token for bar in bars for token in bar]))
    lines = np.concatenate([[0.0], np.cumsum(song.bar_beats)])
    song_key = estimate_key(notes)
    clips, clip_values = [], []
    for first, n_bars in windows:
        beats = lines[first + n_bars] - lines[first]
        seconds = song.bar_s[first + n_bars] - song.bar_s[first]
        passage = passage_of(
            notes, start=lines[first], n_beats=beats, tempo=60.0 * beats / max(seconds, 1e-3)
        )
        shift = (-passage.key.tonic + 6) % 12 - 6
        clips.append((first, n_bars, shift, first + n_bars == len(bars)))
        clip_values.append(list(measure(passage).values()))
    starts = np.searchsorted(notes.onset, lines - 1e-9)
    bar_values = np.full((len(bars), len(BAR_ATTRIBUTE_NAMES)), np.nan, dtype=np.float32)
    for bar in range(len(bars)):
        inside = np.zeros(len(notes), dtype=bool)
        inside[starts[bar] : starts[bar + 1]] = True
        if inside.any():
            measured = passage_of(
                notes.where(inside),
                start=lines[bar],
                n_beats=float(song.bar_beats[bar]),
                tempo=60.0,
                key=song_key,
            )
            bar_values[bar] = list(measure(measured, BAR_ATTRIBUTE_NAMES).values())
    whole = passage_of(notes, tempo=60.0, key=song_key)
    return PreparedSong(
        name=name,
        source=source,
        has_dynamics=song.has_dynamics,
        ids=[np.array(bar, dtype=np.uint16) for bar in bars],
        bar_values=bar_values,
        clips=clips,
        clip_values=np.array(clip_values, dtype=np.float32),
        prints=melody_prints(whole),
        n_notes=len(notes),
    )


def cut_windows(lengths: Sequence[int], name: str) -> list[tuple[int, int]]:
    """Choose the clips of a song: (first bar, number of bars), none with an empty bar.

    The song is walked once in clips of 8 to 32 bars, mostly 16, that begin on a fourth bar,
    and its last bars are taken as a clip of their own, so that endings are learnt.

    Args:
        lengths: Ids of each bar; 2 or fewer mean an empty bar.
        name: Seeds the choice of lengths, so that it is the same on every machine.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    total = np.concatenate([[0], np.cumsum(lengths)])
    empty = [i for i, length in enumerate(lengths) if length <= 2]
    windows: set[tuple[int, int]] = set()
    for begin, end in zip([0, *(i + 1 for i in empty)], [*empty, len(lengths)], strict=True):
        bar = begin
        while end - bar >= STRIDE_BARS:
            n_bars = min(int(rng.choice(CLIP_BARS)), end - bar)
            n_bars = _fit(total, bar, n_bars)
            if n_bars < STRIDE_BARS:
                bar += STRIDE_BARS
                continue
            windows.add((bar, n_bars))
            bar += max(n_bars // STRIDE_BARS * STRIDE_BARS, STRIDE_BARS)
        if end == len(lengths) and end - begin >= STRIDE_BARS:
            n_bars = min(int(rng.choice(CLIP_BARS)), end - begin)
            while total[end] - total[end - n_bars] > MAX_CLIP_IDS and n_bars > 1:
                n_bars -= 1
            if n_bars >= STRIDE_BARS:
                windows.add((end - n_bars, n_bars))
    return sorted(windows)


def _fit(total: NDArray[np.int64], bar: int, n_bars: int) -> int:
    while n_bars > 0 and total[bar + n_bars] - total[bar] > MAX_CLIP_IDS:
        n_bars -= 1
    return n_bars


def _read_tables(folder: Path) -> dict[str, Any]:
    path = folder / "tables.json"
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        if tables["attributes"] != list(ATTRIBUTE_NAMES) or tables["n_bins"] != N_BINS:
            raise ValueError("its attributes are not those of this version")
        return {"edges": tables["edges"], "bar_edges": tables["bar_edges"]}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"cannot read the bins {path}: {error}") from error


def pack(
    songs: Sequence[PreparedSong],
    skipped: Sequence[tuple[str, str]],
    *,
    tables: Mapping[str, Any] | None = None,
) -> Rows:
    """Lay prepared songs end to end and part them into training and validation.

    Args:
        songs: At least one.
        skipped: Source and reason of each file left out.
        tables: Edges of the attributes' bins; None fits them to the songs.
    """
    groups = group_songs([song.prints for song in songs])
    sources = sorted({song.source for song in songs})
    lengths = [len(bar) for song in songs for bar in song.ids]
    first_bar = np.cumsum([0, *(len(song.ids) for song in songs)])
    clips = [
        (first_bar[i] + first, n_bars, shift, is_end, i)
        for i, song in enumerate(songs)
        for first, n_bars, shift, is_end in song.clips
    ]
    clip_bar, clip_n_bars, clip_shift, clip_is_end, clip_song = zip(*clips, strict=True)
    clip_values = np.concatenate([song.clip_values for song in songs])
    bar_values = np.concatenate([song.bar_values for song in songs])
    held_back = [
        is_validation(songs[group].name, VALIDATION_SHARE if len(songs) >= 50 else 0.15)
        for group in groups
    ]
    if all(held_back) or not any(held_back):
        held_back = [group == groups[-1] and len(set(groups)) > 1 for group in groups]
    dynamics = np.array([song.has_dynamics for song in songs])
    meta = {
        "vocabulary": list(_tokenizer().vocabulary.texts),
        "attributes": list(ATTRIBUTE_NAMES),
        "bar_attributes": list(BAR_ATTRIBUTE_NAMES),
        "n_bins": N_BINS,
        **(tables or {"edges": _edges(clip_values), "bar_edges": _edges(bar_values)}),
        "sources": sources,
        "song_names": [song.name for song in songs],
        "account": _account(songs, skipped, held_back),
    }
    return Rows(
        ids=np.concatenate([bar for song in songs for bar in song.ids]),
        bar_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        bar_values=bar_values,
        clip_bar=np.array(clip_bar, dtype=np.int32),
        clip_n_bars=np.array(clip_n_bars, dtype=np.int16),
        clip_shift=np.array(clip_shift, dtype=np.int8),
        clip_is_end=np.array(clip_is_end, dtype=bool),
        clip_values=clip_values,
        clip_song=np.array(clip_song, dtype=np.int32),
        song_source=np.array([sources.index(song.source) for song in songs], dtype=np.int16),
        song_has_dynamics=dynamics,
        song_is_validation=np.array(held_back, dtype=bool),
        meta=meta,
    )


def _edges(values: NDArray[np.float32]) -> list[list[float]]:
    return [
        [round(float(edge), 5) for edge in bin_edges(column[np.isfinite(column)].astype(float))]
        for column in values.T
    ]


def _account(
    songs: Sequence[PreparedSong], skipped: Sequence[tuple[str, str]], held_back: Sequence[bool]
) -> dict[str, Any]:
    account: dict[str, Any] = {}
    for source in sorted({s.source for s in songs} | {source for source, _ in skipped}):
        own = [song for song in songs if song.source == source]
        reasons = Counter(reason for where, reason in skipped if where == source)
        account[source] = {
            "songs": len(own),
            "validation_songs": sum(
                held for song, held in zip(songs, held_back, strict=True) if song.source == source
            ),
            "clips": sum(len(song.clips) for song in own),
            "notes": sum(song.n_notes for song in own),
            "ids": sum(len(bar) for song in own for bar in song.ids),
            "skipped": dict(reasons.most_common()),
        }
    return account
