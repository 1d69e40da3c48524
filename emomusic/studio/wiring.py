"""Which component calls which listener."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import gradio as gr

from emomusic.studio.desk.session import Session
from emomusic.studio.listeners import Listeners
from emomusic.studio.page import Parts
from emomusic.studio.screen import Stream

AT_ONCE = 2
"""People who are composed for at the same time; the others wait in the queue."""
READ_FRAGMENT = """(session, fragment) => {
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
    form = [p.unit, p.length, p.key, p.mode, p.metre, p.faders, p.temperature, p.top_p, p.best_of]
    quick: dict[str, Any] = {
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    p.picker.change(do.suggest, p.picker, p.faders, trigger_mode="always_last", **quick)
    for control in (p.unit, p.length):
        control.change(do.set_length, [p.unit, p.length], p.picker, **quick)
    p.dice.click(do.roll_dice, None, p.seed, **quick)
    p.stop.click(do.stop, p.session, None, **quick)
    p.variations.favourite(do.favour, [p.session, p.variations], None, **quick)
    p.settings.change(None, p.settings, p.link, js=WRITE_LINK, **quick)

    def slow(event: Callable[..., Any], listener: Callable[..., Any], *inputs: Any) -> None:
        event(
            keeping(p.session, listener),
            [p.session, *inputs],
            [p.session, *parts.changed()],
            concurrency_id="model",
            concurrency_limit=AT_ONCE,
            show_progress="hidden",
            api_visibility="private",
        )

    slow(p.compose.click, do.compose, p.picker, *form, p.n_variations, p.seed)
    slow(p.extend.click, do.extend, p.picker, p.towards)
    slow(p.undo.click, do.undo)
    slow(p.vary.click, do.vary)
    for move, button in p.moves.items():
        slow(button.click, partial(do.move, move=move))
    slow(p.variations.select, do.select, p.variations)
    slow(p.music.upload, do.bring, p.music)
    slow(p.recipe.upload, do.recall, p.recipe)
    blocks.load(
        keeping(p.session, do.open_link),
        [p.session, p.fragment],
        [p.session, *parts.changed()],
        js=READ_FRAGMENT,
        concurrency_id="model",
        concurrency_limit=AT_ONCE,
        show_progress="hidden",
        api_visibility="private",
    )


def keeping(state: gr.State, listener: Callable[..., Stream]) -> Callable[..., Stream]:
    """Return a listener that gives the session back, too: gradio forgets none that it never got."""

    def listen(session: Session, *inputs: Any) -> Stream:
        with closing(listener(session, *inputs)) as stream:
            for updates in stream:
                yield {state: session, **updates}

    return listen
