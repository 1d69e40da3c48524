"""Fit the beat tracker on performances whose beats are known (mostly Pop1K7)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import mir_eval
import numpy as np
import torch
from beat_corpus import Performance, excerpt, material, play_loosely
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from emomusic.music.beat import (
    FRAME_S,
    KERNEL,
    N_FEATURES,
    NET_NAME,
    OCTAVES,
    BeatNet,
    beat_features,
    decode_beats,
    find_beats,
    octave_traits,
)

FloatArray = NDArray[np.float64]

CLIP_S = 35.0
"""Length of the excerpts on which tempo octave and confidence are fitted; as EMOPIA's clips."""


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
    return network


def clips(songs: list[Performance]) -> Iterator[tuple[Performance, float, FloatArray]]:
    """Yield four excerpts a song, with the time of frame 0 and the features."""
    for song in songs:
        for place in (0.2, 0.4, 0.6, 0.8):
            middle = song.onset_s[0] + place * (song.onset_s[-1] - song.onset_s[0])
            cut = excerpt(song, float(middle) - CLIP_S / 2, CLIP_S)
            if len(cut.onset_s) >= 30 and len(cut.beats_s) >= 16:
                yield cut, *beat_features(cut.onset_s, cut.pitch, cut.velocity)


def fit_octave(net: BeatNet, songs: list[Performance]) -> None:
    """Fit the choice between the tempo found, its double and its half; add it to the weights."""
    traits, classes = [], []
    for cut, start, features in clips(songs):
        probability = net.probabilities(features)
        frames = decode_beats(probability[:, 0])
        ratio = np.median(np.diff(frames)) * FRAME_S / np.median(np.diff(cut.beats_s))
        near = np.abs(np.log2(ratio / np.asarray(OCTAVES)))
        if near.min() < 0.25:
            traits.append(octave_traits(probability, frames, (cut.onset_s - start) / FRAME_S))
            classes.append(int(near.argmin()))
    print("octaves found right, half, double:", np.bincount(classes) / len(classes))
    add_regression(net, "octave", np.stack(traits), np.asarray(classes))


def fit_trust(net: BeatNet, songs: list[Performance]) -> None:
    """Fit the probability that the F-measure reaches 0.8; add it to the weights."""
    traits, classes = [], []
    for cut, start, features in clips(songs):
        onset_frames = (cut.onset_s - start) / FRAME_S
        found = find_beats(features, onset_frames, net)
        true, guess = (
            mir_eval.beat.trim_beats(t) for t in (cut.beats_s, start + FRAME_S * found.frames)
        )
        traits.append(found.traits)
        classes.append(int(mir_eval.beat.f_measure(true, guess) >= 0.8))
    print("F-measure of 0.8 reached:", np.mean(classes))
    add_regression(net, "trust", np.stack(traits), np.asarray(classes))


def add_regression(net: BeatNet, name: str, x: FloatArray, y: NDArray[np.int64]) -> None:
    """Fit a logistic regression, and put its weights, for traits as they are, into the network."""
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(max_iter=3000).fit(scaler.transform(x), y)
    weight = (model.coef_ / scaler.scale_).T
    net.weights[f"{name}.weight"] = weight
    net.weights[f"{name}.bias"] = model.intercept_ - scaler.mean_ @ weight
    print(f"{name}: right on fitted clips in {model.score(scaler.transform(x), y):.3f}")


def main() -> None:
    """Parse the command line, fit, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("--output", type=Path, default=Path("emomusic/music") / NET_NAME)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=2000, help="length of an excerpt, even")
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--network", type=Path, help="keep this file's network, fit the rest")
    args = parser.parse_args()
    groups = material(args.source)
    print("songs in each group:", *(len(songs) for _, songs in groups), flush=True)
    data = args.network.read_bytes() if args.network else fit(groups, args).frozen().to_bytes()
    net = BeatNet.from_bytes(data)  # as rounded as it will be used
    fit_octave(net, groups[0][1])
    fit_trust(net, groups[0][1])
    args.output.write_bytes(net.to_bytes())


if __name__ == "__main__":
    main()
