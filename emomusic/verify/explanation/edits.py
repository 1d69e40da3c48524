"""Edits of a clip that change one thing and leave the rest: what would undo a cause."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.verify.features.hearing import group_starts, hear

DEGREES = {"third": (3, 4), "sixth": (8, 9), "seventh": (10, 11)}
"""Semitones above the tonic of the degrees by which minor and major differ."""
OCTAVE = 12


def heard_key(notes: Notes) -> tuple[int, bool]:
    """Return the tonic, 0 (C) to 11, and whether it is heard as major.

    Raises:
        ValueError: If there are no notes.
    """
    hearing = hear(notes)
    is_major = bool(hearing.major[0] >= hearing.minor[9])
    return (hearing.tonic + (0 if is_major else 9)) % 12, is_major


def in_order(notes: Notes) -> Notes:
    """Return the notes sorted by onset in seconds, then pitch."""
    return notes.where(np.lexsort((notes.pitch, notes.onset_s)))


def in_other_mode(
    notes: Notes, *, tonic: int, is_major: bool, degrees: Iterable[str] = tuple(DEGREES)
) -> Notes:
    """Return the notes in the parallel key: some degrees a semitone higher or lower.

    Args:
        notes: Any.
        tonic: Pitch class from which degrees count.
        is_major: Which mode the notes are in.
        degrees: Which of `DEGREES` move.
    """
    moves = np.zeros(12, dtype=np.int64)
    for minor, major in (DEGREES[name] for name in degrees):
        moves[(tonic + (major if is_major else minor)) % 12] = -1 if is_major else 1
    pitch = np.clip(notes.pitch + moves[notes.pitch % 12], 0, 127)
    return in_order(replace(notes, pitch=pitch))


def stretched(notes: Notes, factor: float) -> Notes:
    """Return the notes at `factor` times the seconds; beats stay as they are.

    Raises:
        ValueError: If factor is not above 0.
    """
    if not factor > 0:
        raise ValueError(f"factor must be above 0, got {factor}")
    return replace(notes, onset_s=notes.onset_s * factor, duration_s=notes.duration_s * factor)


def shifted_loudness(notes: Notes, by: float) -> Notes:
    """Return the notes with `by` added to each velocity, within 1 to 127."""
    velocity = np.clip(np.round(notes.velocity + by), 1, 127).astype(np.int64)
    return replace(notes, velocity=velocity)


def scaled_loudness(notes: Notes, factor: float) -> Notes:
    """Return the notes with each velocity multiplied, within 1 to 127."""
    velocity = np.clip(np.round(notes.velocity * factor), 1, 127).astype(np.int64)
    return replace(notes, velocity=velocity)


def transposed(notes: Notes, semitones: int) -> Notes:
    """Return the notes transposed; what would leave 0 to 127 stays an octave or more nearer."""
    pitch = notes.pitch + semitones
    pitch = pitch - OCTAVE * np.ceil(np.maximum(pitch - 127, 0) / OCTAVE).astype(np.int64)
    pitch = pitch + OCTAVE * np.ceil(np.maximum(-pitch, 0) / OCTAVE).astype(np.int64)
    return in_order(replace(notes, pitch=pitch))


def thinned(notes: Notes, share: float) -> Notes:
    """Return about `share` of the notes: inner notes of chords go first, then whole onsets.

    Outer notes are the highest and the lowest of an onset. Of onsets, those go first that follow
    the one before soonest; the first stays.

    Args:
        notes: At least one.
        share: In (0, 1].
    """
    n_kept = max(1, round(share * len(notes)))
    if n_kept >= len(notes):
        return notes
    group, n_onsets = _groups(notes)
    outer = np.zeros(len(notes), dtype=bool)
    outer[np.flatnonzero(np.diff(group, prepend=-1))] = True
    outer[np.flatnonzero(np.diff(group, append=n_onsets))] = True
    gap = np.diff(notes.onset_s[np.flatnonzero(np.diff(group, prepend=-1))], prepend=-np.inf)
    # What is kept comes first: outer before inner notes, then by the gap, then by time.
    order = np.lexsort((np.arange(len(notes)), -gap[group], ~outer))
    return notes.where(np.sort(order[:n_kept]))


def thinned_by_chance(notes: Notes, share: float, *, seed: int) -> Notes:
    """Return about `share` of the notes, drawn by chance; the same for the same seed."""
    n_kept = max(1, round(share * len(notes)))
    drawn = np.random.default_rng(seed).permutation(len(notes))[:n_kept]
    return notes.where(np.sort(drawn))


def doubled(notes: Notes, ratio: float, *, step: int = -OCTAVE) -> Notes:
    """Return `ratio` times as many notes: evenly chosen ones are doubled an octave below or above.

    Args:
        notes: At least one.
        ratio: At least 1; above 2 counts as 2.
        step: Semitones from a note to its double; turned where it would leave 0 to 127.
    """
    chosen = _spread(len(notes), ratio)
    twin = notes.where(chosen)
    pitch = twin.pitch + step
    pitch = np.where((pitch < 0) | (pitch > 127), twin.pitch - step, pitch)
    return _joined(notes, replace(twin, pitch=pitch))


def repeated(notes: Notes, ratio: float) -> Notes:
    """Return `ratio` times as many notes: evenly chosen onsets are struck again half-way.

    All notes of an onset are cut at half the way to the next one, and struck again there.

    Args:
        notes: At least one.
        ratio: At least 1; above 2 counts as 2.
    """
    group, n_onsets = _groups(notes)
    start_s = notes.onset_s[np.flatnonzero(np.diff(group, prepend=-1))]
    start = notes.onset[np.flatnonzero(np.diff(group, prepend=-1))]
    half_s, half = _half_gaps(start_s)[group], _half_gaps(start)[group]
    chosen = np.isin(group, _spread(n_onsets, ratio)) & (half_s > 0.05) & (half > 0)
    again = replace(
        notes,
        onset=notes.onset + half,
        onset_s=notes.onset_s + half_s,
        duration=np.minimum(notes.duration, np.maximum(half, 1e-3)),
        duration_s=np.minimum(notes.duration_s, np.maximum(half_s, 1e-3)),
    ).where(chosen)
    cut = replace(
        notes,
        duration=np.where(chosen, np.minimum(notes.duration, half), notes.duration),
        duration_s=np.where(chosen, np.minimum(notes.duration_s, half_s), notes.duration_s),
    )
    return _joined(cut, again)


def _groups(notes: Notes) -> tuple[IntColumn, int]:
    first = group_starts(notes.onset_s)
    return np.repeat(np.arange(len(first)), np.diff(np.append(first, len(notes)))), len(first)


def _half_gaps(start: FloatColumn) -> FloatColumn:
    gaps = np.diff(start)
    return np.append(gaps, np.median(gaps) if len(gaps) else 0.0) / 2.0


def _spread(n: int, ratio: float) -> IntColumn:
    n_chosen = min(n, round((ratio - 1.0) * n))
    return np.unique(np.floor(np.arange(n_chosen) * n / max(n_chosen, 1)).astype(np.int64))


def _joined(notes: Notes, more: Notes) -> Notes:
    columns = zip(notes.columns, more.columns, strict=True)
    return in_order(Notes(*(np.concatenate(pair) for pair in columns)))
