"""Piano rolls: the picture is read back, and what is in it compared with the notes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draw_rolls import draw_piano_rolls
from midi import TPQ, score_of
from symusic import Note, Track

matplotlib_image = pytest.importorskip("matplotlib.image")

LONG = (0, 16, 60, 100)  # four bars: marks the whole width


def read(path: Path) -> Any:
    """Return the red, green and blue of a picture in [0, 1], shape (height, width, 3)."""
    return np.asarray(matplotlib_image.imread(path))[:, :, :3]


def draw(tmp_path: Path, *rolls: list[tuple[float, float, int, int]], title: str = "") -> Any:
    path = tmp_path / "roll.png"
    draw_piano_rolls([score_of(notes) for notes in rolls], path, titles=[title] * len(rolls))
    return read(path)


def coloured(picture: Any) -> Any:
    """Return where a note is: grid, text and keys are grey, the scale is the rightmost block."""
    colour = picture.max(axis=2) - picture.min(axis=2) > 0.2
    columns = np.flatnonzero(colour.any(axis=0))
    colour[:, int(columns[1:][np.diff(columns) > 1][-1]) :] = False
    return colour


def box_of(mask: Any) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom of the part of a picture that is true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], columns[-1] + 1, rows[0], rows[-1] + 1


def test_a_note_lies_where_it_sounds_and_pitch_rises_by_equal_steps(tmp_path: Path) -> None:
    left, right, top, bottom = box_of(coloured(draw(tmp_path, [LONG])))
    mask = coloured(draw(tmp_path, [LONG, (4, 8, 72, 100)]))
    mask[(top + bottom) // 2 - 20 :] = False  # 60 stays in the lower half
    beat = (right - left) / 16
    box = box_of(mask)
    assert box[:2] == pytest.approx((left + 4 * beat, left + 12 * beat), abs=3)
    assert mask[(box[2] + box[3]) // 2, box[0] + 2 : box[1] - 2].all()
    mask = coloured(draw(tmp_path, [(4 * i, 4, 50 + 7 * i, 100) for i in range(4)]))
    left, right, _, _ = box_of(mask)
    quarters = np.array_split(mask[:, left:right], 4, axis=1)
    steps = np.diff([np.flatnonzero(p[:, 20:-20].any(axis=1)).mean() for p in quarters])
    assert (steps < 0).all()  # rows count downwards
    assert steps == pytest.approx(np.full(3, steps.mean()), abs=1.5)


def test_loud_notes_are_darker_and_colours_do_not_depend_on_the_others(tmp_path: Path) -> None:
    def colour_of(*velocities: int) -> Any:
        picture = draw(tmp_path, [(8 * i, 8, 60, loud) for i, loud in enumerate(velocities)])
        left, _, top, bottom = box_of(coloured(picture))
        return picture[(top + bottom) // 2, left + 40]

    brightness = [colour_of(velocity).sum() for velocity in (1, 64, 127)]
    assert (np.diff(brightness) < 0).all()
    np.testing.assert_array_equal(colour_of(64), colour_of(64, 127))


def test_panels_share_their_axes_and_show_titles_as_they_are(tmp_path: Path) -> None:
    picture = draw(tmp_path, [(0, 8, 60, 100)], [(0, 16, 84, 100)])
    assert picture.shape == (600, 1200, 3)
    short, long = (box_of(half) for half in np.split(coloured(picture), 2))
    assert short[0] == long[0]
    assert 2 * (short[1] - short[0]) == pytest.approx(long[1] - long[0], abs=4)
    assert short[2] > long[2] + 50  # both panels show both octaves
    score = score_of([LONG])
    score.tracks.append(Track(is_drum=True))
    score.tracks[1].notes.append(Note(0, TPQ, 38, 127))
    draw_piano_rolls([score], tmp_path / "with.png", titles=[""])
    plain = draw(tmp_path, [LONG])
    np.testing.assert_array_equal(read(tmp_path / "with.png"), plain)  # without its drums
    draw(tmp_path, [LONG], title="$x^$ 5 € _\\frac")  # no formula


def test_what_cannot_be_drawn_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[tuple[Any, str, list[str], str]] = [
        ([LONG], "a.gif", [""], r"must end in \.png, got .*a\.gif"),
        ([LONG], "a.png", ["a", "b"], "got 1 scores, 2 titles"),
        ([], "a.png", [""], "no notes"),
        ([(30_000, 1, 60, 80)], "a.png", [""], "at most 20000 beats can be drawn, got"),
    ]
    for notes, name, titles, words in cases:
        with pytest.raises(ValueError, match=words):
            draw_piano_rolls([score_of(notes)], tmp_path / name, titles=titles)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        draw_piano_rolls([score_of([LONG])], tmp_path / "a.png", titles=[""])
    assert not list(tmp_path.iterdir())


def test_the_script_draws_the_same_bytes_without_pyplot(tmp_path: Path) -> None:
    score_of([LONG]).dump_midi(tmp_path / "a.mid")
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import draw_rolls\n"
        "print(draw_rolls.main(sys.argv[1:]), 'matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "one.png"), str(tmp_path / "a.mid")]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["0", "False"]
    draw_piano_rolls([score_of([LONG])], tmp_path / "two.png", titles=["a"])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
