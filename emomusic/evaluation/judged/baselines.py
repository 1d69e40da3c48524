"""Simpler systems with the same network, to be heard by the same judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.recipe import Recipe
from emomusic.music.key import parse_tonic
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH

Progress = Callable[[int], None]
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


def quadrants_of(count: int) -> list[str]:
    """Return each quadrant `count` times, one after the other."""
    return [quadrant for quadrant in QUADRANTS for _ in range(count)]


def compose_uncontrolled(
    composer: Composer,
    *,
    count: int,
    seed: int,
    n_bars: int = 16,
    progress: Progress = lambda n_done: None,
) -> list[Clip]:
    """Compose as many clips as a system does that is asked for all quadrants, asking for nothing.

    Args:
        composer: A checkpoint.
        count: Clips for each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
        progress: Called with the number of clips just finished.
    """
    request = Request(None, n_bars=n_bars, guidance=1.0)
    clips = composer.compose(request, seed=seed, count=4 * count, progress=progress)
    return list(clips)


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
        ruled(notes_of(clip.score), RULES[quadrant], _tonic(clip), rng)
        for clip, quadrant in zip(clips, quadrants, strict=True)
    ]


def _tonic(clip: Clip) -> int:
    return parse_tonic(clip.key.split()[0])


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


def compose_by_recipe(
    composer: Composer,
    recipe: Recipe,
    *,
    count: int,
    seed: int,
    n_bars: int = 16,
    progress: Progress = lambda n_done: None,
) -> list[Clip]:
    """Compose first draws of each quadrant, every attribute asked for as low or high.

    Args:
        composer: A checkpoint.
        recipe: Which attribute is low or high, and what that means.
        count: Clips of each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
        progress: Called with the number of clips just finished.
    """
    requests = [
        Request(None, n_bars=n_bars, fixed=recipe.values(quadrant))
        for quadrant in quadrants_of(count)
    ]
    return list(composer.compose_each(requests, seed=seed, progress=progress))
