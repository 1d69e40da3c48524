"""The page: what stands where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from emomusic.compose.derive import MOVES
from emomusic.compose.fields import Field
from emomusic.compose.parse import LARGEST_SAFE_SEED
from emomusic.compose.request import DEFAULT_BARS, METRES
from emomusic.studio.components.faders import Faders, FaderValues
from emomusic.studio.components.picker import EmotionPicker
from emomusic.studio.components.roll import PianoRoll
from emomusic.studio.components.variations import Variations
from emomusic.studio.desk.asking import ANY, BARS, FINE, KEYS, MODES, SECONDS
from emomusic.studio.desk.session import MAX_TAKES, Session
from emomusic.studio.result import style

FORMATS = {
    "mid": "MIDI",
    "mp3": "MP3",
    "wav": "WAV",
    "musicxml": "MusicXML",
    "svg": "Sheet music",
    "json": "Settings",
    "zip": "All in a ZIP",
}
MIN_LENGTH, MAX_LENGTH = 1, 256
USUAL = {"best_of": 4}
"""What the page begins with, where that is not what a request has by itself."""


@dataclass(frozen=True)
class Parts:
    """Hold the components that listeners read or change."""

    session: gr.State
    picker: EmotionPicker
    n_variations: gr.Slider
    compose: gr.Button
    stop: gr.Button
    form: dict[str, Any]
    seed: gr.Number
    dice: gr.Button
    status: gr.HTML
    roll: PianoRoll
    variations: Variations
    vary: gr.Button
    extend: gr.Button
    undo: gr.Button
    moves: dict[str, gr.Button]
    towards: gr.Checkbox
    result: gr.HTML
    downloads: dict[str, gr.DownloadButton]
    settings: gr.Textbox
    link: gr.Textbox
    sheet: gr.HTML
    music: gr.File
    recipe: gr.File
    fragment: gr.Textbox

    def changed(self) -> set[gr.components.Component]:
        """Return all components that a listener may change."""
        found: set[gr.components.Component] = set()
        for field in fields(self):
            part = getattr(self, field.name)
            found |= {*part.values()} if isinstance(part, dict) else {part}
        return found - {self.session}


def lay_out(suggested: Mapping[str, float]) -> Parts:
    """Make the components, inside the `gr.Blocks` at hand.

    Args:
        suggested: Where free faders stand at first.
    """
    # A state without a time to live goes an hour after the page was closed, and never before.
    made: dict[str, Any] = {"session": gr.State(Session(), delete_callback=_close)}
    gr.HTML(HEADER, elem_id="head")
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=330, elem_id="asking"):
            _feeling(made)
            _shape(made, suggested)
            _fine_print(made)
            _bringing(made)
        with gr.Column(scale=7, min_width=330, elem_id="hearing"):
            _growing(made)
            _choosing(made)
            made["result"] = gr.HTML(
                css_template=style(), apply_default_css=False, elem_id="result", label="Result"
            )
            _taking(made)
    made["fragment"] = gr.Textbox(visible="hidden")
    return Parts(**made)


def _close(session: Session) -> None:
    session.close()


HEADER = """
<header class="studio-head"><h1>emomusic</h1>
<p>Say what you feel. Hear a piano piece that carries it, and see why it does.</p></header>
"""


def _feeling(made: dict[str, Any]) -> None:
    gr.HTML("<h2>Say what you feel</h2>", elem_classes="studio-title")
    made["picker"] = EmotionPicker(elem_id="picker")
    with gr.Row(elem_id="go"):
        made["compose"] = gr.Button("Compose", variant="primary", elem_id="compose", scale=2)
        made["stop"] = gr.Button("Stop", interactive=False, elem_id="stop", scale=1)
    made["n_variations"] = gr.Slider(
        1, MAX_TAKES, value=1, step=1, label="Variations at once", elem_id="n-variations"
    )


def _shape(made: dict[str, Any], suggested: Mapping[str, float]) -> None:
    form = made["form"] = {}
    with gr.Accordion("Shape it", open=False, elem_id="shape"):
        with gr.Row():
            form["unit"] = gr.Radio([BARS, SECONDS], value=BARS, label="Length in", scale=1)
            form["length"] = gr.Slider(
                MIN_LENGTH, MAX_LENGTH, value=DEFAULT_BARS, step=1, label="Length", scale=2,
                elem_id="length",
            )  # fmt: skip
        with gr.Row():
            form["key"] = gr.Dropdown(list(KEYS), value=ANY, label="Key", elem_id="key")
            form["mode"] = gr.Radio(list(MODES), value=ANY, label="Mode", elem_id="mode")
            form["time_signature"] = gr.Radio(list(METRES), value=METRES[0], label="Time signature")
        form["fixed"] = Faders(FaderValues(suggested=suggested), elem_id="faders")


def _fine_print(made: dict[str, Any]) -> None:
    with gr.Accordion("Fine print", open=False, elem_id="fine"):
        with gr.Row():
            made["seed"] = gr.Number(
                0, label="Seed", info="The same seed gives the same clip.", precision=0,
                minimum=0, maximum=LARGEST_SAFE_SEED, elem_id="seed", scale=3,
            )  # fmt: skip
            made["dice"] = gr.Button("Another seed", elem_id="dice", scale=1, min_width=120)
        made["form"] |= {name: _control(name, own) for name, own in FINE.items()}


def _control(name: str, field: Field) -> gr.components.Component:
    """Return what asks for a value that a request describes."""
    own: dict[str, Any] = {
        "value": USUAL.get(name, field.default), "label": field.label, "info": field.help,
        "elem_id": name.replace("_", "-"),
    }  # fmt: skip
    if field.studio is None:
        return gr.Checkbox(**own)
    low, high, step = field.studio
    return gr.Slider(low, high, step=step, **own)


def _growing(made: dict[str, Any]) -> None:
    gr.HTML("<h2>Watch it grow, hear it</h2>", elem_classes="studio-title")
    made["status"] = gr.HTML(said("Nothing composed yet."), elem_id="status")
    made["roll"] = PianoRoll(elem_id="roll")


def _choosing(made: dict[str, Any]) -> None:
    made["variations"] = Variations(elem_id="variations")
    with gr.Row(elem_id="doing"):
        off: dict[str, Any] = {"interactive": False, "size": "sm", "min_width": 100}
        made["vary"] = gr.Button("Vary this one", elem_id="vary", **off)
        made["extend"] = gr.Button("Continue by 8 bars", elem_id="extend", **off)
        made["undo"] = gr.Button("Undo", elem_id="undo", **off)
        made["moves"] = {move: gr.Button(move.capitalize(), elem_id=move, **off) for move in MOVES}
    made["towards"] = gr.Checkbox(
        False, label="Continue towards the feeling set above, not as it goes", elem_id="towards"
    )


def _taking(made: dict[str, Any]) -> None:
    gr.HTML("<h2>Take it away</h2>", elem_classes="studio-title")
    with gr.Row(elem_id="downloads"):
        made["downloads"] = {
            suffix: gr.DownloadButton(
                name, interactive=False, size="sm", min_width=100, elem_id=f"get-{suffix}"
            )
            for suffix, name in FORMATS.items()
        }
    made["settings"] = gr.Textbox(visible="hidden")
    made["link"] = gr.Textbox(
        label="Link that brings this clip back", interactive=False, buttons=["copy"],
        max_lines=1, elem_id="link",
    )  # fmt: skip
    with gr.Accordion("Read the sheet music", open=False, elem_id="reading"):
        made["sheet"] = gr.HTML(elem_id="sheet")


def _bringing(made: dict[str, Any]) -> None:
    with gr.Accordion("Bring your own", open=False, elem_id="bring"), gr.Row():
        made["music"] = gr.File(
            label="A MIDI file: see its emotion, continue it, vary it",
            file_types=[".mid", ".midi"], height=120, elem_id="music",
        )  # fmt: skip
        made["recipe"] = gr.File(
            label="A settings file: have its clip again",
            file_types=[".json"], height=120, elem_id="recipe",
        )  # fmt: skip


def said(words: str) -> str:
    """Return words for the status line; screen readers read what changes there."""
    from html import escape

    return f'<p class="studio-status" role="status" aria-live="polite">{escape(words)}</p>'
