"""Does music move as it is asked to? Curves over bars, moods changed, pieces varied, continued.

python -m studies.trajectories.study --source datasets/raw --out out/trajectories --seed 72
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from emomusic.compose.checkpoint import find_checkpoint
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.derive import MOVES, continue_clip, shift_clip, vary_clip
from emomusic.compose.parse import parse_key
from emomusic.compose.request import Request
from emomusic.emotion import (
    QUADRANTS,
    CurvePoint,
    Emotion,
    EmotionCurve,
    emotion_names,
    find_emotion,
    quadrant_of,
)
from emomusic.evaluation.accuracy import (
    NO_VELOCITY,
    SIGNS,
    Panel,
    classes_of,
    make_panel,
    right_rows,
)
from emomusic.evaluation.judges import Judge
from emomusic.evaluation.rows import (
    N_DRAWS,
    Matrix,
    Plot,
    Row,
    Table,
    interval,
    mean_interval,
    row_of,
    section,
    share,
    weights,
)
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT
from emomusic.verify.calibration import AXES
from emomusic.verify.features import feature_matrix
from emomusic.verify.labels import read_notes
from studies import main_of, run_study

LEAST_APART = 0.5
"""Emotions at neighbouring points of a curve lie at least so far from each other."""
MOST_POINTS, PHRASE_BARS = 4, 4
"""A curve has two to so many points, so many bars or more from each other."""
N_TAKES = 2
"""First draws of each curve."""
N_SHUFFLES = 200
LEAST_CHANGE = 0.2
"""Changes asked for that are smaller on an axis do not count as changes."""
WINDOW_BARS, WINDOW_S, BEATS = 4, 8.0, 4
"""Windows of composed pieces, and of real music, whose bars are not known."""
FEWEST_NOTES = 4
"""A window of fewer notes is not heard."""
SUREST = 0.01
"""Judged probabilities count as at least this and at most one less this: a judge that is sure of
one clip does not outweigh all others."""
VIEWS = ("events", "onsets", "pitch classes")
"""What may be shared: onset with pitch class, onset alone, pitch class alone."""
SAME_DEGREE = {3: 4, 8: 9, 10: 11}
"""Third, sixth and seventh of minor count as those of major."""
ANOTHER_TAKE = "another take"
"""No move: the same mood, other notes."""
Bar = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class Given:
    """Hold a checkpoint, its judges and how much is composed; all are first draws.

    Attributes:
        composer: The checkpoint.
        panel: Judges of a half of the songs that nothing else saw, and real clips.
        n_curves: Curves along which pieces are composed, at least 2.
        n_pieces: Pieces that are taken up, at least 2.
        seed: Of the run, and of all that is drawn.
        n_bars: Bars of a piece that is taken up; half as many are added to it, and pieces along
            curves have as many to twice as many.
    """

    composer: Composer
    panel: Panel
    n_curves: int = 60
    n_pieces: int = 60
    seed: int = 0
    n_bars: int = 16

    def compose(self, requests: Iterable[Request], *, fresh: bool = False) -> list[Clip]:
        """Compose a clip for each; what takes up a piece has that piece's number and seed."""
        seed = (self.seed + 1) % 2**63 if fresh else self.seed
        return list(self.composer.compose_each(requests, seed=seed))

    @cached_property
    def sources(self) -> list[Clip]:
        """Return the pieces that are taken up, of random named emotions."""
        rng = np.random.default_rng([self.seed, 1])
        emotions = draw_emotions(self.n_pieces, rng)
        return self.compose([Request(emotion, n_bars=self.n_bars) for emotion in emotions])

    @cached_property
    def unrelated(self) -> list[Clip]:
        """Return an unrelated clip of the same emotion and key for each of these."""
        return self.compose([fresh_request(c, emotion_of(c), self.n_bars) for c in self.sources],
                            fresh=True)  # fmt: skip


def named_emotions() -> tuple[Emotion, ...]:
    """Return all named emotions, alphabetically; a bare quadrant is none."""
    names = sorted(set(emotion_names()) - set(QUADRANTS))
    return tuple(find_emotion(name) for name in names)


def draw_emotions(n: int, rng: np.random.Generator) -> list[Emotion]:
    """Draw named emotions, one after the other."""
    names = named_emotions()
    return [names[i] for i in rng.integers(len(names), size=n).tolist()]


def draw_curve(n_bars: int, rng: np.random.Generator) -> EmotionCurve:
    """Draw a curve of two to four named emotions, from the first bar to the end.

    Args:
        n_bars: Of the piece, at least 4.
        rng: Decides.
    """
    most = min(MOST_POINTS, n_bars // PHRASE_BARS + 1)
    n_points = int(rng.integers(2, most + 1))
    spare = n_bars - PHRASE_BARS * (n_points - 1)
    cuts = np.sort(rng.integers(spare + 1, size=n_points - 2))
    between = cuts + PHRASE_BARS * np.arange(1, n_points - 1)
    bars = [0, *between.tolist(), n_bars]
    emotions = draw_emotions(1, rng)
    while len(emotions) < n_points:
        (emotion,) = draw_emotions(1, rng)
        other = emotions[-1]
        apart = math.dist(*((e.valence, e.arousal) for e in (emotion, other)))
        if apart >= LEAST_APART:
            emotions.append(emotion)
    return EmotionCurve(tuple(map(CurvePoint, bars, emotions)))


def emotion_of(clip: Clip) -> Emotion:
    """Return the emotion a clip was asked for."""
    assert clip.request.emotion is not None
    return clip.request.emotion


def fresh_request(
    clip: Clip, emotion: Emotion, n_bars: int, *, tempo: float | None = None
) -> Request:
    """Return the request for an unrelated clip in the same key."""
    return Request(emotion, n_bars=n_bars, tonic=parse_key(clip.key)[0], tempo=tempo)


def points_of(judges: Mapping[str, Judge], notes: Sequence[Notes]) -> Matrix:
    """Return the judges' mean log odds of positive valence and arousal, shape (n, 2)."""
    if not notes:
        return np.zeros((0, 2))
    planes = [
        judge.predict_proba(notes) @ SIGNS
        for judge in (j for name, j in judges.items() if name != NO_VELOCITY)
    ]
    positive = np.clip(planes, SUREST, 1.0 - SUREST)  # (n_judges, n, 2)
    mean: Matrix = np.log(positive / (1.0 - positive)).mean(axis=0)
    return mean


def bars_of(notes: Notes, start: int, stop: int) -> Notes:
    """Return the notes that begin in bars of four beats, from one to before another."""
    inside = (notes.onset >= BEATS * start - 1e-9) & (notes.onset < BEATS * stop - 1e-9)
    return notes.where(inside)


def windows_of(notes: Notes, n_bars: int) -> list[Notes]:
    """Return the notes of each four bars; no two windows share a bar."""
    starts = range(0, max(n_bars - WINDOW_BARS, 0) + 1, WINDOW_BARS)
    return [bars_of(notes, start, start + WINDOW_BARS) for start in starts]


def hear_windows(judges: Mapping[str, Judge], pieces: Iterable[Sequence[Notes]]) -> list[Matrix]:
    """Return what is heard in each window of each piece, shape (n_windows, 2) each.

    NaN where a window has fewer than four notes.
    """
    pieces = list(pieces)
    every = [window for windows in pieces for window in windows]
    is_heard = np.array([len(window) >= FEWEST_NOTES for window in every], dtype=bool)
    points = np.full((len(every), 2), np.nan)
    points[is_heard] = points_of(judges, [w for w in every if len(w) >= FEWEST_NOTES])
    ends = np.cumsum([len(windows) for windows in pieces])
    return np.split(points, ends[:-1])


@dataclass(frozen=True)
class Course:
    """Hold what was asked for and what is heard in windows of a piece that share no bar.

    Attributes:
        group: Number of the curve it belongs to.
        asked: Valence and arousal, mean over the window, shape (n_windows, 2).
        heard: Log odds of positive valence and arousal, the same shape.
    """

    group: int
    asked: Matrix
    heard: Matrix


def courses_of(
    judges: Mapping[str, Judge],
    windows: Sequence[Sequence[Notes]],
    asked: Sequence[Matrix],
    groups: Sequence[int],
) -> list[Course]:
    """Let judges hear windows of pieces; those with few notes are left out."""
    found = []
    for group, own, heard in zip(groups, asked, hear_windows(judges, windows), strict=True):
        known = ~np.isnan(heard).any(axis=1)
        found.append(Course(group, own[known], heard[known]))
    return found


def asked_course(emotions: Sequence[Emotion]) -> Matrix:
    """Return the mean valence and arousal of each four bars, shape (n_windows, 2)."""
    bars = np.array([(emotion.valence, emotion.arousal) for emotion in emotions])
    starts = range(0, max(len(bars) - WINDOW_BARS, 0) + 1, WINDOW_BARS)
    return np.array([bars[start : start + WINDOW_BARS].mean(axis=0) for start in starts])


def _slices(notes: Notes) -> list[Notes]:
    """Cut a clip into windows of eight seconds, those with notes enough."""
    place = ((notes.onset_s - notes.onset_s[0]) / WINDOW_S).astype(np.int64)
    cut = [notes.where(place == at) for at in range(int(place.max()) + 1)]
    return [window for window in cut if len(window) >= FEWEST_NOTES]


def _glue(
    asked: Matrix, slices: Mapping[str, Sequence[Sequence[Notes]]], rng: np.random.Generator
) -> list[Notes]:
    clips = {name: own[int(rng.integers(len(own)))] for name, own in slices.items()}
    at = dict.fromkeys(clips, 0)
    glued = []
    for valence, arousal in asked.tolist():
        name = quadrant_of(valence, arousal)
        glued.append(clips[name][at[name] % len(clips[name])])
        at[name] += 1
    return glued


@section(
    "Curves",
    Table(("r within pieces", "r by chance", "r of real music", "farthest apart in order",
           "slope, log odds for 1", "wandering", "wandering of pieces that stay"), "axis", note=
          "Chance: the curves of other pieces. Real music: in each window a clip of the quadrant "
          "asked for there, which knows the quadrant alone and has no transitions. Intervals draw "
          "curves again, with all their pieces."),
)  # fmt: skip
def curves(given: Given) -> Iterator[Row]:
    """Compose along random curves of named emotions; hear whether the course follows."""
    rng, judges = np.random.default_rng(given.seed), given.panel.judges
    fewest = max(given.n_bars // PHRASE_BARS, 1)
    bars = PHRASE_BARS * rng.integers(fewest, 2 * fewest + 1, size=given.n_curves)
    drawn = [(draw_curve(n, rng), n) for n in bars.tolist()]
    asked = [asked_course(curve.over(n)) for curve, n in drawn]
    groups = [group for group in range(len(drawn)) for _ in range(N_TAKES)]
    requests = [Request(drawn[g][0].mean(drawn[g][1]), curve=drawn[g][0], n_bars=drawn[g][1])
                for g in groups]  # fmt: skip
    still = [Request(curve.points[0].emotion, n_bars=n) for curve, n in drawn]

    def heard(requests: Sequence[Request], groups: Sequence[int], *, fresh: bool) -> list[Course]:
        clips = given.compose(requests, fresh=fresh)
        windows = [windows_of(notes_of(clip.score), clip.n_bars) for clip in clips]
        return courses_of(judges, windows, [asked[group] for group in groups], groups)

    every = list(range(len(drawn)))
    composed, stays = heard(requests, groups, fresh=False), heard(still, every, fresh=True)
    slices = {
        name: [own for own in map(_slices, read_notes(
            [clip for clip in given.panel.real if clip.quadrant == name])) if own]
        for name in QUADRANTS
    }  # fmt: skip
    glued = []
    if all(slices.values()):
        glued = courses_of(judges, [_glue(own, slices, rng) for own in asked], asked, every)
    yield from course_rows(composed, stays, glued, seed=given.seed)


def course_rows(
    composed: Sequence[Course], still: Sequence[Course], real: Sequence[Course], *, seed: int = 0
) -> Iterator[Row]:
    """Set what is heard beside what is asked, for valence and for arousal.

    Args:
        composed: Pieces that follow curves.
        still: Pieces that stay where their curve begins.
        real: Real music glued by quadrant; may be empty.
        seed: Of all that is drawn.
    """
    for k, axis in enumerate(AXES):
        by = {"axis": axis}
        for name, courses, ratio in (
            ("r within pieces", composed, _r), ("r of real music", real, _r),
            ("slope, log odds for 1", composed, lambda s: s[:, 0] / s[:, 1]),
            ("wandering", composed, lambda s: np.sqrt(s[:, 2] / s[:, 3])),
            ("wandering of pieces that stay", still, lambda s: np.sqrt(s[:, 2] / s[:, 3])),
        ):  # fmt: skip
            if courses:
                sums = np.array([_sums(own.asked[:, k], own.heard[:, k]) for own in courses])
                groups = [own.group for own in courses]
                counts = weights(groups, N_DRAWS, rng=np.random.default_rng(seed))
                found = interval(float(ratio(sums.sum(axis=0)[None])[0]), ratio(counts @ sums))
                yield row_of(name, found, len(courses), **by)
        yield row_of("r by chance", _chance(composed, k, seed=seed), **by)
        right, groups = [], []
        for own in composed:
            i, j = sorted((int(own.asked[:, k].argmin()), int(own.asked[:, k].argmax())))
            change = own.asked[j, k] - own.asked[i, k]
            if abs(change) >= LEAST_CHANGE:
                right.append(float(change * (own.heard[j, k] - own.heard[i, k]) > 0))
                groups.append(own.group)
        if right:
            yield row_of("farthest apart in order", mean_interval(np.array(right), groups), **by)


def _sums(asked: Matrix, heard: Matrix) -> list[float]:
    """Return sums over one piece's windows: asked × heard, asked², heard², and how many."""
    if not len(asked):
        return [0.0] * 4
    a, h = asked - asked.mean(), heard - heard.mean()
    return [float(a @ h), float(a @ a), float(h @ h), float(len(a))]


def _r(sums: Matrix) -> Matrix:
    r: Matrix = sums[:, 0] / np.maximum(np.sqrt(sums[:, 1] * sums[:, 2]), 1e-12)
    return r


def _chance(courses: Sequence[Course], k: int, *, seed: int) -> Any:
    """Return r with the curve of another piece, stretched to this one's length."""
    curves = {course.group: course.asked[:, k] for course in courses if len(course.asked)}
    order, rng, draws = np.array(list(curves)), np.random.default_rng(seed), []
    for _ in range(N_SHUFFLES):
        dealt = rng.permutation(order)
        other = dict(zip(dealt.tolist(), np.roll(dealt, 1).tolist(), strict=True))
        sums = []
        for course in (course for course in courses if len(course.heard)):
            values, n = curves[other[course.group]], len(course.heard)
            places = np.linspace(0, 1, n), np.linspace(0, 1, len(values))
            sums.append(_sums(np.interp(*places, values), course.heard[:, k]))
        draws.append(float(_r(np.sum(sums, axis=0)[None])[0]))
    return interval(float(np.mean(draws)), np.array(draws))


@section(
    "Moods",
    Table(("shift", "right", "right by chance"), "axis", note=
          "Shift: log odds after less before. Right: share that shifts as asked; by chance: of "
          "other takes of the same pieces, though nothing is asked of them."),
    Table(("shared",), "with", note=
          "What bars at the same place share (twice what is common over what both have), minor "
          "and major degrees counted as the same."),
    plots=(Plot("shared", "bars", "move", "with", "view"),),
)  # fmt: skip
def moods(given: Given) -> Iterator[Row]:
    """Compose each piece in other moods, and another take of it; hear how far it moves."""
    sources, judges = given.sources, given.panel.judges
    made = {ANOTHER_TAKE: given.compose([vary_clip(clip, take=1) for clip in sources])}
    made |= {move: given.compose([shift_clip(clip, move) for clip in sources]) for move in MOVES}
    before, *after = (
        points_of(judges, [notes_of(clip.score) for clip in clips])
        for clips in (sources, *made.values())
    )
    retaken = after[0] - before
    for (move, clips), points in zip(made.items(), after, strict=True):
        change = points - before
        asked = np.array([_place(clip) for clip in clips]) - [_place(clip) for clip in sources]
        for k, axis in enumerate(AXES):
            by = {"move": move, "axis": axis}
            yield row_of("shift", mean_interval(change[:, k], np.arange(len(clips))), **by)
            is_asked, sign = np.abs(asked[:, k]) > 1e-9, np.sign(asked[:, k])
            if is_asked.any():
                for name, own in (("right", change), ("right by chance", retaken)):
                    right = (own[:, k] * sign > 0)[is_asked]
                    n = len(right)
                    yield row_of(name, share(int(right.sum()), n), n, **by)
        for kind, others in (("its piece", clips), ("an unrelated clip", given.unrelated)):
            alike = np.array([likeness_of(*pair) for pair in zip(sources, others, strict=True)])
            for k, view in enumerate(VIEWS):
                known = alike[~np.isnan(alike[:, k]), k]
                if len(known):
                    found = mean_interval(known, np.arange(len(known)))
                    yield row_of("shared", found, view=view, move=move, **{"with": kind})


def _place(clip: Clip) -> tuple[float, float]:
    return emotion_of(clip).valence, emotion_of(clip).arousal


def likeness_of(one: Clip, other: Clip) -> Matrix:
    """Return what bars at the same place of two clips share, in the key of the first."""
    tonic = parse_key(one.key)[0]
    return likeness(*(
        bars_heard(notes_of(clip.score), tonic=tonic, n_bars=clip.n_bars) for clip in (one, other)
    ))  # fmt: skip


@section(
    "Going on",
    Table(("heard right",), "of"),
    Table(("distance", "nearer than an unrelated clip"), "to", note=
          "Of features, in standard deviations over the pieces' last bars."),
)  # fmt: skip
def continuations(given: Given) -> Iterator[Row]:
    """Continue each piece by half its length, in its emotion and in one of another quadrant."""
    rng, n_bars = np.random.default_rng([given.seed, 2]), max(given.n_bars // 2, 1)
    judges = {k: judge for k, judge in given.panel.judges.items() if k != NO_VELOCITY}
    same = [emotion_of(clip) for clip in given.sources]
    others = [[e for e in named_emotions() if e.quadrant != own.quadrant] for own in same]
    elsewhere = [own[int(rng.integers(len(own)))] for own in others]
    for what, emotions in (("the same emotion", same), ("another quadrant", elsewhere)):
        pairs = list(zip(given.sources, emotions, strict=True))
        results = given.compose([continue_clip(clip, n_bars, emotion=e) for clip, e in pairs])
        requests = [fresh_request(clip, e, n_bars, tempo=clip.tempo) for clip, e in pairs]
        unrelated = given.compose(requests, fresh=True)
        parts = [
            (bars_of(notes_of(old.score), max(old.n_bars - n_bars, 0), old.n_bars),
             bars_of(notes_of(new.score), new.n_given, new.n_bars), notes_of(other.score))
            for old, new, other in zip(given.sources, results, unrelated, strict=True)
        ]  # fmt: skip
        used = [i for i, part in enumerate(parts) if min(map(len, part)) >= FEWEST_NOTES]
        if not used:
            continue
        last, new, fresh = ([parts[i][k] for i in used] for k in range(3))
        truth = classes_of([emotions[i].quadrant for i in used])
        for kind, notes in (("new bars", new), ("an unrelated clip", fresh)):
            said = np.mean([judge.predict_proba(notes) for judge in judges.values()], axis=0)
            by = {"asked for": what, "clips": kind}
            yield from right_rows(truth, said.argmax(axis=1), name="heard right", **by)
        away, fresh_away = distances(last, new).diagonal(), distances(last, fresh).diagonal()
        for kind, own in (("new bars", away), ("an unrelated clip", fresh_away)):
            found = mean_interval(own, np.arange(len(own)))
            yield row_of("distance", found, len(own), **{"asked for": what, "to": kind})
        nearer = share(int((away < fresh_away).sum()), len(away))
        yield row_of("nearer than an unrelated clip", nearer, **{"asked for": what})


def distances(given: Sequence[Notes], other: Sequence[Notes]) -> Matrix:
    """Return distances of others' features to those given, shape (n_other, n_given).

    The root mean square of differences, in standard deviations over those given; features that
    are the same in all given do not count.
    """
    X, Y = feature_matrix(given), feature_matrix(other)
    scale = X.std(axis=0)
    used = scale > 1e-9
    if not used.any():
        return np.zeros((len(Y), len(X)))
    gap = (Y[:, None, used] - X[None, :, used]) / scale[used]
    distance: Matrix = np.sqrt((gap**2).mean(axis=2))
    return distance


def bars_heard(notes: Notes, *, tonic: int, n_bars: int) -> list[Bar]:
    """Return what begins in each bar: steps of the grid and semitones above the tonic.

    Args:
        notes: Bars of four beats.
        tonic: Pitch class.
        n_bars: Bars to look at.
    """
    step = np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64)
    degree = (notes.pitch - tonic) % 12
    in_bar = BEATS * STEPS_PER_BEAT
    found: list[set[tuple[int, int]]] = [set() for _ in range(n_bars)]
    for at, above in zip(step.tolist(), degree.tolist(), strict=True):
        if at // in_bar < n_bars:
            found[at // in_bar].add((at % in_bar, SAME_DEGREE.get(above, above)))
    return [frozenset(bar) for bar in found]


def likeness(one: Sequence[Bar], other: Sequence[Bar]) -> Matrix:
    """Return the mean share of what bars at the same place have in common, shape (3,).

    Twice what is shared over what both have (Dice), for each of `VIEWS`; bars in which either
    has nothing do not count. NaN where no bar counts.
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a and b]
    if not pairs:
        return np.full(len(VIEWS), np.nan)
    shares = [
        [_dice(a, b), *(_dice(frozenset(x[i] for x in a), frozenset(x[i] for x in b))
                        for i in (0, 1))]
        for a, b in pairs
    ]  # fmt: skip
    mean: Matrix = np.mean(shares, axis=0)
    return mean


def _dice(a: frozenset[object], b: frozenset[object]) -> float:
    return 2.0 * len(a & b) / (len(a) + len(b))


def measure(args: argparse.Namespace) -> str:
    """Return the report."""
    composer = Composer(find_checkpoint(args.checkpoint))
    panel = make_panel(composer.mapper, args.source)
    given = Given(composer, panel, args.count, args.count, args.seed, args.bars)
    about = {"checkpoint": composer.name, "count": str(args.count), "seed": str(args.seed)}
    parts = (curves, moods, continuations)
    title = "Does music move as it is asked to?"
    return run_study(title, parts, given, about=about, out=args.out, only=args.only)


main = main_of(
    __doc__, measure, needs={"source": "folder with emotion/labels.csv"}, count=60, bars=16, seed=0
)


if __name__ == "__main__":
    main()
