"""Fit the beat tracker's network on performances whose beats are known (Pop1K7, clean bars)."""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emomusic.data.beat_features import FRAME_S, N_FEATURES, beat_features
from emomusic.data.beat_net import KERNEL, BeatNet
from emomusic.music.score import ScoreError, notes_of, read_score, seconds_at

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Performance:
    """Notes in seconds with their true beats; `downbeats` is none where bars are not known."""

    name: str
    onset_s: FloatArray
    pitch: IntArray
    velocity: IntArray
    beats_s: FloatArray
    downbeats: NDArray[np.bool_] | None
    is_score: bool = False


def is_held_back(path: str) -> bool:
    """Tell by a hash of the file's name whether a song is kept from fitting (two in five)."""
    return hashlib.sha256(Path(path).stem.encode()).digest()[0] % 5 < 2


def song_paths(source: Path, *, held_back: bool, notes: Sequence[str] = ("clean44",)) -> list[Path]:
    """List the songs of Pop1K7 on one side of the split, whose bars are noted as given."""
    with (source / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "pop1k7"]
    paths = sorted(row["path"] for row in rows if row["note"] in notes)
    return [source / path for path in paths if is_held_back(path) == held_back]


def read_performance(
    path: Path, *, beats_per_bar: int | None = 4, tempo: float | None = None
) -> Performance:
    """Read notes in seconds, and the beats at every quarter from tick 0.

    A `tempo` replaces that of the file and marks the notes as a score, to be played loosely; then
    only the first track counts (the second of POP909 holds chords that nobody plays).
    """
    score = read_score(path)
    if tempo:
        del score.tracks[1:]
    notes = notes_of(score)
    end = int(np.ceil(notes.onset[-1])) + 1
    beat_s = seconds_at(score, np.arange(end, dtype=np.int64) * score.ticks_per_quarter)
    onset_s = notes.onset_s
    if tempo:
        onset_s = notes.onset * (60.0 / tempo)
        beat_s = np.arange(end, dtype=np.float64) * (60.0 / tempo)
    downbeats = np.arange(end) % beats_per_bar == 0 if beats_per_bar else None
    return Performance(
        path.stem, onset_s, notes.pitch, notes.velocity, beat_s, downbeats, tempo is not None
    )


def excerpt(
    song: Performance, start_s: float, length_s: float, *, stretch: float = 1.0
) -> Performance:
    """Cut a stretch of time out of a performance, and play it slower by a factor."""
    end_s = start_s + length_s
    notes = (song.onset_s >= start_s) & (song.onset_s < end_s)
    beats = (song.beats_s >= start_s) & (song.beats_s < end_s)
    return Performance(
        song.name,
        (song.onset_s[notes] - start_s) * stretch,
        song.pitch[notes],
        song.velocity[notes],
        (song.beats_s[beats] - start_s) * stretch,
        None if song.downbeats is None else song.downbeats[beats],
        song.is_score,
    )


def play_loosely(score: Performance, rng: np.random.Generator) -> Performance:
    """Play quantised notes with a wandering tempo and small errors, as people do.

    The tempo wanders by up to about a tenth; single onsets by 15 ms (Goebl 2001).
    """
    end = max(float(score.onset_s[-1]), float(score.beats_s[-1]), 0.0) + 2.0
    knots = np.arange(0.0, end + 3.0, 2.0)
    wander = np.convolve(rng.normal(0, 0.07, len(knots) + 2), [0.5, 0.7, 0.5], "valid")
    slow = np.cumsum(np.exp(rng.choice([0.1, 0.5, 1.0]) * wander)) * 2.0
    onset = np.interp(score.onset_s, knots, slow)
    onset = np.maximum(onset + rng.normal(0, rng.uniform(0.003, 0.018), len(onset)), 0.0)
    order = np.argsort(onset, kind="stable")
    return replace(
        score,
        onset_s=onset[order],
        pitch=score.pitch[order],
        velocity=score.velocity[order],
        beats_s=np.interp(score.beats_s, knots, slow),
    )


class Block(nn.Module):
    """A dilated convolution whose result is added to what went in."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        """Make a block of random weights."""
        super().__init__()
        reach = dilation * (KERNEL // 2)
        self.conv = nn.Conv1d(width, width, KERNEL, padding=reach, dilation=dilation)
        self.mix = nn.Linear(width, width, bias=False)
        self.pool = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width, steps) from the same."""
        y: Tensor = self.dropout(nn.functional.elu(self.conv(x)))
        change: Tensor = self.mix(y.transpose(1, 2)) + self.pool(y.mean(dim=2))[:, None]
        return x + change.transpose(1, 2)


class Network(nn.Module):
    """`BeatNet` with gradients."""

    def __init__(self, width: int, n_blocks: int, dropout: float) -> None:
        """Make a network of random weights."""
        super().__init__()
        self.inlet = nn.Conv1d(2 * N_FEATURES, width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(Block(width, 2**b, dropout) for b in range(n_blocks)))
        self.outlet = nn.Linear(width, 4)
        nn.init.constant_(self.outlet.bias, -3.0)

    def forward(self, features: Tensor) -> Tensor:
        """Return log-odds (batch, frames, 2) from features (batch, frames, features)."""
        n, frames, _ = features.shape
        x = features.reshape(n, frames // 2, -1).transpose(1, 2)
        x = self.blocks(nn.functional.elu(self.inlet(x)))
        logits: Tensor = self.outlet(x.transpose(1, 2))
        return logits.reshape(n, frames, 2)

    def frozen(self) -> BeatNet:
        """Return the same network for numpy, whose axes run the other way round."""
        state = self.state_dict().items()
        return BeatNet({name: w.double().numpy().transpose() for name, w in state})


def sample(
    song: Performance, rng: np.random.Generator, n_frames: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw features, targets and loss weights of a random excerpt, varied in speed and touch."""
    length_s = n_frames * FRAME_S - 2.5
    stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
    begin, end = song.onset_s[0], max(song.onset_s[0] + 1, song.onset_s[-1] - length_s / stretch)
    cut = excerpt(song, float(rng.uniform(begin, end)), length_s / stretch, stretch=stretch)
    if cut.is_score and len(cut.onset_s) and len(cut.beats_s):
        cut = play_loosely(cut, rng)
    keep = rng.random(len(cut.onset_s)) >= rng.choice([0.0, 0.1])
    features = np.zeros((n_frames, N_FEATURES))
    target = np.zeros((n_frames, 2))
    weight = np.zeros((n_frames, 2))
    if keep.sum() < 4:
        return features, target, weight
    velocity = cut.velocity if rng.random() < 0.8 else np.full_like(cut.velocity, 64)
    pitch = cut.pitch + rng.integers(-4, 5)
    start, found = beat_features(cut.onset_s[keep], pitch[keep], velocity[keep])
    found = found[:n_frames]
    features[: len(found)] = found
    at = (cut.beats_s - start) / FRAME_S
    frames = np.arange(n_frames)[:, None]
    shape = np.exp(-0.5 * (frames - at) ** 2)  # a bell, one frame wide
    target[:, 0] = shape.max(axis=1, initial=0.0)
    heard = (frames[:, 0] * FRAME_S + start >= 0) & (frames[:, 0] * FRAME_S + start < length_s)
    weight[:, 0] = heard
    if cut.downbeats is not None:
        target[:, 1] = shape[:, cut.downbeats].max(axis=1, initial=0.0)
        weight[:, 1] = heard
    return features, target, weight


def material(source: Path) -> list[tuple[float, list[Performance]]]:
    """Read what is fitted to, in groups with their share of the draws.

    Pop1K7 with its bars; Pop1K7 whose bars are not known; pop songs as scores (POP909); and
    music in three-four time, which Pop1K7 has none of.
    """
    unsure = ("bar phase uncertain", "three_four_like")
    loose = song_paths(source, held_back=False, notes=unsure)
    with (source / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not is_held_back(row["path"])]
    pop = [row for row in rows if row["source"] == "pop909" and row["bpm"]]
    waltz = [row for row in rows if row["source"] in ("piano_midi_de", "pianocore", "musetrainer")]
    four = [quantised(source / row["path"], 4, float(row["bpm"])) for row in pop]
    three = [quantised(source / row["path"], 3, float(row["bpm"])) for row in pop]
    three += [quantised(source / row["path"], 3, None) for row in waltz]
    return [
        (0.65, [read_performance(path) for path in song_paths(source, held_back=False)]),
        (0.13, [read_performance(path, beats_per_bar=None) for path in loose]),
        (0.11, [song for song in four if song]),
        (0.11, [song for song in three if song]),
    ]


def quantised(path: Path, beats_per_bar: int, tempo: float | None) -> Performance | None:
    """Read a score if all its bars have so many quarters; at its own tempo if none is given."""
    try:
        score = read_score(path)
    except ScoreError:
        return None
    meters = {(sign.numerator, sign.denominator) for sign in score.time_signatures}
    if meters != {(beats_per_bar, 4)}:
        return None
    song = read_performance(path, beats_per_bar=beats_per_bar, tempo=tempo)
    is_played = len(score.tempos) > 100  # a tempo map that somebody shaped by hand
    return replace(song, is_score=not is_played)


def fit(groups: list[tuple[float, list[Performance]]], args: argparse.Namespace) -> Network:
    """Fit a network by Adam with a one-cycle learning rate."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    network = Network(args.width, args.blocks, args.dropout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=0.15)
    began, running = time.monotonic(), 0.0
    for step in range(args.steps):
        draws = []
        for group in rng.choice(len(groups), size=args.batch, p=[share for share, _ in groups]):
            songs = groups[group][1]
            draws.append(sample(songs[rng.integers(len(songs))], rng, args.frames))
        x, y, w = (torch.from_numpy(np.stack(part)).float() for part in zip(*draws, strict=True))
        loss = nn.functional.binary_cross_entropy_with_logits(network(x), y, w, reduction="sum")
        loss = loss / w.sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running += loss.item()
        if (step + 1) % 50 == 0:
            print(f"{step + 1} {running / 50:.4f} {time.monotonic() - began:.0f} s", flush=True)
            running = 0.0
            args.output.write_text(network.frozen().to_json())
    return network


def main() -> None:
    """Parse the command line, fit, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("--output", type=Path, default=Path("emomusic/data/beat_net.json"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=2000, help="length of an excerpt, even")
    parser.add_argument("--width", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    groups = material(args.source)
    print("songs in each group:", *(len(songs) for _, songs in groups), flush=True)
    args.output.write_text(fit(groups, args).frozen().to_json())


if __name__ == "__main__":
    main()
