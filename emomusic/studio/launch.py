"""Open the studio: load the checkpoint, build the page, serve it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api

from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion
from emomusic.extras import need
from emomusic.studio.callbacks import AT_ONCE, Callbacks, suggested, wire
from emomusic.studio.components import DEFAULT_FEELING, asset
from emomusic.studio.endpoint import endpoint
from emomusic.studio.page import Page

MAX_WAITING = 32
MAX_FILE = "4mb"
MAX_SESSIONS = 500
"""Gradio keeps half a megabyte of each; who was away the longest is forgotten first."""
SWEEP_S, KEPT_S = 600, 3600
"""Every ten minutes files of the page's cache that are an hour old are removed."""


class LaunchError(ValueError):
    """Tell in one line why the studio cannot be opened."""


def build(composer: Composer) -> gr.Blocks:
    """Return the page.

    Args:
        composer: Of the checkpoint; all people share it.
    """
    with gr.Blocks(
        title="emomusic studio", analytics_enabled=False, delete_cache=(SWEEP_S, KEPT_S)
    ) as blocks:
        page = Page(suggested(composer.mapper, find_emotion(DEFAULT_FEELING)))
        own: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": AT_ONCE}
        api(endpoint(composer), api_name="compose", **own)  # the first takes the name
        wire(blocks, page, Callbacks(composer, page))
    found: gr.Blocks = blocks
    found.queue(max_size=MAX_WAITING)
    return found


def open_studio(
    folder: Path,
    *,
    host: str | None = None,
    port: int | None = None,
    threads: int = 2,
    mcp: bool = False,
    browser: bool = False,
    block: bool = True,
    tell: Callable[[str], object] = print,
) -> gr.Blocks:
    """Serve the studio until it is stopped.

    Args:
        folder: A checkpoint.
        host: Address to listen on; None takes GRADIO_SERVER_NAME, or this machine alone.
        port: None takes GRADIO_SERVER_PORT, or the first free one from 7860 on.
        threads: CPU cores for composing.
        mcp: Whether the endpoint is a tool for agents, too; needs the package `mcp`.
        browser: Whether the page is opened.
        block: Whether to wait until it is stopped.
        tell: Called with where it is.

    Raises:
        LaunchError: If the port is taken.
        MissingExtraError: If `mcp` is wanted and not installed.
        CheckpointError: If the checkpoint cannot be used.
    """
    if mcp:
        need("mcp")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    composer = Composer(folder, threads=threads)
    _warm_up(composer)
    blocks = build(composer)
    try:
        blocks.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            mcp_server=mcp,
            max_file_size=MAX_FILE,
            state_session_capacity=MAX_SESSIONS,
            show_error=True,
            quiet=True,
            run_history=False,
            prevent_thread_lock=True,
            **_looks(),
        )
    except OSError as error:
        raise LaunchError(f"the studio cannot listen: {error}") from error
    tell(f"The studio is at {blocks.local_url} (Ctrl-C ends it).")
    if mcp:
        tell(f"Its tool for agents is at {blocks.local_url}gradio_api/mcp/")
    if block:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # files are removed then, too
        blocks.block_thread()
    return blocks


def _looks() -> dict[str, Any]:
    """Return theme and style; nothing of them is loaded from elsewhere."""
    fonts = ("ui-sans-serif", "system-ui", "sans-serif")
    in_both = {
        "block_title_background_fill": "none",
        "block_title_text_color": "*body_text_color",
        "button_primary_background_fill": "*primary_600",  # a contrast of 4.5 to 1
        "button_primary_background_fill_hover": "*primary_700",
        "button_secondary_border_color": "*border_color_primary",
    }
    theme = gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        font=fonts,
        font_mono=("ui-monospace", "monospace"),
    ).set(
        **in_both,
        **{f"{name}_dark": value for name, value in in_both.items()},
        body_text_color_subdued="*neutral_500",  # the same contrast
        block_title_padding="0",
        block_shadow="none",
        block_border_width="1px",
        button_border_width="1px",
        button_secondary_shadow="none",
        input_shadow="none",
    )
    return {"theme": theme, "css": asset("page.css"), "footer_links": ["api", "settings"]}


def _warm_up(composer: Composer) -> None:
    """Compose a bar, so that the first person does not wait for tables and memory."""
    list(composer.compose(Request(find_emotion(DEFAULT_FEELING), n_bars=1), seed=0))
