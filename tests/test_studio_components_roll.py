"""The piano roll's Python side: what it accepts, what it sends, how the sound is served."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.processing_utils import async_move_files_to_cache

from emomusic.music.notes import Notes
from emomusic.studio.components.assets import asset
from emomusic.studio.components.roll import SCRIPTS, PianoRoll, Roll, note_rows, packed

ROWS = np.array([[0.0, 0.5, 60, 80, 1], [0.2504, 1.0, 36, 127, 0]])


def sent(roll: Roll | None) -> dict[str, Any]:
    return PianoRoll().postprocess(roll)


def test_notes_are_laid_out_in_seconds_with_their_hands() -> None:
    notes = Notes(
        onset=np.array([0.0, 1.0]),
        duration=np.array([1.0, 1.0]),
        onset_s=np.array([0.0, 0.5]),
        duration_s=np.array([0.5, 0.25]),
        pitch=np.array([60, 40]),
        velocity=np.array([80, 90]),
    )
    rows = note_rows(notes, np.array([1, 0]))
    assert rows.tolist() == [[0, 0.5, 60, 80, 1], [0.5, 0.25, 40, 90, 0]]


def test_a_roll_is_sent_as_plain_json() -> None:
    value = sent(Roll(ROWS, bars=(0.0, 2.00049), n_bars=4, composing=True, label="calm, 4 bars"))
    assert value == {
        "notes": "0,500,60,80,1;250,1000,36,127,0;",
        "bars": [0.0, 2.0],
        "n_bars": 4,
        "composing": True,
        "label": "calm, 4 bars",
        "audio": None,
    }


def test_no_roll_is_sent_as_an_empty_one() -> None:
    assert sent(None) == sent(Roll())
    assert sent(None)["notes"] == "" and sent(None)["bars"] == []


def test_new_notes_only_add_to_the_end_of_what_was_sent() -> None:
    assert packed(ROWS).startswith(packed(ROWS[:1]))
    assert packed(np.empty((0, 5))) == ""


def test_a_roll_keeps_its_own_notes() -> None:
    rows = ROWS.copy()
    roll = Roll(rows)
    rows[:] = 0
    assert roll.notes.tolist() == ROWS.tolist()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 1, 60, 80], r"notes must have shape \(n, 5\), got \(1, 4\)"),
        ([-1, 1, 60, 80, 1], "onsets and durations must be in"),
        ([0, float("nan"), 60, 80, 1], "onsets and durations must be in"),
        ([0, float("inf"), 60, 80, 1], "onsets and durations must be in"),
        ([0, 1, 128, 80, 1], "pitches must be in 0 to 127"),
        ([0, 1, 60, 0, 1], "velocities must be in 1 to 127"),
        ([0, 1, 60, 80, 2], r"hands must be 0 \(left\) or 1 \(right\)"),
    ],
)
def test_notes_out_of_range_are_refused(row: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Roll(np.array([row]))


def test_a_flood_of_notes_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 50000 notes can be shown, got 50001"):
        Roll(np.tile(ROWS[:1], (50_001, 1)))


def test_bars_must_rise() -> None:
    with pytest.raises(ValueError, match="each bar must begin after the one before it"):
        Roll(bars=(0.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="bars must begin within"):
        Roll(bars=(0.0, float("nan")))
    with pytest.raises(ValueError, match="n_bars must be 0 or more, got -1"):
        Roll(n_bars=-1)


def test_the_sound_is_served_from_the_cache_and_not_from_where_it_was(tmp_path: Path) -> None:
    sound = tmp_path / "<b> my clip.mp3"
    sound.write_bytes(b"sound")
    roll = PianoRoll()
    roll.GRADIO_CACHE = str(tmp_path / "cache")
    value = roll.postprocess(Roll(audio=sound))
    audio = asyncio.run(async_move_files_to_cache(value, roll, postprocess=True))["audio"]
    assert Path(audio["path"]).is_relative_to(tmp_path / "cache")
    assert Path(audio["path"]).read_bytes() == b"sound"
    assert audio["url"].startswith("/gradio_api/file=") and "<" not in audio["url"]
    assert audio["path"] in roll.temp_files, "delete_cache would never remove it"


@pytest.mark.parametrize("payload", [None, "text", {"audio": {"path": "/etc/passwd"}}, [1, 2]])
def test_nothing_is_read_from_a_browser(payload: Any) -> None:
    answer: object = PianoRoll().preprocess(payload)  # type: ignore[func-returns-value]
    assert answer is None


def test_the_value_is_described_to_programs() -> None:
    info = PianoRoll().api_info()
    assert info["type"] == "object"
    assert set(info["properties"]) == set(sent(None))


def test_markup_and_style_hold_no_placeholders() -> None:
    for text in (asset("roll.html"), asset("roll.css")):
        assert not any(mark in text for mark in ("${", "{{", "`", "\\"))


def test_words_never_enter_the_page_as_markup() -> None:
    script = "".join(asset(name) for name in SCRIPTS)
    assert not any(way in script for way in ("innerHTML", "outerHTML", "insertAdjacentHTML"))


def test_it_stands_in_a_page() -> None:
    with gr.Blocks() as page:
        PianoRoll(Roll(ROWS, label="calm"), elem_id="roll")
    (part,) = [c for c in page.get_config_file()["components"] if c["type"] == "html"]
    assert part["props"]["value"]["label"] == "calm"
