"""The page: what stands where, and which request its controls make."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr

from emomusic.compose.derive import MOVES
from emomusic.compose.fields import Door, Field, Kind
from emomusic.compose.parse import LARGEST_SAFE_SEED, parse_key
from emomusic.compose.request import DEFAULT_BARS, METRES, VALUES, Request
from emomusic.emotion import EmotionCurve
from emomusic.music.key import TONIC_NAMES
from emomusic.music.score import MIDI_SUFFIXES
from emomusic.studio.components import EmotionPicker, Faders, Feeling, PianoRoll, Variations, asset
from emomusic.studio.session import MAX_TAKES, Session

DOWNLOADS = {
    "mid": "MIDI",
    "mp3": "MP3",
    "wav": "WAV",
    "musicxml": "MusicXML",
    "svg": "Sheet music",
    "json": "Settings",
    "zip": "All in a ZIP",
}
ANY = "any"
BARS, SECONDS = "bars", "seconds"
CHOICES = {
    name: Field(Kind.CHOICE, name=name, label=label, choices=choices, default=choices[0])
    for name, label, choices in (
        ("unit", "Length in", (BARS, SECONDS)),
        ("key", "Key", (ANY, *TONIC_NAMES)),
        ("mode", "Mode", (ANY, "major", "minor")),
        ("time_signature", "Time signature", METRES),
    )
}
"""What is chosen among words on the page."""
FINE = {name: own for name, own in VALUES.items() if Door.PAGE in own.doors}
"""What has a control of its own on the page, by name in a request."""
MIN_LENGTH, MAX_LENGTH = 1, 256
USUAL = {"best_of": 4, "performance": 1.0}
"""What the page begins with, where that is not what a request has by itself."""
PIANO = "Piano: Salamander Grand Piano by Alexander Holm, CC BY 3.0, changed."
HEADER = """
<header class="studio-head"><h1>emomusic</h1>
<p>Say what you feel. Hear a piano piece that carries it, and see why it does.</p></header>
"""


class Page:
    """Hold the components that listeners read or change."""

    def __init__(self, suggested: Mapping[str, float]) -> None:
        # A state without a time to live goes an hour after the page was closed, and never before.
        self.session = gr.State(Session(), delete_callback=Session.close)
        self.form: dict[str, Any] = {}
        gr.HTML(HEADER, elem_id="head")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=330, elem_id="asking"):
                self._lay_out_feeling()
                self._lay_out_shape(suggested)
                self._lay_out_fine_print()
                self._lay_out_upload()
            with gr.Column(scale=7, min_width=330, elem_id="hearing"):
                self._lay_out_pieces()
                self.result = gr.HTML(
                    css_template=asset("result.css"), apply_default_css=False, elem_id="result",
                    label="Result",
                )  # fmt: skip
                self._lay_out_downloads()
        self.fragment = gr.Textbox(visible="hidden")

    def _lay_out_feeling(self) -> None:
        _head("Say what you feel")
        self.picker = EmotionPicker(elem_id="picker")
        with gr.Row(elem_id="go"):
            self.compose = gr.Button("Compose", variant="primary", elem_id="compose", scale=2)
            self.stop = gr.Button("Stop", interactive=False, elem_id="stop", scale=1)
        self.n_variations = gr.Slider(
            1, MAX_TAKES, value=1, step=1, label="Variations at once", elem_id="n-variations"
        )

    def _lay_out_shape(self, suggested: Mapping[str, float]) -> None:
        with gr.Accordion("Shape it", open=False, elem_id="shape"):
            with gr.Row():
                self._ask("unit", scale=1)
                self.form["length"] = gr.Slider(
                    MIN_LENGTH, MAX_LENGTH, value=DEFAULT_BARS, step=1, label="Length", scale=2,
                    elem_id="length",
                )  # fmt: skip
            with gr.Row():
                for name in ("key", "mode", "time_signature"):
                    self._ask(name)
            value = {"set": {}, "suggested": dict(suggested)}
            self.form["fixed"] = Faders(value, elem_id="faders")

    def _lay_out_fine_print(self) -> None:
        with gr.Accordion("Fine print", open=False, elem_id="fine"):
            with gr.Row():
                self.seed = gr.Number(
                    0, label="Seed", info="The same seed gives the same clip.", precision=0,
                    minimum=0, maximum=LARGEST_SAFE_SEED, elem_id="seed", scale=3,
                )  # fmt: skip
                self.dice = gr.Button("Another seed", elem_id="dice", scale=1, min_width=120)
            for name in FINE:
                self._ask(name)

    def _lay_out_upload(self) -> None:
        with gr.Accordion("Bring your own", open=False, elem_id="bring"), gr.Row():
            self.music = gr.File(
                label="A MIDI file: see its emotion, continue it, vary it",
                file_types=[*MIDI_SUFFIXES], height=120, elem_id="music",
            )  # fmt: skip
            self.recipe = gr.File(
                label="A settings file: have its clip again",
                file_types=[".json"], height=120, elem_id="recipe",
            )  # fmt: skip

    def _lay_out_pieces(self) -> None:
        _head("Watch it grow, hear it")
        self.status = gr.HTML(status_line("Nothing composed yet."), elem_id="status")
        self.roll = PianoRoll(elem_id="roll")
        self.variations = Variations(elem_id="variations")
        with gr.Row(elem_id="doing"):
            off: dict[str, Any] = {"interactive": False, "size": "sm", "min_width": 100}
            self.vary = gr.Button("Vary this one", elem_id="vary", **off)
            self.extend = gr.Button("Continue by 8 bars", elem_id="extend", **off)
            self.undo = gr.Button("Undo", elem_id="undo", **off)
            self.moves = {move: gr.Button(move.capitalize(), elem_id=move, **off) for move in MOVES}
        self.towards = gr.Checkbox(
            False, label="Continue towards the feeling set above, not as it goes", elem_id="towards"
        )

    def _lay_out_downloads(self) -> None:
        _head("Take it away")
        with gr.Row(elem_id="downloads"):
            self.downloads = {
                suffix: gr.DownloadButton(
                    name, interactive=False, size="sm", min_width=100, elem_id=f"get-{suffix}"
                )
                for suffix, name in DOWNLOADS.items()
            }
        self.settings = gr.Textbox(visible="hidden")
        self.link = gr.Textbox(
            label="Link that brings this clip back", interactive=False, buttons=["copy"],
            max_lines=1, elem_id="link",
        )  # fmt: skip
        with gr.Accordion("Read the sheet music", open=False, elem_id="reading"):
            self.sheet = gr.HTML(elem_id="sheet")
        gr.HTML(f'<p class="studio-status">{PIANO}</p>')

    def _ask(self, name: str, **more: Any) -> None:
        """Put what asks for a value that a form has."""
        field: Field = (CHOICES | FINE)[name]
        own: dict[str, Any] = {
            "value": USUAL.get(name, field.default), "label": field.label,
            "info": field.help or None, "elem_id": name.replace("_", "-"), **more,
        }  # fmt: skip
        if field.choices:
            kind = gr.Dropdown if name == "key" else gr.Radio
            self.form[name] = kind([*field.choices], **own)
        elif field.studio is not None:
            low, high, step = field.studio
            self.form[name] = gr.Slider(low, high, step=step, **own)


def status_line(words: str) -> str:
    """Return words for the status line; screen readers read what changes there."""
    return f'<p class="studio-status" role="status" aria-live="polite">{escape(words)}</p>'


def _head(words: str) -> None:
    gr.HTML(f"<h2>{words}</h2>", elem_classes="studio-title")


def read_form(feeling: Feeling | None, form: Mapping[str, Any]) -> Request:
    """Return the request that the page's controls make.

    The form holds `CHOICES`, the `length` in bars or seconds, `fixed` attributes, and `FINE`; what
    is missing is not said.

    Raises:
        ValueError: If a value is of another kind or out of its range.
    """
    unit, key, mode, metre = (
        field.read(form.get(name, field.default)) for name, field in CHOICES.items()
    )
    in_bars = unit == BARS
    length = VALUES["n_bars" if in_bars else "seconds"].read(form.get("length", DEFAULT_BARS))
    curve = None
    if isinstance(feeling, EmotionCurve):
        curve, feeling = feeling, feeling.mean(length if in_bars else feeling.n_bars)
    return Request(
        feeling,
        curve=curve,
        n_bars=length if in_bars else None,
        seconds=None if in_bars else length,
        tonic=None if key == ANY else parse_key(key)[0],
        is_major=None if mode == ANY else mode == "major",
        time_signature=None if metre == METRES[0] else metre,
        fixed=form.get("fixed", {}),
        **{name: form[name] for name in FINE if name in form},
    )


def show_form(request: Request) -> dict[str, Any]:
    """Return what the controls are to hold for a request; the picker has its emotion."""
    tempo = {} if request.tempo is None else {"tempo": request.tempo}
    is_major = request.is_major
    return {
        "unit": BARS if request.seconds is None else SECONDS,
        "length": request.seconds or request.n_bars or request.default_bars,
        "key": ANY if request.tonic is None else TONIC_NAMES[request.tonic],
        "mode": ANY if is_major is None else "major" if is_major else "minor",
        "time_signature": request.time_signature or METRES[0],
        "fixed": {**request.fixed, **tempo},
        **{name: getattr(request, name) for name in FINE},
    }
