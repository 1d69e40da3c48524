"""Piano rolls: the picture is read back, and what is in it compared with the notes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from symusic import Note, Score, TimeSignature, Track
from symusic.core import ScoreTick

from emomusic.music.pianoroll import draw_piano_roll, draw_piano_rolls
from emomusic.music.score import ScoreError, grid_of

matplotlib_image = pytest.importorskip("matplotlib.image")

TPQ = 480


def score_of(
    *notes: tuple[float, float, int, int], signatures: tuple[tuple[float, int, int], ...] = ()
) -> ScoreTick:
    """Make a score of (onset, duration, pitch, velocity) and (onset, numerator, denominator)."""
    score = Score(TPQ)
    for onset, numerator, denominator in signatures:
        score.time_signatures.append(TimeSignature(int(onset * TPQ), numerator, denominator))
    track = Track(program=0)
    for onset, duration, pitch, velocity in notes:
        track.notes.append(Note(int(onset * TPQ), int(duration * TPQ), pitch, velocity))
    score.tracks.append(track)
    return score


def read(path: Path) -> np.ndarray:
    """Return the red, green and blue of a picture in [0, 1], shape (height, width, 3)."""
    return np.asarray(matplotlib_image.imread(path))[:, :, :3]


def coloured(picture: np.ndarray) -> np.ndarray:
    """Return where a note is: grid, text and keys are grey, the scale is the rightmost block."""
    colour = picture.max(axis=2) - picture.min(axis=2) > 0.2
    columns = np.flatnonzero(colour.any(axis=0))
    scale_starts = columns[1:][np.diff(columns) > 1][-1:]
    colour[:, int(scale_starts[0]) if len(scale_starts) else int(columns[0]) :] = False
    return colour


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom of the part of a picture that is true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], columns[-1] + 1, rows[0], rows[-1] + 1


def draw_boxes(tmp_path: Path, score: ScoreTick, **options: object) -> tuple[int, int, int, int]:
    draw_piano_roll(score, tmp_path / "roll.png", **options)  # type: ignore[arg-type]
    return box_of(coloured(read(tmp_path / "roll.png")))


LONG = (0, 16, 60, 100)  # four bars: marks the whole width


def test_picture_has_the_size_asked_for(tmp_path: Path) -> None:
    draw_piano_roll(score_of(LONG), tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape == (400, 1200, 3)
    draw_piano_roll(score_of(LONG), tmp_path / "a.png", width=640, height=250)
    assert read(tmp_path / "a.png").shape == (250, 640, 3)
    draw_piano_rolls([score_of(LONG)] * 3, tmp_path / "a.png", n_columns=2, panel_height=200)
    assert read(tmp_path / "a.png").shape == (400, 1200, 3)


def test_a_note_lies_where_it_sounds(tmp_path: Path) -> None:
    left, right, top, bottom = draw_boxes(tmp_path, score_of(LONG))
    draw_piano_roll(score_of(LONG, (4, 8, 72, 100)), tmp_path / "b.png")
    mask = coloured(read(tmp_path / "b.png"))
    upper = mask.copy()
    upper[(top + bottom) // 2 - 20 :] = False  # 60 stays in the lower half
    beat = (right - left) / 16
    box = box_of(upper)
    assert box[0] == pytest.approx(left + 4 * beat, abs=3)
    assert box[1] == pytest.approx(left + 12 * beat, abs=3)
    inside = mask[(box[2] + box[3]) // 2, box[0] + 2 : box[1] - 2]
    assert inside.all()


def test_pitch_rises_by_equal_steps(tmp_path: Path) -> None:
    draw_piano_roll(score_of(*((4 * i, 4, 50 + 7 * i, 100) for i in range(4))), tmp_path / "a.png")
    mask = coloured(read(tmp_path / "a.png"))
    left, right, _, _ = box_of(mask)
    quarters = np.array_split(mask[:, left:right], 4, axis=1)
    heights = [np.flatnonzero(part[:, 20:-20].any(axis=1)).mean() for part in quarters]
    steps = np.diff(heights)
    assert (steps < 0).all()  # rows count downwards
    assert steps == pytest.approx(np.full(3, steps.mean()), abs=1.5)


def test_loud_notes_are_darker_and_colours_do_not_depend_on_the_others(tmp_path: Path) -> None:
    def colour_of(*velocities: int) -> np.ndarray:
        notes = [(8 * i, 8, 60, velocity) for i, velocity in enumerate(velocities)]
        left, _, top, bottom = draw_boxes(tmp_path, score_of(*notes))
        return read(tmp_path / "roll.png")[(top + bottom) // 2, left + 40]

    brightness = [colour_of(velocity).sum() for velocity in (1, 32, 64, 96, 127)]
    assert (np.diff(brightness) < 0).all()
    np.testing.assert_array_equal(colour_of(64), colour_of(64, 127))


def test_a_very_short_note_is_seen(tmp_path: Path) -> None:
    score = score_of((0, 1 / TPQ, 60, 80), (1000, 1, 90, 80))
    left, right, _, bottom = draw_boxes(tmp_path, score)
    mask = coloured(read(tmp_path / "roll.png"))
    assert mask[bottom - 2, left : left + 2].all()
    assert right - left > 900


def test_bars_choose_a_window(tmp_path: Path) -> None:
    score = score_of(LONG, (20, 4, 84, 100))  # bars 1 to 4, and 6
    draw_piano_roll(score, tmp_path / "a.png", bars=(5, 5))
    assert not coloured(read(tmp_path / "a.png")).any()
    whole = draw_boxes(tmp_path, score_of((0, 4, 60, 100)))
    assert draw_boxes(tmp_path, score, bars=(6, 6)) == pytest.approx(whole, abs=2)
    assert draw_boxes(tmp_path, score, bars=(2, 3)) == pytest.approx(whole, abs=2)


def test_panels_share_their_axes(tmp_path: Path) -> None:
    short, long = score_of((0, 8, 60, 100)), score_of((0, 16, 84, 100))
    draw_piano_rolls([short, long], tmp_path / "a.png", titles=["short", "long"])
    upper, lower = np.split(coloured(read(tmp_path / "a.png")), 2)
    short_box, long_box = box_of(upper), box_of(lower)
    assert short_box[0] == long_box[0]
    assert 2 * (short_box[1] - short_box[0]) == pytest.approx(long_box[1] - long_box[0], abs=4)
    assert short_box[2] > long_box[2] + 50  # both panels show both octaves


def test_drums_are_left_out(tmp_path: Path) -> None:
    score = score_of(LONG)
    draw_piano_roll(score, tmp_path / "without.png")
    drums = Track(is_drum=True)
    drums.notes.append(Note(0, TPQ, 38, 127))
    score.tracks.append(drums)
    draw_piano_roll(score, tmp_path / "with.png")
    assert (tmp_path / "with.png").read_bytes() == (tmp_path / "without.png").read_bytes()


def test_title_is_shown_as_it_is(tmp_path: Path) -> None:
    draw_piano_roll(score_of(LONG), tmp_path / "plain.png")
    draw_piano_roll(score_of(LONG), tmp_path / "titled.png", title="$x^$ 5 € _\\frac")
    assert not np.array_equal(read(tmp_path / "plain.png"), read(tmp_path / "titled.png"))


@pytest.mark.parametrize(("signatures", "end", "bars", "n_beats"), [
    ((), 7.0, [0, 4, 8], 8),
    (((0, 3, 4),), 6.0, [0, 3, 6], 6),
    (((0, 6, 8),), 5.0, [0, 3, 6], 12),
    (((0, 4, 4), (8, 3, 4)), 12.0, [0, 4, 8, 11, 14], 14),
    (((0, 4, 4), (1, 4, 4)), 5.0, [0, 4, 8], 8),  # says the same again
    (((0, 4, 4), (6, 2, 4)), 8.0, [0, 4, 6, 8], 8),  # a change cuts the bar
    (((9, 3, 4),), 4.0, [0, 4], 4),
])  # fmt: skip
def test_grid_follows_the_time_signatures(
    signatures: tuple[tuple[float, int, int], ...], end: float, bars: list[float], n_beats: int
) -> None:
    found, beats = grid_of(score_of((0, end, 60, 80), signatures=signatures), end)
    assert found.tolist() == bars
    assert len(beats) == n_beats


@pytest.mark.parametrize(("options", "message"), [
    ({"bars": (0, 4)}, r"counted from 1, got \(0, 4\)"),
    ({"bars": (3, 2)}, r"counted from 1, got \(3, 2\)"),
    ({"bars": (5, 8)}, r"must be in 1 to 4 for this score, got \(5, 8\)"),
    ({"width": 20}, "100 to 8000 pixels a side, got 20×400"),
    ({"height": 9000}, "100 to 8000 pixels a side, got 1200×9000"),
])  # fmt: skip
def test_arguments_are_checked(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_piano_roll(score_of(LONG), tmp_path / "a.png", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_panels_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 0 scores, 0 titles, 1 columns"):
        draw_piano_rolls([], tmp_path / "a.png")
    with pytest.raises(ValueError, match="got 1 scores, 2 titles, 1 columns"):
        draw_piano_rolls([score_of(LONG)], tmp_path / "a.png", titles=["a", "b"])


def test_other_suffixes_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.png, got .*roll\.gif"):
        draw_piano_roll(score_of(LONG), tmp_path / "roll.gif")


def test_scores_that_cannot_be_drawn_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="no notes"):
        draw_piano_roll(score_of(), tmp_path / "a.png")
    with pytest.raises(ValueError, match="at most 20000 beats can be drawn, got 30001"):
        draw_piano_roll(score_of((30_000, 1, 60, 80)), tmp_path / "a.png")


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        draw_piano_roll(score_of(LONG), tmp_path / "nowhere" / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_missing_matplotlib_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install matplotlib"):
        draw_piano_roll(score_of(LONG), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from symusic import *; from emomusic.music.pianoroll import *\n"
        "early = 'matplotlib' in sys.modules\n"
        "s = Score(480); s.tracks.append(Track()); s.tracks[0].notes.append(Note(0, 480, 60, 80))\n"
        "draw_piano_roll(s, sys.argv[1]); print(early, 'matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_same_score_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw_piano_roll(score_of(LONG), tmp_path / name, title="same")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
