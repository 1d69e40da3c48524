"""Fit mapper, verifier, steering and realness of a checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from emomusic.compose.best_of import Realness, features_of
from emomusic.compose.composer import TOKENIZER_NAME, Composer
from emomusic.compose.directions import LEVER_REACH, LEVERS, Response, fit_response
from emomusic.compose.plan import ClipPlan
from emomusic.compose.request import Request
from emomusic.compose.steerer import Steerer, measure_written
from emomusic.compose.token_plan import TABLES_NAME
from emomusic.data.clean import SkippedError
from emomusic.data.sources import CorpusFile, read_song, track_song
from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS, Emotion
from emomusic.mapping.fitting import MapperFitter
from emomusic.mapping.mapper import Mapper
from emomusic.model.engine import LogitBias, Steer
from emomusic.model.weights import CONFIG_NAME, CheckpointError
from emomusic.music.attributes import measure
from emomusic.music.notes import Notes
from emomusic.music.passage import passage_of
from emomusic.music.score import ScoreError, notes_of, read_score
from emomusic.music.tokenizer import COMMON_TIME, Tokenizer
from emomusic.verify.labels import LabelledClip, read_labels
from emomusic.verify.verifier import fit_verifier

Progress = Callable[[int, int], None]
MIN_CONFIDENCE = 0.2
"""Lower than for training: slow rubato, hardest to track, is what Q3 and Q4 are made of, and a
tempo of half or twice the beat still goes with its density."""
MIN_EXCERPT, MAX_EXCERPT = 8, 16
"""Bars that realness hears, real ones and composed ones."""
N_COMPOSED = 400
INVERSE_PENALTY = 0.3
PULLED, SHARE = 1.3, 0.4
"""Levers are drawn with a spread of so many reaches, and so large a share of them is pulled."""
PROBE_BARS = 12


@dataclass(frozen=True)
class Excerpt:
    """Hold whole bars of 4/4 from the beginning of a clip."""

    notes: Notes
    n_bars: int

    def first(self, n_bars: int) -> Excerpt:
        """Return the first bars alone."""
        inside = self.notes.onset < n_bars * COMMON_TIME - 1e-6
        return Excerpt(self.notes.where(inside), min(n_bars, self.n_bars))

    def features(self) -> list[float]:
        """Return what realness hears."""
        n_beats = float(self.n_bars * COMMON_TIME)
        found = features_of(self.notes, n_beats=n_beats, beats_per_bar=COMMON_TIME)
        return list(found.values())


@dataclass(frozen=True)
class MeasuredClips:
    """Hold labelled clips with the attributes that tokens can say of them.

    Attributes:
        clips: Those that could be measured.
        values: Shape (n_clips, n_attributes).
        skipped: How many were left out, by reason.
        excerpts: The first bars of those in 4/4.
    """

    clips: Sequence[LabelledClip]
    values: NDArray[np.float64]
    skipped: Counter[str]
    excerpts: Sequence[Excerpt] = ()


def measure_clips(
    clips: Sequence[LabelledClip], *, progress: Progress = lambda done, total: None
) -> MeasuredClips:
    """Clean, tokenize and measure labelled clips; those without sure beats are left out."""
    tokenizer = Tokenizer()
    kept, values, excerpts, skipped = [], [], [], Counter[str]()
    for done, clip in enumerate(clips):
        progress(done, len(clips))
        try:
            if clip.source == "emopia":  # performances
                notes = notes_of(read_score(clip.path))
                song = track_song(notes, min_confidence=MIN_CONFIDENCE)
            else:
                song = read_song(CorpusFile(clip.path, clip.path.name, clip.source))
        except (ScoreError, SkippedError) as error:
            skipped[str(error)] += 1
            continue
        ids = [token for bar in tokenizer.encode(song.score) for token in bar]
        beats = float(song.bar_beats.sum())
        tempo = 60.0 * beats / float(song.bar_s[-1] - song.bar_s[0])
        notes = notes_of(tokenizer.decode(ids))
        passage = passage_of(notes, n_beats=beats, tempo=tempo)
        if len(song.bar_beats) >= MIN_EXCERPT and (song.bar_beats == COMMON_TIME).all():
            excerpts.append(Excerpt(notes, len(song.bar_beats)).first(MAX_EXCERPT))
        values.append(list(measure(passage).values()))
        kept.append(clip)
    progress(len(clips), len(clips))
    return MeasuredClips(kept, np.array(values, dtype=np.float64), skipped, excerpts)


def fit_mapper(measured: MeasuredClips, *, about: str, n_prototypes: int = 6) -> Mapper:
    """Fit the mapper; a clip without listeners' values lies at its quadrant's centre.

    Raises:
        ValueError: If there are too few clips or songs.
    """
    clips = measured.clips
    rated = [
        [centre if said is None else said for said, centre in zip(
            (clip.valence, clip.arousal), QUADRANT_CENTRES[clip.quadrant], strict=True)]
        for clip in clips
    ]  # fmt: skip
    valence, arousal = np.array(rated, dtype=np.float64).T
    fitter = MapperFitter(n_prototypes=n_prototypes).fit(
        measured.values,
        [clip.quadrant for clip in clips],
        valence,
        arousal,
        [clip.group for clip in clips],
        about={
            "songs": about,
            "n_clips": len(clips),
            "n_songs": len({clip.group for clip in clips}),
            "skipped": dict(measured.skipped),
        },
    )
    return fitter.mapper_


def fit_realness(
    checkpoint: Path,
    real: Sequence[Excerpt],
    *,
    n_clips: int = N_COMPOSED,
    seed: int = 2,
    threads: int = 2,
    progress: Callable[[int], None] = lambda n_done: None,
) -> Realness:
    """Compose clips of random emotions, and fit what tells them from real ones.

    Args:
        checkpoint: With a mapper, a verifier and, if it is to be steered, a steering.
        real: Of songs that no judge was fitted on.
        n_clips: Clips, cut to lengths of real ones.
        seed: Of emotions and clips.
        threads: CPU cores.
        progress: Called with 1 for each clip that is done.

    Raises:
        CheckpointError: If the checkpoint cannot be used.
        ValueError: If there is nothing real.
    """
    if not real:
        raise ValueError("realness needs labelled clips of at least 8 bars of 4/4")
    rng = np.random.default_rng(seed)
    requests = [
        Request(Emotion(*point), n_bars=MAX_EXCERPT)
        for point in rng.uniform(-1, 1, (n_clips, 2)).tolist()
    ]
    lengths = rng.choice([excerpt.n_bars for excerpt in real], n_clips)
    composer = Composer(checkpoint, threads=threads)
    composed = [
        Excerpt(notes_of(clip.score), MAX_EXCERPT).first(n_bars)
        for clip, n_bars in zip(
            composer.compose_each(requests, seed=seed, progress=progress), lengths, strict=True
        )
    ]
    return fit_separation(real, composed)


def fit_separation(real: Sequence[Excerpt], composed: Sequence[Excerpt]) -> Realness:
    """Fit a logistic regression that tells real music from composed, both counting alike."""
    names = list(features_of(real[0].notes, n_beats=4.0, beats_per_bar=COMMON_TIME))
    values = np.array([excerpt.features() for excerpt in (*real, *composed)])
    is_real = np.arange(len(values)) < len(real)
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-6
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=2000)
    model.fit((values - mean) / scale, is_real)
    means, scales, weights = (
        dict(zip(names, map(float, row), strict=True)) for row in (mean, scale, model.coef_[0])
    )
    return Realness(means, scales, weights, float(model.intercept_[0]))


def fit_checkpoint(
    source_dir: Path,
    checkpoint: Path,
    *,
    all_songs: bool = False,
    progress: Progress = lambda done, total: None,
) -> tuple[str, Sequence[Excerpt]]:
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
        What was fitted, in a few lines, and excerpts of the mapper's songs, for `fit_realness`.

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
    quadrants = ", ".join(f"{quadrant} {counts[quadrant]}" for quadrant in QUADRANTS)
    skipped = ", ".join(f"{why} ({n})" for why, n in measured.skipped.items()) or "none"
    told = (
        f"mapper: {len(measured.clips)} clips ({quadrants}), {len(mapper.prototypes)} prototypes; "
        f"skipped: {skipped}\nverifier: {len(clips)} clips"
    )
    return told, measured.excerpts


class _Probe(Steerer):
    """Pull levers of each clip at random, and leave them there."""

    def __init__(self, tokenizer: Tokenizer, pulled: NDArray[np.float64]) -> None:
        super().__init__(tokenizer, None)
        self._pulled = pulled

    def steer(self, plan: ClipPlan) -> Steer:
        pulled, about = self._pulled[plan.index], plan.in_c(plan.targets)
        return lambda segments: LogitBias(self.levers.bias(pulled, about, bar=len(segments)))


def has_model(checkpoint: Path) -> bool:
    """Tell whether a checkpoint holds what composing needs, a mapper and a verifier apart."""
    return all((checkpoint / name).is_file() for name in (CONFIG_NAME, TOKENIZER_NAME, TABLES_NAME))


def measure_response(
    checkpoint: Path,
    *,
    n_clips: int = 3000,
    seed: int = 1,
    threads: int = 2,
    progress: Callable[[int], None] = lambda n_done: None,
) -> Response:
    """Compose clips of random emotions under random levers, and fit what the levers do.

    Args:
        checkpoint: With a mapper; a steering that it has is not used.
        n_clips: Clips.
        seed: Of emotions, levers and clips.
        threads: CPU cores.
        progress: Called with 1 for each clip that is done.

    Raises:
        CheckpointError: If it cannot be used.
    """
    rng = np.random.default_rng(seed)
    pulled = rng.standard_normal((n_clips, len(LEVERS))) * [PULLED * LEVER_REACH[x] for x in LEVERS]
    pulled[rng.random(pulled.shape) >= SHARE] = 0.0
    try:
        steerer = _Probe(Tokenizer(checkpoint / TOKENIZER_NAME), pulled)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint {checkpoint} cannot be used: {error}") from error
    composer = Composer(checkpoint, threads=threads, steerer=steerer)
    requests = [
        Request(Emotion(*point), n_bars=PROBE_BARS, tonic=0, guidance=1.0, diversity=1.0)
        for point in rng.uniform(-1, 1, (n_clips, 2)).tolist()
    ]
    names, asked, achieved = composer.mapper.attributes, [], []
    for clip in composer.compose_each(requests, seed=seed, progress=progress):
        asked.append([clip.targets[name] for name in names])
        passage = passage_of(notes_of(clip.score), n_beats=4.0 * PROBE_BARS, tempo=clip.tempo)
        achieved.append(measure_written(passage, names))
    return fit_response(
        np.array(asked),
        pulled,
        np.array(achieved),
        scale=composer.mapper.spread(),
        attributes=names,
    )
