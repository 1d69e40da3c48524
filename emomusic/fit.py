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
from emomusic.mapping import Mapper, MapperFitter
from emomusic.model.checkpoint import CONFIG_NAME, CheckpointError
from emomusic.model.engine import LogitBias, Steer
from emomusic.music.attributes import measure, passage_of
from emomusic.music.notes import Notes
from emomusic.music.score import ScoreError, notes_of, read_score
from emomusic.music.tokenizer import COMMON_TIME, Tokenizer
from emomusic.verify.ensemble import featurize
from emomusic.verify.labels import FittingLabels, LabelledClip, read_labels, read_notes
from emomusic.verify.verifier import Verifier

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
    """Whole bars of 4/4 from the beginning of a clip."""

    notes: Notes
    n_bars: int

    def first(self, n_bars: int) -> Excerpt:
        """Return the first bars alone."""
        inside = self.notes.onset < n_bars * COMMON_TIME - 1e-6
        return Excerpt(self.notes.where(inside), min(n_bars, self.n_bars))

    def features(self) -> dict[str, float]:
        """Return what realness hears."""
        n_beats = float(self.n_bars * COMMON_TIME)
        return features_of(self.notes, n_beats=n_beats, beats_per_bar=COMMON_TIME)


@dataclass(frozen=True)
class MeasuredClips:
    """Labelled clips with the attributes that tokens can say of them.

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
        notes, beats = notes_of(tokenizer.decode(ids)), float(song.bar_beats.sum())
        tempo = 60.0 * beats / float(song.bar_s[-1] - song.bar_s[0])
        if len(song.bar_beats) >= MIN_EXCERPT and (song.bar_beats == COMMON_TIME).all():
            excerpts.append(Excerpt(notes, len(song.bar_beats)).first(MAX_EXCERPT))
        values.append([*measure(passage_of(notes, n_beats=beats, tempo=tempo)).values()])
        kept.append(clip)
    progress(len(clips), len(clips))
    return MeasuredClips(kept, np.array(values, dtype=np.float64), skipped, excerpts)


def fit_mapper(measured: MeasuredClips, *, about: str, n_prototypes: int = 6) -> Mapper:
    """Fit the mapper; a clip without listeners' values lies at its quadrant's centre.

    Raises:
        ValueError: If there are too few clips or songs.
    """
    clips = measured.clips
    said = np.array([(clip.valence, clip.arousal) for clip in clips], dtype=np.float64)
    centres = np.array([QUADRANT_CENTRES[clip.quadrant] for clip in clips])
    valence, arousal = np.where(np.isnan(said), centres, said).T  # None became NaN
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
    """Compose clips of random emotions, cut to lengths of real ones, and fit what parts the two.

    The checkpoint has a mapper, a verifier and, if it is to be steered, a steering; the real ones
    are of songs that no judge was fitted on. `progress` is called with 1 for each clip done.

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
    clips = composer.compose_each(requests, seed=seed, progress=progress)
    composed = [
        Excerpt(notes_of(clip.score), MAX_EXCERPT).first(n_bars)
        for clip, n_bars in zip(clips, lengths, strict=True)
    ]
    return fit_separation(real, composed)


def fit_separation(real: Sequence[Excerpt], composed: Sequence[Excerpt]) -> Realness:
    """Fit a logistic regression that tells real music from composed, both counting alike."""
    found = [excerpt.features() for excerpt in (*real, *composed)]
    values = np.array([[*features.values()] for features in found])
    is_real = np.arange(len(values)) < len(real)
    mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-6
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=2000)
    model.fit((values - mean) / scale, is_real)
    means, scales, weights = (
        dict(zip(found[0], map(float, row), strict=True)) for row in (mean, scale, model.coef_[0])
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
        progress: Called with clips done and in all.

    Returns:
        What was fitted, in a few lines, and excerpts of the mapper's songs, for `fit_realness`.

    Raises:
        ValueError: If the labels cannot be read or are too few.
    """
    clips = read_labels(source_dir)
    own = clips if all_songs else [clip for clip in clips if clip.part == "mapper"]
    measured = measure_clips(own, progress=progress)
    mapper = fit_mapper(measured, about="all" if all_songs else "mapper part")
    verifier = Verifier().fit(featurize(read_notes(clips)), FittingLabels.of(clips))
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

    The checkpoint has a mapper; a steering that it has is not used. The seed is that of emotions,
    levers and clips; `progress` is called with 1 for each clip that is done.

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
