"""The piano roll: it shows a clip while it is composed, then plays it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import IntColumn, Notes
from emomusic.studio.components.assets import asset

MAX_NOTES = 50_000
"""As many as a MIDI file may have."""
MAX_S = 86_400.0
"""One day: beyond it, times are a mistake."""
NOTE_COLUMNS = 5
SCRIPTS = ("roll.js", "roll_drawing.js", "roll_player.js")
"""One script in three files, in this order: values, drawing, playing."""
NoteRows = NDArray[np.float64]


def note_rows(notes: Notes, hands: IntColumn) -> NoteRows:
    """Lay out notes for `Roll`: onset and duration in seconds, pitch, velocity, hand.

    Args:
        notes: n notes.
        hands: 0 for the left hand, 1 for the right, shape (n,).

    Returns:
        Shape (n, 5).
    """
    columns = (notes.onset_s, notes.duration_s, notes.pitch, notes.velocity, hands)
    return np.column_stack(columns).astype(np.float64)


def packed(rows: NoteRows) -> str:
    """Write rows of notes as "onset,duration,pitch…;" with times in whole milliseconds.

    gradio walks and compares every number of a list at each update, but sends only the end of a
    string that grew: for 3000 notes 8 ms or 0.02 ms on the server, at each of three updates a
    second.

    Args:
        rows: Shape (n, 3 or more), the first two columns in seconds.
    """
    scale = np.where(np.arange(rows.shape[1]) < 2, 1000, 1)
    whole = np.rint(rows * scale).astype(np.int64).tolist()
    return "".join(",".join(map(str, row)) + ";" for row in whole)


def checked_rows(rows: NoteRows, n_columns: int) -> NoteRows:
    """Return rows of notes as an array of its own that nobody changes.

    Args:
        rows: Notes, one a row: onset, duration (seconds), pitch, and what else a column says.
        n_columns: How many columns there must be.

    Raises:
        ValueError: If the shape is another, there are over 50,000 notes, a time is below 0, over
            a day or not finite, or a pitch is outside 0 to 127.
    """
    own: NoteRows = np.array(rows, dtype=np.float64)
    if own.size == 0:
        own = own.reshape(0, n_columns)
    if own.ndim != 2 or own.shape[1] != n_columns:
        raise ValueError(f"notes must have shape (n, {n_columns}), got {own.shape}")
    if len(own) > MAX_NOTES:
        raise ValueError(f"at most {MAX_NOTES} notes can be shown, got {len(own)}")
    if not np.all((own[:, :2] >= 0) & (own[:, :2] <= MAX_S)):
        raise ValueError(f"onsets and durations must be in [0, {MAX_S:g}] seconds")
    if not np.all((own[:, 2] >= 0) & (own[:, 2] <= 127)):
        raise ValueError("pitches must be in 0 to 127")
    own.flags.writeable = False
    return own


@dataclass(frozen=True, eq=False)
class Roll:
    """Hold what the piano roll shows.

    Attributes:
        notes: Onset and duration in seconds, pitch 0 to 127, velocity 1 to 127 and hand (0 left,
            1 right), shape (n, 5). While composing, let new notes come after the old ones: then
            only they are sent.
        bars: Where each bar begins, in seconds, and last where the last one ends: n + 1 rising
            times for n bars, or none.
        n_bars: Bars asked for; they fix the width while the clip grows.
        composing: Whether more notes will come.
        audio: The path of a sound file in the temporary or the working directory, or None.
        label: What it is, in plain words for screen readers: "nostalgia, 16 bars, D minor".
    """

    notes: NoteRows = field(default_factory=lambda: np.empty((0, NOTE_COLUMNS)))
    bars: tuple[float, ...] = ()
    n_bars: int = 0
    composing: bool = False
    audio: str | Path | None = None
    label: str = ""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is outside its range, or the bars do not rise.
        """
        object.__setattr__(self, "notes", checked_rows(self.notes, NOTE_COLUMNS))
        velocity, hand = self.notes[:, 3], self.notes[:, 4]
        if not np.all((velocity >= 1) & (velocity <= 127)):
            raise ValueError("velocities must be in 1 to 127")
        if not np.all((hand == 0) | (hand == 1)):
            raise ValueError("hands must be 0 (left) or 1 (right)")
        if not all(math.isfinite(time) and 0 <= time <= MAX_S for time in self.bars):
            raise ValueError(f"bars must begin within [0, {MAX_S:g}] seconds")
        if any(end <= start for start, end in zip(self.bars, self.bars[1:], strict=False)):
            raise ValueError("each bar must begin after the one before it")
        if self.n_bars < 0:
            raise ValueError(f"n_bars must be 0 or more, got {self.n_bars}")


class PianoRoll(gr.HTML):
    """Show a clip growing bar by bar; then play it, with cursor, seeking, loop and volume.

    An output only: it takes a `Roll` or None and gives nothing back. The sound file goes through
    gradio's own cache, which copies it, serves that copy alone, and removes it as
    `gr.Blocks(delete_cache=...)` says; the original may be deleted at once.
    """

    def __init__(self, value: Roll | None = None, **kwargs: Any) -> None:
        """Make an empty roll, or one that shows `value`; the rest is as in `gr.HTML`."""
        super().__init__(
            value=value,
            html_template=asset("roll.html"),
            css_template=asset("roll.css"),
            js_on_load="\n".join(asset(name) for name in SCRIPTS),
            apply_default_css=False,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> None:
        """Read nothing: what plays in a browser is no input."""

    def postprocess(self, value: Roll | None) -> dict[str, Any]:  # type: ignore[override]
        """Turn a roll into what the page draws.

        Returns:
            `notes` as `packed` writes them, `bars`, `n_bars`, `composing`, `label`, and `audio`:
            None, or a file that gradio caches and gives a `url`.
        """
        roll = value or Roll()
        return {
            "notes": packed(roll.notes),
            "bars": [round(float(time), 3) for time in roll.bars],
            "n_bars": int(roll.n_bars),
            "composing": bool(roll.composing),
            "label": roll.label,
            "audio": _file(roll.audio),
        }

    def api_info(self) -> dict[str, Any]:
        """Describe the value to programs."""
        return {
            "type": "object",
            "properties": {
                "notes": {"type": "string", "description": "onset_ms,duration_ms,pitch,…;"},
                "bars": {"type": "array", "items": {"type": "number"}},
                "n_bars": {"type": "integer"},
                "composing": {"type": "boolean"},
                "label": {"type": "string"},
                "audio": {"anyOf": [{"type": "object"}, {"type": "null"}]},
            },
        }

    def example_payload(self) -> Any:
        """Return what a browser might send."""
        return None

    def example_value(self) -> Any:
        """Return what a listener might give."""
        return None


def _file(path: str | Path | None) -> dict[str, Any] | None:
    """Name a file so that gradio moves it to its cache and adds a `url` (as `FileData` does)."""
    return None if path is None else {"path": str(path), "meta": {"_type": "gradio.FileData"}}
