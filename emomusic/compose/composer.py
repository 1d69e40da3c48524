"""Compose clips: emotion, targets, ids, score, card."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.clip import Clip as Clip
from emomusic.compose.draft import Controls, Draft, make_draft, transposition
from emomusic.compose.guide import MAX_BAR_IDS, clip_grammar, ids_of, script_of
from emomusic.compose.request import Request
from emomusic.compose.steering.pilot import Pilot, weights_of
from emomusic.compose.steering.response import Response
from emomusic.files import UNREADABLE
from emomusic.mapping.mapper import Mapper
from emomusic.model.engines.choose import open_engine
from emomusic.model.engines.engine import Engine, Row, Uniforms
from emomusic.model.engines.grammar import Script
from emomusic.model.weights import CheckpointError
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES, measure
from emomusic.music.key import TONIC_NAMES
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import N_BINS, Tokenizer
from emomusic.verify.verifier import Verifier

TOKENIZER_NAME, TABLES_NAME = "tokenizer.json", "tables.json"
BATCH = 32
"""Clips in hand at once, where nothing is said."""
REPEATED_SHARE = 5
"""Where the context is full a row begins anew with so small a part of it: what it repeats costs."""
MIN_CONTEXT = MAX_BAR_IDS + 64
"""The longest bar, and before it the clip's controls and the bar's: so a bar always ends."""
Progress = Callable[[int], None]
Matrix = NDArray[np.float64]


@dataclass
class _Candidates:
    """Gather the candidates of one clip."""

    n_wanted: int
    found: dict[int, Clip] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.found) == self.n_wanted

    def best(self) -> Clip:
        return max((self.found[i] for i in sorted(self.found)), key=_merit)


class Composer:
    """Compose with one checkpoint.

    Attributes:
        name: The checkpoint's name.
        engine: What writes ids.
        tokenizer: Ids to scores.
        mapper: Emotions to targets.
        verifier: Scores to verdicts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        engine: str | Engine = "auto",
        pilot: Pilot | None = None,
    ) -> None:
        """Load a checkpoint.

        Args:
            folder: The checkpoint.
            threads: Of the engine, on the CPU.
            engine: Its name (`auto`, `int8`, `torch`, `cuda`), or one that holds the weights.
            pilot: What steers; None takes the checkpoint's.

        Raises:
            CheckpointError: If a part of it is missing or damaged, or does not fit the others.
            EngineError: If this machine does not have the engine.
        """
        self.name = folder.resolve().name
        self.engine: Engine = (
            open_engine(folder, engine, threads=threads) if isinstance(engine, str) else engine
        )
        try:
            self.tokenizer = Tokenizer(folder / TOKENIZER_NAME)
            self.mapper = Mapper.load(folder)
            self.verifier = Verifier.load(folder)
            self._grammar = clip_grammar(self.tokenizer.vocabulary)
            self._controls = self._read_controls(folder / TABLES_NAME)
            self._pilot = pilot or Pilot(
                self.tokenizer, Response.load(folder), weights=weights_of(self.mapper.telling())
            )
        except ValueError as error:
            raise CheckpointError(f"the checkpoint {folder} cannot be used: {error}") from error
        if len(self.tokenizer.vocabulary) != self.engine.config.vocab_size:
            raise CheckpointError(f"tokenizer and weights in {folder} do not belong together")
        context = self.engine.config.context
        if context < MIN_CONTEXT:
            raise CheckpointError(
                f"the context of {folder} must be at least {MIN_CONTEXT}, got {context}"
            )
        self._max_repeated = min(context // REPEATED_SHARE, context - MIN_CONTEXT)

    def _read_controls(self, path: Path) -> tuple[Controls, Controls]:
        """Return what the control ids of clips and of bars say."""
        vocabulary = self.tokenizer.vocabulary
        try:
            tables = json.loads(path.read_text(encoding="utf-8"))
            clip, bar = (
                Controls(
                    names,
                    _read_edges(tables, names, kind),
                    vocabulary.control_ids(names, per_bar=bool(kind)),
                )
                for kind, names in (("", ATTRIBUTE_NAMES), ("bar_", BAR_ATTRIBUTE_NAMES))
            )
        except UNREADABLE as error:
            raise ValueError(f"cannot read the bins {path}: {error}") from error
        return clip, bar

    def compose(
        self,
        request: Request,
        *,
        seed: int,
        count: int = 1,
        start: int = 0,
        batch_size: int = BATCH,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose clips, in order, each as soon as it and those before it are done.

        Clip `i` of a seed is the same, byte for byte, whatever `start`, `count` and
        `batch_size` are.

        Args:
            request: What each clip is to be.
            seed: Of the run, at least 0.
            count: Clips.
            start: Number of the first one.
            batch_size: Candidates in hand at once.
            progress: Called with 1 for each clip that is done.

        Raises:
            ValueError: If seed, count, start or batch_size is out of range.
        """
        _check_run(seed=seed, count=count, start=start, batch_size=batch_size)
        requests = repeat(request, count)
        return self.compose_each(
            requests, seed=seed, start=start, batch_size=batch_size, progress=progress
        )

    def compose_each(
        self,
        requests: Iterable[Request],
        *,
        seed: int,
        start: int = 0,
        batch_size: int = BATCH,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose one clip for each request.

        Clip `i` is the same as `compose` makes it for its request.

        Args:
            requests: What each clip is to be; taken as they are needed.
            seed: Of the run, at least 0.
            start: Number of the first clip.
            batch_size: Candidates in hand at once.
            progress: Called with 1 for each clip that is done.

        Raises:
            ValueError: If seed, start or batch_size is out of range.
        """
        _check_run(seed=seed, start=start, batch_size=batch_size)
        return self._in_order(requests, seed, start, batch_size, progress)

    def _in_order(
        self,
        requests: Iterable[Request],
        seed: int,
        start: int,
        batch_size: int,
        progress: Progress,
    ) -> Iterator[Clip]:
        drafts: dict[int, tuple[Draft, Script]] = {}
        clips: dict[int, _Candidates] = {}
        rows = self._rows(requests, seed, start, drafts, clips)
        index = start
        for at, segments in self.engine.write(rows, self._grammar, at_once=batch_size):
            draft, script = drafts.pop(at)
            ids = ids_of(script, segments)
            clips[draft.index].found[draft.candidate] = self._finish(seed, draft, ids)
            if clips[draft.index].complete:
                progress(1)
            while index in clips and clips[index].complete:
                yield clips.pop(index).best()
                index += 1

    def _rows(
        self,
        requests: Iterable[Request],
        seed: int,
        start: int,
        drafts: dict[int, tuple[Draft, Script]],
        clips: dict[int, _Candidates],
    ) -> Iterator[Row]:
        """Return a row for each candidate, and note what it is; several threads may ask."""
        at = 0
        for index, request in enumerate(requests, start):
            clips[index] = _Candidates(request.best_of)
            for candidate in range(request.best_of):
                draft = make_draft(
                    request, self.mapper, seed=seed, index=index, candidate=candidate
                )
                row = self._row(draft)
                drafts[at] = draft, row.script
                yield row
                at += 1

    def _row(self, draft: Draft) -> Row:
        request = draft.request
        script = script_of(
            draft.plan(*self._controls),
            self.tokenizer.vocabulary,
            self._grammar,
            max_repeated=self._max_repeated,
        )
        return Row(
            script,
            Uniforms(draft.rng),
            number=draft.index * request.best_of + draft.candidate,
            temperature=request.temperature,
            top_p=request.top_p,
            guidance=request.guidance,
            n_guided=request.guided_bars,
            steer=self._pilot.steer(draft, script),
        )

    def _finish(self, seed: int, draft: Draft, ids: list[int]) -> Clip:
        beats = draft.n_beats
        score = self.tokenizer.decode(ids, tempo=draft.tempo, n_beats=beats)
        score = score.shift_pitch(transposition(draft.tonic))
        notes = notes_of(score)
        achieved = measure(passage_of(notes, n_beats=beats, tempo=draft.tempo))
        is_major = draft.is_major if "mode" in draft.targets else achieved["mode"] >= 0
        return Clip(
            index=draft.index,
            seed=seed,
            request=draft.request,
            score=score,
            n_bars=draft.n_bars,
            tempo=draft.tempo,
            key=f"{TONIC_NAMES[draft.tonic]} {'major' if is_major else 'minor'}",
            targets=draft.targets,
            achieved=achieved,
            verdict=self.verifier.verdict(notes),
            checkpoint=self.name,
        )


def _check_run(**values: int) -> None:
    for name, value in values.items():
        low = 1 if name in {"count", "batch_size"} else 0
        if not low <= value < 2**63:
            raise ValueError(f"{name} must be at least {low} and below 2**63, got {value}")


def _merit(clip: Clip) -> float:
    """Return how well the verifier hears what was asked; the nearest by listeners' values."""
    emotion, verdict = clip.request.emotion, clip.verdict
    if emotion is None:
        return 0.0
    away = math.hypot(verdict.valence - emotion.valence, verdict.arousal - emotion.arousal)
    return verdict.probabilities[emotion.quadrant] - 0.1 * away


def _read_edges(tables: Mapping[str, Any], names: Sequence[str], kind: str) -> Matrix:
    edges = np.array(tables[f"{kind}edges"], dtype=np.float64)
    if tables[f"{kind}attributes"] != list(names):
        raise ValueError("its attributes are not those of this version")
    if edges.shape != (len(names), N_BINS - 1) or not np.isfinite(edges).all():
        raise ValueError(f"it holds edges of shape {edges.shape}, or not finite ones")
    return edges
