"""Simpler systems and distributions: the measures of two studies, by hand and at their door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation import labelled, make_context, piece_of, row, some_panel, walks
from rows_cases import plain_rows

from emomusic.compose.composer import Composer
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.accuracy import Panel, ask_nothing, quadrants_of
from emomusic.evaluation.quality import Piece
from emomusic.evaluation.rows import Row
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES
from emomusic.music.notes import Notes, make_notes
from emomusic.music.tokenizer import N_BINS
from studies.baselines import study as baselines
from studies.distributions import study as distributions
from studies.distributions.filled import FILLED, filled_bars, filled_real_bars, fills

MAJOR, MINOR = {0, 2, 4, 5, 7, 9, 11}, {0, 2, 3, 5, 7, 8, 10}


@pytest.mark.parametrize("degrees", [MAJOR, MINOR])
@pytest.mark.parametrize("quadrant", QUADRANTS)
def test_a_rule_sets_tempo_mode_register_and_loudness(degrees: set[int], quadrant: str) -> None:
    rule, onset = baselines.RULES[quadrant], np.arange(7.0)
    velocity = np.tile([60, 80], 4)[:7]
    notes = make_notes(onset, onset * 0 + 1, 62 + np.array(sorted(degrees)), velocity)
    found = baselines.ruled(notes, rule, 2, np.random.default_rng(0))
    relative = set(((found.pitch - rule.semitones - 2) % 12).tolist())
    assert relative == (MAJOR if rule.is_major else MINOR)
    assert abs(found.pitch - notes.pitch - rule.semitones).max() <= 1
    tempo = 60.0 * found.onset[-1] / found.onset_s[-1]
    assert rule.tempo[0] <= tempo <= rule.tempo[1]
    assert (found.onset == notes.onset).all()
    assert found.velocity.mean() == pytest.approx(55 * 10 ** (rule.loudness_db / 40), abs=1)


def test_rules_are_set_upon_clips_of_which_nothing_is_asked(tiny_composer: Composer) -> None:
    clips = list(tiny_composer.compose_each([ask_nothing(2)] * 8, seed=4))
    assert all(clip.targets == {} for clip in clips)
    found, again = (baselines.apply_rules(clips, quadrants_of(2), seed=4) for _ in range(2))
    assert all((a.onset_s == b.onset_s).all() for a, b in zip(found, again, strict=True))
    assert all(found[at].velocity.mean() > found[at + 2].velocity.mean() for at in (2, 3))


CLIPS = labelled(3, "mapper")
EDGES = {a.name: np.linspace(a.low, a.high, N_BINS + 1)[1:-1] for a in ATTRIBUTES}


def values() -> np.ndarray:
    """Return attributes where Q1 is high, the rest low, and each second clip is its class mean."""
    found = np.zeros((12, len(ATTRIBUTES)))
    found[:3] = 1.0
    found[:, 0] += np.tile([-0.4, 0.0, 0.4], 4)
    return found


def test_a_recipe_takes_the_bits_of_the_clip_nearest_its_class_mean() -> None:
    recipe = baselines.fit_recipe(CLIPS, values(), EDGES)
    assert recipe.nearest["Q1"] == CLIPS[1].path.name
    assert recipe.nearest["Q4"] == CLIPS[10].path.name
    assert all(recipe.is_high["Q1"].values()) and recipe.values("Q1") == recipe.high
    assert not any(recipe.is_high["Q3"][name] for name in ATTRIBUTE_NAMES[1:])
    assert recipe.values("Q3")["register"] == recipe.low["register"]
    for name, edges in EDGES.items():  # the middles of the halves of the bins
        assert [(edges <= x[name]).sum() for x in (recipe.low, recipe.high)] == [3, 8]
    with pytest.raises(ValueError, match="no labelled clip of Q4 could be measured"):
        baselines.fit_recipe(CLIPS[:9], values()[:9], EDGES)


def test_all_systems_are_heard(
    tiny_composer: Composer, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = baselines.fit_recipe(CLIPS, values(), EDGES)
    monkeypatch.setattr(baselines, "recipe_of", lambda clips, checkpoint: recipe)
    monkeypatch.setattr(baselines, "N_SHUFFLES", 1)
    monkeypatch.setattr(baselines, "N_CANDIDATES", 2)
    given = baselines.Given(tiny_composer, tiny_checkpoint, some_panel(tmp_path), 1, 0, 2)
    parts = (baselines.systems, baselines.shuffled, baselines.best_of)
    found = [own for part in parts for own in part.measure(given)]
    for name in ("no controls", "rules", "EmoGen's recipe"):
        assert row(found, "heard right", clips=name, judge="both", of="quadrant").n == 4
    by = {"clips": "real EMOPIA", "judge": "shuffled labels"}
    assert row(found, "heard right", **by, of="quadrant").n == 4
    assert row(found, "best of 2 heard right", of="quadrant", judge="sure").n == 4
    # Two clips of three candidates, the first asked for Q1, the second for Q4: of equal ones, the
    # first is chosen.
    selector = np.zeros((2, 3, 4))
    selector[0, :, 0], selector[1, :, 3] = [0.2, 0.9, 0.4], [0.5, 0.5, 0.1]
    assert baselines.likeliest(selector, np.array([0, 3])).tolist() == [1, 0]


def test_judges_that_learnt_from_shuffled_labels_hear_by_chance() -> None:
    clips, rng = labelled(6, "judge"), np.random.default_rng(1)
    notes = []
    for low in np.repeat(36 + 16 * np.arange(4), 6).tolist():
        columns = rng.integers(low, low + 12, 24), rng.integers(20, 120, 24)
        notes.append(make_notes(np.arange(24.0), np.ones(24), *columns))
    given = {"these": (notes, [clip.quadrant for clip in clips])}
    found, again = (
        list(baselines.shuffled_rows(Panel({}, clips, notes), given, n_shuffles=3, seed=2))
        for _ in range(2)
    )
    own = row(found, "heard right", of="quadrant", clips="these")
    assert own.low is not None and own.high is not None
    # they learnt these very clips by heart, under other labels
    assert own.low <= own.value <= own.high and own.value < 0.9
    assert again == found


def quantiles(rows: list[Row], name: str) -> list[float]:
    return [row(rows, name, quantile=f"{at}%").value for at in (5, 25, 50, 75, 95)]


def test_bars_are_counted(tiny_checkpoint: Path, tmp_path: Path) -> None:
    counted = list(fills.measure(make_context(tiny_checkpoint, tmp_path)))
    ns = [row(counted, "overlong clips", clips=of).n for of in ("composed", "emopia", "pop1k7")]
    assert ns[0] == 8 and all(ns)

    def notes(onsets: list[float], durations: list[float]) -> Notes:
        n = len(onsets)
        return make_notes(np.array(onsets), np.array(durations), np.full(n, 60), np.full(n, 64))

    inside, last, longest = FILLED
    whole = notes([0, 1, 4, 5, 6, 8], [1, 1, 1, 1, 1, 3])
    found = list(filled_bars("some", [(whole, 3, 4), (notes([0, 8], [1, 2]), 3, 4)]))
    assert row(found, "empty bars").value == 1
    assert (row(found, "overlong clips").value, row(found, "overlong clips").n) == (0, 2)
    assert quantiles(found, inside)[2] == 1.0  # of 2, 3, 1 and 1, 0, 1
    assert quantiles(found, last) == [1.0] * 5
    assert quantiles(found, longest)[0] >= 2.0 and quantiles(found, longest)[-1] <= 3.0
    late = list(filled_bars("some", [(notes([0, 4, 8], [1, 1, 1]), 2, 4)]))
    assert row(late, "overlong clips").value == 1
    texts = ["Bar_None", "TimeSig_4/4", "Position_0", "Pitch_60", "Velocity_63", "Duration_1.6.12"]
    one, two = [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 3, 4, 5]
    rows = plain_rows(
        ids=np.array(one + two + two + one, np.uint16), bar_start=np.array([0, 6, 15, 24, 30]),
        clip_bar=np.array([0, 2], np.int32), clip_n_bars=np.array([2, 2], np.int16),
        clip_is_end=np.array([False, True]), clip_song=np.zeros(2, np.int32),
        song_source=np.zeros(1, np.int16), meta={"vocabulary": texts, "sources": ["songs"]},
    )  # fmt: skip
    found = list(filled_real_bars(rows, "songs"))
    assert row(found, "empty bars", clips="songs").value == 0
    assert row(found, "overlong clips").n == 2
    assert quantiles(found, inside)[0::2] == [1.0, 1.5, 2.0]
    assert quantiles(found, last) == [1.0] * 5  # of the clip that ends its song
    assert quantiles(found, longest) == [1.5] * 5


CHORD = piece_of([(0, 2, 60, 40), (0, 1, 64, 40), (0, 1, 67, 80), (4, 0.5, 60, 80)], n_bars=2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pitch", {60: 0.5, 64: 0.25, 67: 0.25}),
        ("pitch_class", {0: 0.5, 4: 0.25, 7: 0.25}),
        ("polyphony", {0: 18 / 30, 2: 12 / 30}),
        ("density", {0: 0.5, 1: 0.5}),
        ("duration", {10: 0.25, 14: 0.5, 18: 0.25}),
        ("onset_gap", {22: 1.0}),
        ("velocity", {5: 0.5, 10: 0.5}),
    ],
)
def test_histograms_are_as_counted_by_hand(name: str, expected: dict[int, float]) -> None:
    lone = piece_of([(0, 1, 60, 60)], n_bars=8)
    loud = piece_of([(i / 12, 9.0, 21 + i % 88, 127) for i in range(384)], n_bars=8)
    rows = distributions.histograms([CHORD, lone, loud], name)
    own = {int(i): float(rows[0, i]) for i in np.flatnonzero(rows[0])}
    assert own == pytest.approx(expected)
    assert np.allclose(rows.sum(axis=1), 1.0)
    (piece,) = walks(1, seed=3)
    moved = Piece(replace(piece.notes, pitch=piece.notes.pitch + 5), "b", 8)
    if name == "pitch_class":  # they do not change in another key
        assert np.array_equal(*distributions.histograms([piece, moved], name))


def test_areas_overlap_on_one_grid() -> None:
    assert distributions.overlap_area(
        np.array([1.0, 1.0, 0.0]), np.array([0.0, 2.0, 2.0])
    ) == pytest.approx(0.5)
    rng, every = np.random.default_rng(0), np.ones((1, 200))
    real, more, far = rng.normal(size=(3, 200, 4))
    alike, draws = distributions.distance_overlap(real, more, every)
    assert alike > 0.95 and draws.tolist() == pytest.approx([alike])
    assert distributions.distance_overlap(real, far + 20.0, every)[0] < 0.01
    middle = np.zeros((200, 8))  # pieces without variety have other distances
    assert distributions.distance_overlap(rng.normal(size=(200, 8)), middle, every)[0] < 0.6
    same = np.ones((10, 3))
    assert distributions.distance_overlap(same, same, np.ones((2, 10)))[0] == pytest.approx(1.0)


def test_the_like_overlap_and_what_differs_is_found_where_it_differs() -> None:
    real = walks(80, seed=1)
    like = list(distributions.overlap(walks(40, seed=2), real, n_draws=50))
    for quantity in distributions.QUANTITIES:
        own = row(like, "overlap", quantity=quantity, kind="pooled", pieces="difference")
        assert own.low is not None and own.low < 0.03 and own.n == 40
        assert row(like, "overlap", quantity=quantity, kind="pooled", pieces="real").value > 0.8
    loud = list(distributions.overlap(walks(40, seed=2, velocity=100), real, n_draws=50))
    for kind, most in (("pooled", -0.2), ("distances", -0.1)):
        own = row(loud, "overlap", quantity="velocity", kind=kind, pieces="difference")
        assert own.high is not None and own.high < most


def test_statistics_are_as_counted_by_hand() -> None:
    c_major = [60, 62, 64, 65, 67, 69, 71]
    notes = [(float(i), 1.0, c_major[i % 7], 60) for i in range(19)] + [(19.0, 1.0, 61, 60)]
    found = distributions.statistics_of(piece_of(notes, n_bars=5), lags=(1, 2, 4))
    wanted = {"scale_consistency": 19 / 20, "pitch_class_entropy_1": 2.0, "pitch_range": 11,
              "n_pitch_classes": 8, "polyphony": 1.0, "notes_per_beat": 1.0,
              "groove_similarity": 1.0}  # fmt: skip
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    one_class_a_bar = [(4.0 * bar, 4.0, 60 + min(bar, 3), 60) for bar in range(5)]
    found = distributions.statistics_of(piece_of(one_class_a_bar, n_bars=5), lags=(1,))
    assert found["pitch_class_entropy_1"] == 0.0
    assert found["pitch_class_entropy_4"] == pytest.approx((2.0 + 1.5) / 2)  # windows slide
    uneven = piece_of([(0.0, 1, 60, 60), (2.0, 1, 60, 60), (4.0, 1, 72, 60)], n_bars=2)
    assert distributions.groove_similarity(uneven) == pytest.approx(1 - 1 / 48)


def test_the_same_pieces_do_not_shift_and_others_do() -> None:
    real, like = walks(40, seed=1), walks(40, seed=2)
    dense = walks(40, seed=2, gap=0.25)
    found, other = (
        list(distributions.statistics(pieces, real, n_draws=200)) for pieces in (like, dense)
    )
    same, apart = (row(own, "statistic", statistic="notes_per_beat", of="shift")
                   for own in (found, other))  # fmt: skip
    assert same.low is not None and same.high is not None and apart.low is not None
    assert same.low < 0 < same.high and apart.low > 0
    names = {own.by["statistic"] for own in found}
    assert names >= {"similarity_lag_4", "returning_bars"}
    assert "similarity_lag_8" not in names  # pieces have eight bars
    own = {r.by["of"]: r.value for r in found if r.by["statistic"] == "pitch_range"}
    mine, theirs = ([float(np.ptp(p.notes.pitch)) for p in pieces] for pieces in (like, real))
    wanted = {"composed mean": np.mean(mine), "real sd": np.std(theirs),
              "shift": (np.mean(mine) - np.mean(theirs)) / np.std(theirs),
              "spread": np.std(mine) / np.std(theirs)}  # fmt: skip
    assert {of: own[of] for of in wanted} == pytest.approx(wanted)
    short = [replace(piece, n_bars=3) for piece in walks(16, seed=2)]
    with pytest.raises(ValueError, match="pieces must have more than 4 bars, got one of 3"):
        list(distributions.statistics(walks(8, seed=1), short))
    with pytest.raises(ValueError, match="too few pieces: 7 composed, 16 real"):
        list(distributions.statistics(walks(7, seed=1), short))
