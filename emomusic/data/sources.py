"""What each source of a data folder needs before its files can be cleaned."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from symusic.core import ScoreTick, TrackTickList

from emomusic.data.chord_labels import given_chords, label_half_bars
from emomusic.data.clean import (
    EVERYWHERE,
    SkippedError,
    Song,
    Spans,
    clean_performance,
    clean_stretches,
)
from emomusic.files import walk_files
from emomusic.music.beat import track_beats
from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.score import MIDI_SUFFIXES, grid_of, notes_of, read_score, seconds_at
from emomusic.verify.labels import read_labels

PERFORMED = frozenset({"pop1k7", "vgmidi_unlabelled", "vgmidi", "asap_perf"})
NO_DURATIONS = frozenset({"justpiano"})
"""Sources whose durations are made up: they hold onsets only."""
MAX_PERFORMANCE_S = 3 * 3600.0
"""Longer performances are not tracked: memory grows with their seconds."""
MIN_CONFIDENCE = 0.5
"""A tracked performance is used from this chance on that its beats are right."""
GENERATED = frozenset({"touhou_nsdn"})
"""Sources that a neural network wrote: they are not learnt from."""
ESTIMATED_BARS = frozenset({"justpiano"})
"""Sources whose bars somebody estimated: the tracker has a veto."""
MIN_BEAT_CONFIDENCE, MIN_PHASE_SHARE, MIN_RUN_BARS = 0.6, 0.5, 16
"""Bars are heard if the tracker is that sure, at least this part of them begins on one beat of the
bar, and so many follow each other."""
NEAR_BEATS = 0.25
"""A tracked downbeat so near a beat of the file is meant to be on it."""
MIN_CONFIDENCE_AGAINST, MAX_SHARE_AGAINST = 0.8, 0.3
"""The tracker hears other bars than those written if it is that sure of its beats, and no more
than this share of its downbeats lies on a bar line."""
EXCERPT_S = 90.0
"""Seconds of a piece that are listened to for that."""
UNCERTAIN_BARS = {"bar phase uncertain", "three_four_like"}


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus.

    Attributes:
        path: The MIDI file.
        name: Its path below the data folder: the same on every machine.
        source: Which corpus it is from.
        grid: `bar`, `beat` or `none`: what of the metre the file knows.
        bpm: Its true tempo where the file's is a placeholder, else None.
        note: A remark of the index.
    """

    path: Path
    name: str
    source: str
    grid: str = "bar"
    bpm: float | None = None
    note: str = ""


def corpus_files(folder: Path) -> list[CorpusFile]:
    """List the MIDI files of a data folder: by the `*/index.csv` in it, or all of a plain one.

    Of labelled clips (in `emotion/labels.csv` or `labels.csv`) only the songs of the mapper's
    part are listed, so that the model has not heard those that judge it. Links are followed as
    `walk_files` does, and what has two names is listed once.

    Raises:
        ValueError: If the folder holds no MIDI files, or an index or the labels are damaged.
    """
    indices = sorted(folder.glob("*/index.csv"))
    labelled = next((d for d in (folder / "emotion", folder) if (d / "labels.csv").is_file()), None)
    found = [file for index in indices for file in _indexed(index)]
    if not indices:
        found = [
            CorpusFile(path, path.relative_to(folder).as_posix(), folder.resolve().name)
            for path in sorted(walk_files(folder))
            if path.suffix.lower() in MIDI_SUFFIXES
        ]
    labels = read_labels(labelled) if labelled else []
    apart = {clip.path.resolve() for clip in labels}  # wherever links lead
    if labelled is not None and not indices:
        apart.add(labelled.resolve())
    found = [f for f in found if not apart & {(own := f.path.resolve()), *own.parents}]
    for clip in labels:
        if clip.part == "mapper":
            name = clip.path.relative_to(folder).as_posix()
            grid = "none" if clip.source == "emopia" else "bar"
            found.append(CorpusFile(clip.path, name, clip.source, grid))
    found = [*{file.path.resolve(): file for file in reversed(found)}.values()][::-1]
    if not found:
        raise ValueError(f"no MIDI files ({', '.join(MIDI_SUFFIXES)}) below {folder}")
    return found


def _indexed(index: Path) -> list[CorpusFile]:
    found: list[CorpusFile] = []
    try:
        with index.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                bpm = float(row["bpm"]) if row["bpm"] else None
                if bpm is not None and not 0 < bpm < math.inf:
                    raise ValueError(f"bpm must be above 0, got {bpm}")
                named = row["path"], row["source"], row["grid"]
                found.append(CorpusFile(index.parent / row["path"], *named, bpm, row["note"]))
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{index}: row {len(found) + 1} cannot be read: {error!r}") from error
    return found


def read_song(file: CorpusFile) -> Song:
    """Read and clean one file by the rules of its source: the longest of its `read_stretches`."""
    return read_stretches(file)[0]


def read_stretches(file: CorpusFile) -> list[Song]:
    """Read and clean one file by the rules of its source, the longest stretch first.

    Raises:
        ScoreError: If the file is no usable MIDI file.
        SkippedError: If its bars cannot be known.
    """
    if file.source in GENERATED:
        raise SkippedError("written by a neural network")
    score = read_score(file.path)
    if file.grid == "none":
        return [track_song(notes_of(score))]
    metre: tuple[int, int] | None = (4, 4) if file.source == "pop1k7" else None
    spans = EVERYWHERE
    if file.note in UNCERTAIN_BARS:
        if (heard := hear_bars(score)) is None:
            raise SkippedError(f"bars: {file.note.replace('_', ' ')}")
        metre, spans = heard
    elif file.source in ESTIMATED_BARS and hears_other_bars(score):
        raise SkippedError("bars: the tracker hears others")
    piano = score
    if file.source == "pop909":  # the second track holds block chords that nobody plays
        piano = score.copy()
        piano.tracks = TrackTickList(score.tracks[:1])
    performed = file.source in PERFORMED
    songs = clean_stretches(piano, performed=performed, metre=metre, spans=spans, tempo=file.bpm)
    chords = given_chords(score, file.source)
    if not chords:
        return songs
    return [replace(song, given_chords=label_half_bars(chords, song.raw_lines)) for song in songs]


def track_song(notes: Notes, *, min_confidence: float = MIN_CONFIDENCE) -> Song:
    """Find the beats of a performance, and clean it by them.

    Raises:
        SkippedError: If it is longer than three hours, the tracker is not confident enough, or
            less than 4 bars are left.
    """
    if len(notes) and float((notes.onset_s + notes.duration_s).max()) > MAX_PERFORMANCE_S:
        raise SkippedError("longer than three hours")
    grid = track_beats(notes)
    if grid.confidence < min_confidence:
        raise SkippedError("beats not found with confidence")
    return clean_performance(notes, grid)


def hear_bars(score: ScoreTick) -> tuple[tuple[int, int], Spans] | None:
    """Find the bars of a score whose quarter notes are right, by the beat tracker.

    The runs of at least 16 bars are taken that begin on the same beat of the bar as at least
    half of the piece. On Pop1K7 songs with known bars that the tracker was not fitted to, 97 %
    of those bars are right.

    Returns:
        The metre, 3/4 or 4/4, and where it holds; None if the tracker is not sure, or finds no
        such run.
    """
    notes = notes_of(score)
    grid = track_beats(notes)
    if grid.confidence < MIN_BEAT_CONFIDENCE:
        return None
    bar, last = grid.beats_per_bar, float(notes.onset.max())
    quarters = np.arange(int(np.ceil(last)) + 2, dtype=np.int64)
    beat_s = seconds_at(score, quarters * score.ticks_per_quarter)
    runs = _runs(grid.beats_s[::bar], beat_s, bar)
    votes: Counter[int] = Counter()
    for first, stop in runs:
        votes[first % bar] += stop - first
    if not votes or max(votes.values()) < MIN_PHASE_SHARE * len(beat_s):
        return None
    phase = votes.most_common(1)[0][0]
    spans = [
        (first, None if stop + 2 * bar > last else stop)
        for first, stop in runs
        if first % bar == phase and stop - first >= MIN_RUN_BARS * bar
    ]
    return ((bar, 4), spans) if spans else None


def _runs(downbeat_s: FloatColumn, beat_s: FloatColumn, bar: int) -> list[tuple[int, int]]:
    """Return where downbeats lie a bar apart on the beats of the file: first beat, last."""
    index = np.flatnonzero((downbeat_s >= beat_s[0] - 0.05) & (downbeat_s <= beat_s[-1]))
    place = np.interp(downbeat_s[index], beat_s, np.arange(len(beat_s)))
    beat = np.rint(place).astype(np.int64)
    near = np.abs(place - beat) < NEAR_BEATS
    found = zip((beat - index * bar)[near].tolist(), beat[near].tolist(), strict=True)
    runs = [[beat for _, beat in run] for _, run in groupby(found, key=lambda one: one[0])]
    return [(run[0], run[-1]) for run in runs if run[-1] > run[0]]


def hears_other_bars(score: ScoreTick) -> bool:
    """Tell whether the tracker is sure of the beats and puts bar lines elsewhere than written.

    The first minute and a half is listened to.
    """
    notes = notes_of(score)
    notes = notes.where(notes.onset_s < notes.onset_s[0] + EXCERPT_S)
    grid = track_beats(notes)
    if grid.confidence < MIN_CONFIDENCE_AGAINST:
        return False
    line_s, beat_s = (
        seconds_at(score, np.rint(beats * score.ticks_per_quarter).astype(np.int64))
        for beats in grid_of(score, float(notes.onset[-1]) + 1.0)
    )
    beat_length = float(np.median(np.diff(beat_s)))
    if abs(60.0 / grid.tempo / beat_length - 1.0) > 0.1:
        return False  # another pulse: twice as fast, say
    downbeat_s = grid.beats_s[:: grid.beats_per_bar]
    after = np.clip(np.searchsorted(line_s, downbeat_s), 1, len(line_s) - 1)
    gap = np.minimum(np.abs(line_s[after] - downbeat_s), np.abs(downbeat_s - line_s[after - 1]))
    return float((gap < NEAR_BEATS * beat_length).mean()) <= MAX_SHARE_AGAINST
