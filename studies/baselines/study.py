"""Do simpler systems do as well under the same judges? A template by hand, and EmoGen's recipe.

python -m studies.baselines.study --source datasets/raw --out out/baselines
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np

from emomusic.compose.checkpoint import find_checkpoint
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.data.packing import read_tables
from emomusic.emotion import QUADRANTS, find_emotion
from emomusic.evaluation.accuracy import (
    HALVES,
    NO_VELOCITY,
    Panel,
    ask_nothing,
    classes_of,
    heard_rows,
    make_panel,
    quadrants_of,
    right_rows,
)
from emomusic.evaluation.judges import Classes, FeatureJudge
from emomusic.evaluation.rows import Interval, Matrix, Row, Table, row_of, section
from emomusic.fit import measure_clips
from emomusic.music.attributes import ATTRIBUTE_NAMES, attribute
from emomusic.music.key import parse_tonic
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH, N_BINS
from emomusic.verify.features import feature_matrix
from emomusic.verify.labels import LabelledClip, clip_weights, read_notes
from studies import main_of, run_study

N_CANDIDATES, BEST_OF_SHARE = 8, 4
"""First draws among which one judge chooses; one clip is chosen in place of so many of `count`."""
N_SHUFFLES = 8
"""Judges that learn from shuffled labels."""
LOW_BIN, HIGH_BIN = N_BINS // 4, N_BINS - 1 - N_BINS // 4
"""The middles of the lower and the upper half of the bins."""
TO_MAJOR = {3: 4, 8: 9, 10: 11}
"""Where the third, sixth and seventh degrees go, in semitones above the tonic."""
TO_MINOR = {major: minor for minor, major in TO_MAJOR.items()}
SOFT_VELOCITY = 55.0
"""Mean velocity at 0 dB."""
VELOCITY_DB = 40.0
"""Decibels of a tenfold velocity, as General MIDI's second level has it."""


@dataclass(frozen=True)
class Rule:
    """Hold what a template sets by hand for a quadrant.

    Attributes:
        tempo: Least and greatest quarter notes a minute.
        is_major: Mode.
        semitones: By which the music is moved.
        loudness_db: Above the softest.
    """

    tempo: tuple[float, float]
    is_major: bool
    semitones: int
    loudness_db: float


RULES = {
    "Q1": Rule((160.0, 184.0), True, 0, 5.0),
    "Q2": Rule((184.0, 228.0), False, -6, 10.0),
    "Q3": Rule((40.0, 69.0), False, -3, 0.0),
    "Q4": Rule((40.0, 69.0), True, 0, 0.0),
}
"""The template of EMelodyGen: tempo, mode and volume as they are there, its octaves (0, -2, -1,
0) by a quarter: it moves one voice, while below a piano's melody there is a left hand."""


@dataclass(frozen=True)
class Given:
    """Hold a checkpoint, its judges and how much is composed.

    Attributes:
        composer: The checkpoint.
        checkpoint: Its folder.
        panel: Judges of the half of the songs that nothing else saw.
        count: Clips of each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
    """

    composer: Composer
    checkpoint: Path
    panel: Panel
    count: int = 25
    seed: int = 0
    n_bars: int = 16

    def compose(self, requests: Sequence[Request]) -> list[Clip]:
        """Compose a clip for each request, first draws."""
        return list(self.composer.compose_each(requests, seed=self.seed))


@section("Heard right", Table(("heard right", "macro F1"), "of"))
def systems(given: Given) -> Iterator[Row]:
    """Let the judges hear clips asked for nothing, these ruled by hand, and EmoGen's recipe."""
    asked = quadrants_of(given.count)
    recipe = recipe_of(given.panel.real, given.checkpoint)
    free = given.compose([ask_nothing(given.n_bars)] * len(asked))
    low_and_high = given.compose(
        [Request(None, n_bars=given.n_bars, fixed=recipe.values(q)) for q in asked]
    )
    composed = {
        "no controls": [notes_of(clip.score) for clip in free],
        "rules": apply_rules(free, asked, seed=given.seed),
        "EmoGen's recipe": [notes_of(clip.score) for clip in low_and_high],
    }
    for name, notes in composed.items():
        yield from heard_rows(given.panel.judges, notes, asked, clips=name)


@section("Judges of shuffled labels", Table(("heard right",), "of", note=
         "Judges that learnt from shuffled labels: mean, least and greatest share."))  # fmt: skip
def shuffled(given: Given) -> Iterator[Row]:
    """Let such judges hear composed clips of each quadrant, and real ones."""
    panel, asked = given.panel, quadrants_of(given.count)
    clips = given.compose([Request(find_emotion(q), n_bars=given.n_bars) for q in asked])
    heard = {
        "composed": ([notes_of(clip.score) for clip in clips], asked),
        "real EMOPIA": (read_notes(panel.real), [clip.quadrant for clip in panel.real]),
    }
    yield from shuffled_rows(panel, heard, n_shuffles=N_SHUFFLES, seed=given.seed)


def shuffled_rows(
    panel: Panel,
    heard: Mapping[str, tuple[Sequence[Notes], Sequence[str]]],
    *,
    n_shuffles: int,
    seed: int,
) -> Iterator[Row]:
    """Let feature judges that learnt from shuffled labels hear clips: mean, least, greatest share.

    Clips that sound alike are heard alike, so single shuffles scatter more widely than their
    Wilson intervals say; the mean is what counts.
    """
    clips, columns, rng = panel.own, feature_matrix(panel.notes), np.random.default_rng(seed)
    judges = []
    for _ in range(n_shuffles):
        dealt = [clips[i].quadrant for i in rng.permutation(len(clips))]
        pairs = zip(clips, dealt, strict=True)
        weight = clip_weights([replace(clip, quadrant=own) for clip, own in pairs])
        judges.append(FeatureJudge().fit_columns(columns, classes_of(dealt), weight))
    for what, (notes, asked) in heard.items():
        truth, heard_in = classes_of(asked), feature_matrix(notes)
        said = np.array([judge.judge_columns(heard_in).argmax(axis=1) for judge in judges])
        for axis, half in HALVES.items():
            shares = (half[said] == half[truth]).mean(axis=1)
            found = Interval(shares.mean(), shares.min(), shares.max())
            by = {"clips": what, "judge": "shuffled labels", "of": axis}
            yield row_of("heard right", found, len(truth), **by)


@section("The best of several", Table(("best of 8 heard right",), "of", note=
         "As one judge chose and another heard, on clips of another seed."))  # fmt: skip
def best_of(given: Given) -> Iterator[Row]:
    """Let one judge choose among candidates and another hear what it chose, each way round.

    The judge that hears no velocity, being of a kind with another, takes no part.
    """
    asked = quadrants_of(max(given.count // BEST_OF_SHARE, 1))
    one = [Request(find_emotion(quadrant), n_bars=given.n_bars) for quadrant in asked]
    requests = [request for request in one for _ in range(N_CANDIDATES)]
    notes = [notes_of(clip.score) for clip in replace(given, seed=given.seed + 1).compose(requests)]
    judged = {
        name: judge.predict_proba(notes).reshape(len(asked), N_CANDIDATES, 4)
        for name, judge in given.panel.judges.items()
        if name != NO_VELOCITY
    }
    truth, each = classes_of(asked), np.arange(len(asked))
    for chooser, judge in permutations(judged, 2):
        said = judged[judge][each, likeliest(judged[chooser], truth)]
        by, name = {"chosen by": chooser, "judge": judge}, f"best of {N_CANDIDATES} heard right"
        yield from right_rows(truth, said.argmax(axis=1), name=name, **by)


def likeliest(selector: Matrix, truth: Classes) -> Classes:
    """Return the candidate likeliest to be what was asked, the first of equal ones, shape (n,).

    `selector` are probabilities by the judge that chooses, shape (n, n_candidates, 4), `truth` is
    the quadrant asked of each clip, shape (n,).
    """
    return selector[np.arange(len(truth)), :, truth].argmax(axis=1)


def recipe_of(clips: Sequence[LabelledClip], checkpoint: Path) -> Recipe:
    """Fit the recipe on labelled clips of EMOPIA of the mapper's half; takes about a minute.

    Raises:
        ValueError: If the checkpoint's bins cannot be read, or a quadrant has no clip.
    """
    tables = read_tables(checkpoint)
    edges = dict(zip(tables["attributes"], tables["edges"], strict=True))
    measured = measure_clips(clips)
    values = measured.values.reshape(len(measured.clips), -1)
    columns = [ATTRIBUTE_NAMES.index(name) for name in edges]
    return fit_recipe(measured.clips, values[:, columns], edges)


def apply_rules(clips: Sequence[Clip], quadrants: Sequence[str], *, seed: int) -> list[Notes]:
    """Set tempo, mode, register and loudness of clips by hand, and leave all else.

    Args:
        clips: Asked for nothing.
        quadrants: What each is to be made.
        seed: Draws the tempos, evenly within the rule's.

    Reference:
        EMelodyGen (Zhou et al. 2023), for melodies; its pitch deviation chooses among
        melodies and has no counterpart here.
    """
    rng = np.random.default_rng(seed)
    return [
        ruled(notes_of(clip.score), RULES[quadrant], parse_tonic(clip.key.split()[0]), rng)
        for clip, quadrant in zip(clips, quadrants, strict=True)
    ]


def ruled(notes: Notes, rule: Rule, tonic: int, rng: np.random.Generator) -> Notes:
    """Return notes in the tempo, mode, register and loudness of a rule.

    Args:
        notes: At least one.
        rule: What to set.
        tonic: Pitch class of the key in which they are written.
        rng: Draws the tempo.
    """
    moved = dict(TO_MAJOR if rule.is_major else TO_MINOR)
    step = np.array([moved.get(degree, degree) - degree for degree in range(12)])
    pitch = notes.pitch + step[(notes.pitch - tonic) % 12] + rule.semitones
    louder = SOFT_VELOCITY * 10.0 ** (rule.loudness_db / VELOCITY_DB) / notes.velocity.mean()
    return make_notes(
        notes.onset,
        notes.duration,
        np.clip(pitch, LOWEST_PITCH, HIGHEST_PITCH),
        np.clip(np.rint(notes.velocity * louder), 1, 127).astype(np.int64),
        tempo=float(rng.uniform(*rule.tempo)),
    )


@dataclass(frozen=True)
class Recipe:
    """Hold which attributes a quadrant has high, and what low and high are.

    Attributes:
        is_high: For each quadrant, whether each attribute is high.
        nearest: For each quadrant, the name of the clip that it was taken from.
        low: Value asked for of each attribute where it is low.
        high: The same where it is high.
    """

    is_high: Mapping[str, Mapping[str, bool]]
    nearest: Mapping[str, str]
    low: Mapping[str, float]
    high: Mapping[str, float]

    def values(self, quadrant: str) -> dict[str, float]:
        """Return the value asked for of each attribute."""
        bits = self.is_high[quadrant]
        return {name: (self.high if bits[name] else self.low)[name] for name in self.low}


def fit_recipe(
    clips: Sequence[LabelledClip], values: Matrix, edges: Mapping[str, Sequence[float]]
) -> Recipe:
    """Take each quadrant's bits from the clip nearest its mean; medians part low from high.

    Args:
        clips: Labelled clips of all quadrants.
        values: Their attributes, each a column in the order of `edges`.
        edges: Inner edges of each attribute's bins.

    Raises:
        ValueError: If a quadrant has no clip.

    Reference:
        EmoGen (Kang et al. 2023), with our attributes and network. There the clip's bits are
        asked for as they are; here low and high stand for the middle bins of either half.
        Nearness is by attributes standardised over all clips.
    """
    Z = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    medians = np.median(values, axis=0)
    is_high, nearest = {}, {}
    for quadrant in QUADRANTS:
        own = np.flatnonzero([clip.quadrant == quadrant for clip in clips])
        if not len(own):
            raise ValueError(f"no labelled clip of {quadrant} could be measured")
        away = ((Z[own] - Z[own].mean(axis=0)) ** 2).sum(axis=1)
        best = int(own[away.argmin()])
        bits = (values[best] > medians).tolist()
        is_high[quadrant] = dict(zip(edges, bits, strict=True))
        nearest[quadrant] = clips[best].path.name
    low, high = (_centres(edges, which) for which in (LOW_BIN, HIGH_BIN))
    return Recipe(is_high, nearest, low, high)


def _centres(edges: Mapping[str, Sequence[float]], which: int) -> dict[str, float]:
    found = {}
    for name, own in edges.items():
        known = attribute(name)
        width = known.high - known.low
        middle = float(own[which - 1] + own[which]) / 2.0
        found[name] = min(max(middle, known.low - width), known.high + width)
    return found


def measure(args: argparse.Namespace) -> str:
    """Return the report."""
    folder = find_checkpoint(args.checkpoint)
    composer = Composer(folder)
    panel = make_panel(composer.mapper, args.source)
    given = Given(composer, folder, panel, args.count, args.seed, args.bars)
    about = {"checkpoint": composer.name, "clips": f"{args.count} a quadrant, seed {args.seed}"}
    parts = (systems, shuffled, best_of)
    return run_study("Simpler systems", parts, given, about=about, out=args.out, only=args.only)


main = main_of(
    __doc__, measure, needs={"source": "folder with emotion/labels.csv"}, count=25, bars=16, seed=0
)


if __name__ == "__main__":
    main()
