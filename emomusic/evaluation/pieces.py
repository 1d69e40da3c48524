"""Pieces to compare: composed clips, windows of real songs, and real music parted by songs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.clip import Clip
from emomusic.data.prepared import shared_tokenizer
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.training.rows import Rows

POP_PIANO = ("emopia", "pop1k7")
"""Sources of the rows whose music is piano pop, as the composed pieces are meant to be."""
MIN_PIECES, N_SPLITS = 8, 10
Indices = NDArray[np.int64]
_EMOPIA = re.compile(r"(Q[1-4])_(.+)_\d+\.mid$")
_STRETCH = re.compile(r"#\d+$")
"""What tells a further stretch of a song from its first."""


@dataclass(frozen=True)
class Piece:
    """Hold one piece of music to compare, at least one note.

    Attributes:
        group: Its song; pieces of one song are never counted as independent.
        quadrant: "Q1" to "Q4", asked for or heard by people; None where unknown.
        n_bars: Whole bars from beat 0; None where only seconds are known.
        tempo: Quarter notes a minute; None where only seconds are known.
    """

    notes: Notes
    group: str
    quadrant: str | None = None
    n_bars: int | None = None
    beats_per_bar: int = 4
    tempo: float | None = None

    def __post_init__(self) -> None:
        """Check that there is music."""
        if not len(self.notes):
            raise ValueError(f"a piece must hold notes, got none from {self.group!r}")
        if (self.n_bars is not None and self.n_bars < 1) or self.beats_per_bar < 1:
            raise ValueError(f"bars and beats must be 1 or more, got those of {self.group!r}")

    @property
    def bars(self) -> int:
        """Return the number of bars; an error where there are none."""
        if self.n_bars is None:
            raise ValueError(f"{self.group!r} has no bars: this measure needs a beat")
        return self.n_bars

    @property
    def n_beats(self) -> int:
        """Return the length in beats, as `bars`."""
        return self.bars * self.beats_per_bar


def composed_pieces(clips: Iterable[Clip]) -> list[Piece]:
    """Return composed clips as pieces, each its own song, with the quadrant asked for, if any."""
    return [
        Piece(
            notes_of(clip.score),
            group=f"composed/{clip.seed}/{clip.index}",
            quadrant=clip.request.emotion.quadrant if clip.request.emotion else None,
            n_bars=clip.n_bars,
            beats_per_bar=clip.request.beats_per_bar,
            tempo=clip.tempo,
        )
        for clip in clips
    ]


def real_pieces(
    rows: Rows,
    sources: Sequence[str] = POP_PIANO,
    *,
    n_bars: int = 16,
    n: int | None = None,
    held_back: bool | None = True,
    seed: int = 0,
) -> list[Piece]:
    """Cut windows of whole bars of 4/4 without an empty one out of the songs of some sources.

    Every song gives one window before any gives a second, which then shares no bar with the
    first. Windows begin at any bar. Their tempo is that of the clips that hold their bars.

    Args:
        rows: Packed rows.
        sources: Their names in the rows.
        n: How many at most; None stops at one window a song.
        held_back: Songs held back from training (True), those trained on (False) or all (None).
            A song of which one clip was trained on is not held back.

    Returns:
        At most n pieces; fewer where the songs hold no more. EMOPIA's have their quadrant.
    """
    unknown = [name for name in sources if name not in rows.meta["sources"]]
    if unknown:
        raise ValueError(f"the rows hold no source {unknown[0]!r}")
    if n_bars < 1 or (n is not None and n < 1):
        raise ValueError(f"n_bars and n must be 1 or more, got {n_bars} and {n}")
    ids = music_ids(rows)
    clip = clips_of_bars(rows)
    tempo = rows.clip_values[clip, rows.meta["attributes"].index("tempo")].astype(np.float64)
    song = rows.clip_song[clip].astype(np.int64)
    song[(clip < 0) | ~_chosen_songs(rows, sources, held_back)[song]] = -1
    four_four = shared_tokenizer().vocabulary.id_of("TimeSig_4/4")
    song[(ids[rows.bar_start[:-1] + 1] != four_four) | rows.bar_compound] = -1
    starts = _drawn_starts(rows, song, n_bars, n, np.random.default_rng(seed))
    return [_window(rows, ids, int(at), int(song[at]), tempo[at : at + n_bars]) for at in starts]


def music_ids(rows: Rows) -> Indices:
    """Return the ids of packed rows as this version's tokenizer has them, shape (n_ids,).

    Rows know a checkpoint's attributes, perhaps others than ours; the music stands behind them.
    """
    texts = shared_tokenizer().vocabulary.texts
    own, n_music = rows.meta["vocabulary"], len(texts) - texts.index("Bar_None")
    if list(own[-n_music:]) != list(texts[-n_music:]):
        raise ValueError("the rows are of another vocabulary than this version's: prepare them")
    return rows.ids.astype(np.int64) + (len(texts) - len(own))


def checked_pieces(composed: Sequence[Piece], real: Sequence[Piece]) -> None:
    """Check that there is enough to compare."""
    for what, pieces, least in (("composed", composed, 1), ("real", real, 2)):
        if len(pieces) < least * MIN_PIECES:
            raise ValueError(
                f"at least {least * MIN_PIECES} {what} pieces are needed, got {len(pieces)}"
            )


def clips_of_bars(rows: Rows) -> Indices:
    """Return the last clip that holds each bar, -1 where none does, shape (n_bars,)."""
    clips = np.full(len(rows.bar_start) - 1, -1, dtype=np.int64)
    ends = rows.clip_bar + rows.clip_n_bars.astype(np.int64)
    for clip, (first, end) in enumerate(zip(rows.clip_bar, ends, strict=True)):
        clips[first:end] = clip
    return clips


def _chosen_songs(rows: Rows, sources: Sequence[str], held_back: bool | None) -> NDArray[np.bool_]:
    """Return which songs of the rows may be cut, shape (n_songs,)."""
    chosen = np.isin(rows.song_source, [rows.meta["sources"].index(name) for name in sources])
    if held_back is None:
        return chosen
    own = np.flatnonzero(chosen).tolist()
    trained_on = {_group(rows, i)[0] for i in own if not rows.song_is_validation[i]}
    for i in own:
        chosen[i] = (_group(rows, i)[0] in trained_on) != held_back
    return chosen


def _drawn_starts(
    rows: Rows,
    song: Indices,
    n_bars: int,
    n: int | None,
    rng: np.random.Generator,
) -> list[int]:
    """Return first bars of windows, song by song in drawn order, then the songs' second ones."""
    held = np.concatenate([[0], np.cumsum(song < 0)])
    at = np.arange(len(song) - n_bars + 1)
    whole = (held[at + n_bars] == held[at]) & (song[at] == song[at + n_bars - 1])
    at = at[whole]
    of_group: dict[str, list[int]] = {}
    for start in rng.permutation(at).tolist():
        taken = of_group.setdefault(_group(rows, int(song[start]))[0], [])
        if all(abs(start - other) >= n_bars for other in taken):
            taken.append(start)
    groups = [of_group[name] for name in rng.permutation(sorted(of_group)).tolist()]
    rounds = range(max(map(len, groups), default=0) if n is not None else 1)
    starts = [own[turn] for turn in rounds for own in groups if turn < len(own)]
    return starts[:n]


def _group(rows: Rows, song: int) -> tuple[str, str | None]:
    """Return the name of a song and its quadrant; EMOPIA's files are clips of songs."""
    source = rows.meta["sources"][rows.song_source[song]]
    name = _STRETCH.sub("", rows.meta["song_names"][song])
    found = _EMOPIA.search(name.rsplit("/", 1)[-1]) if source == "emopia" else None
    return (f"{source}/{found[2]}", found[1]) if found else (name, None)


def _window(rows: Rows, ids: Indices, start: int, song: int, tempo: NDArray[np.float64]) -> Piece:
    n_bars = len(tempo)
    own = ids[rows.bar_start[start] : rows.bar_start[start + n_bars]]
    pace = float(n_bars / (1.0 / tempo).sum())
    score = shared_tokenizer().decode(own.tolist(), tempo=pace, n_beats=4.0 * n_bars)
    group, quadrant = _group(rows, song)
    return Piece(notes_of(score), group, quadrant, n_bars, 4, pace)


def splits(
    n_composed: int, groups: Sequence[str], rng: np.random.Generator, *, n_splits: int = N_SPLITS
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield drawn halves of the real pieces, no song in both, with as many composed pieces.

    Yielded are the indices of the real pieces that are held against, of composed ones, and of the
    other real ones, shape (n,) each. `groups` are the songs of the real ones.
    """
    song = np.unique(np.asarray(groups), return_inverse=True)[1]
    for _ in range(n_splits):
        place = rng.permutation(int(song.max()) + 1)[song]
        order = np.argsort(place, kind="stable")
        middle = place[order[len(order) // 2]]
        halves = [np.flatnonzero(place < middle), np.flatnonzero(place >= middle)]
        n = min(n_composed, *map(len, halves))
        if n < MIN_PIECES:
            raise ValueError(
                f"two halves of at least {MIN_PIECES} real pieces without a song in both "
                f"are needed, got {len(halves[0])} and {len(halves[1])}"
            )
        reference, other = (rng.choice(half, n, replace=False) for half in halves)
        yield reference, rng.choice(n_composed, n, replace=False), other
