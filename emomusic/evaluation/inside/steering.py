"""Steer by pushing the states, chosen by one judge and reported by others, beside controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.asking.request import Request
from emomusic.compose.composer import Composer
from emomusic.emotion import Emotion
from emomusic.evaluation.inside.choosing import OUTER_DOSES, PUSHED_ATTRIBUTES, Study
from emomusic.evaluation.inside.directions import Direction, halves_like, random_like
from emomusic.evaluation.inside.probes import AXES
from emomusic.evaluation.inside.trials import (
    Heard,
    Progress,
    Setting,
    Span,
    Trial,
    Triple,
    Writer,
    compare,
    hear_clips,
    mean_with_interval,
    measured,
)
from emomusic.evaluation.judged.hearing import BOTH
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.verify.judges import Judge

Matrix = NDArray[np.float64]
Ends = dict[str, dict[float, Matrix]]
DOSES = (-2.0, -1.0, 1.0, 2.0)
ASKED = 0.6
"""Valence or arousal that controls ask for on either side, the other being 0."""
PUSH, RANDOM, HALVES_OF_SONGS = "push", "random", "halves"
CONTROLS, SAME_TEMPO, FEEDBACK = "controls", "controls, tempo of free", "controls and feedback"
WAYS = (PUSH, RANDOM, HALVES_OF_SONGS, CONTROLS, SAME_TEMPO, FEEDBACK)


def n_reported() -> int:
    """Return how many times as many clips as free ones `report` composes under pushes."""
    return (
        1
        + len(AXES) * (len(DOSES) + 2 * len(OUTER_DOSES))
        + len(PUSHED_ATTRIBUTES) * len(OUTER_DOSES)
    )


def report(
    writer: Writer,
    composer: Composer,
    study: Study,
    directions: Sequence[Direction],
    setting: Setting,
    judges: Mapping[str, Judge],
    *,
    progress: Progress,
) -> tuple[list[Trial], list[Span]]:
    """Push at the chosen depths and ask by controls, all on the same seeds; let judges hear it.

    Args:
        writer: What composes under a push.
        composer: What composes by controls, with the engine that the machine is quickest with.
        study: Real music and its states.
        directions: What was chosen.
        setting: Of the clips, none of which chose anything.
        judges: None of which chose anything.
        progress: Called with 1 for each clip under a push that is done.
    """
    judge = BOTH if len(judges) > 1 else next(iter(judges))
    scale = study.scale
    free_clips = writer.free(setting, progress=progress)
    free = hear_clips(free_clips, judges)
    trials, spans = [], []
    for direction in directions:
        what = direction.what
        values: Ends = {}
        cosines: dict[str, float] = {}
        for by, dose, heard, loss, vector in _heard(
            writer, composer, study, direction, setting, judges, free_clips[0].tempo, progress
        ):
            values.setdefault(by, {})[dose] = measured(heard, scale, what=what, judge=judge)
            trials.append(
                compare(heard, free, scale, what=what, by=by, dose=dose, judge=judge, loss=loss)
            )
            if vector is not None:
                cosines[by] = _cosine(vector, direction.vector)
        spans += _spans(what, values, cosines)
    return trials, spans


def _heard(
    writer: Writer,
    composer: Composer,
    study: Study,
    direction: Direction,
    setting: Setting,
    judges: Mapping[str, Judge],
    tempo: float,
    progress: Progress,
) -> Iterator[tuple[str, float, Heard, Triple | None, Matrix | None]]:
    """Yield each way and dose, what is heard, the loss, and what is added at a dose of 1."""
    depth = direction.depth
    for by, dose, vector in _pushes(study, direction):
        clips = writer.pushed(setting, dose * vector, depth=depth, progress=progress)
        loss = writer.loss_ratio(dose * vector, depth=depth, max_ids=setting.max_ids)
        yield by, dose, hear_clips(clips, judges), loss, vector
    for by, dose, request in _requests(study, direction.what, setting, tempo):
        clips = list(composer.compose(request, seed=setting.seed, count=setting.count))
        yield by, dose, hear_clips(clips, judges), None, None


def _cosine(vector: Matrix, other: Matrix) -> float:
    lengths = float(np.linalg.norm(vector) * np.linalg.norm(other))
    return float(vector @ other) / max(lengths, 1e-12)


def _spans(what: str, values: Ends, cosines: Mapping[str, float]) -> list[Span]:
    """Return how far apart the ends of each way lie, and how much further those of the push."""
    rises = {by: own[max(own)] - own[min(own)] for by, own in values.items()}
    return [
        Span(
            what, by, cosines.get(by), mean_with_interval(rise),
            None if by == PUSH else mean_with_interval(rises[PUSH] - rise),
        )
        for by, rise in rises.items()
    ]  # fmt: skip


def _pushes(study: Study, direction: Direction) -> Iterator[tuple[str, float, Matrix]]:
    vector, what = direction.vector, direction.what
    if what not in AXES:
        yield from ((PUSH, dose, vector) for dose in OUTER_DOSES)
        return
    yield from ((PUSH, dose, vector) for dose in DOSES)
    rng = np.random.default_rng(AXES.index(what))
    groups = [excerpt.group for excerpt in study.excerpts]
    random = random_like(vector, rng)
    halves = halves_like(vector, study.states[:, direction.depth], groups, rng)
    for by, other in ((RANDOM, random), (HALVES_OF_SONGS, halves)):
        yield from ((by, dose, other) for dose in OUTER_DOSES)


def _requests(
    study: Study, what: str, setting: Setting, tempo: float
) -> Iterator[tuple[str, float, Request]]:
    """Yield the ways to ask for either side by controls."""
    n_bars = setting.n_bars
    for side in (-1.0, 1.0):
        if what not in AXES:
            values = np.array([e.values[ATTRIBUTE_NAMES.index(what)] for e in study.excerpts])
            fixed = {what: float(np.nanquantile(values, 0.5 + side / 3))}
            for by, steering in ((CONTROLS, False), (FEEDBACK, True)):
                yield by, side, Request(None, n_bars=n_bars, fixed=fixed, steering=steering)
            continue
        point = [side * ASKED if axis == what else 0.0 for axis in AXES]
        emotion = Emotion(point[0], point[1])
        yield CONTROLS, side, Request(emotion, n_bars=n_bars, steering=False)
        yield SAME_TEMPO, side, Request(emotion, n_bars=n_bars, steering=False, tempo=tempo)
        yield FEEDBACK, side, Request(emotion, n_bars=n_bars)
