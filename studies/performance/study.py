"""Is what is played like what pianists play, and is the emotion still there?

python -m studies.performance.study --source datasets/raw --out out/performance
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.checkpoint import find_checkpoint
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS, Emotion, find_emotion
from emomusic.evaluation.accuracy import HALVES, classes_of, listen, make_panel
from emomusic.evaluation.judges import Judge
from emomusic.evaluation.rows import (
    N_DRAWS,
    Interval,
    Matrix,
    Row,
    Table,
    correlation,
    interval,
    mean_interval,
    row_of,
    section,
    weights,
)
from emomusic.music.attributes import MELODY, parts_of
from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.score import notes_of
from emomusic.performance.features import STEPS
from emomusic.performance.pianist import Player, default_player
from emomusic.performance.player import SURE_LIFT, perform
from emomusic.performance.rules import Touch, play_by_rules
from studies import main_of, run_study
from studies.performance.played import Window, down_of, lift_of, windows_of

TOGETHER_S = 0.01
SIXTEENTHS = 4
N_TREES, N_FOLDS = 300, 5
PLAYED, WRITTEN = "performed", "as written"
BY_RULES = "by rules"


@dataclass(frozen=True, eq=False)
class Given:
    """Hold held-back windows of performances, first draws both ways, and judges."""

    source: Path
    composer: Composer
    count: int
    seed: int

    @cached_property
    def windows(self) -> list[Window]:
        return [own for own in windows_of(self.source) if own.part == "test"]

    @cached_property
    def asked(self) -> list[str]:
        return [name for name in QUADRANTS for _ in range(self.count)]

    @cached_property
    def clips(self) -> list[Clip]:
        requests = [Request(find_emotion(name), performance=1.0) for name in self.asked]
        return list(self.composer.compose_each(requests, seed=self.seed))

    @cached_property
    def notes(self) -> dict[str, list[Notes]]:
        ruled = (
            perform(clip.sheet, seed=0, emotion=clip.request.emotion, player=play_by_rules)
            for clip in self.clips
        )
        return {
            WRITTEN: [notes_of(clip.sheet) for clip in self.clips],
            BY_RULES: [notes_of(score) for score in ruled],
            PLAYED: [notes_of(clip.score) for clip in self.clips],
        }

    @cached_property
    def judges(self) -> Mapping[str, Judge]:
        return make_panel(self.composer.mapper, self.source).judges


# Against held-back pianists


@section(
    "Held-back performances",
    Table(("r of velocity", "r of timing", "r of tempo", "pedal down", "pedal lifts"), "name",
          note="Means over windows of at most 16 bars, of songs that nothing was fitted on, "
               "bootstrapped by song. r within each window: of velocities, of how late each note "
               "is for the local tempo, and of the length of half beats. Pedal: share of half "
               "beats where it is down or up alike, and F1 of those in which it is lifted."),
)  # fmt: skip
def held_back(given: Given) -> Iterator[Row]:
    """Play what pianists played, and compare."""
    players: dict[str, Player | None] = {
        "fitted": lambda reading, emotion, rng: default_player()(reading, emotion, None),
        "fitted, drawn once": default_player(),
        "rules": play_by_rules,
        "deadpan": None,
    }
    found = {
        name: [_compared(window, player) for window in given.windows]
        for name, player in players.items()
    }
    for label, source in {"all": None, "EMOPIA": "emopia"}.items():
        at = [n for n, own in enumerate(given.windows) if source in (None, own.source)]
        songs = np.array([given.windows[n].song for n in at])
        for measure in found["fitted"][0]:
            own = {name: np.array([found[name][n][measure] for n in at]) for name in players}
            known = ~np.isnan(own["fitted"])
            for name, values in {**own, "fitted less rules": own["fitted"] - own["rules"]}.items():
                mean = mean_interval(values[known], songs[known])
                yield row_of(measure, mean, int(known.sum()), of=label, player=name)


def _compared(window: Window, player: Player | None) -> dict[str, float]:
    """Return how alike a window is played; NaN where nothing is known of the pedal."""
    has_pedal = window.pedal is not None and len(window.pedal) > 3
    found = dict.fromkeys(("r of velocity", "r of timing", "r of tempo"), 0.0)
    down = lifts = np.zeros(len(window.reading.cells), dtype=bool)
    if player is not None:
        plane = QUADRANT_CENTRES.get(str(window.quadrant))
        emotion = None if plane is None else Emotion(*plane)
        touch = player(window.reading, emotion, np.random.default_rng(0))
        late = np.clip(window.deviation_s, -0.15, 0.15)
        pairs = ((touch.velocity, window.z), (touch.late_ms, late), (touch.slow, window.period))
        found = {name: float(correlation(*pair)) for name, pair in zip(found, pairs, strict=True)}
        down, lifts = _pedal_of(window, touch)
    if not has_pedal:
        return found | {"pedal down": np.nan, "pedal lifts": np.nan}
    real_down, real_lifts = down_of(window) > 0, lift_of(window) > 0
    both = 2.0 * float((lifts & real_lifts).sum())
    f1 = both / max(float(lifts.sum() + real_lifts.sum()), 1.0)
    return found | {"pedal down": float((down == real_down).mean()), "pedal lifts": f1}


def _pedal_of(window: Window, touch: Touch) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    down, is_new = touch.down >= 0.5, window.reading.of_cells["new_chord"] > 0
    was_down = np.append(False, down[:-1])
    return down, was_down & ((touch.lift >= SURE_LIFT) | is_new | ~down)


# Told from real


@section(
    "Told from real performances",
    Table(("AUC",), "features", note=
          "First draws against windows of EMOPIA that nothing was fitted on, by a random forest "
          "on touch alone, out of fold by song; 0.5 is not told at all. Touch: how velocities "
          "spread in the bar, melody over the rest, beat accent, keys released together. Timing, "
          "too: how far apart notes of a moment are, how many of them are at once, and how many "
          "velocities there are."),
    Table(("middle",), "of", note="Medians."),
)  # fmt: skip
def told(given: Given) -> Iterator[Row]:
    """Let a classifier tell composed clips from real ones by touch."""
    windows = [window for window in given.windows if window.source == "emopia"]
    real = np.array([_touch(*_of_window(window)) for window in windows])
    groups = [window.song for window in windows]
    columns = {"touch": slice(4), "and timing": slice(None)}
    names = ("velocity in the bar", "melody over the rest", "beat accent", "released together",
             "ms apart", "at once", "velocities")  # fmt: skip
    for name, notes in given.notes.items():
        ours = np.array([_touch(*_of_notes(own)) for own in notes])
        for features, part in columns.items():
            found = _auc(real[:, part], ours[:, part], groups)
            yield row_of("AUC", found, len(real) + len(ours), clips=name, features=features)
        for of, own in ((name, ours), ("real", real))[: 2 if name == WRITTEN else 1]:
            for feature, value in zip(names, np.median(own, axis=0), strict=True):
                yield Row("middle", float(value), by={"feature": feature, "of": of})


def _touch(
    sixteenth: NDArray[np.int64], per_bar: int, is_melody: NDArray[np.bool_], notes: Notes
) -> list[float]:
    velocity, end = notes.velocity.astype(np.float64), notes.onset_s + notes.duration_s
    bars = [velocity[sixteenth // per_bar == bar] for bar in np.unique(sixteenth // per_bar)]
    on_beat = sixteenth % SIXTEENTHS == 0
    order = np.argsort(end)
    near = np.diff(end[order]) < TOGETHER_S
    moments = [notes.onset_s[sixteenth == at] for at in np.unique(sixteenth)]
    apart = np.array([np.ptp(own) for own in moments if len(own) > 1] or [0.0])
    return [
        float(np.mean([own.std() for own in bars if len(own) > 2])),
        _difference(velocity, is_melody),
        _difference(velocity, on_beat),
        float((np.append(near, False) | np.append(False, near)).mean()),
        float(np.median(apart)) * 1000.0,
        float((apart < 0.001).mean()),
        len(np.unique(velocity)) / len(velocity) ** 0.5,
    ]


def _difference(values: FloatColumn, own: NDArray[np.bool_]) -> float:
    return 0.0 if own.all() or not own.any() else float(values[own].mean() - values[~own].mean())


def _of_window(window: Window) -> tuple[NDArray[np.int64], int, NDArray[np.bool_], Notes]:
    reading, per_step = window.reading, STEPS // SIXTEENTHS
    played = replace(reading.notes, onset_s=window.onset_s, duration_s=window.held_s)
    is_melody = (parts_of(reading.notes, reading.lines) & MELODY) > 0
    return reading.step // per_step, int(reading.line[1]) // per_step, is_melody, played


def _of_notes(notes: Notes) -> tuple[NDArray[np.int64], int, NDArray[np.bool_], Notes]:
    on_grid = np.rint(notes.onset * SIXTEENTHS).astype(np.int64)
    order = np.lexsort((notes.pitch, on_grid))
    on_grid, played = on_grid[order], notes.where(order)
    written = replace(played, onset=on_grid / SIXTEENTHS)
    lines = np.arange(0.0, float(written.onset[-1]) + 8.0, 4.0)
    return on_grid, 4 * SIXTEENTHS, (parts_of(written, lines) & MELODY) > 0, played


def _auc(real: Matrix, ours: Matrix, songs: Sequence[str]) -> Interval:
    """Return the area under the curve, out of fold, with its bootstrap interval by song."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    X, y = np.concatenate([real, ours]), np.repeat([1, 0], [len(real), len(ours)])
    groups = np.array([*songs, *(f"clip {at}" for at in range(len(ours)))])
    known = np.unique(groups, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(known.max() + 1)[known] % N_FOLDS
    chance = np.zeros(len(y))
    for own in range(N_FOLDS):
        forest = RandomForestClassifier(
            N_TREES, min_samples_leaf=5, class_weight="balanced", random_state=0
        ).fit(X[fold != own], y[fold != own])
        chance[fold == own] = forest.predict_proba(X[fold == own])[:, 1]
    drawn = weights(groups, N_DRAWS // 4, rng=np.random.default_rng(0))
    draws = np.array([roc_auc_score(y, chance, sample_weight=own) for own in drawn])
    return interval(float(roc_auc_score(y, chance)), draws)


# Emotion


@section(
    "Emotion of first draws",
    Table(("heard right",), "of", {"what": "share"}, note=
          "The same clips both ways. `verifier` and two judges hear velocity, the third does "
          "not."),
    Table(("performed less written",), "of", note=
          "Of pairs: the difference of those shares, bootstrapped by clip."),
)  # fmt: skip
def emotion(given: Given) -> Iterator[Row]:
    """Let verifier and judges hear clips as they are written and as they are played."""
    truth = classes_of(given.asked)
    right: dict[tuple[str, str, str], Matrix] = {}
    for clips, notes in given.notes.items():
        heard = {name: own.argmax(axis=1) for name, own in listen(given.judges, notes).items()}
        verdicts = [given.composer.verifier.verdict(own) for own in notes]
        heard["verifier"] = classes_of([own.quadrant for own in verdicts])
        for judge, said in heard.items():
            for axis, half in HALVES.items():
                own = (half[said] == half[truth]).astype(np.float64)
                right[clips, judge, axis] = own
                by = {"clips": clips, "judge": judge, "of": axis, "what": "share"}
                yield row_of("heard right", mean_interval(own), len(own), **by)
    for (clips, judge, axis), own in right.items():
        if clips == PLAYED:
            found = mean_interval(own - right[WRITTEN, judge, axis])
            yield row_of("performed less written", found, len(own), judge=judge, of=axis)


def measure(args: argparse.Namespace) -> str:
    """Return the report."""
    composer = Composer(find_checkpoint(args.checkpoint))
    given = Given(args.source, composer, args.count, args.seed)
    about = {"checkpoint": composer.name, "clips": f"{args.count} a quadrant, seed {args.seed}"}
    parts = (held_back, told, emotion)
    return run_study("Performance", parts, given, about=about, out=args.out, only=args.only)


main = main_of(__doc__, measure, needs={"source": "data folder"}, count=60, seed=0)


if __name__ == "__main__":
    main()
