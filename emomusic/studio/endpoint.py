"""The one endpoint for programs."""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from emomusic.compose.composer import Composer
from emomusic.compose.fields import Field, Kind
from emomusic.compose.parse import ENDPOINT, ClipSpec, spec_from_options
from emomusic.compose.request import DEFAULT_BARS
from emomusic.files import write_atomically
from emomusic.music.score import dump_score
from emomusic.studio.components import refusal, refusing
from emomusic.verify.explain import explain_score

N_FILES = 64
"""So many answers' files are there at once; gradio copies each as soon as it is answered."""


class Tray:
    """Hold the files of the last answers; those before make room."""

    def __init__(self) -> None:
        """Make a folder that goes with the tray."""
        self._folder = tempfile.TemporaryDirectory(prefix="emomusic_")
        self._numbers = itertools.count()

    def put(self, data: bytes) -> dict[str, Any]:
        """Write a MIDI file that gradio takes into its cache, and serves from there alone.

        Raises:
            gr.Error: If it cannot be written.
        """
        place = Path(self._folder.name) / str(next(self._numbers) % N_FILES)
        path = place / "emomusic.mid"
        try:
            place.mkdir(exist_ok=True)
            write_atomically(path, lambda file: file.write(data))
        except OSError as error:
            raise refusal(f"The file cannot be written: {error.strerror or error}") from error
        return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


EMPTY: dict[Kind, tuple[Any, Any]] = {
    Kind.TEXT: (str, ""),
    Kind.CHOICE: (str, ""),
    Kind.WHOLE: (int, 0),
    Kind.NUMBER: (float | None, None),
    Kind.ATTRIBUTES: (dict[str, float] | None, None),
}
"""Type of a value, and what stands for none."""
USUAL = {"bars": DEFAULT_BARS}


def endpoint(composer: Composer) -> Callable[..., dict[str, Any]]:
    """Return the function that programs call."""
    tray = Tray()

    def compose(*values: Any, **named: Any) -> dict[str, Any]:
        with refusing(TypeError, OverflowError):
            said = dict(SIGNATURE.bind(*values, **named).arguments)
            spec = _spec({name: said.get(name, own.default) for name, own in PARAMETERS.items()})
            (clip,) = composer.compose(spec.request, seed=spec.seed)
        explanation, _ = explain_score(clip.score, composer.verifier)
        return {
            "midi": tray.put(dump_score(clip.score)),
            "card": {**clip.card(), "explanation": explanation.sentence},
            "settings": ClipSpec.of(clip).to_dict(),
        }

    compose.__signature__ = SIGNATURE  # type: ignore[attr-defined]
    compose.__annotations__ = {name: own.annotation for name, own in PARAMETERS.items()}
    compose.__doc__ = DESCRIPTION
    return compose


def _parameter(field: Field) -> inspect.Parameter:
    hint, nothing = EMPTY[field.kind]
    default = USUAL.get(field.name, nothing if field.default is None else field.default)
    return inspect.Parameter(
        field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=hint
    )


def _online(field: Field) -> Field:
    """Return a field with the range that holds where many people share one machine."""
    return field if field.studio is None else replace(field, bounds=field.studio[:2])


FIELDS = {name: _online(field) for name, field in ENDPOINT.items()}
PARAMETERS = {name: _parameter(field) for name, field in FIELDS.items()}
SIGNATURE = inspect.Signature([*PARAMETERS.values()], return_annotation=dict[str, Any])
DESCRIPTION = "\n".join(
    (
        "Compose a piano piece for an emotion, and tell which emotion is heard in it.",
        "",
        "Args:",
        *(
            f"    {name}: {field.explanation}" + (f" In {field.range}." if field.bounds else "")
            for name, field in FIELDS.items()
        ),
        "",
        "Returns:",
        "    `midi`: the MIDI file; `card`: what was asked and what is heard; `settings`: what",
        "    brings the same piece back.",
    )
)


def _spec(said: Mapping[str, Any]) -> ClipSpec:
    """Return what a clip follows from; what programs send is checked here, types too."""
    options: dict[str, Any] = {}
    for name, field in FIELDS.items():
        value = said[name]
        if field.kind is Kind.TEXT:
            value = field.read("" if value is None else value).strip() or None
        if value is not None or field.kind in (Kind.CHOICE, Kind.WHOLE):
            options[name] = field.read(value)
    if ":" in options.get("emotion", ""):
        options["mix"] = options.pop("emotion")
    options["set"] = options.pop("attributes", {})
    return spec_from_options(options)
