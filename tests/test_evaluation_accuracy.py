from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.composing import compose_quadrants
from helpers.evaluation import PitchJudge, SureJudge, clip_at, labelled, row
from synthetic import make_mapper

from emomusic.compose.composer import Composer
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.accuracy import (
    NO_VELOCITY,
    SIGNS,
    Panel,
    best_of,
    classes_of,
    grid_rho,
    listen,
    macro_f1,
    make_panel,
    rank_correlations,
    right_rows,
    shuffled_rows,
)
from emomusic.evaluation.rows import Interval
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.notes import make_notes

LEVELS = np.linspace(-1, 1, 5)


@pytest.mark.parametrize(
    ("judges", "heard"),
    [
        ({"pitch": PitchJudge(), "sure": SureJudge()},
         {"pitch": ["Q1", "Q3"], "sure": ["Q2", "Q2"], "both": ["Q2", "Q2"]}),
        ({"pitch": PitchJudge(), "other": PitchJudge(), NO_VELOCITY: SureJudge()},
         {"pitch": ["Q1", "Q3"], "other": ["Q1", "Q3"], NO_VELOCITY: ["Q2", "Q2"],
          "both": ["Q1", "Q3"]}),
        ({"pitch": PitchJudge()}, {"pitch": ["Q1", "Q3"]}),
    ],
    ids=["two", "one without velocity", "one"],
)  # fmt: skip
def test_judges_are_also_heard_together_but_for_the_one_without_velocity(
    judges: dict[str, PitchJudge], heard: dict[str, list[str]]
) -> None:
    found = listen(judges, [clip_at(72), clip_at(40)])
    assert {name: [QUADRANTS[i] for i in own.argmax(axis=1)] for name, own in found.items()} == (
        heard
    )


def test_shares_by_axis_their_intervals_and_the_confusion() -> None:
    confusion = np.array([[6, 2, 0, 2], [1, 9, 0, 0], [0, 0, 5, 5], [1, 0, 0, 9]])
    truth, said = np.array([pair for pair, n in np.ndenumerate(confusion) for _ in range(n)]).T
    found = list(right_rows(truth, said, name="right", clips="some"))
    for axis, right in (("quadrant", 29), ("arousal", 37), ("valence", 32)):
        own = row(found, "right", of=axis)
        assert own.value == pytest.approx(right / 40) and own.n == 40
    own = row(found, "right", of="quadrant", clips="some")
    assert (own.low, own.high) == pytest.approx((0.571, 0.839), abs=0.001)
    counts = [int(own.value) for own in found if own.name == "confusion"]
    assert counts == confusion.ravel().tolist()


def test_macro_f1_weighs_quadrants_alike_and_leaves_out_those_that_do_not_occur() -> None:
    assert macro_f1(np.diag([1, 2, 3, 90])) == 1.0
    confusion = np.array([[2, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert macro_f1(confusion) == pytest.approx((2 / 3 + 0) / 2)


def test_one_judge_chooses_the_likeliest_and_of_equal_ones_the_first() -> None:
    # Two clips of three candidates: the first asked for Q1, the second for Q4.
    selector = np.zeros((2, 3, 4))
    selector[0, :, 0], selector[1, :, 3] = [0.2, 0.9, 0.4], [0.5, 0.5, 0.1]
    assert best_of(selector, classes_of(["Q1", "Q4"])).tolist() == [1, 0]


def test_judges_that_learnt_from_shuffled_labels_hear_by_chance() -> None:
    clips, rng = labelled(6, "judge"), np.random.default_rng(1)
    notes = []
    for low in np.repeat(36 + 16 * np.arange(4), 6).tolist():
        columns = rng.integers(low, low + 12, 24), rng.integers(20, 120, 24)
        notes.append(make_notes(np.arange(24.0), np.ones(24), *columns))
    given = {"these": (notes, [clip.quadrant for clip in clips])}
    found, again = (
        list(shuffled_rows(Panel({}, clips, notes), given, n_shuffles=3, seed=2)) for _ in range(2)
    )
    own = row(found, "heard right", of="quadrant", clips="these")
    assert own.low is not None and own.high is not None
    assert own.low <= own.value <= own.high
    assert own.value < 0.9  # they learnt these very clips by heart, under other labels
    assert again == found


def test_a_mapper_of_the_judges_songs_is_refused(tmp_path: Path) -> None:
    mapper = replace(make_mapper(), about={"songs": "all"})
    with pytest.raises(ValueError, match="the mapper was fitted on the judges' songs"):
        make_panel(mapper, tmp_path)


def test_rank_correlations_of_all_that_is_not_simply_set(tiny_checkpoint: Path) -> None:
    clips = compose_quadrants(Composer(tiny_checkpoint), n_bars=2)
    made = [
        replace(
            clip,
            targets={**clip.targets, "register": a, "silence": 0.5, "mode": a},
            achieved={**clip.achieved, "register": b, "mode": -a},
        )
        for clip, a, b in zip(clips, [1.0, 2, 3, 4], [10.0, 20, 40, 30], strict=True)
    ]
    found = rank_correlations(made)
    assert set(found) == set(ATTRIBUTE_NAMES) - {"tempo"}
    assert found["register"] == pytest.approx(0.8)
    assert found["mode"] == pytest.approx(-1.0)
    assert found["silence"] == 0.0  # always asked alike


def test_the_plane_is_the_sum_of_a_sides_quadrants() -> None:
    assert np.array([0.4, 0.3, 0.2, 0.1]) @ SIGNS == pytest.approx([0.5, 0.7])


def rho_of(noise: float, axis: str, *, n_clips: int = 6, of_cells: bool = False) -> Interval:
    """Return ρ where judged values follow the asked ones, more or less."""
    rng = np.random.default_rng(0)
    truth = dict(zip(("valence", "arousal"), np.meshgrid(LEVELS, LEVELS), strict=True))[axis]
    judged = truth[:, :, None] + noise * rng.standard_normal((5, 5, n_clips))
    return grid_rho(LEVELS, judged, axis=axis, of_cells=of_cells)


@pytest.mark.parametrize("axis", ["valence", "arousal"])
def test_what_follows_has_a_high_rho_and_what_does_not_none(axis: str) -> None:
    rho, low, high = rho_of(0.01, axis)
    assert 0.95 < low <= rho <= high <= 1.0
    rho, low, high = rho_of(50.0, axis)
    assert low < 0.3 and abs(rho) < 0.4 and high > -0.3


def test_cells_average_the_noise_away() -> None:
    points = rho_of(0.8, "valence", n_clips=40, of_cells=True)
    assert points.value > rho_of(0.8, "valence", n_clips=40).value + 0.1
