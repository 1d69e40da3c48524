"""Open the studio: load the checkpoint, build the page and the one endpoint, serve them."""

from __future__ import annotations

import inspect
import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api

from emomusic.compose.composer import Composer
from emomusic.compose.fields import Field, Kind
from emomusic.compose.parse import ENDPOINT, ClipSpec, spec_from_options
from emomusic.compose.request import DEFAULT_BARS, Request
from emomusic.emotion import find_emotion
from emomusic.extras import need
from emomusic.files import write_bytes
from emomusic.studio.callbacks import AT_ONCE, Callbacks, suggested, wire
from emomusic.studio.components import DEFAULT_FEELING, asset, file_data, refusal, refusing
from emomusic.studio.page import Page
from emomusic.verify.explain import explain_score

MAX_WAITING = 32
MAX_FILE = "4mb"
MAX_SESSIONS = 500
"""Gradio keeps half a megabyte of each; who was away the longest is forgotten first."""
SWEEP_S, KEPT_S = 600, 3600
"""Every ten minutes files of the page's cache that are an hour old are removed."""
N_FILES = 64
"""So many answers' files are there at once; gradio copies each as soon as it is answered."""


class LaunchError(ValueError):
    """Tell in one line why the studio cannot be opened."""


def build(composer: Composer) -> gr.Blocks:
    """Return the page of a checkpoint's composer, which all people share."""
    with gr.Blocks(
        title="emomusic studio", analytics_enabled=False, delete_cache=(SWEEP_S, KEPT_S)
    ) as blocks:
        page = Page(suggested(composer.mapper, find_emotion(DEFAULT_FEELING)))
        limit = {"concurrency_id": "model", "concurrency_limit": AT_ONCE}
        api(endpoint(composer), api_name="compose", **limit)  # the first takes the name
        wire(blocks, page, Callbacks(composer, page))
    blocks.queue(max_size=MAX_WAITING)
    return blocks


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
    # A bar, so that the first person does not wait for tables and memory.
    list(composer.compose(Request(find_emotion(DEFAULT_FEELING), n_bars=1), seed=0))
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
            theme=_theme(),
            css=asset("page.css"),
            footer_links=["api", "settings"],
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


def _theme() -> gr.themes.Base:
    """Return a theme of which nothing is loaded from elsewhere."""
    in_both = {
        "block_title_background_fill": "none",
        "block_title_text_color": "*body_text_color",
        "button_primary_background_fill": "*primary_600",  # a contrast of 4.5 to 1
        "button_primary_background_fill_hover": "*primary_700",
        "button_secondary_border_color": "*border_color_primary",
    }
    soft = gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        font=("ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )
    return soft.set(
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


# The one endpoint for programs

EMPTY: dict[Kind, tuple[Any, Any]] = {
    Kind.TEXT: (str, ""),
    Kind.CHOICE: (str, ""),
    Kind.WHOLE: (int, 0),
    Kind.NUMBER: (float | None, None),
    Kind.ATTRIBUTES: (dict[str, float] | None, None),
}
"""Type of a value, and what stands for none."""
# Fields have the range that holds where many people share one machine.
FIELDS = {
    name: replace(own, bounds=own.studio[:2]) if own.studio else own
    for name, own in ENDPOINT.items()
}


def endpoint(composer: Composer) -> Callable[..., dict[str, Any]]:
    """Return the function that programs call."""
    folder, numbers = tempfile.TemporaryDirectory(prefix="emomusic_"), itertools.count()
    parameters = [*map(_parameter, FIELDS.values())]
    signature = inspect.Signature(parameters, return_annotation=dict[str, Any])

    def compose(*values: Any, **named: Any) -> dict[str, Any]:
        with refusing(TypeError, OverflowError):
            bound = signature.bind(*values, **named)
            bound.apply_defaults()
            spec = _spec(bound.arguments)
            (clip,) = composer.compose(spec.request, seed=spec.seed)
        path = Path(folder.name) / str(next(numbers) % N_FILES) / "emomusic.mid"
        try:
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, clip.midi)
        except OSError as error:
            raise refusal(f"The file cannot be written: {error.strerror or error}") from error
        explanation, _ = explain_score(clip.score, composer.verifier)
        return {
            "midi": file_data(str(path)),
            "card": {**clip.card(), "explanation": explanation.sentence},
            "settings": ClipSpec.of(clip).to_dict(),
        }

    compose.__signature__ = signature  # type: ignore[attr-defined]
    compose.__annotations__ = {own.name: own.annotation for own in parameters}
    compose.__doc__ = DESCRIPTION
    return compose


def _parameter(field: Field) -> inspect.Parameter:
    hint, nothing = EMPTY[field.kind]
    default = nothing if field.default is None else field.default
    default = DEFAULT_BARS if field.name == "bars" else default
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(field.name, kind, default=default, annotation=hint)


_EXPLAINED = "\n".join(
    f"    {name}: {own.explanation}" + (f" In {own.range}." if own.bounds else "")
    for name, own in FIELDS.items()
)
DESCRIPTION = f"""Compose a piano piece for an emotion, and tell which emotion is heard in it.

Args:
{_EXPLAINED}

Returns:
    `midi`: the MIDI file; `card`: what was asked and what is heard; `settings`: what
    brings the same piece back.
"""


def _spec(said: Mapping[str, Any]) -> ClipSpec:
    """Return what a clip follows from; what programs send is checked here, types too."""
    options: dict[str, Any] = {}
    for name, field in FIELDS.items():
        value = said[name]
        if field.kind is Kind.TEXT:
            value = field.read("" if value is None else value).strip() or None
        if field.kind is Kind.CHOICE:
            value = value or None
        if value is not None or field.kind is Kind.WHOLE:
            options[name] = field.read(value)
    if ":" in options.get("emotion", ""):
        options["mix"] = options.pop("emotion")
    options["set"] = options.pop("attributes", {})
    return spec_from_options(options)
