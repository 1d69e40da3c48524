"""Windows of what pianists played, put on a grid as a score, note for note."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from symusic.core import ScoreTick

from emomusic.data.clean import SkippedError
from emomusic.data.sources import CorpusFile, corpus_files
from emomusic.data.split import EMOPIA_CLIP, piece_of
from emomusic.music.beat import to_beats, track_beats
from emomusic.music.chords import find_chords
from emomusic.music.notes import FloatColumn, Notes, make_notes
from emomusic.music.score import ScoreError, grid_of, notes_of, read_score, seconds_at
from emomusic.performance.features import STEPS, Reading
from emomusic.verify.labels import read_labels

N_BARS, MIN_BARS, MIN_NOTES = 16, 8, 48
SIXTEENTHS, SHORTEST = 4, 1 / 6
"""Played notes snap to so many steps of a beat, as those that the network learned from; none is
shorter than that, in beats."""
OFF_GRID, MAX_OFF = 0.16, 0.12
"""A window is left out if this part of its notes lies so far off the grid, in beats: it has
triplets, or its beats are wrong."""
MIN_CONFIDENCE = 0.6
SMOOTH_BEATS = 1.0
"""Standard deviation of the window in which the local tempo is measured, in beats."""
COUNTS = {"pop1k7": 500, "pianist8": 200, "asap_perf": 180}
"""How many files of a corpus are looked at, drawn; of EMOPIA all."""
WITH_PEDAL = ("emopia", "pianist8", "asap_perf")


@dataclass(frozen=True)
class Window:
    """Hold bars of a performance and the score that they are of.

    Attributes:
        reading: The score.
        onset_s: When each note was struck, in seconds, shape (n,).
        held_s: For how long its key was held.
        map_s: Seconds of the smooth tempo at each half beat, shape (n_cells + 1,).
        pedal: When the pedal went down and up, seconds, shape (n_pedals, 2); None if unknown.
        source, song: Where it is from; windows of a song share it.
        quadrant: Its emotion, where it is labelled.
        part: `fit` or `test`.
    """

    reading: Reading
    onset_s: FloatColumn
    held_s: FloatColumn
    map_s: FloatColumn
    pedal: FloatColumn | None
    source: str
    song: str
    quadrant: str | None
    part: str

    @property
    def deviation_s(self) -> FloatColumn:
        """Return how much later than the smooth tempo has it each note was struck."""
        at = self.reading.step / STEPS
        return self.onset_s - np.interp(at, np.arange(len(self.map_s)) / 2, self.map_s)

    @property
    def period(self) -> FloatColumn:
        """Return the length of each half beat over their median, shape (n_cells,)."""
        length = np.diff(self.map_s)
        return length / np.median(length)

    @property
    def z(self) -> FloatColumn:
        """Return the velocities in standard deviations off their mean."""
        velocity = self.reading.notes.velocity.astype(np.float64)
        return (velocity - velocity.mean()) / max(float(velocity.std()), 1e-9)


def windows_of(source: Path, *, seed: int = 0) -> Iterator[Window]:
    """Yield windows of performances below a folder, at most three of a piece.

    Songs of the verifier's part of EMOPIA are for the test, and those of Pop1K7 that are among
    them; of other pieces one in six.
    """
    rng = np.random.default_rng(seed)
    aliases = source / "emotion" / "emopia_also_in_pop1k7.csv"
    songs = {clip.path.stem: clip for clip in read_labels(source) if clip.source == "emopia"}
    judged = {
        row["corpus_path"]
        for row in csv.DictReader(aliases.read_text("utf-8").splitlines())
        if songs.get(row["clip"]) is None or songs[row["clip"]].part != "mapper"
    }
    files = [own for own in corpus_files(source) if own.source in COUNTS and _is_sure(own)]
    for name, count in COUNTS.items():
        own = [file for file in files if file.source == name]
        for at in rng.permutation(len(own))[:count]:
            file, key = own[at], piece_of(own[at].name)
            digit = hashlib.sha256(key.encode()).digest()[0]
            relative = file.name.removeprefix("corpus/")
            part = "test" if relative in judged or digit % 6 == 0 else "fit"
            yield from _cut(file, key, part, None, rng)
    for name, clip in songs.items():
        match = EMOPIA_CLIP.search(clip.path.name)
        song = match[1] if match else name
        part = "fit" if clip.part == "mapper" else "test"
        file = CorpusFile(clip.path, clip.path.name, "emopia", "none")
        yield from _cut(file, song, part, clip.quadrant, rng)


def _is_sure(file: CorpusFile) -> bool:
    return file.note not in ("bar phase uncertain", "three_four_like")


def _cut(
    file: CorpusFile, song: str, part: str, quadrant: str | None, rng: np.random.Generator
) -> Iterator[Window]:
    try:
        score = read_score(file.path)
        notes, lines, edges_s = _on_beats(file, score)
    except (ScoreError, SkippedError):
        return
    pedal = None
    if file.source in WITH_PEDAL:
        spans = [(p.time, p.time + p.duration) for track in score.tracks for p in track.pedals]
        ticks = np.array(sorted(spans), dtype=np.int64).reshape(-1, 2)
        pedal = seconds_at(score, ticks.ravel()).reshape(-1, 2)
    n_bars = len(lines) - 1
    last = max(n_bars - N_BARS, 0)
    firsts = {last, int(rng.integers(last + 1)), int(rng.integers(last + 1))}
    for first in sorted(firsts):
        stop = min(first + N_BARS, n_bars)
        window = _window(notes, lines, edges_s, first=first, stop=stop, pedal=pedal)
        if window is not None:
            yield replace(window, source=file.source, song=song, quadrant=quadrant, part=part)


def _on_beats(file: CorpusFile, score: ScoreTick) -> tuple[Notes, FloatColumn, FloatColumn]:
    """Return notes with played beats and seconds, bar lines, and the seconds of half beats."""
    notes = notes_of(score)
    end = float(notes.onset.max()) + 1.0
    if file.grid == "none":
        grid = track_beats(notes)
        if grid.confidence < MIN_CONFIDENCE:
            raise SkippedError("beats")
        onset = to_beats(notes.onset_s, grid)
        duration = to_beats(notes.onset_s + notes.duration_s, grid) - onset
        notes = replace(notes, onset=onset, duration=duration)
        bar, n_bars = grid.beats_per_bar, (len(grid.beats_s) - 1) // grid.beats_per_bar
        return notes, np.arange(n_bars + 1.0) * bar, grid.beats_s
    if file.source == "pop1k7":
        lines = np.arange(0.0, end + 4.0, 4.0)
    else:
        lines = grid_of(score, end)[0]
        if set(np.diff(lines)) - {2.0, 3.0, 4.0}:
            raise SkippedError("metre")
    ticks = np.arange(int(lines[-1]) + 1) * score.ticks_per_quarter
    return notes, lines, seconds_at(score, ticks)


def _window(
    notes: Notes, lines: FloatColumn, beats_s: FloatColumn, *, first: int, stop: int,
    pedal: FloatColumn | None,
) -> Window | None:  # fmt: skip
    if stop - first < MIN_BARS:
        return None
    begin, end = float(lines[first]), float(lines[stop])
    on_grid = np.rint(notes.onset * SIXTEENTHS) / SIXTEENTHS
    inside = (on_grid >= begin) & (on_grid < end) & (notes.pitch >= 21) & (notes.pitch <= 108)
    own, on_grid = notes.where(inside), on_grid[inside]
    off = np.abs(own.onset - on_grid) > MAX_OFF
    if len(own) < MIN_NOTES or off.mean() > OFF_GRID or np.unique(own.velocity).size < 8:
        return None
    order = np.lexsort((own.pitch, on_grid))
    own, on_grid = own.where(order), on_grid[order]
    length = np.maximum(np.rint(own.duration * SIXTEENTHS) / SIXTEENTHS, SHORTEST)
    again = (np.diff(on_grid, prepend=-1) == 0) & (np.diff(own.pitch, prepend=-1) == 0)
    own, on_grid, length = own.where(~again), on_grid[~again] - begin, length[~again]
    seconds = float(np.diff(np.interp([begin, end], np.arange(len(beats_s)), beats_s))[0])
    tempo = 60.0 * (end - begin) / seconds
    if not 30 < tempo < 250:
        return None
    score = make_notes(on_grid, length, own.pitch, own.velocity, tempo=tempo)
    bars = lines[first : stop + 1] - begin
    chords, _ = find_chords(score, bars)
    reading = Reading(score, bars, chords, tempo, n_after=len(lines) - 1 - stop)
    onset_s = own.onset_s
    return Window(
        reading, onset_s, own.duration_s, _smooth(on_grid, onset_s, len(reading.cells)), pedal,
        "", "", None, "fit",
    )  # fmt: skip


def _smooth(onset: FloatColumn, onset_s: FloatColumn, n_cells: int) -> FloatColumn:
    """Return the seconds of half beats by local lines through the onsets, Gaussian weights."""
    at = np.arange(n_cells + 1) / 2
    moments, which = np.unique(onset, return_inverse=True)
    seconds = np.bincount(which, onset_s) / np.bincount(which)
    width = np.full(len(at), SMOOTH_BEATS)
    # Where little is struck the window is wider: to the third-nearest onset.
    third = np.sort(np.abs(at[:, None] - moments), axis=1)[:, min(3, len(moments) - 1)]
    width = np.maximum(width, third / 1.5)[:, None]
    off = moments - at[:, None]
    weight = np.exp(-0.5 * (off / width) ** 2)
    total = weight.sum(axis=1)
    mean_x, mean_y = (weight * off).sum(1) / total, (weight * seconds).sum(1) / total
    x = off - mean_x[:, None]
    slope = (weight * x * seconds).sum(1) / np.maximum((weight * x * x).sum(1), 1e-9)
    found: FloatColumn = mean_y - slope * mean_x
    return np.maximum.accumulate(found + np.arange(len(at)) * 1e-6)


def lift_of(window: Window) -> FloatColumn:
    """Tell where the pedal is lifted around the beginning of a half beat."""
    assert window.pedal is not None
    edges = window.map_s
    middles = np.concatenate([[1.5 * edges[0] - 0.5 * edges[1]], (edges[1:] + edges[:-1]) / 2])
    return (np.diff(np.searchsorted(window.pedal[:, 1], middles)) > 0).astype(np.float64)


def down_of(window: Window) -> FloatColumn:
    """Tell where the pedal is down in the middle of a half beat."""
    assert window.pedal is not None
    middles = (window.map_s[1:] + window.map_s[:-1]) / 2
    which = np.searchsorted(window.pedal[:, 0], middles, side="right") - 1
    is_down = (which >= 0) & (window.pedal[np.maximum(which, 0), 1] > middles)
    return is_down.astype(np.float64)
