"""Memorisation: what composed clips share with the training songs, beside what real music does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emomusic.data.prepared import shared_tokenizer
from emomusic.evaluation.quality import POP_PIANO, clips_of_bars, music_ids
from emomusic.evaluation.rows import (
    Interval,
    Row,
    Table,
    drawn_means,
    interval,
    row_of,
    section,
    weights,
)
from emomusic.music.attributes import MAX_PARTNERS
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT
from emomusic.training.rows import Rows

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

N_DRAWS = 2000
TRIMMED = 0.02
"""Share of the real windows, those with the longest runs, that the second floor leaves out."""
N_SHOWN = 10
GRAMS = (4, 8, 16, 32)
MEASURES = ("longest_events", "longest_beats", *(f"share_{n}" for n in GRAMS))
END_OF_KNOWN, END_OF_ASKED, FIRST_SYMBOL = 0, 1, 2
Codes = NDArray[np.uint64]
N_PITCHES = 128
HALF = 64
"""Pitches in one of the two columns that tell a chord."""


@section(
    "Overlap with the training songs",
    Table(("measures above real music",)),
    Table(MEASURES, "of", note=
          "Over the clips and over windows of held-back songs, matched event by event with the "
          "training songs, whatever the key and tempo. Strict: without the 2 % of real windows "
          "that match best, likely covers."),
    Table(("longest match",), note=
          "Events of the longest runs that are found in a training song; distinct: different "
          "events among them, few of which mean a scale or a repeated chord."),
    uses=("count", "bars", "seed", "steering", "quick", "rows"),
    needs_rows=True,
)  # fmt: skip
def memory(context: Context) -> Iterator[Row | str]:
    """Hold the first draws against the training songs, pop piano held back as the floor."""
    known = context.rows.meta["sources"]
    sources = [name for name in POP_PIANO if name in known] or known
    n_windows, seed = context.extent.n_windows, context.settings.seed
    yield from memorisation(context.notes, context.rows, sources, n_windows=n_windows, seed=seed)


def memorisation(
    clips: Sequence[Notes], rows: Rows, sources: Sequence[str], *, n_windows: int, seed: int = 0
) -> Iterator[Row | str]:
    """Hold clips against the training songs, and held-back songs against them as the floor.

    Each clip is matched by `n_windows` windows of held-back songs of some sources that have as
    many events as it has, in each view, so that both had as many chances of a match. Music is
    compared in beats and relative to the onset before, so transposed and at another tempo it is
    the same; written in notes of half or double the length it is not. A run of events never goes
    beyond its song.

    Reference:
        Yin et al. (2021), the originality report, also set a baseline of real music beside
        generated music; we differ in taking exact runs of events, not a similarity of windows.
    """
    training, held_back = [], []
    wanted = np.isin(rows.song_source, [rows.meta["sources"].index(name) for name in sources])
    for stretch in stretches_of(rows):
        if not rows.song_is_validation[stretch.song]:
            training.append(stretch)
        elif wanted[stretch.song]:
            held_back.append(stretch)
    if not (clips and training and held_back):
        raise ValueError(
            "clips, training songs and held-back songs of the sources "
            f"{', '.join(sources)} are needed, got {len(clips)}, {len(training)} and "
            f"{len(held_back)}"
        )
    song = np.array([stretch.song for stretch in held_back])
    above: list[str] = []
    for view, line_of in VIEWS.items():
        lines = [line_of(notes) for notes in clips]
        lines += [stretch.views[view] for stretch in held_back]
        found = longest_runs([stretch.views[view] for stretch in training], lines)
        own, real = found[: len(clips)], found[len(clips) :]
        windows, songs = draw_windows(own, real, song, n_windows=n_windows, seed=seed)
        for row in _compared(own, windows, songs, view=view, seed=seed):
            yield row
            if row.by["of"] == "excess" and row.low is not None and row.low > 0:
                above.append(f"{view} {row.name}")
        yield from _longest_matches(own, training, rows, view)
    yield Row("measures above real music", len(above), n=len(clips))
    yield (f"{len(clips)} clips and {n_windows * len(clips)} windows of {len(np.unique(song))} "
           f"held-back songs, {len({own.song for own in training})} training songs. Above real by "
           f"more than chance: {', '.join(above) or 'none'}.")  # fmt: skip


def _compared(
    composed: Sequence[Matches], real: Sequence[Matches], songs: IntColumn, *, view: str, seed: int
) -> Iterator[Row]:
    """Yield each measure of clips and of windows, and by how much the clips exceed these."""
    own, other = (np.array([one.measures() for one in kind]) for kind in (composed, real))
    longest_first = np.argsort(-other[:, 0], kind="stable")
    n_trimmed = int(np.ceil(TRIMMED * len(real)))
    kept = np.sort(longest_first[n_trimmed:] if n_trimmed < len(real) else longest_first)
    for k, name in enumerate(MEASURES):
        if not (np.isfinite(own[:, k]).any() and np.isfinite(other[kept, k]).any()):
            continue
        for what, column in (("composed", own[:, k]), ("real", other[:, k])):
            known = column[np.isfinite(column)]
            for of, value in ((what, known.mean()), (f"{what} 95 %", np.quantile(known, 0.95)),
                              (f"{what} greatest", known.max())):  # fmt: skip
                yield Row(name, float(value), by={"view": view, "of": of})
        for of, at in (("excess", np.arange(len(other))), ("excess, strict", kept)):
            found = excess_of(own[:, k], other[at, k], real_group=songs[at], seed=seed)
            yield row_of(name, found, view=view, of=of)


def excess_of(
    composed: FloatColumn, real: FloatColumn, *, real_group: IntColumn, seed: int = 0
) -> Interval:
    """Return the mean of composed clips less that of real ones; NaN is left out.

    The bootstrap draws composed clips one by one, and real ones by their songs, `real_group`.
    """
    has, real_has = np.isfinite(composed), np.isfinite(real)
    composed, real, group = composed[has], real[real_has], real_group[real_has]
    rng = np.random.default_rng(seed)
    draws = drawn_means(composed, weights(np.arange(len(composed)), N_DRAWS, rng=rng))
    draws = draws - drawn_means(real, weights(group, N_DRAWS, rng=rng))
    return interval(float(composed.mean() - real.mean()), draws)


def _longest_matches(
    clips: Sequence[Matches], training: Sequence[Stretch], rows: Rows, view: str
) -> Iterator[Row]:
    """Yield the longest run of each clip, the longest first, and where it stands in training."""
    longest = [own.longest() for own in clips]
    for clip in np.argsort([-n for _, n in longest], kind="stable")[:N_SHOWN].tolist():
        own, (first, n_events) = clips[clip], longest[clip]
        if not n_events:
            continue
        stretch = training[int(own.line[first])]
        begins = stretch.views[view].step[int(own.at[first])] / STEPS_PER_BEAT
        distinct = len(np.unique(own.events.codes[first : first + n_events], axis=0))
        by = {
            "view": view,
            "clip": str(clip),
            "beat": f"{own.events.step[first] / STEPS_PER_BEAT:g}",
            "beats": f"{own.events.beats(first, n_events):g}",
            "distinct": str(distinct),
            "song": str(rows.meta["song_names"][stretch.song]),
            "bar": str(stretch.bar_at(float(begins))),
        }
        yield Row("longest match", n_events, by=by)


class Line(NamedTuple):
    """Hold one stretch of music as events, each told from the onset before it.

    Two events are equal where their rows of codes are, and not otherwise. Event i leads from onset
    i to onset i + 1; a line without music has one onset, 0.
    """

    codes: Codes  # what happens, shape (n_events, n_columns)
    step: IntColumn  # onsets in twelfths of a beat, shape (n_events + 1,)

    def beats(self, first: int, n_events: int) -> float:
        """Return how long a run of events lasts, from its first onset to its last, in beats."""
        return float(self.step[first + n_events] - self.step[first]) / STEPS_PER_BEAT


def melody_line(notes: Notes) -> Line:
    """Return the skyline: interval to the previous note of the melody and gap between onsets.

    The melody is that of `Passage`: the top pitch of each onset that no held note lies above.
    """
    step, length, pitch = _on_the_grid(notes)
    first = np.flatnonzero(np.diff(step, prepend=-1))
    if not len(first):
        return Line(np.zeros((0, 1), dtype=np.uint64), np.zeros(1, dtype=np.int64))
    onset, top = step[first], np.maximum.reduceat(pitch, first)
    covered = np.zeros(len(first), dtype=bool)
    for back in range(1, MAX_PARTNERS + 1):
        held = first - back
        index = np.maximum(held, 0)
        sounds = (held >= 0) & (step[index] + length[index] > onset)
        covered |= sounds & (pitch[index] > top)
    onset, top = onset[~covered], top[~covered]
    return Line(_moves(onset, top)[:, None], onset)


def texture_line(notes: Notes) -> Line:
    """Return all onsets: gap, how the lowest pitch moves, and the pitches struck above it."""
    step, _, pitch = _on_the_grid(notes)
    first = np.flatnonzero(np.diff(step, prepend=-1))
    if not len(first):
        return Line(np.zeros((0, 3), dtype=np.uint64), np.zeros(1, dtype=np.int64))
    lowest = np.minimum.reduceat(pitch, first)
    above = pitch - np.repeat(lowest, np.diff(first, append=len(pitch)))
    struck = np.uint64(1) << (above % HALF).astype(np.uint64)
    halves = [np.where(above // HALF == half, struck, np.uint64(0)) for half in (0, 1)]
    chord = [np.bitwise_or.reduceat(half, first)[1:] for half in halves]
    return Line(np.stack([_moves(step[first], lowest), *chord], axis=1), step[first])


VIEWS: Mapping[str, Callable[[Notes], Line]] = {"melody": melody_line, "texture": texture_line}


def _on_the_grid(notes: Notes) -> tuple[IntColumn, IntColumn, IntColumn]:
    """Return onsets and lengths in steps, and pitches, by onset, then pitch."""
    step = np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64)
    length = np.rint(notes.duration * STEPS_PER_BEAT).astype(np.int64)
    order = np.lexsort((notes.pitch, step))
    return step[order], length[order], notes.pitch[order]


def _moves(onset: IntColumn, pitch: IntColumn) -> Codes:
    """Return gap and interval to the onset before as one number each, shape (n_onsets - 1,)."""
    return (np.diff(onset) * 2 * N_PITCHES + np.diff(pitch) + N_PITCHES).astype(np.uint64)


class Stretch(NamedTuple):
    """Hold bars of a song that follow each other and that clips are cut from."""

    song: int  # its index in the rows
    bar: int  # bars of the song before this stretch, from its first that a clip is cut from
    lines: FloatColumn  # beat at which each bar begins, from the start, shape (n_bars,)
    views: Mapping[str, Line]  # the music as events, by the names of VIEWS

    def bar_at(self, beat: float) -> int:
        """Return how many bars of the song lie before a beat of this stretch."""
        return self.bar + int(np.searchsorted(self.lines, beat + 1e-9)) - 1


def stretches_of(rows: Rows) -> Iterator[Stretch]:
    """Walk through the songs of packed rows, each bar that clips are cut from once.

    A stretch ends where its song ends, and before bars that no clip holds (empty ones).
    """
    tokenizer, all_ids, clip = shared_tokenizer(), music_ids(rows), clips_of_bars(rows)
    beats_of = np.array([
        float(text[len("TimeSig_")]) if text.startswith("TimeSig_") else 0.0
        for text in tokenizer.vocabulary.texts
    ])  # fmt: skip
    song_of = np.where(clip < 0, -1, rows.clip_song[clip])
    first_of: dict[int, int] = {}
    for first, end in pairwise(np.flatnonzero(np.diff(song_of, prepend=-2, append=-2)).tolist()):
        song = int(song_of[first])
        if song < 0:
            continue
        beats = beats_of[all_ids[rows.bar_start[first:end] + 1]]
        ids = all_ids[rows.bar_start[first] : rows.bar_start[end]].tolist()
        notes = notes_of(tokenizer.decode(ids))
        views = {view: line_of(notes) for view, line_of in VIEWS.items()}
        bar = first - first_of.setdefault(song, first)
        yield Stretch(song, bar, np.cumsum(beats) - beats, views)


class Matches(NamedTuple):
    """Hold a line, or part of one, and what of it is known, event by event, shape (n_events,)."""

    events: Line
    length: IntColumn  # events of the longest known run that begins here and ends in the part
    line: IntColumn  # index of a known line that holds that run; without one it means nothing
    at: IntColumn  # the event of that line at which it begins

    def part(self, first: int, n_events: int) -> Matches:
        """Return some events that follow each other."""
        own = slice(first, first + n_events)
        events = Line(self.events.codes[own], self.events.step[first : first + n_events + 1])
        length = np.minimum(self.length[own], np.arange(n_events, 0, -1))
        return Matches(events, length, self.line[own], self.at[own])

    def longest(self) -> tuple[int, int]:
        """Return the event at which the longest run begins, and its length."""
        at = int(self.length.argmax()) if len(self.length) else 0
        return at, int(self.length.max(initial=0))

    def measures(self) -> list[float]:
        """Return the longest run in events and in beats, and the shares of known runs of GRAMS.

        A share of more events than there are is NaN.
        """
        at, longest = self.longest()
        runs = [self.length[: max(len(self.length) - n + 1, 0)] >= n for n in GRAMS]
        shares = [float(own.mean()) if len(own) else np.nan for own in runs]
        return [float(longest), self.events.beats(at, longest), *shares]


def longest_runs(known: Sequence[Line], asked: Sequence[Line]) -> list[Matches]:
    """Find, for each event of each line asked, the longest run from there that is known.

    Nothing is hashed: the result is exact. A run never leaves its line. Lines of all together
    millions of events take seconds and about 250 bytes an event.

    Reference:
        Suffix arrays by prefix doubling of Manber and Myers (1993); the ranks of each doubling
        are kept, so that the length two suffixes share is read off them, longest step first.
    """
    if not sum(len(line.codes) for line in known):
        raise ValueError("there are no known events to compare with")
    lines = [*known, *asked]
    start = np.cumsum([0, *(len(line.codes) + 1 for line in lines)])
    first_asked = int(start[len(known)])
    length, place = _best_neighbour(_text(lines, start, len(known)), first_asked)
    line = np.searchsorted(start, place, side="right") - 1
    at, found = place - start[line], []
    for events, first in zip(asked, (start[len(known) : -1] - first_asked).tolist(), strict=True):
        own = slice(first, first + len(events.codes))
        found.append(Matches(events, length[own], line[own], at[own]))
    return found


def _text(lines: Sequence[Line], start: IntColumn, n_known: int) -> IntColumn:
    """Return the symbols of all lines end to end, equal for equal events; each line has an end.

    The ends of known lines differ from those of lines asked, so that no run goes beyond one.
    """
    ends = start[1:] - 1
    codes = np.concatenate([line.codes for line in lines])
    symbol = np.zeros(len(codes), dtype=np.int64)
    for column in codes.T:
        values, other = np.unique(column, return_inverse=True)
        symbol = np.unique(symbol * len(values) + other, return_inverse=True)[1]
    text = np.insert(symbol + FIRST_SYMBOL, ends - np.arange(len(ends)), END_OF_KNOWN)
    text[ends[n_known:]] = END_OF_ASKED
    return text


def _best_neighbour(text: IntColumn, n_known: int) -> tuple[IntColumn, IntColumn]:
    """Return how far each suffix asked agrees with a known one, and the place of that one.

    Suffixes before `n_known` are known. The one that agrees furthest stands next before or next
    after in the order. `levels` are the ranks of all suffixes by their first 1, 2, 4, ...
    symbols, the last those by which no suffix asked equals a known one: no run is as long.
    """
    rank, n_symbols = np.unique(text, return_inverse=True)[1], 1
    levels = [rank.astype(np.int32)]
    while np.isin(rank[n_known:], rank[:n_known], kind="table").any():
        key = rank * (int(rank.max()) + 1)
        key[:-n_symbols] += rank[n_symbols:]
        rank = np.unique(key, return_inverse=True)[1]
        levels.append(rank.astype(np.int32))
        n_symbols *= 2
    order = np.argsort(rank, kind="stable")
    place_of = np.empty(len(order), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    known = np.flatnonzero(order < n_known)
    asked = np.arange(n_known, len(order))
    after = np.searchsorted(known, place_of[asked])
    length, place = np.full(len(asked), -1), np.zeros(len(asked), dtype=np.int64)
    for index in (after - 1, after):
        candidate = order[known[np.clip(index, 0, len(known) - 1)]]
        shared = np.zeros(len(asked), dtype=np.int64)
        for power, ranks in reversed(list(enumerate(levels))):
            shared += (ranks[asked + shared] == ranks[candidate + shared]) * 2**power
        place = np.where(shared > length, candidate, place)
        length = np.maximum(length, shared)
    return length, place


def draw_windows(
    clips: Sequence[Matches], real: Sequence[Matches], song: IntColumn, *, n_windows: int, seed: int
) -> tuple[list[Matches], IntColumn]:
    """Draw windows as long as each clip: first a song, then a place in it, all places alike.

    Where no song is as long as a clip, the longest stretch of all stands in whole. `song` is that
    of each of the real lines; returned are the windows and the song of each.
    """
    rng = np.random.default_rng(seed)
    size = np.array([len(own.length) for own in real])
    drawn, songs = [], []
    for clip in clips:
        n = min(len(clip.length), int(size.max()))
        n_places = np.maximum(size - n + 1, 0)
        for one in rng.choice(np.unique(song[n_places > 0]), n_windows):
            own = np.flatnonzero((song == one) & (n_places > 0))
            ends = np.cumsum(n_places[own])
            place = int(rng.integers(ends[-1]))
            which = int(np.searchsorted(ends, place, side="right"))
            first = place - int(ends[which] - n_places[own[which]])
            drawn.append(real[int(own[which])].part(first, n))
            songs.append(int(one))
    return drawn, np.array(songs)
