"""What happens on the page: listeners, each for one person."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from emomusic.compose.composer import Composer
from emomusic.compose.fields import Field, Kind
from emomusic.compose.parse import PAGE, ClipSpec, parse_settings_file
from emomusic.compose.request import Request
from emomusic.mapping.mapper import Mapper
from emomusic.studio.components.faders import FaderValues
from emomusic.studio.components.picker import (
    EmotionPicker,
    Feeling,
    curved_feeling,
    point_feeling,
)
from emomusic.studio.components.variations import Choice
from emomusic.studio.desk.asking import BARS, FINE, Form, continue_piece, shift_piece, vary_piece
from emomusic.studio.desk.bringing import read_piece, read_settings
from emomusic.studio.desk.composing import Growing, compose
from emomusic.studio.desk.session import Session, StudioPiece, Take
from emomusic.studio.desk.showing import label_of
from emomusic.studio.page import (
    MAX_LENGTH,
    Parts,
    said,
)
from emomusic.studio.screen import Screen, Stream, Updates, chosen

ADDED_BARS = 8
MAX_CANDIDATES = int((FINE["best_of"].studio or (1, 1))[1])
USUAL_TEMPO = 110.0
"""By which the bars of a length in seconds are guessed before there is a tempo."""
SEED = PAGE["seed"]
VARIATIONS = Field(Kind.WHOLE, name="variations")


class Listeners:
    """Answer what people do on the page."""

    def __init__(self, composer: Composer, parts: Parts) -> None:
        """Take the composer that all share, and the page's components."""
        self.composer, self.parts = composer, parts
        self.screen = Screen(parts, composer.verifier)

    # What the emotion suggests

    def suggest(self, feeling: Feeling, fixed: dict[str, float]) -> FaderValues:
        """Return where free faders stand; those that are set stay."""
        return FaderValues(fixed, suggested(self.composer.mapper, feeling), keep=True)

    def set_length(self, unit: str, length: float) -> Any:
        """Return the picker with as many bars as the curve has room for."""
        n_bars = length if unit == BARS else round(length * USUAL_TEMPO / 240)
        return EmotionPicker(n_bars=max(int(n_bars), 2))

    def _nothing(self) -> Updates:
        """Return an update of nothing: a listener that yields none would empty the page."""
        return {self.parts.status: gr.skip()}

    def roll_dice(self) -> int:
        """Return another seed."""
        return secrets.randbelow(1_000_000)

    # Composing

    def compose(self, session: Session, feeling: Feeling, *values: Any) -> Stream:
        """Compose variations of what the page asks for."""
        *form, n_variations, seed = values
        try:
            request = asked(feeling, dict(zip(self.parts.form, form, strict=True)))
            seed, n = SEED.read(seed), VARIATIONS.read(n_variations)
        except ValueError as error:
            raise gr.Error(f"{error}.", print_exception=False) from error
        if session.last == (request, seed, n):  # pressed again: another one, then
            seed = self.roll_dice()
        session.last = request, seed, n
        yield {self.parts.seed: seed}
        n = min(n, session.n_free)
        if n < 1:
            raise gr.Error(
                "All eight cards are favourites: let one go first.", print_exception=False
            )
        yield from self._compose(session, [request] * n, seed)

    def _compose(
        self, session: Session, requests: list[Request], seed: int, start: int = 0
    ) -> Stream:
        for growing in self._written(session, requests, seed, start):
            if not growing.is_over:
                yield self.screen.growing(session, growing)
                continue
            if growing.whole:
                takes = [Take(session.title(), [piece]) for piece in growing.whole]
                session.replace_others(takes)
            yield self.screen.settled(session, growing)

    def _written(
        self, session: Session, requests: list[Request], seed: int, start: int = 0
    ) -> Iterator[Growing]:
        """Compose with this person's lock held, and with one sentence for what goes wrong."""
        if not session.lock.acquire(blocking=False):
            raise gr.Error(
                "Something is being composed already: stop it first.", print_exception=False
            )
        try:
            session.stopping.clear()
            for growing in compose(self.composer, session, requests, seed=seed, start=start):
                if not growing.is_over:
                    yield growing
        except ValueError as error:
            raise gr.Error(f"{error}.", print_exception=False) from error
        finally:
            session.lock.release()
        yield growing  # unlocked: its files are written while the next may be composed

    # One take

    def extend(self, session: Session, feeling: Feeling, towards: bool) -> Stream:
        """Continue the chosen piece."""
        take = chosen(session)
        emotion = None
        if towards:
            emotion = feeling.emotion
            if feeling.curve is not None:
                emotion = feeling.curve.points[-1].emotion
        request = continue_piece(take.piece, ADDED_BARS, emotion=emotion)
        for growing in self._written(session, [request], _seed_of(take.piece)):
            if not growing.is_over:
                yield self.screen.growing_alone(growing)
                continue
            for piece in growing.whole:
                take.change(piece)
                session.run += 1
            yield self.screen.settled(session, growing)

    def undo(self, session: Session) -> Stream:
        """Take the last change of the chosen piece back."""
        take = chosen(session)
        words = "There is nothing to undo."
        if take.undo():
            session.run += 1
            words = f"Back to {take.piece.n_bars} bars."
        yield self.screen.present(session) | {self.parts.status: said(words)}

    def vary(self, session: Session) -> Stream:
        """Add a variation of the chosen piece."""
        piece = chosen(session).piece
        request = vary_piece(piece, take=session.n_titled + 1)
        yield from self._beside(session, request, piece)

    def move(self, session: Session, move: str) -> Stream:
        """Add the chosen piece in another mood."""
        piece = chosen(session).piece
        yield from self._beside(session, shift_piece(piece, move), piece)

    def _beside(self, session: Session, request: Request, piece: StudioPiece) -> Stream:
        index = 0 if piece.clip is None else piece.clip.index
        for growing in self._written(session, [request], _seed_of(piece), index):
            if not growing.is_over:
                yield self.screen.growing_alone(growing)
                continue
            for found in growing.whole:
                try:
                    session.add(Take(session.title(), [found]))
                except ValueError as error:
                    raise gr.Error(f"{error}.", print_exception=False) from error
            yield self.screen.settled(session, growing)

    # Showing

    def select(self, session: Session, choice: Choice) -> Stream:
        """Show another card."""
        yield self._nothing()
        if choice.selected < len(session.takes):
            session.selected = choice.selected
            yield self.screen.present(session, keep_choice=True)

    def favour(self, session: Session, choice: Choice) -> None:
        """Note which cards are favourites."""
        for at, take in enumerate(session.takes):
            take.is_favourite = at in choice.favourites

    def stop(self, session: Session) -> None:
        """Stop what this person is composing."""
        session.stopping.set()

    # Bringing

    def bring(self, session: Session, path: str | None) -> Stream:
        """Hear a MIDI file, and put it among the cards."""
        yield self._nothing()
        if path is None:
            return
        try:
            piece = read_piece(Path(path), self.composer.verifier)
            session.add(Take(session.title(), [piece]))
        except ValueError as error:
            raise gr.Error(f"{error}.", print_exception=False) from error
        yield {self.parts.status: said(f"Heard {label_of(piece)}.")}
        yield self.screen.present(session)

    def recall(self, session: Session, path: str | None) -> Stream:
        """Compose the clip of a settings file again."""
        yield self._nothing()
        if path is not None:
            yield from self._again(session, lambda: read_settings(Path(path)))

    def open_link(self, session: Session, text: str) -> Stream:
        """Compose the clip of a link again."""
        yield self._nothing()
        if text:
            yield from self._again(session, lambda: parse_settings_file(text))

    def _again(self, session: Session, read: Callable[[], ClipSpec]) -> Stream:
        try:
            settings = read()
        except ValueError as error:
            raise gr.Error(f"{error}.", print_exception=False) from error
        request = settings.request
        length = request.seconds or request.n_bars or request.default_bars
        if length > MAX_LENGTH or request.best_of > MAX_CANDIDATES:
            raise gr.Error(
                f"At most {MAX_LENGTH} bars or seconds, {MAX_CANDIDATES} candidates are composed "
                "here, more on the command line.",
                print_exception=False,
            )
        if settings.checkpoint not in (None, self.composer.name):
            gr.Warning(
                f"These settings are of {settings.checkpoint}: {self.composer.name} writes "
                "another clip."
            )
        yield self._set(settings)
        yield from self._compose(session, [settings.request], settings.seed, settings.index)

    def _set(self, settings: ClipSpec) -> Updates:
        """Show settings in the controls."""
        p, form = self.parts, Form.of(settings.request)
        feeling = None if form.curve is None else curved_feeling(form.curve)
        if form.emotion is not None:
            feeling = point_feeling(form.emotion)
        free = None if feeling is None else suggested(self.composer.mapper, feeling)
        shown = {
            "unit": form.unit, "length": form.length, "key": form.key, "mode": form.mode,
            "time_signature": form.time_signature, "fixed": FaderValues(form.fixed, free),
            **{name: clipped(FINE[name], value) for name, value in form.fine.items()},
        }  # fmt: skip
        updates: Updates = {p.form[name]: value for name, value in shown.items()}
        updates[p.seed] = clipped(SEED, settings.seed)
        if feeling is not None:
            updates[p.picker] = feeling
        return updates


def suggested(mapper: Mapper, feeling: Feeling) -> dict[str, float]:
    """Return what an emotion suggests: the mean of its music; of a curve the mean over bars."""
    emotions = [feeling.emotion] if feeling.emotion is not None else []
    if feeling.curve is not None:
        emotions = [*feeling.curve.over(feeling.curve.n_bars)]
    bars = mapper.course(emotions, np.random.default_rng(0), diversity=0.0)
    return {name: sum(bar[name] for bar in bars) / len(bars) for name in bars[0]}


def asked(feeling: Feeling, form: Mapping[str, Any]) -> Request:
    """Return the request that the page's controls make.

    Args:
        feeling: What the picker holds.
        form: What all other controls hold, by name.

    Raises:
        ValueError: If a value is of another kind or out of its range.
    """
    fine = {name: form[name] for name in FINE}
    shape = {name: value for name, value in form.items() if name not in FINE}
    return Form(emotion=feeling.emotion, curve=feeling.curve, fine=fine, **shape).request()


def clipped(field: Field, value: Any) -> Any:
    """Return a value as near as its control can show it."""
    return value if field.studio is None else min(max(value, field.studio[0]), field.studio[1])


def _seed_of(piece: StudioPiece) -> int:
    return 0 if piece.clip is None else piece.clip.seed
