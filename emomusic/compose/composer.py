"""Compose clips: emotion, targets, ids, score, card."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.clip import Clip as Clip
from emomusic.compose.guide import MAX_BAR_IDS, ClipGuide, Grammar, Plan
from emomusic.compose.request import DEFAULT_BARS, MAX_BARS, MAX_TEMPO, MIN_TEMPO, Request
from emomusic.mapping.mapper import Mapper
from emomusic.model.checkpoint import CheckpointError, load_model
from emomusic.model.sampling import BLOCK, write_block
from emomusic.model.transformer import Transformer, has_fast_bfloat16
from emomusic.music.attributes import ATTRIBUTE_NAMES, attribute, measure
from emomusic.music.key import TONIC_NAMES
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH, N_BINS, Tokenizer
from emomusic.verify.verifier import Verifier

TOKENIZER_NAME, TABLES_NAME = "tokenizer.json", "tables.json"
TEMPO_BEND = 1.12
MODE_STRENGTH = 0.25
REPEATED_SHARE = 5
"""Where the context is full a row begins anew with so small a part of it: what it repeats costs."""
MIN_CONTEXT = MAX_BAR_IDS + 64
"""The longest bar, and before it the clip's controls and the bar's: so a bar always ends."""
Progress = Callable[[int], None]


@dataclass(frozen=True)
class _Draft:
    """Hold one candidate before it is written."""

    request: Request
    index: int
    candidate: int
    tempo: float
    tonic: int
    is_major: bool
    n_bars: int
    targets: dict[str, float]
    rng: np.random.Generator


class Composer:
    """Compose with one checkpoint.

    Attributes:
        name: The checkpoint's name.
        model: The transformer.
        tokenizer: Ids to scores.
        mapper: Emotions to targets.
        verifier: Scores to verdicts.
        edges: Inner edges of each attribute's bins, shape (n_attributes, n_bins - 1).
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """Load a checkpoint.

        Args:
            folder: The checkpoint.
            threads: Blocks of clips written at the same time, each on one core; set torch to
                one thread beside it (`torch.set_num_threads(1)`).

        Raises:
            CheckpointError: If a part of it is missing or damaged, or does not fit the others.
        """
        self.name, self.threads = folder.resolve().name, threads
        self.model: Transformer = load_model(folder)
        if has_fast_bfloat16():
            self.model.use_bfloat16()
        try:
            self.tokenizer = Tokenizer(folder / TOKENIZER_NAME)
            self.mapper = Mapper.load(folder)
            self.verifier = Verifier.load(folder)
            self.edges = _read_edges(folder / TABLES_NAME)
            self.grammar = Grammar(self.tokenizer.vocabulary)
            self.first_control = self.tokenizer.vocabulary.control_ids(ATTRIBUTE_NAMES)
        except ValueError as error:
            raise CheckpointError(f"the checkpoint {folder} cannot be used: {error}") from error
        if len(self.tokenizer.vocabulary) != self.model.config.vocab_size:
            raise CheckpointError(f"tokenizer and weights in {folder} do not belong together")
        if self.model.config.context < MIN_CONTEXT:
            raise CheckpointError(
                f"the context of {folder} must be at least {MIN_CONTEXT}, "
                f"got {self.model.config.context}"
            )

    @cached_property
    def _max_repeated(self) -> int:
        context = self.model.config.context
        return min(context // REPEATED_SHARE, context - MIN_CONTEXT)

    def compose(
        self,
        request: Request,
        *,
        seed: int,
        count: int = 1,
        start: int = 0,
        batch_size: int = BLOCK,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose clips, each as soon as its batch is done.

        Clip `i` of a seed is the same, byte for byte, whatever `start`, `count` and
        `batch_size` are.

        Args:
            request: What each clip is to be.
            seed: Of the run, at least 0.
            count: Clips.
            start: Number of the first one.
            batch_size: Clips in hand at once.
            progress: Called with the number of clips just finished.

        Raises:
            ValueError: If seed, count, start or batch_size is out of range.
        """
        _check_run(seed=seed, count=count, start=start, batch_size=batch_size)
        for begin in range(start, start + count, batch_size):
            indices = range(begin, min(begin + batch_size, start + count))
            yield from self.compose_each([request] * len(indices), seed=seed, start=begin)
            progress(len(indices))

    def compose_each(
        self, requests: Sequence[Request], *, seed: int, start: int = 0
    ) -> Iterator[Clip]:
        """Compose one clip for each request, all at once.

        Clip `i` is the same as `compose` makes it for its request.

        Args:
            requests: What each clip is to be; the number of candidates is that of the first.
            seed: Of the run, at least 0.
            start: Number of the first clip.

        Raises:
            ValueError: If seed or start is out of range or the numbers of candidates differ.
        """
        _check_run(seed=seed, start=start)
        if len({request.best_of for request in requests}) > 1:
            raise ValueError("requests composed at once must have the same best_of")
        drafts = [
            self._draft(request, seed, start + i, candidate)
            for i, request in enumerate(requests)
            for candidate in range(request.best_of)
        ]
        written = self._write(drafts)
        for i, request in enumerate(requests):
            own = slice(i * request.best_of, (i + 1) * request.best_of)
            candidates = [
                self._finish(seed, draft, bars)
                for draft, bars in zip(drafts[own], written[own], strict=True)
            ]
            yield max(candidates, key=_merit)

    def _draft(self, request: Request, seed: int, index: int, candidate: int) -> _Draft:
        rng = np.random.default_rng(np.random.SeedSequence([seed, index, candidate]))
        targets = self.mapper.targets(request.emotion, rng, diversity=request.diversity)
        drawn_tonic = int(rng.integers(12))
        tonic = drawn_tonic if request.tonic is None else request.tonic
        targets |= request.fixed
        if request.is_major is not None:
            _set_mode(targets, is_major=request.is_major)
        if request.tempo is not None:
            targets["tempo"] = request.tempo
        n_bars, tempo = _length(request, targets["tempo"])
        targets["tempo"] = tempo
        is_major = targets["mode"] >= 0
        return _Draft(request, index, candidate, tempo, tonic, is_major, n_bars, targets, rng)

    def _plan(self, draft: _Draft) -> Plan:
        shift = transposition(draft.tonic)
        values = np.array([draft.targets[name] for name in ATTRIBUTE_NAMES])
        values -= shift * np.array([attribute(name).per_semitone for name in ATTRIBUTE_NAMES])
        bins = (values[:, None] >= self.edges).sum(axis=1)
        return Plan(
            controls=tuple((self.first_control + bins).tolist()),
            bar_controls=((),) * draft.n_bars,
            beats_per_bar=draft.request.beats_per_bar,
            lowest=max(LOWEST_PITCH, LOWEST_PITCH - shift),
            highest=min(HIGHEST_PITCH, HIGHEST_PITCH - shift),
        )

    def _write(self, drafts: Sequence[_Draft]) -> list[list[int]]:
        """Return the ids of each draft; each has its own place in its own block, always."""
        guides = [ClipGuide(self.grammar, self._plan(draft)) for draft in drafts]
        rows = _blocks(drafts)
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            for job in [pool.submit(self._write_block, row, guides, drafts) for row in rows]:
                job.result()
        return [guide.ids() for guide in guides]

    def _write_block(
        self, places: Sequence[int | None], guides: Sequence[ClipGuide], drafts: Sequence[_Draft]
    ) -> None:
        first = next(at for at in places if at is not None)
        requests = [drafts[first if at is None else at].request for at in places]
        while True:
            live = [at if at is not None and not guides[at].done else None for at in places]
            if all(at is None for at in live):
                return
            for at in live:
                if at is not None:
                    guides[at].begin(max_ids=self._max_repeated)
            write_block(
                self.model,
                [None if at is None else guides[at] for at in live],
                [None if at is None else drafts[at].rng for at in live],
                temperature=[request.temperature for request in requests],
                top_p=[request.top_p for request in requests],
                guidance=requests[0].guidance,
            )

    def _finish(self, seed: int, draft: _Draft, ids: list[int]) -> Clip:
        request = draft.request
        beats = float(draft.n_bars * request.beats_per_bar)
        score = self.tokenizer.decode(ids, tempo=draft.tempo, n_beats=beats)
        score = score.shift_pitch(transposition(draft.tonic))
        notes = notes_of(score)
        achieved = measure(passage_of(notes, n_beats=beats, tempo=draft.tempo))
        return Clip(
            index=draft.index,
            seed=seed,
            request=request,
            score=score,
            n_bars=draft.n_bars,
            tempo=draft.tempo,
            key=f"{TONIC_NAMES[draft.tonic]} {'major' if draft.is_major else 'minor'}",
            targets=draft.targets,
            achieved=achieved,
            verdict=self.verifier.verdict(notes),
            checkpoint=self.name,
        )


def _blocks(drafts: Sequence[_Draft]) -> list[list[int | None]]:
    """Part drafts into blocks: each at the place of its number, long ones beside long ones.

    The place decides a draft's bytes, its neighbours do not; but a block takes as long as its
    longest row.
    """
    places: dict[tuple[float, int], list[int]] = {}
    for at, draft in enumerate(drafts):
        number = draft.index * draft.request.best_of + draft.candidate
        places.setdefault((draft.request.guidance, number % BLOCK), []).append(at)
    rows: list[list[int | None]] = []
    for guidance in sorted({guidance for guidance, _ in places}):
        queues = [
            sorted(places.get((guidance, place), []), key=lambda at: -_expected_notes(drafts[at]))
            for place in range(BLOCK)
        ]
        rows += [list(block) for block in zip_longest(*queues)]
    return rows


def _expected_notes(draft: _Draft) -> float:
    return draft.targets["note_density"] * draft.n_bars * draft.request.beats_per_bar


def _check_run(**values: int) -> None:
    for name, value in values.items():
        low = 1 if name in {"count", "batch_size"} else 0
        if not low <= value < 2**63:
            raise ValueError(f"{name} must be at least {low} and below 2**63, got {value}")


def transposition(tonic: int) -> int:
    """Return the semitones from the model's C to a tonic, -6 to 5."""
    return (tonic + 6) % 12 - 6


def _set_mode(targets: dict[str, float], *, is_major: bool) -> None:
    sign = 1.0 if is_major else -1.0
    targets["mode"] = sign * max(abs(targets["mode"]), MODE_STRENGTH)
    if targets["chord_mode"] * sign < 0:
        targets["chord_mode"] = 0.0


def _length(request: Request, tempo: float) -> tuple[int, float]:
    tempo = min(max(tempo, MIN_TEMPO), MAX_TEMPO)
    if request.seconds is None:
        return request.n_bars or DEFAULT_BARS, round(tempo, 1)
    bar_s = 60.0 * request.beats_per_bar / tempo
    n_bars = min(max(round(request.seconds / bar_s), 1), MAX_BARS)
    if request.tempo is None and "tempo" not in request.fixed:
        met = 60.0 * request.beats_per_bar * n_bars / request.seconds
        tempo = min(max(met, tempo / TEMPO_BEND, MIN_TEMPO), tempo * TEMPO_BEND, MAX_TEMPO)
    return n_bars, round(tempo, 2)


def _merit(clip: Clip) -> float:
    """Return how well the verifier hears what was asked; the nearest by listeners' values."""
    emotion, verdict = clip.request.emotion, clip.verdict
    away = math.hypot(verdict.valence - emotion.valence, verdict.arousal - emotion.arousal)
    return verdict.probabilities[emotion.quadrant] - 0.1 * away


def _read_edges(path: Path) -> NDArray[np.float64]:
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        edges = np.array(tables["edges"], dtype=np.float64)
        if tables["attributes"] != list(ATTRIBUTE_NAMES):
            raise ValueError("its attributes are not those of this version")
    except (OSError, KeyError, TypeError, RecursionError, ValueError) as error:
        raise ValueError(f"cannot read the bins {path}: {error}") from error
    if edges.shape != (len(ATTRIBUTE_NAMES), N_BINS - 1) or not np.isfinite(edges).all():
        raise ValueError(f"{path} holds edges of shape {edges.shape}, or not finite ones")
    return edges
