"""Songs parted into training and validation, near-duplicates on one side."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from emomusic.music.attributes import Passage

GRAM = 10
MIN_SHARED = 24
MIN_SHARE = 0.2
COMMON = 12
EMOPIA_CLIP = re.compile(r"(?:^|/)Q[1-4]_(.{11})_\d+\.midi?$")
ASAP_PIECE = re.compile(r"^asap/(.+)\.midi?$|^asap_perf/(.+)_\d+\.midi?$")
Fingerprints = NDArray[np.uint64]


def melody_fingerprints(passage: Passage) -> Fingerprints:
    """Return the hashes of a melody's runs of ten intervals, sorted and distinct.

    They do not change under transposition, tempo or accompaniment below the melody.
    """
    steps = np.diff(passage.melody)
    steps = steps[steps != 0]
    if len(steps) < GRAM:
        return np.zeros(0, dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(steps, GRAM).astype(np.int64) + 128
    weights = np.power(np.uint64(1_099_511_628_211), np.arange(GRAM, dtype=np.uint64))
    return np.unique((windows.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64))


def group_songs(fingerprints: Sequence[Fingerprints], names: Sequence[str]) -> list[int]:
    """Return a group number for each song; near-duplicates share one, and clips of one recording.

    Two songs belong together if at least 24 runs, and a fifth of the shorter song's, occur in
    both. Runs that occur in more than a dozen songs (scales, trills) do not count. Whatever they
    share, songs belong together whose `piece_of` is the same.
    """
    songs_of: dict[int, list[int]] = defaultdict(list)
    for song, found in enumerate(fingerprints):
        for value in found.tolist():
            songs_of[value].append(song)
    shared = Counter(
        pair
        for songs in songs_of.values()
        if len(songs) <= COMMON
        for pair in combinations(songs, 2)
    )
    first_of: dict[str, int] = {}
    parent = [first_of.setdefault(piece_of(name), song) for song, name in enumerate(names)]

    def root(song: int) -> int:
        while parent[song] != song:
            parent[song] = parent[parent[song]]
            song = parent[song]
        return song

    for (a, b), count in shared.items():
        if count >= max(MIN_SHARED, MIN_SHARE * min(len(fingerprints[a]), len(fingerprints[b]))):
            parent[root(a)] = root(b)
    return [root(song) for song in range(len(fingerprints))]


def piece_of(name: str) -> str:
    """Return what the names of stretches, clips and takes of one piece have in common.

    `NAME#1` is a stretch of NAME; EMOPIA's `Q1_RECORDING_0.mid` a clip of a recording;
    `asap_perf/PIECE_01.mid` a take of the score `asap/PIECE.mid`.
    """
    name = name.partition("#")[0]
    clip, piece = EMOPIA_CLIP.search(name), ASAP_PIECE.search(name)
    if piece:
        return "asap " + (piece[1] or piece[2]).replace("-", "_").removesuffix("_no_repeat")
    return clip[1] if clip else name


def hold_back(
    fingerprints: Sequence[Fingerprints], names: Sequence[str], *, share: float
) -> list[bool]:
    """Tell which songs go to validation: groups by the first of their names in the alphabet.

    So a song keeps its side when music is added, unless a near-duplicate comes whose name is
    before those of its group, or one that joins two groups. If all or none would go, the last
    song's group does, where there is another. `share`, 0 to 1, is the part of all groups that goes.
    """
    groups = group_songs(fingerprints, names)
    first: dict[int, str] = {}
    for group, name in zip(groups, names, strict=True):
        first[group] = min(first.get(group, name), name)
    held_back = [is_validation(first[group], share) for group in groups]
    if all(held_back) or not any(held_back):
        held_back = [group == groups[-1] and len(first) > 1 for group in groups]
    return held_back


def is_validation(name: str, share: float) -> bool:
    """Tell by the hash of a name whether its song is among the share, 0 to 1, held back."""
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < share
