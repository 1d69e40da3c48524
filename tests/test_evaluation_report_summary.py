from __future__ import annotations

from typing import Any

import pytest

from emomusic.evaluation.report.summary import Demand, demands, mean_rho, summary_table


def attribute(name: str, rho: float, *, half: float = 0.1, given: bool = False) -> dict[str, Any]:
    return {"name": name, "given": given, "rho": rho, "low": rho - half, "high": rho + half}


def control(groups: list[list[str]]) -> dict[str, Any]:
    summary = {
        "n_counted": 2, "mean_rho": 0.7, "worst": "mode", "worst_rho": 0.5, "n_pairs": 6,
        "leakage": 0.2, "chance": 0.1, "beyond_chance": 0.1,
    }  # fmt: skip
    own = [attribute("tempo", 1.0, given=True), attribute("register", 0.9), attribute("mode", 0.5)]
    own.append(attribute("leap_size", 0.7))
    report = {"summary": summary, "attributes": own, "groups": groups}
    return {"clip": report, "bar": {**report, "attributes": own[1:3]}}


@pytest.mark.parametrize(
    ("value", "high", "met"),
    [(0.9, 0.95, "yes"), (0.85, 0.95, "within chance"), (0.7, 0.8, "no")],
)
def test_a_demand_is_met_by_the_number_and_nearly_by_its_interval(
    value: float, high: float, met: str
) -> None:
    assert Demand("all", 0.9, value, 0.0, high).met == met
    below = Demand("all", -0.9, -value, -high, 0.0, at_most=True)
    assert below.met == met and below.to_dict()["met"] == met


def test_the_mean_takes_its_interval_from_its_parts() -> None:
    alone = attribute("a", 0.5)
    assert mean_rho([(alone, 1.0)]) == (0.5, 0.4, 0.6)
    value, low, high = mean_rho([(attribute(str(i), 0.5), 1.0) for i in range(4)])
    assert (value, low, high) == pytest.approx((0.5, 0.45, 0.55))


def test_control_counts_like_attributes_once_and_given_ones_never() -> None:
    def mean_of(groups: list[list[str]]) -> float:
        found = {d.what: d for d in demands({"control": control(groups)})}
        return found["control clip-wide: mean ρ"].value

    assert mean_of([]) == pytest.approx(0.7)
    assert mean_of([["mode", "register"]]) == pytest.approx((0.7 + 0.7) / 2)
    assert mean_of([["leap_size", "register"]]) == pytest.approx((0.8 + 0.5) / 2)


def test_the_table_has_a_row_for_each_demand() -> None:
    found = demands({"control": control([])})
    assert [d.what for d in found] == [
        "control clip-wide: mean ρ", "control clip-wide: worst ρ",
        "control clip-wide: ρ of the mode",
        "leakage clip-wide", "control bar by bar: mean ρ", "control bar by bar: worst ρ",
        "control bar by bar: ρ of the mode", "leakage bar by bar",
    ]  # fmt: skip
    lines = summary_table(found).splitlines()
    assert len(lines) == 2 + len(found)
    assert lines[3] == ("| control clip-wide: worst ρ | ≥ 0.85 | 0.50 (0.40 to 0.60) | no | mode |")
    assert lines[5].startswith("| leakage clip-wide | ≤ 0.10 | 0.20 | no | 6 pairs; 0.10 by chance")


def test_nothing_measured_demands_nothing() -> None:
    assert demands({}) == []


def test_small_numbers_keep_a_digit() -> None:
    lines = summary_table([Demand("overlap", 0.0, 0.002, 0.0, 0.004, at_most=True)]).splitlines()
    assert "0.002 (0.00 to 0.004)" in lines[2]
