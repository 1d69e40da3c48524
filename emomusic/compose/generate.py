"""The generation loop: specs are planned, the engine writes them, ids become clips."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from symusic.core import ScoreTick, TempoTick, TempoTickList

from emomusic.compose.clip import Clip
from emomusic.compose.parse import ClipSpec
from emomusic.compose.plan import ClipPlan, plan_clip
from emomusic.compose.primer import PrimerCache, join_scores
from emomusic.compose.request import TOUCH_TOP_P, Request
from emomusic.compose.steerer import Steerer
from emomusic.compose.token_plan import (
    MAX_BAR_NOTES,
    Tables,
    body_ids,
    clip_grammar,
    to_script,
    transposition,
)
from emomusic.mapping import Mapper
from emomusic.model.engine import Engine, EngineRow, Uniforms
from emomusic.model.events import DURATION, SLOTS, VELOCITY
from emomusic.model.grammar import Grammar, Script, Segments
from emomusic.music.attributes import measure, passage_of
from emomusic.music.chords import CHORD_NAMES, Chords, format_chords, shift_chords
from emomusic.music.key import TONIC_NAMES, key_correlations
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import HALVES, STEPS_PER_BEAT, Tokenizer
from emomusic.verify.verifier import Verifier


@dataclass(frozen=True, eq=False)
class PartialClip:
    """Hold a candidate of a clip while it is being written.

    Attributes:
        plan: What it is to become.
        script: What was given of it.
        segments: Sampled ids of each whole bar.
        seed: Of the run.
    """

    plan: ClipPlan
    script: Script
    segments: Segments
    seed: int

    @property
    def n_written(self) -> int:
        """Return how many whole bars there are of it, those left out that were given."""
        return len(self.segments)

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is missing."""
        return len(self.segments) == len(self.script.bars)


@dataclass(frozen=True)
class ClipBuilder:
    """Turn partials into scores and clips.

    Attributes:
        tokenizer: Of the checkpoint.
        verifier: The same.
        checkpoint: Its name.
    """

    tokenizer: Tokenizer
    verifier: Verifier
    checkpoint: str

    def written(self, partial: PartialClip) -> ScoreTick:
        """Return the score of what is written so far, as it will sound."""
        plan = partial.plan
        n_beats = float(partial.n_written * plan.request.beats_per_bar)
        ids = body_ids(partial.script, partial.segments)
        score = self.tokenizer.decode(ids, tempo=plan.tempo, n_beats=n_beats)
        if len(set(plan.tempi)) > 1:
            score.tempos = _tempi(plan, partial.n_written)
        return score.shift_pitch(transposition(plan.tonic))

    def score(self, partial: PartialClip) -> ScoreTick:
        """Return the score so far, the music that was to be continued before it."""
        plan, score = partial.plan, self.written(partial)
        if plan.primer is None or plan.request.given is None or not plan.request.continues:
            return score
        return join_scores(plan.request.given.score, score, at=plan.primer.end)

    def chords(self, partial: PartialClip) -> Chords:
        """Return the chords that each bar was written to, given ones or the network's own."""
        plan = partial.plan
        if plan.chords:
            return plan.chords[: partial.n_written]
        first = [
            self.tokenizer.vocabulary.id_of(f"Chord{half}_{CHORD_NAMES[0]}") for half in HALVES
        ]
        own = np.array([segment[:2] for segment in partial.segments], np.int64) - first
        a, b = shift_chords(own, transposition(plan.tonic)).T.tolist()
        return tuple(zip(a, b, strict=True))

    def clip(self, partial: PartialClip) -> Clip:
        """Return the clip that a partial is, even if it is not whole."""
        plan, n_written = partial.plan, partial.n_written
        written, whole = self.written(partial), self.score(partial)
        tempo = plan.tempo_until(n_written)
        n_beats = float(n_written * plan.request.beats_per_bar)
        achieved = measure(passage_of(notes_of(written), n_beats=n_beats, tempo=tempo))
        is_major = plan.is_major if "mode" in plan.targets else achieved["mode"] >= 0
        if plan.chords:
            major, minor = key_correlations(notes_of(written))[:, plan.tonic]
            is_major = bool(major >= minor)
        n_given = plan.primer.n_bars if plan.primer and plan.request.continues else 0
        request = plan.request
        if n_written < plan.n_bars and request.n_kept != n_written:
            # Stopped: of several candidates only this one is there.
            request = replace(request, n_kept=n_written, best_of=1, candidate=plan.candidate)
        return Clip(
            index=plan.index,
            seed=partial.seed,
            candidate=plan.candidate,
            request=request,
            score=whole,
            n_bars=n_given + n_written,
            n_given=n_given,
            tempo=tempo,
            key=f"{TONIC_NAMES[plan.tonic]} {'major' if is_major else 'minor'}",
            chords=format_chords(self.chords(partial)),
            targets=plan.targets,
            achieved=achieved,
            verdict=self.verifier.verdict(notes_of(whole)),
            checkpoint=self.checkpoint,
        )


def _tempi(plan: ClipPlan, n_bars: int) -> TempoTickList:
    """Return the tempo of each bar where it is another than before."""
    tempi, ticks = plan.tempi[:n_bars], plan.request.beats_per_bar * STEPS_PER_BEAT
    return TempoTickList(
        [
            TempoTick(bar * ticks, tempo)
            for bar, tempo in enumerate(tempi)
            if bar == 0 or tempo != tempi[bar - 1]
        ]
    )


MIN_CONTEXT = 2 * MAX_BAR_NOTES
"""Room for the longest bar, what is given of it, and the clip's controls: so a bar always ends."""


@dataclass(frozen=True)
class ClipGenerator:
    """Write what is asked for.

    Attributes:
        engine: Writes ids.
        tokenizer: Of the checkpoint, as the following.
        mapper: Emotions to targets.
        tables: The same.
        steerer: Steers.
        primers: Reads given music.
    """

    engine: Engine
    tokenizer: Tokenizer
    mapper: Mapper
    tables: Tables
    steerer: Steerer
    primers: PrimerCache

    def __post_init__(self) -> None:
        """Check that the engine's weights fit the rest.

        Raises:
            ValueError: If they do not.
        """
        config = self.engine.config
        if len(self.tokenizer.vocabulary) != config.vocab_size:
            raise ValueError("tokenizer and weights do not belong together")
        if config.context < MIN_CONTEXT:
            raise ValueError(f"the context must be at least {MIN_CONTEXT}, got {config.context}")

    @cached_property
    def grammar(self) -> Grammar:
        """Return what may follow what."""
        return clip_grammar(self.tokenizer.vocabulary)

    def generate(
        self, asked: Iterable[ClipSpec], *, batch_size: int, by_segment: bool = False
    ) -> Generator[tuple[int, PartialClip], None, None]:
        """Yield partials that are whole, and of which clip each is: the how many-th asked for.

        Args:
            asked: What each clip is to be; taken as it is needed, by whichever thread.
            batch_size: Candidates in hand at once.
            by_segment: Whether those that are not whole come too, each time they have more bars.
        """
        plans: dict[int, tuple[int, int, ClipPlan, Script]] = {}
        rows = self._rows(asked, plans)
        for at, segments in self.engine.write(
            rows, self.grammar, at_once=batch_size, by_segment=by_segment
        ):
            order, seed, plan, script = plans[at]
            partial = PartialClip(plan, script, segments, seed)
            if partial.is_whole:
                del plans[at]
            yield order, partial

    def _rows(
        self, asked: Iterable[ClipSpec], plans: dict[int, tuple[int, int, ClipPlan, Script]]
    ) -> Iterator[EngineRow]:
        """Return a row for each candidate, and note what it is; several threads may ask."""
        at = 0
        for order, own in enumerate(asked):
            request = own.request
            self._check(request)
            primer = self.primers.context(request.given, asked_tonic=request.tonic)
            first = request.candidate
            for candidate in range(first, first + request.best_of):
                plan = plan_clip(
                    request,
                    self.mapper,
                    seed=own.seed,
                    index=own.index,
                    candidate=candidate,
                    primer=primer,
                    forms=self.tables.forms,
                )
                row = self._row(plan)
                plans[at] = order, own.seed, plan, row.script
                yield row
                at += 1

    def _check(self, request: Request) -> None:
        """Check that the checkpoint knows what is asked of it.

        Raises:
            ValueError: If it was trained without an attribute that is asked for by its name.
        """
        self.tables.clip.check(request.fixed)
        self.tables.bar.check(request.per_bar)

    def _row(self, plan: ClipPlan) -> EngineRow:
        request = plan.request
        script = to_script(
            plan.to_tokens(self.tables.clip, self.tables.bar),
            self.tokenizer.vocabulary,
            self.grammar,
            context=self.engine.config.context,
        )
        top_p = [request.top_p] * len(SLOTS)
        top_p[VELOCITY] = top_p[DURATION] = TOUCH_TOP_P
        return EngineRow(
            script,
            Uniforms(plan.rng),
            number=plan.index * request.best_of + plan.candidate,
            temperature=request.temperature,
            top_p=tuple(top_p),
            guidance=request.guidance,
            n_guided=request.guided_bars,
            steer=self.steerer.steer(plan, script),
        )
