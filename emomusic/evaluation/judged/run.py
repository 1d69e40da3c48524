"""Compose, and let the judges hear: first draws, best of several, and simpler systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.quadrants import compose_quadrants
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion
from emomusic.evaluation.judged.baselines import (
    apply_rules,
    compose_by_recipe,
    compose_uncontrolled,
    quadrants_of,
)
from emomusic.evaluation.judged.controls import N_SHUFFLES, Shuffled, majority, shuffled_controls
from emomusic.evaluation.judged.hearing import (
    NO_VELOCITY,
    Hearing,
    Panel,
    best_of,
    hear,
)
from emomusic.evaluation.judged.recipe import find_recipe
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.verify.labels import read_notes

COMPOSED, REAL = "composed", "real EMOPIA"
Progress = Callable[[int], None]


@dataclass(frozen=True)
class FirstDraws:
    """Hold first draws of every quadrant and what was heard in them and in real clips.

    Attributes:
        clips: One quadrant after the other.
        hearings: Of each judge, of both together, and of answering always the same.
        shuffled: Of judges that learnt from shuffled labels.
    """

    clips: tuple[Clip, ...]
    hearings: tuple[Hearing, ...]
    shuffled: tuple[Shuffled, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what was heard as plain values."""
        return {
            "hearings": [hearing.to_dict() for hearing in self.hearings],
            "shuffled": [shuffled.to_dict() for shuffled in self.shuffled],
        }


def evaluate_emotion(
    composer: Composer,
    panel: Panel,
    *,
    count: int = 25,
    seed: int = 0,
    n_bars: int = 16,
    n_shuffles: int = N_SHUFFLES,
    progress: Progress = lambda n_done: None,
) -> FirstDraws:
    """Compose first draws and let the judges hear them, beside real clips they never heard.

    Args:
        composer: A checkpoint.
        panel: Judges, of the same checkpoint's mapper.
        count: Clips of each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
        n_shuffles: Judges that learn from shuffled labels.
        progress: Called with the number of clips just finished.
    """
    clips = compose_quadrants(composer, count=count, seed=seed, n_bars=n_bars, progress=progress)
    real = panel.real
    heard = [
        (COMPOSED, [notes_of(clip.score) for clip in clips], quadrants_of(count)),
        (REAL, read_notes(real), [clip.quadrant for clip in real]),
    ]
    hearings: list[Hearing] = []
    for what, notes, asked in heard:
        hearings += hear(panel.judges, what, notes, asked)
        hearings.append(majority(panel.own, what, asked))
    shuffled = shuffled_controls(panel.own, panel.notes, heard, n_shuffles=n_shuffles, seed=seed)
    return FirstDraws(tuple(clips), tuple(hearings), tuple(shuffled))


def evaluate_best_of(
    composer: Composer,
    panel: Panel,
    *,
    n_candidates: int = 8,
    count: int = 25,
    seed: int = 0,
    n_bars: int = 16,
    progress: Progress = lambda n_done: None,
) -> list[Hearing]:
    """Let one judge choose among candidates and another hear what it chose, each way round.

    Args:
        composer: A checkpoint.
        panel: Judges; the one that hears no velocity, being of a kind with another, is left out.
        n_candidates: First draws among which one is chosen, at least 1.
        count: Clips of each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
        progress: Called with the number of candidates just finished.

    Raises:
        ValueError: If n_candidates is below 1.
    """
    if n_candidates < 1:
        raise ValueError(f"n_candidates must be at least 1, got {n_candidates}")
    asked = quadrants_of(count)
    requests = [
        Request(find_emotion(quadrant), n_bars=n_bars)
        for quadrant in asked
        for _ in range(n_candidates)
    ]
    clips = composer.compose_each(requests, seed=seed, progress=progress)
    notes = [notes_of(clip.score) for clip in clips]
    judged = {
        name: judge.predict_proba(notes).reshape(len(asked), n_candidates, 4)
        for name, judge in panel.judges.items()
        if name != NO_VELOCITY
    }
    return [
        best_of(
            judged[chooser],
            judged[judge],
            asked,
            judge=judge,
            what=f"best of {n_candidates} by {chooser}",
        )
        for chooser, judge in permutations(judged, 2)
    ]


@dataclass(frozen=True)
class Baselines:
    """Say where the simpler systems get what they need, and how much they compose.

    Attributes:
        composer: A checkpoint.
        checkpoint: Its folder.
        out_dir: Where what was fitted is kept, to go on with.
        count: Clips of each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
    """

    composer: Composer
    checkpoint: Path
    out_dir: Path
    count: int = 25
    seed: int = 0
    n_bars: int = 16

    def systems(
        self, panel: Panel, *, progress: Progress = lambda n_done: None
    ) -> Iterator[tuple[str, list[Notes]]]:
        """Yield the name of each system and its clips, one quadrant after the other."""
        size = {"count": self.count, "seed": self.seed, "n_bars": self.n_bars}
        free = compose_uncontrolled(self.composer, **size, progress=progress)
        yield "no controls", [notes_of(clip.score) for clip in free]
        yield "rules", apply_rules(free, quadrants_of(self.count), seed=self.seed)
        recipe = find_recipe(self.out_dir, panel.real, self.checkpoint)
        binary = compose_by_recipe(self.composer, recipe, **size, progress=progress)
        yield "EmoGen's recipe", [notes_of(clip.score) for clip in binary]


def evaluate_baselines(
    baselines: Baselines, panel: Panel, *, progress: Progress = lambda n_done: None
) -> list[Hearing]:
    """Let the judges hear three simpler systems.

    Args:
        baselines: What they need.
        panel: Judges, of the same checkpoint's mapper.
        progress: Called with the number of clips just finished.

    Raises:
        ValueError: If what a system needs is missing.
    """
    return [
        hearing
        for what, notes in baselines.systems(panel, progress=progress)
        for hearing in hear(panel.judges, what, notes, quadrants_of(baselines.count))
    ]
