"""Do explanations hold? Undo the cause that they name, by edits that they do not use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.rows import Matrix, Row, Table, row_of, section, share
from emomusic.music.notes import Notes
from emomusic.verify import counterfactuals
from emomusic.verify.analysis import key_correlations
from emomusic.verify.calibration import AXES, SIGNS
from emomusic.verify.counterfactuals import Reference, default_reference
from emomusic.verify.ensemble import featurize
from emomusic.verify.explain import AGAINST, FOR, Effect, Explanation, explain, verdict_odds
from emomusic.verify.labels import FittingLabels, read_notes
from emomusic.verify.verifier import Verifier

Edit = Callable[[Notes, int], Notes]
"""From a clip, and 1 if it has much of the cause (fast, loud, major), else -1."""

DOWN_A_THIRD = (-3, -3, -3, -3, -4, -3, -3, -3, -3, -4, -3, -4)
"""Semitones from each tone above a major tonic to the one two steps lower in the signature."""
UP_A_THIRD = (4, 3, 3, 3, 3, 4, 3, 4, 3, 3, 3, 3)
"""The same two steps higher."""


def _third_alone(notes: Notes, side: int) -> Notes:
    """Move the third of the key in which the number of notes, however long, fits best."""
    del side
    counts = np.bincount(notes.pitch % 12, minlength=12).astype(np.float64)
    major, minor = key_correlations(counts)
    is_major = bool(major.max() >= minor.max())
    tonic = int(np.argmax(major if is_major else minor))
    return counterfactuals.switch_mode(notes, tonic=tonic, is_major=is_major, degrees=("third",))


def _third_and_sixth(notes: Notes, side: int) -> Notes:
    """Move third and sixth of the key heard, leave the seventh."""
    del side
    tonic, is_major = counterfactuals.find_key(notes)
    degrees = ("third", "sixth")
    return counterfactuals.switch_mode(notes, tonic=tonic, is_major=is_major, degrees=degrees)


def _relative(notes: Notes, side: int) -> Notes:
    """Move everything two steps of the scale: C major becomes A minor, and back."""
    del side
    tonic, is_major = counterfactuals.find_key(notes)
    root = tonic if is_major else (tonic + 3) % 12
    steps = np.array(DOWN_A_THIRD if is_major else UP_A_THIRD)
    pitch = np.clip(notes.pitch + steps[(notes.pitch - root) % 12], 0, 127)
    return counterfactuals.sort_notes(replace(notes, pitch=pitch))


def _tempo(factor: float) -> Edit:
    return lambda notes, side: counterfactuals.stretch(notes, factor**side)


def _tempo_of_onsets(notes: Notes, side: int) -> Notes:
    """Stretch the onsets by half, keep the seconds that notes are held."""
    return replace(counterfactuals.stretch(notes, 1.5**side), duration_s=notes.duration_s)


def _loudness(by: int) -> Edit:
    return lambda notes, side: counterfactuals.set_loudness(notes, notes.velocity - side * by)


def _scaled(notes: Notes, side: int) -> Notes:
    return counterfactuals.set_loudness(notes, notes.velocity * 1.3**-side)


def _compressed(notes: Notes, side: int) -> Notes:
    """Bring every velocity half-way to 70."""
    del side
    velocity = np.round((notes.velocity + 70.0) / 2.0).astype(np.int64)
    return replace(notes, velocity=velocity)


def _register(semitones: int) -> Edit:
    return lambda notes, side: counterfactuals.transpose(notes, -side * semitones)


def _by_chance(notes: Notes, side: int) -> Notes:
    """Delete a third of the notes by chance; or double as many an octave above."""
    if side > 0:
        return counterfactuals.thin_randomly(notes, 0.67, seed=7)
    return counterfactuals.double_notes(notes, 1.33, step=counterfactuals.OCTAVE)


def _onsets(notes: Notes, side: int) -> Notes:
    """Delete every third onset; or strike every second one again half-way."""
    if side > 0:
        return _without_onsets(notes)
    return counterfactuals.repeat_onsets(notes, 1.5)


def _without_onsets(notes: Notes) -> Notes:
    onset = np.cumsum(np.diff(notes.onset_s, prepend=-1.0) > 0.045)
    return notes.where(onset % 3 != 0) if onset[-1] >= 3 else notes


def _chords(notes: Notes, side: int) -> Notes:
    """Delete every second note; or double every second one two octaves below."""
    if side > 0:
        return notes.where(np.arange(len(notes)) % 2 == 0)
    return counterfactuals.double_notes(notes, 1.5, step=-2 * counterfactuals.OCTAVE)


OTHER_EDITS: Mapping[str, Mapping[str, Edit]] = MappingProxyType(
    {
        "mode": {"third": _third_alone, "third+sixth": _third_and_sixth, "relative": _relative},
        "tempo": {"quarter": _tempo(1.25), "double": _tempo(2.0), "onsets": _tempo_of_onsets},
        "loudness": {"by 16": _loudness(16), "scaled": _scaled, "compressed": _compressed},
        "register": {"ninth": _register(14), "fifth": _register(7), "fourth": _register(5)},
        "density": {"by chance": _by_chance, "onsets": _onsets, "every second": _chords},
    }
)
"""By cause and name."""


@dataclass(frozen=True)
class Trial:
    """Hold what one edit did to one cause of one clip.

    Attributes:
        clip: Which clip.
        cause: As in `CAUSES`.
        role: What the explanation says of it.
        rank: Its place among the causes of its role, from 0.
        edit: As in `OTHER_EDITS`.
        moved: Log odds by which the axis named moved to the side said; of a cause without axis,
            by which the axis that moved more did so away from the verdict.
        quadrant: Log odds that the quadrant heard lost, for a cause for it; gained, for a cause
            against it; lost, for one that does not matter.
        flipped: Whether another quadrant is heard.
    """

    clip: int
    cause: str
    role: str
    rank: int
    edit: str
    moved: float
    quadrant: float
    flipped: bool


KINDS: Mapping[str, Callable[[Trial], bool]] = {
    "first cause": lambda t: t.role == FOR and t.rank == 0,
    "second cause": lambda t: t.role == FOR and t.rank == 1,
    "third cause or later": lambda t: t.role == FOR and t.rank > 1,
    "any cause against": lambda t: t.role == AGAINST,
    "control: no cause": lambda t: t.role not in (FOR, AGAINST),
}
"""Whose verdicts should move as said; the control is what chance does."""


@section(
    "Causes undone",
    Table(("axis moves as said", "quadrant moves as said", "median", "flips"), "name", note=
          "Each cause is undone by edits that the explanation does not use, one drawn for each "
          "clip. Median: log odds by which the axis moved as said; flips: share then heard as "
          "another quadrant. The control undoes what the explanation does not name, and counts "
          "the axis that moves more: any edit makes a sure verdict less sure, so this, not a half, "
          "is the level of chance."),
)  # fmt: skip
def explanations(given: Any) -> Iterator[Row | str]:
    """Fit a verifier on each half of the labelled songs, explain clips of the other half.

    What is usual is measured on the half that is fitted on, too.

    Args:
        given: Has `corpus`, the labelled clips, and `every`: every how many one is explained.
    """
    clips, trials, n_clips = given.corpus.clips, [], 0
    for part in ("mapper", "judge"):
        own = [clip for clip in clips if clip.part == part]
        notes = read_notes(own)
        others = read_notes([clip for clip in clips if clip.part != part][:: given.every])
        verifier = Verifier().fit(featurize(notes), FittingLabels.of(own))
        usual = Reference.measure(notes)
        trials += undo_causes(verifier, others, usual=usual, first=n_clips)
        n_clips += len(others)
    named = len({trial.clip for trial in trials if trial.role == FOR})
    yield f"{named} of {n_clips} clips have a cause by itself."
    yield from moved_rows(trials)


def undo_causes(
    verifier: Verifier, clips: Iterable[Notes], *, usual: Reference | None = None, first: int = 0
) -> list[Trial]:
    """Explain clips, and undo every cause by edits that explanations do not use.

    Args:
        verifier: What hears; it should not have learnt from the clips.
        clips: Any number.
        usual: What is usual, as `explain` takes it.
        first: Number of the first clip.
    """
    usual = default_reference() if usual is None else usual
    return [
        trial
        for at, notes in enumerate(clips)
        for trial in _trials(first + at, notes, explain(notes, verifier, reference=usual), verifier)
    ]


def moved_rows(trials: Sequence[Trial], *, seed: int = 0) -> Iterator[Row]:
    """Yield how often the verdict moved as said, of each kind of cause and by each edit.

    Of a kind each clip counts once, undone in one way drawn by chance.
    """
    for kind, belongs in KINDS.items():
        own: dict[int, list[Trial]] = {}
        for trial in filter(belongs, trials):
            own.setdefault(trial.clip, []).append(trial)
        rng = np.random.default_rng(seed)
        yield from _moved_rows([of[int(rng.integers(len(of)))] for of in own.values()], kind)
    for cause, ways in OTHER_EDITS.items():
        for edit in ways:
            own_way = [t for t in trials if (t.role, t.cause, t.edit) == (FOR, cause, edit)]
            yield from _moved_rows(own_way, f"{cause}: {edit}")


def _moved_rows(trials: Sequence[Trial], undone: str) -> Iterator[Row]:
    if not trials:
        return
    n, by = len(trials), {"undone": undone}
    moved = np.array([trial.moved for trial in trials])
    yield row_of("axis moves as said", share(int((moved > 0).sum()), n), n, **by)
    right = sum(trial.quadrant > 0 for trial in trials)
    yield row_of("quadrant moves as said", share(right, n), n, **by)
    yield Row("median", float(np.median(moved)), by=by)
    yield Row("flips", float(np.mean([trial.flipped for trial in trials])), by=by)


def _trials(clip: int, notes: Notes, explanation: Explanation, verifier: Verifier) -> list[Trial]:
    tried = [
        (effect, name, edit(notes, _side(effect)))
        for effect in explanation.effects
        for name, edit in OTHER_EDITS[effect.cause].items()
    ]
    verdicts = [verifier.verdict(own) for own in (notes, *(edited for _, _, edited in tried))]
    odds = verdict_odds(verdicts, explanation.quadrant)
    lost = (odds[0] - odds[1:]) * np.append(SIGNS[QUADRANTS.index(explanation.quadrant)], 1.0)
    ranks = _ranks(explanation.effects)
    return [
        Trial(
            clip,
            effect.cause,
            effect.role,
            ranks[effect.cause],
            name,
            *_moved(effect, row),
            flipped=verdict.quadrant != explanation.quadrant,
        )
        for (effect, name, _), row, verdict in zip(tried, lost, verdicts[1:], strict=True)
    ]


def _side(effect: Effect) -> int:
    """Return 1 for a clip that has much of a cause, else -1."""
    return 1 if effect.value >= effect.usual else -1


def _ranks(effects: Sequence[Effect]) -> dict[str, int]:
    seen: dict[str, int] = {}
    ranks = {}
    for effect in effects:
        ranks[effect.cause] = seen.get(effect.role, 0)
        seen[effect.role] = ranks[effect.cause] + 1
    return ranks


def _moved(effect: Effect, lost: Matrix) -> tuple[float, float]:
    """Return by how much the axis and the quadrant moved as said."""
    sign = -1.0 if effect.role == AGAINST else 1.0
    axis = int(np.argmax(np.abs(lost[:2]))) if effect.axis is None else AXES.index(effect.axis)
    return sign * float(lost[axis]), sign * float(lost[2])
