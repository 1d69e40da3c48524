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
from emomusic.compose.parse import PAGE, ClipSpec, parse_settings_file
from emomusic.compose.request import Request
from emomusic.emotion import Emotion, EmotionCurve
from emomusic.mapping import Mapper
from emomusic.studio.components import Choice, Feeling, refusal, refusing
from emomusic.studio.exchange import read_piece, read_settings
from emomusic.studio.form import (
    BARS,
    FINE,
    continue_piece,
    read_form,
    shift_piece,
    show_form,
    vary_piece,
)
from emomusic.studio.page import MAX_LENGTH, Page
from emomusic.studio.progress import compose
from emomusic.studio.session import Session, StudioPiece
from emomusic.studio.view import Stream, Updates, View, chosen, label_of

ADDED_BARS = 8
MAX_CANDIDATES = int((FINE["best_of"].studio or (1, 1))[1])
USUAL_TEMPO = 110.0
"""By which the bars of a length in seconds are guessed before there is a tempo."""
SEED = PAGE["seed"]
VARIATIONS = Field(Kind.WHOLE, name="variations")
AT_ONCE = 2
"""People who are composed for at the same time; the others wait in the queue."""
READ_FRAGMENT = """(session, fragment) => {
  // gradio's label names the button that copies, and leaves the field without a name
  document.querySelector('#link input')?.setAttribute('aria-label', 'Link');
  window.addEventListener('hashchange', () => {
    if (location.hash.startsWith('#settings=')) location.reload();
  });
  if (!location.hash.startsWith('#settings=')) return [session, ''];
  try {
    const packed = location.hash.slice(10).replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    return [session, new TextDecoder().decode(bytes)];
  } catch (error) {
    return [session, 'damaged'];
  }
}"""
SHOW_ROLL = """() => {
  if (window.innerWidth < 700) document.getElementById('hearing').scrollIntoView();
}"""
WRITE_LINK = """(settings) => {
  if (!settings) return '';
  const bytes = new TextEncoder().encode(JSON.stringify(JSON.parse(settings)));
  const packed = btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''));
  const plain = packed.replace(/\\+/g, '-').replace(/\\//g, '_').replace(/=+$/, '');
  return location.href.split('#')[0] + '#settings=' + plain;
}"""


class Callbacks:
    """Answer what people do on the page."""

    def __init__(self, composer: Composer, page: Page) -> None:
        """Take the composer that all share, and the page's components."""
        self.composer, self.page = composer, page
        self.view = View(page, composer.verifier)

    # What the emotion suggests

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
        yield from self._compose_anew(session, ClipSpec(request, seed), n)

    def _compose_anew(self, session: Session, spec: ClipSpec, n: int = 1) -> Stream:
        """Compose n clips, the first of them as it is specified, in the place of others."""
        requests, keep = [spec.request] * n, session.replace_others
        yield from self._compose(
            session, requests, keep, seed=spec.seed, start=spec.index, beside=False
        )

    def _compose(
        self,
        session: Session,
        requests: Sequence[Request],
        keep: Callable[[Sequence[StudioPiece]], object],
        *,
        seed: int,
        start: int = 0,
        beside: bool = True,
    ) -> Stream:
        """Compose with this person's lock held; then keep what is whole, and show it."""
        if not session.lock.acquire(blocking=False):
            raise refusal("Something is being composed already: stop it first")
        try:
            session.stopping.clear()
            with refusing():
                for progress in compose(self.composer, session, requests, seed=seed, start=start):
                    if not progress.is_over:
                        yield self.view.growing(session, progress, beside=beside)
        finally:
            session.lock.release()  # its files are written while the next may be composed
        if progress.whole:
            with refusing():
                keep(progress.whole)
        yield self.view.settled(session, progress)

    # One take

    def extend(self, session: Session, feeling: Feeling, towards: bool) -> Stream:
        """Continue the chosen piece."""
        take = chosen(session)
        end = feeling.points[-1].emotion if isinstance(feeling, EmotionCurve) else feeling
        request = continue_piece(take.piece, ADDED_BARS, emotion=end if towards else None)
        seed, _ = _numbers(take.piece)
        yield from self._compose(
            session, [request], lambda pieces: session.change(take, pieces[0]), seed=seed
        )

    def undo(self, session: Session) -> Stream:
        """Take the last change of the chosen piece back."""
        take = chosen(session)
        words = "There is nothing to undo."
        if session.undo(take):
            words = f"Back to {take.piece.n_bars} bars."
        yield self.view.present(session) | self.view.say(words)

    def vary(self, session: Session) -> Stream:
        """Add a variation of the chosen piece."""
        piece = chosen(session).piece
        yield from self._compose_beside(
            session, piece, vary_piece(piece, take=session.n_titled + 1)
        )

    def move(self, session: Session, move: str) -> Stream:
        """Add the chosen piece in another mood."""
        piece = chosen(session).piece
        yield from self._compose_beside(session, piece, shift_piece(piece, move))

    def _compose_beside(self, session: Session, piece: StudioPiece, request: Request) -> Stream:
        seed, index = _numbers(piece)
        yield from self._compose(
            session, [request], lambda pieces: session.add(pieces[0]), seed=seed, start=index
        )

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
            piece = read_piece(Path(path), self.composer.verifier)
            session.add(piece)
        yield self.view.say(f"Heard {label_of(piece)}.")
        yield self.view.present(session)

    def recall(self, session: Session, path: str | None) -> Stream:
        """Compose the clip of a settings file again."""
        yield self.view.nothing()
        if path is not None:
            with refusing():
                spec = read_settings(Path(path))
            yield from self._compose_again(session, spec)

    def open_link(self, session: Session, text: str) -> Stream:
        """Compose the clip of a link again."""
        yield self.view.nothing()
        if text:
            with refusing():
                spec = parse_settings_file(text)
            yield from self._compose_again(session, spec)

    def _compose_again(self, session: Session, spec: ClipSpec) -> Stream:
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
        yield from self._compose_anew(session, spec)

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
    """Return a value as near as its control can show it."""
    return value if field.studio is None else min(max(value, field.studio[0]), field.studio[1])


def _numbers(piece: StudioPiece) -> tuple[int, int]:
    """Return seed and index of a piece; those of what was brought are 0."""
    return (0, 0) if piece.clip is None else (piece.clip.seed, piece.clip.index)


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
    page.compose.click(None, js=SHOW_ROLL, **quick)
    page.stop.click(do.stop, page.session, None, **quick)
    page.variations.favourite(do.favour, [page.session, page.variations], None, **quick)
    page.settings.change(None, page.settings, page.link, js=WRITE_LINK, **quick)

    doing = [page.compose, page.stop, page.vary, page.extend, page.undo, *page.moves.values()]
    files = [*page.downloads.values(), page.sheet]
    shown = [page.seed, page.status, page.roll, page.variations, page.result, page.settings]

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
            trigger_mode="multiple",  # also while the files of the piece before are written
            concurrency_id="model",
            concurrency_limit=AT_ONCE,
            **quiet,
            **more,
        )
        composed.success(  # apart, so that others are composed for meanwhile
            keeping(page.session, do.view.write),
            page.session,
            [page.session, page.status, page.roll, *files],
            trigger_mode="multiple",  # else the next piece has no files while these are written
            concurrency_id="files",
            concurrency_limit=AT_ONCE,
            **quiet,
        )

    asked = {"feeling": page.picker, "n_variations": page.n_variations, "seed": page.seed}
    slow(page.compose.click, do.compose, inputs_kwargs={**asked, **page.form})
    slow(page.extend.click, do.extend, page.picker, page.towards)
    slow(page.undo.click, do.undo)
    slow(page.vary.click, do.vary)
    for move, button in page.moves.items():
        slow(button.click, partial(do.move, move=move))
    slow(page.variations.select, do.select, page.variations)
    slow(page.music.upload, do.bring, page.music)
    controls = [page.picker, *page.form.values()]
    slow(page.recipe.upload, do.recall, page.recipe, sets=controls)
    slow(blocks.load, do.open_link, page.fragment, sets=controls, js=READ_FRAGMENT)


def keeping(state: gr.State, listener: Callable[..., Stream]) -> Callable[..., Stream]:
    """Return a listener of which gradio forgets and removes all in time.

    It gives the session back, too: gradio never ends one that it was not given.
    """

    def listen(session: Session, *inputs: Any, **named: Any) -> Stream:
        with closing(listener(session, *inputs, **named)) as stream:
            for updates in stream:
                yield {state: session, **updates}

    return listen
