from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from emomusic.evaluation.render import Report, cell, draw, goals_table, table
from emomusic.evaluation.rows import (
    Found,
    Goal,
    Interval,
    Plot,
    Row,
    Table,
    drawn_means,
    interval,
    mean_interval,
    ratio_interval,
    row_of,
    section,
    share,
    spearman,
    weights,
    with_goals,
)


@section(
    "Some numbers",
    Table(("a", "b"), "of", note="What they are."),
    plots=(Plot("a", "bars", "of"), Plot("gone", "curve", "x")),
)
def numbers(given: int) -> list[Row | str]:
    """Yield as many rows as are given."""
    rows: list[Row | str] = [Row("a", at / 7, by={"of": str(at)}) for at in range(given)]
    return [*rows, "A remark."]


@pytest.mark.parametrize(
    ("value", "high", "met"),
    [(0.9, 0.95, "yes"), (0.85, 0.95, "within chance"), (0.7, 0.8, "no"), (0.7, None, "no")],
)
def test_a_goal_is_met_by_the_number_and_nearly_by_its_interval(
    value: float, high: float | None, met: str
) -> None:
    own = Row("all", value, None if high is None else 0.0, high, goal=Goal(0.9))
    below = Row("all", -value, None if high is None else -high, 0.0, goal=Goal(-0.9, at_most=True))
    assert own.met == below.met == met
    assert replace(own, goal=None).met == ""


def test_a_row_is_written_plain_and_rounded() -> None:
    row = Row("a", 1 / 3, 0.2, 0.5, n=4, by={"of": "b"}, goal=Goal(0.3, at_most=True))
    goal = {"limit": 0.3, "at_most": True}
    plain = {"name": "a", "value": 0.3333, "low": 0.2, "high": 0.5, "n": 4, "by": {"of": "b"}}
    assert row.to_dict() == {**plain, "goal": goal, "met": "within chance"}
    assert Row("n", 7).to_dict() == {"name": "n", "value": 7}


def test_goals_stand_in_one_file_and_hold_for_what_they_name() -> None:
    by = {"clips": "composed", "judge": "sequence", "of": "arousal"}
    rows = [Row("heard right", 0.98, by=by | other)
            for other in ({}, {"judge": "both"}, {"clips": "real EMOPIA"})]  # fmt: skip
    assert [row.goal for row in with_goals("emotion", rows)] == [Goal(0.97), None, None]
    assert with_goals("memory", [Row("share_8", 0.1, by={"of": "excess"})])[0].met == "no"
    assert with_goals("shape", rows) == tuple(rows)


def test_a_table_has_a_line_for_what_rows_are_of_and_a_column_for_one_key() -> None:
    rows = [
        Row("right", 0.5, 0.25, 0.75, n=8, by={"judge": "one", "of": "arousal"}),
        Row("right", 0.001, -0.5, 0.5, n=8, by={"judge": "one", "of": "valence"}),
        Row("F1", 1.0, by={"judge": "two"}),
    ]
    assert table(rows, across="of").splitlines() == [
        "| judge | n | arousal | valence | F1 |", "|---|---|---|---|---|",
        "| one | 8 | 0.50 (0.25–0.75) | 0.001 (-0.50 to 0.50) |  |", "| two |  |  |  | 1.00 |",
    ]  # fmt: skip
    assert table(rows, across="name").splitlines()[0] == "| judge | of | n | right | F1 |"
    plain = table(rows, most=1).splitlines()
    assert plain[0] == "| measure | judge | of | n | value |" and len(plain) == 3
    # counts are whole and small numbers keep a digit
    found = [cell(row) for row in (Row("a", 3), Row("a", 3.0), Row("a", 0.002), Row("a", 0.0))]
    assert found == ["3", "3.00", "0.002", "0.00"]
    asked = Row("right", 0.9, 0.8, 0.95, 8, {"of": "valence"}, Goal(0.92))
    last = goals_table([asked, Row("other", 1.0)]).splitlines()[2:]
    assert last == ["| right valence | ≥ 0.92 | 0.90 (0.80–0.95) | within chance | 8 |"]


def test_a_report_is_markdown_json_and_pictures(tmp_path: Path) -> None:
    found = Found.of(numbers, 3)
    assert found.remarks == ("A remark.",) and len(found.rows) == 3
    text = Report({"of": "three"}, {numbers: found}, {"other": "nobody asked"}).write(tmp_path)
    assert (tmp_path / "evaluation.md").read_text("utf-8") == text
    order = ["# Evaluation", "- of: three", "## Some numbers", "| 0.00 | 0.14 | 0.29 |",
             "What they are.", "A remark.", "![Some numbers](numbers_a.png)",
             "- other: nobody asked"]  # fmt: skip
    assert sorted(order, key=text.index) == order
    assert (tmp_path / "numbers_a.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "numbers_gone.png").exists()


def test_every_kind_of_picture_is_drawn(tmp_path: Path) -> None:
    rows = [
        row_of("a", Interval(0.5, 0.4, 0.6), x=str(x), y=y, z=z)
        for x in range(3) for y in "bc" for z in "de"
    ]  # fmt: skip
    rows.append(replace(rows[0], low=None, high=None, goal=Goal(0.5)))  # not all have an interval
    kinds = ("bars", "heat", "curve")
    plots = {kind: (Plot("a", kind, "x", "y", "z"), rows) for kind in kinds}
    assert draw(plots, tmp_path) == {kind: f"{kind}.png" for kind in kinds}


def test_intervals_are_those_worked_by_hand() -> None:
    assert share(50, 100) == pytest.approx((0.5, 0.4038, 0.5962), abs=1e-4)  # Wilson's
    assert share(0, 10).low == 0.0 and share(10, 10).high == pytest.approx(1.0)
    assert np.isnan(interval(0.0, np.full(2, np.nan))[1:]).all()
    assert interval(0.0, np.array([np.nan, 1.0])) == (0.0, 1.0, 1.0)
    counts = np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 0.0]])
    assert drawn_means(np.array([0.0, 4.0]), counts).tolist() == [2.0, 1.0, 2.0]
    assert drawn_means(np.array([[0.0, 1.0], [4.0, 1.0]]), counts)[1].tolist() == [1.0, 1.0]


def test_songs_are_drawn_whole() -> None:
    counts = weights(["a", "b", "a", "c"], 50, rng=np.random.default_rng(0))
    assert counts.shape == (50, 4)
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_the_interval_of_a_mean_is_as_wide_as_it_should_be_and_wider_of_clips_of_one_song() -> None:
    values = np.random.default_rng(0).normal(size=400)
    value, low, high = mean_interval(values)
    assert low < value < high and high - low == pytest.approx(2 * 1.96 / 20, rel=0.1)
    ratio = ratio_interval(values + 2, np.ones(400), range(400))
    assert ratio == pytest.approx((values.mean() + 2, low + 2, high + 2), abs=0.02)
    _, nearer, farther = mean_interval(np.repeat(values[:80], 5), np.repeat(np.arange(80), 5))
    assert farther - nearer > 1.8 * (high - low)


def test_rank_correlation_is_scipys_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(5, size=50).astype(float), rng.standard_normal(50)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert spearman(x, np.ones(50)) == 0
