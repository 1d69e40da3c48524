"""Which component calls which listener."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from typing import Any

import gradio as gr

from emomusic.studio.components.roll import Roll
from emomusic.studio.desk.session import Session
from emomusic.studio.listeners import Listeners
from emomusic.studio.page import Parts
from emomusic.studio.screen import Stream

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


def wire(blocks: gr.Blocks, parts: Parts, listeners: Listeners) -> None:
    """Connect components and listeners; none of them is an endpoint for programs."""
    p, do = parts, listeners
    form, faders = p.form.values(), p.form["fixed"]
    length = [p.form["unit"], p.form["length"]]
    quick: dict[str, Any] = {
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    p.picker.change(do.suggest, [p.picker, faders], faders, trigger_mode="always_last", **quick)
    for control in length:
        control.change(do.set_length, length, p.picker, **quick)
    p.dice.click(do.roll_dice, None, p.seed, **quick)
    p.compose.click(None, js=SHOW_ROLL, **quick)
    p.stop.click(do.stop, p.session, None, **quick)
    p.variations.favourite(do.favour, [p.session, p.variations], None, **quick)
    p.settings.change(None, p.settings, p.link, js=WRITE_LINK, **quick)

    def slow(
        event: Callable[..., Any],
        listener: Callable[..., Any],
        *inputs: Any,
        sets: Iterable[Any] = (),
        **more: Any,
    ) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        composed = event(
            keeping(p.session, listener),
            [p.session, *inputs],
            [p.session, *{*shown(parts), *sets}],
            trigger_mode="multiple",  # also while the files of the piece before are written
            concurrency_id="model",
            concurrency_limit=AT_ONCE,
            **quiet,
            **more,
        )
        composed.success(  # apart, so that others are composed for meanwhile
            keeping(p.session, do.screen.write),
            p.session,
            [p.session, p.status, p.roll, *p.downloads.values(), p.sheet],
            trigger_mode="multiple",  # else the next piece has no files while these are written
            concurrency_id="files",
            concurrency_limit=AT_ONCE,
            **quiet,
        )

    slow(p.compose.click, do.compose, p.picker, *form, p.n_variations, p.seed)
    slow(p.extend.click, do.extend, p.picker, p.towards)
    slow(p.undo.click, do.undo)
    slow(p.vary.click, do.vary)
    for move, button in p.moves.items():
        slow(button.click, partial(do.move, move=move))
    slow(p.variations.select, do.select, p.variations)
    slow(p.music.upload, do.bring, p.music)
    slow(p.recipe.upload, do.recall, p.recipe, sets=[p.picker, *form])
    slow(blocks.load, do.open_link, p.fragment, sets=[p.picker, *form], js=READ_FRAGMENT)


def shown(parts: Parts) -> list[Any]:
    """Return what a change of the pieces shows in: gradio makes each anew at every yield."""
    p = parts
    doing = [p.compose, p.stop, p.vary, p.extend, p.undo, *p.moves.values()]
    return [p.seed, p.status, p.roll, p.variations, p.result, *doing, *p.downloads.values(),
            p.settings, p.sheet]  # fmt: skip


def keeping(state: gr.State, listener: Callable[..., Stream]) -> Callable[..., Stream]:
    """Return a listener of which gradio forgets and removes all in time.

    It gives the session back, too: gradio never ends one that it was not given. And it gives
    sound as an update: else gradio loses track of the file.
    """

    def listen(session: Session, *inputs: Any) -> Stream:
        with closing(listener(session, *inputs)) as stream:
            for updates in stream:
                told = {part: _tracked(value) for part, value in updates.items()}
                yield {state: session, **told}

    return listen


def _tracked(value: Any) -> Any:
    return gr.update(value=value) if isinstance(value, Roll) and value.audio else value
