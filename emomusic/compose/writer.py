"""From settings to sketches: what is asked is drafted, and the engine writes it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from emomusic.compose.asking.given import Themes
from emomusic.compose.asking.request import TOUCH_TOP_P, Request
from emomusic.compose.asking.settings import Settings
from emomusic.compose.drafting.controls import Tables
from emomusic.compose.drafting.draft import Draft, make_draft
from emomusic.compose.drafting.guide import MAX_BAR_NOTES, clip_grammar, script_of
from emomusic.compose.finish import Sketch
from emomusic.compose.steering.pilot import Pilot
from emomusic.mapping.mapper import Mapper
from emomusic.model.engine import Engine, Row, Uniforms
from emomusic.model.events import DURATION, SLOTS, VELOCITY
from emomusic.model.grammar import Grammar, Script
from emomusic.music.tokenizer import Tokenizer

MIN_CONTEXT = 2 * MAX_BAR_NOTES
"""Room for the longest bar, what is given of it, and the clip's controls: so a bar always ends."""


@dataclass(frozen=True)
class Writer:
    """Write what is asked for.

    Attributes:
        engine: Writes ids.
        tokenizer: Of the checkpoint, as the following.
        mapper: Emotions to targets.
        tables: The same.
        pilot: Steers.
        themes: Reads given music.
    """

    engine: Engine
    tokenizer: Tokenizer
    mapper: Mapper
    tables: Tables
    pilot: Pilot
    themes: Themes

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

    def written(
        self, asked: Iterable[Settings], *, batch_size: int, by_segment: bool = False
    ) -> Generator[tuple[int, Sketch], None, None]:
        """Yield sketches that are whole, and of which clip each is: the how many-th asked for.

        Args:
            asked: What each clip is to be; taken as it is needed, by whichever thread.
            batch_size: Candidates in hand at once.
            by_segment: Whether those that are not whole come too, each time they have more bars.
        """
        drafts: dict[int, tuple[int, int, Draft, Script]] = {}
        rows = self._rows(asked, drafts)
        for at, segments in self.engine.write(
            rows, self.grammar, at_once=batch_size, by_segment=by_segment
        ):
            order, seed, draft, script = drafts[at]
            sketch = Sketch(draft, script, segments, seed)
            if sketch.is_whole:
                del drafts[at]
            yield order, sketch

    def _rows(
        self, asked: Iterable[Settings], drafts: dict[int, tuple[int, int, Draft, Script]]
    ) -> Iterator[Row]:
        """Return a row for each candidate, and note what it is; several threads may ask."""
        at = 0
        for order, own in enumerate(asked):
            request = own.request
            self._check(request)
            theme = self.themes.of(request.given, asked_tonic=request.tonic)
            first = request.candidate
            for candidate in range(first, first + request.best_of):
                draft = make_draft(
                    request,
                    self.mapper,
                    seed=own.seed,
                    index=own.index,
                    candidate=candidate,
                    theme=theme,
                    forms=self.tables.forms,
                )
                row = self._row(draft)
                drafts[at] = order, own.seed, draft, row.script
                yield row
                at += 1

    def _check(self, request: Request) -> None:
        """Check that the checkpoint knows what is asked of it.

        Raises:
            ValueError: If it was trained without an attribute that is asked for by its name.
        """
        self.tables.clip.check(request.fixed)
        self.tables.bar.check(request.per_bar)

    def _row(self, draft: Draft) -> Row:
        request = draft.request
        script = script_of(
            draft.plan(self.tables.clip, self.tables.bar),
            self.tokenizer.vocabulary,
            self.grammar,
            context=self.engine.config.context,
        )
        top_p = [request.top_p] * len(SLOTS)
        top_p[VELOCITY] = top_p[DURATION] = TOUCH_TOP_P
        return Row(
            script,
            Uniforms(draft.rng),
            number=draft.index * request.best_of + draft.candidate,
            temperature=request.temperature,
            top_p=tuple(top_p),
            guidance=request.guidance,
            n_guided=request.guided_bars,
            steer=self.pilot.steer(draft, script),
        )
