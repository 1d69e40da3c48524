"""Fit what a checkpoint needs of labelled music: mapper and verifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.data.clean import SkippedError, Song
from emomusic.data.sources import CorpusFile, read_song, track_song
from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS
from emomusic.mapping.fitting import MapperFitter
from emomusic.mapping.mapper import Mapper
from emomusic.music.attributes import measure
from emomusic.music.passage import passage_of
from emomusic.music.score import ScoreError, notes_of, read_score
from emomusic.music.tokenizer import Tokenizer
from emomusic.verify.fitting import fit_verifier
from emomusic.verify.labels import LabelledClip, read_labels

Progress = Callable[[int, int], None]
MIN_CONFIDENCE = 0.2
"""Lower than for training: slow rubato, hardest to track, is what Q3 and Q4 are made of, and a
tempo of half or twice the beat still goes with its density."""


@dataclass(frozen=True)
class MeasuredClips:
    """Hold labelled clips with the attributes that tokens can say of them.

    Attributes:
        clips: Those that could be measured.
        values: Shape (n_clips, n_attributes).
        skipped: How many were left out, by reason.
    """

    clips: Sequence[LabelledClip]
    values: NDArray[np.float64]
    skipped: Counter[str]


def measure_clips(
    clips: Sequence[LabelledClip], *, progress: Progress = lambda done, total: None
) -> MeasuredClips:
    """Clean, tokenize and measure labelled clips; those without sure beats are left out."""
    tokenizer = Tokenizer()
    kept, values, skipped = [], [], Counter[str]()
    for done, clip in enumerate(clips):
        progress(done, len(clips))
        try:
            song = _read(clip)
        except (ScoreError, SkippedError) as error:
            skipped[str(error)] += 1
            continue
        ids = [token for bar in tokenizer.encode(song.score) for token in bar]
        beats = float(song.bar_beats.sum())
        tempo = 60.0 * beats / float(song.bar_s[-1] - song.bar_s[0])
        passage = passage_of(notes_of(tokenizer.decode(ids)), n_beats=beats, tempo=tempo)
        values.append(list(measure(passage).values()))
        kept.append(clip)
    progress(len(clips), len(clips))
    return MeasuredClips(kept, np.array(values, dtype=np.float64), skipped)


def _read(clip: LabelledClip) -> Song:
    if clip.source == "emopia":
        return track_song(notes_of(read_score(clip.path)), min_confidence=MIN_CONFIDENCE)
    return read_song(CorpusFile(clip.path, clip.path.name, clip.source))


def fit_mapper(measured: MeasuredClips, *, about: str, n_prototypes: int = 6) -> Mapper:
    """Fit the mapper; a clip without listeners' values lies at its quadrant's centre.

    Raises:
        ValueError: If there are too few clips or songs.
    """
    clips = measured.clips
    centre = [QUADRANT_CENTRES[clip.quadrant] for clip in clips]
    valence = [
        v if c.valence is None else c.valence for c, (v, _) in zip(clips, centre, strict=True)
    ]
    arousal = [
        a if c.arousal is None else c.arousal for c, (_, a) in zip(clips, centre, strict=True)
    ]
    fitter = MapperFitter(n_prototypes=n_prototypes).fit(
        measured.values,
        [clip.quadrant for clip in clips],
        np.array(valence),
        np.array(arousal),
        [clip.group for clip in clips],
        about={
            "songs": about,
            "n_clips": len(clips),
            "n_songs": len({clip.group for clip in clips}),
            "skipped": dict(measured.skipped),
        },
    )
    return fitter.mapper_


def fit_checkpoint(
    source_dir: Path,
    checkpoint: Path,
    *,
    all_songs: bool = False,
    progress: Progress = lambda done, total: None,
) -> str:
    """Fit mapper and verifier on labelled clips and write them into a checkpoint.

    The mapper is fitted on the mapper's half of the songs, so that judges fitted on the other
    half can tell how good the clips are; the verifier, which only fills the card and selects
    among candidates, on all.

    Args:
        source_dir: A folder with `emotion/labels.csv`.
        checkpoint: Made if missing.
        all_songs: Fit the mapper on all songs, too.
        progress: Called with clips done and clips in all.

    Returns:
        What was fitted, in a few lines.

    Raises:
        ValueError: If the labels cannot be read or are too few.
    """
    clips = read_labels(source_dir)
    own = clips if all_songs else [clip for clip in clips if clip.part == "mapper"]
    measured = measure_clips(own, progress=progress)
    mapper = fit_mapper(measured, about="all" if all_songs else "mapper part")
    verifier = fit_verifier(clips)
    checkpoint.mkdir(parents=True, exist_ok=True)
    mapper.save(checkpoint)
    verifier.save(checkpoint)
    counts = Counter(clip.quadrant for clip in measured.clips)
    told = ", ".join(f"{quadrant} {counts[quadrant]}" for quadrant in QUADRANTS)
    skipped = ", ".join(f"{why} ({n})" for why, n in measured.skipped.items()) or "none"
    return (
        f"mapper: {len(measured.clips)} clips ({told}), {len(mapper.prototypes)} prototypes; "
        f"skipped: {skipped}\nverifier: {len(clips)} clips"
    )
