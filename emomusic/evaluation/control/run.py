"""Ask, compose, measure: how the attributes of one checkpoint follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.compose.composer import Clip, Composer
from emomusic.compose.parse import parse_key
from emomusic.compose.request import DEFAULT_BARS
from emomusic.compose.token_plan import transposition
from emomusic.evaluation.control.asking import FULL, Design, Question, ask
from emomusic.evaluation.control.joint import GIVEN
from emomusic.evaluation.control.measures import (
    Fader,
    Following,
    Leak,
    fader,
    following,
    leaks,
)
from emomusic.evaluation.control.real import Column, Matrix, RealMusic
from emomusic.evaluation.control.report import AttributeControl, ControlReport
from emomusic.music.attributes import attribute, measure
from emomusic.music.key import estimate_key
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answer:
    """Hold what came of a question.

    Attributes:
        question: What was asked.
        values: Attribute values achieved, shape (n_bars,) where asked bar by bar, else (1,).
        shift: Semitones by which the clip was moved after it was written.
    """

    question: Question
    values: Mapping[str, Column]
    shift: int

    def asked(self, name: str) -> Column:
        """Return the values asked for, of the shape of those achieved."""
        request = self.question.request
        asked = request.per_bar[name] if self.question.per_bar else [request.fixed[name]]
        return np.array(asked, dtype=np.float64)


def evaluate_control(
    composer: Composer,
    real: RealMusic,
    *,
    design: Design = FULL,
    seed: int = 0,
    n_bars: int = DEFAULT_BARS,
    progress: Progress = lambda n_done, n_all: None,
    **settings: Any,
) -> tuple[ControlReport, ControlReport]:
    """Compose clips that ask for single attributes and measure what comes of it.

    Args:
        composer: The checkpoint.
        real: What it knows of real music, of `real_music`.
        design: How much is asked.
        seed: Of the run.
        n_bars: Bars of each clip.
        progress: Called with the clips done and their number in all.
        settings: Replace defaults of `Request`, such as `guidance=1.5`.

    Returns:
        Clip-wide, and bar by bar.
    """
    questions = ask(real, design, seed=seed, n_bars=n_bars, settings=settings)
    answers = []
    clips = composer.compose_each([q.request for q in questions], seed=seed)
    for question, clip in zip(questions, clips, strict=True):
        answers.append(answer(question, clip))
        progress(len(answers), len(questions))
    return (
        report_of(answers, real, per_bar=False, seed=seed),
        report_of(answers, real, per_bar=True, seed=seed),
    )


def answer(question: Question, clip: Clip) -> Answer:
    """Measure what was asked for on a clip; clip-wide, all other attributes too."""
    shift = transposition(parse_key(clip.key)[0])
    if not question.per_bar:
        values = {name: np.array([value]) for name, value in clip.achieved.items()}
        return Answer(question, values, shift)
    notes, n_beats = notes_of(clip.score), clip.request.beats_per_bar
    key = estimate_key(notes)
    bars = [
        measure(
            passage_of(notes, start=bar * n_beats, n_beats=n_beats, tempo=clip.tempo, key=key),
            question.names,
        )
        for bar in range(clip.n_bars)
    ]
    return Answer(question, {n: np.array([b[n] for b in bars]) for n in question.names}, shift)


def report_of(
    answers: Sequence[Answer], real: RealMusic, *, per_bar: bool, seed: int = 0
) -> ControlReport:
    """Return how attributes follow, of all answers those clip-wide or bar by bar.

    Args:
        answers: Of one checkpoint.
        real: What it knows of real music.
        per_bar: Which of the answers.
        seed: Of the bootstrap.

    Raises:
        ValueError: If no attribute was asked for alone.
    """
    asked: dict[tuple[str, ...], list[Answer]] = {}
    for found in answers:
        if found.question.per_bar == per_bar:
            asked.setdefault(found.question.names, []).append(found)
    alone = {names[0]: own for names, own in asked.items() if len(names) == 1}
    if not alone:
        raise ValueError("no attribute was asked for alone")
    together = [leak for names, own in asked.items() if len(names) > 1
                for leak in _leaks(names, own)]  # fmt: skip
    pairs = tuple(leak for leak in together if leak.moved not in GIVEN)
    attributes = tuple(
        AttributeControl(
            name,
            per_bar,
            _following(name, own, real, per_bar=per_bar, seed=seed),
            None if per_bar else _fader(name, own, real),
            _mean_size([leak.rho for leak in pairs if leak.asked == name]),
        )
        for name, own in alone.items()
    )
    n_clips = sum(map(len, asked.values()))
    return ControlReport(per_bar, n_clips, attributes, pairs, real.groups(per_bar=per_bar))


def _mean_size(values: Sequence[float]) -> float | None:
    return float(np.mean(np.abs(values))) if values else None


def _matrices(name: str, answers: Sequence[Answer]) -> tuple[Matrix, Matrix]:
    """Return asked and achieved values, shape (n_clips, n_values) each."""
    return (
        np.stack([found.asked(name) for found in answers]),
        np.stack([found.values[name] for found in answers]),
    )


def _following(
    name: str, answers: Sequence[Answer], real: RealMusic, *, per_bar: bool, seed: int
) -> Following:
    asked, achieved = _matrices(name, answers)
    moved = np.array([found.shift for found in answers]) * attribute(name).per_semitone
    distribution = real.distribution(name, per_bar=per_bar)
    return following(asked, achieved, distribution, moved=moved, seed=seed)


def _fader(name: str, answers: Sequence[Answer], real: RealMusic) -> Fader:
    kin = next(group for group in real.groups(per_bar=False) if name in group)
    others = [other for other in real.clip if other not in kin and other not in GIVEN]
    n_sweeps = max(found.question.sample for found in answers) + 1
    values = [
        np.stack([found.values[n] for found in answers]) / max(real.clip[n].spread, 1e-9)
        for n in (name, *others)
    ]
    own, *rest = (column.reshape(-1, n_sweeps) for column in values)
    levels = np.array([found.asked(name)[0] for found in answers]).reshape(-1, n_sweeps)[:, 0]
    return fader(levels / max(real.clip[name].spread, 1e-9), own, np.stack(rest, axis=-1))


def _leaks(names: Sequence[str], answers: Sequence[Answer]) -> list[Leak]:
    matrices = [_matrices(name, answers) for name in names]
    asked, achieved = (np.stack([pair[side] for pair in matrices]) for side in (0, 1))
    return leaks(names, asked, achieved)
