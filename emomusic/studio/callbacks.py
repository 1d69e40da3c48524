"""What happens on the page: which component calls what, each for one person."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from emomusic.compose.composer import Composer
from emomusic.compose.fields import Field, Kind
from emomusic.compose.parse import MAX_CHARACTERS, PAGE, ClipSpec, parse_settings_file
from emomusic.emotion import Emotion, EmotionCurve
from emomusic.mapping import Mapper
from emomusic.studio.components import Choice, Feeling, asset, refusal, refusing
from emomusic.studio.page import BARS, FINE, MAX_LENGTH, Page, read_form, show_form
from emomusic.studio.session import Session, StudioPiece, compose
from emomusic.studio.view import Stream, Updates, View, chosen

ADDED_BARS = 8
MAX_CANDIDATES = int((FINE["best_of"].studio or (1, 1))[1])
USUAL_TEMPO = 110.0
"""By which the bars of a length in seconds are guessed before there is a tempo."""
SEED = PAGE["seed"]
VARIATIONS = Field(Kind.WHOLE, name="variations")
AT_ONCE = 2
"""People who are composed for at the same time; the others wait in the queue."""


class Callbacks:
    """Answer what people do on the page."""

    def __init__(self, composer: Composer, page: Page) -> None:
        self.composer, self.page = composer, page
        self.view = View(page, composer.verifier)

    def suggest(self, feeling: Feeling, fixed: dict[str, float]) -> dict[str, Any]:
        """Return where free faders stand; those that are set stay."""
        return {"set": fixed, "suggested": suggested(self.composer.mapper, feeling), "keep": True}

    def set_length(self, unit: str, length: float) -> Updates:
        """Give the picker as many bars as the curve has room for."""
        n_bars = length if unit == BARS else round(length * USUAL_TEMPO / 240)
        return gr.update(n_bars=max(int(n_bars), 2))

    def roll_dice(self) -> int:
        """Return another seed."""
        return secrets.randbelow(1_000_000)

    # Composing

    def compose(
        self, session: Session, *, feeling: Feeling, n_variations: int, seed: int, **form: Any
    ) -> Stream:
        """Compose variations of what the page asks for."""
        with refusing():
            request = read_form(feeling, form)
            seed, n = SEED.read(seed), VARIATIONS.read(n_variations)
        if session.last == (request, seed, n):  # pressed again: another one, then
            seed = self.roll_dice()
        session.last = request, seed, n
        yield {self.page.seed: seed}
        n = min(n, session.n_free)
        if n < 1:
            raise refusal("All eight cards are favourites: let one go first")
        yield from self._compose(session, ClipSpec(request, seed), n=n)

    def _compose(
        self,
        session: Session,
        spec: ClipSpec,
        keep: Callable[[Sequence[StudioPiece]], object] | None = None,
        *,
        n: int = 1,
    ) -> Stream:
        """Compose n clips, the first as it is specified, with this person's lock held.

        What is whole is kept and shown; where nothing else is said, in the place of other cards.
        """
        if not session.lock.acquire(blocking=False):
            raise refusal("Something is being composed already: stop it first")
        try:
            session.stopping.clear()
            with refusing():
                for progress in compose(self.composer, session, spec, n):
                    if not progress.is_over:
                        yield self.view.growing(session, progress, beside=keep is not None)
        finally:
            session.lock.release()  # its files are written while the next may be composed
        if progress.whole:
            with refusing():
                (keep or session.replace_others)(progress.whole)
        yield self.view.settled(session, progress)

    # One take

    def extend(self, session: Session, feeling: Feeling, towards: bool) -> Stream:
        """Continue the chosen piece."""
        take = chosen(session)
        end = feeling.points[-1].emotion if isinstance(feeling, EmotionCurve) else feeling
        request = take.piece.continued(ADDED_BARS, emotion=end if towards else None)
        spec = ClipSpec(request, take.piece.clip.seed if take.piece.clip else 0)
        yield from self._compose(session, spec, lambda pieces: session.change(take, pieces[0]))

    def undo(self, session: Session) -> Stream:
        """Take the last change of the chosen piece back."""
        take = chosen(session)
        words = "There is nothing to undo."
        if session.undo(take):
            words = f"Back to {take.piece.n_bars} bars."
        yield self.view.present(session) | self.view.say(words)

    def add(self, session: Session, move: str | None = None) -> Stream:
        """Add the chosen piece in another mood, or else a variation of it."""
        piece = chosen(session).piece
        request = piece.varied(session.n_titled + 1) if move is None else piece.moved(move)
        spec = ClipSpec(request, *((piece.clip.seed, piece.clip.index) if piece.clip else (0, 0)))
        yield from self._compose(session, spec, lambda pieces: session.add(pieces[0]))

    # Showing

    def select(self, session: Session, choice: Choice) -> Stream:
        """Show another card."""
        yield self.view.nothing()
        if choice.selected < len(session.takes):
            session.selected = choice.selected
            yield self.view.present(session, keep_choice=True)

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
        yield self.view.nothing()
        if path is None:
            return
        with refusing():
            piece = StudioPiece.read(Path(path), self.composer.verifier)
            session.add(piece)
        yield self.view.say(f"Heard {piece.label}.")
        yield self.view.present(session)

    def recall(self, session: Session, path: str | None) -> Stream:
        """Compose the clip of a settings file again."""
        data = None if path is None else Path(path).read_bytes()[: MAX_CHARACTERS + 1]
        yield from self._compose_again(session, data)

    def open_link(self, session: Session, text: str) -> Stream:
        """Compose the clip of a link again."""
        yield from self._compose_again(session, text or None)

    def _compose_again(self, session: Session, text: str | bytes | None) -> Stream:
        yield self.view.nothing()
        if text is None:
            return
        with refusing():
            spec = parse_settings_file(text)
        request, own = spec.request, self.composer.name
        length = request.seconds or request.n_bars or request.default_bars
        if length > MAX_LENGTH or request.best_of > MAX_CANDIDATES:
            raise refusal(
                f"At most {MAX_LENGTH} bars or seconds, {MAX_CANDIDATES} candidates are composed "
                "here, more on the command line"
            )
        if spec.checkpoint not in (None, own):
            gr.Warning(f"These settings are of {spec.checkpoint}: {own} writes another clip.")
        yield self._set(spec)
        yield from self._compose(session, spec)

    def _set(self, spec: ClipSpec) -> Updates:
        """Show in the controls what a clip follows from."""
        page, held = self.page, show_form(spec.request)
        feeling = spec.request.curve or spec.request.emotion
        held["fixed"] = {"set": held["fixed"]}
        updates: Updates = {page.seed: clipped(SEED, spec.seed)}
        if feeling is not None:
            updates[page.picker] = feeling
            held["fixed"]["suggested"] = suggested(self.composer.mapper, feeling)
        held |= {name: clipped(own, held[name]) for name, own in FINE.items()}
        return updates | {page.form[name]: value for name, value in held.items()}


def suggested(mapper: Mapper, feeling: Feeling) -> dict[str, float]:
    """Return what an emotion suggests: the mean of its music; of a curve the mean over bars."""
    emotions = [feeling] if isinstance(feeling, Emotion) else feeling.over(feeling.n_bars)
    bars = mapper.course(emotions, np.random.default_rng(0), diversity=0.0)
    return {name: sum(bar[name] for bar in bars) / len(bars) for name in bars[0]}


def clipped(field: Field, value: Any) -> Any:
    """Return a value as near as its control on the page can show it."""
    low, high, _ = field.studio or (value, value, 0)
    return min(max(value, low), high)


# Which component calls what


def wire(blocks: gr.Blocks, page: Page, do: Callbacks) -> None:
    """Connect components and callbacks; none of them is an endpoint for programs."""
    faders, length = page.form["fixed"], [page.form["unit"], page.form["length"]]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    quick = {**quiet, "queue": False}
    suggest = [page.picker, faders]
    page.picker.change(do.suggest, suggest, faders, trigger_mode="always_last", **quick)
    for control in length:
        control.change(do.set_length, length, page.picker, **quick)
    page.dice.click(do.roll_dice, None, page.seed, **quick)
    page.compose.click(None, js=asset("show_roll.js"), **quick)
    page.stop.click(do.stop, page.session, None, **quick)
    page.variations.favourite(do.favour, [page.session, page.variations], None, **quick)
    page.settings.change(None, page.settings, page.link, js=asset("write_link.js"), **quick)

    doing = [page.compose, page.stop, page.vary, page.extend, page.undo, *page.moves.values()]
    files = [*page.downloads.values(), page.sheet]
    shown = [page.seed, page.status, page.roll, page.variations, page.result, page.settings]
    # Also while the files of the piece before are written; else the next piece would have none.
    queued = {**quiet, "trigger_mode": "multiple", "concurrency_limit": AT_ONCE}

    def slow(
        event: Callable[..., Any],
        listener: Callable[..., Stream],
        *inputs: Any,
        sets: Iterable[Any] = (),
        **more: Any,
    ) -> None:
        composed = event(
            keeping(page.session, listener),
            [page.session, *inputs],
            [page.session, *shown, *doing, *files, *sets],
            concurrency_id="model",
            **queued,
            **more,
        )
        composed.success(  # apart, so that others are composed for meanwhile
            keeping(page.session, do.view.write),
            page.session,
            [page.session, page.status, page.roll, *files],
            concurrency_id="files",
            **queued,
        )

    asked = {"feeling": page.picker, "n_variations": page.n_variations, "seed": page.seed}
    slow(page.compose.click, do.compose, inputs_kwargs={**asked, **page.form})
    slow(page.extend.click, do.extend, page.picker, page.towards)
    slow(page.undo.click, do.undo)
    slow(page.vary.click, do.add)
    for move, button in page.moves.items():
        slow(button.click, partial(do.add, move=move))
    slow(page.variations.select, do.select, page.variations)
    slow(page.music.upload, do.bring, page.music)
    controls = [page.picker, *page.form.values()]
    slow(page.recipe.upload, do.recall, page.recipe, sets=controls)
    slow(blocks.load, do.open_link, page.fragment, sets=controls, js=asset("read_link.js"))


def keeping(state: gr.State, listener: Callable[..., Stream]) -> Callable[..., Stream]:
    """Return a listener of which gradio forgets and removes all in time.

    It gives the session back, too: gradio never ends one that it was not given.
    """

    def listen(session: Session, *inputs: Any, **named: Any) -> Stream:
        with closing(listener(session, *inputs, **named)) as stream:
            for updates in stream:
                yield {state: session, **updates}

    return listen
