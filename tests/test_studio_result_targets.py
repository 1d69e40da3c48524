from __future__ import annotations

from typing import Any

import pytest
from studio_result_cases import card, effect, numbers, of_class, read, record, text_of

from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.studio.result.targets import N_SHOWN, rows_of, targets


def open_names(markup: str) -> list[str | None]:
    folded = {e.get("data-attribute") for d in read(markup).iter("details") for e in d.iter("tr")}
    rows = [e.get("data-attribute") for e in of_class(markup, "emo-row")]
    return [name for name in rows if name not in folded]


def changed(**achieved: float) -> dict[str, Any]:
    return card(achieved={**card()["achieved"], **achieved})


def test_each_attribute_has_a_row_in_the_order_of_the_registry() -> None:
    rows = rows_of(card()["achieved"], {})
    assert tuple(row.attribute.name for row in rows) == ATTRIBUTE_NAMES
    assert len(of_class(targets(card()), "emo-row")) == len(ATTRIBUTE_NAMES)


def test_asked_is_a_tick_and_achieved_a_dot_on_the_range() -> None:
    made = targets(card(achieved={"tempo": 80.0}, targets={"tempo": 120.0}))
    (tick,), (dot,) = of_class(made, "emo-tick"), of_class(made, "emo-dot")
    assert numbers(tick, "x1", "x2") == (50.0, 50.0) and numbers(dot, "cx") == (25.0,)
    assert "tempo quarter notes a minute" in text_of(made) and "12080" in text_of(made)


@pytest.mark.parametrize(
    ("tempo", "kind"), [(120, "close"), (136, "close"), (140, "off"), (80, "far"), (200, "far")]
)
def test_a_row_shows_how_far_apart_they_are(tempo: float, kind: str) -> None:
    made = targets(card(achieved={"tempo": tempo}, targets={"tempo": 120.0}))
    (row,) = of_class(made, "emo-row")
    assert f"emo-{kind}" in str(row.get("class")).split()
    assert ("of the range" in text_of(made)) == (kind != "close")


def test_an_attribute_without_a_target_shows_what_was_achieved_only() -> None:
    made = targets(card(targets={"tempo": 120.0}, achieved={"tempo": 120.0, "silence": 0.1}))
    free = of_class(made, "emo-free")
    assert len(free) == 1 and free[0].get("data-attribute") == "silence"
    assert len(of_class(made, "emo-tick")) == 1 and "free0.10" in text_of(made)


def test_a_value_beyond_its_range_stands_at_the_end_as_an_arrowhead() -> None:
    made = targets(card(achieved={"tempo": 250.0}, targets={"tempo": 120.0}))
    assert len(of_class(made, "emo-beyond")) == 1 and "250" in text_of(made)
    (miss,) = of_class(made, "emo-miss")
    assert numbers(miss, "x1", "x2") == (50.0, 100.0)


def test_eight_stand_open_the_causes_first_and_the_rest_is_folded() -> None:
    made = targets(card())
    names = open_names(made)
    assert len(names) == N_SHOWN
    assert {"mode", "tempo", "velocity_mean", "register", "note_density"} <= set(names)
    assert f"{len(ATTRIBUTE_NAMES) - N_SHOWN} more attributes" in text_of(made)


def test_what_was_fixed_or_named_stands_open_even_if_there_are_more_than_eight() -> None:
    fixed = ATTRIBUTE_NAMES[-9:]
    explained = {"effects": [effect("mode", "for"), effect("tempo", "against")]}
    names = open_names(targets(card(explanation=explained), fixed=fixed))
    assert set(names) == {*fixed, "mode", "tempo"}
    assert names == [name for name in ATTRIBUTE_NAMES if name in names]


def test_what_was_fixed_says_so() -> None:
    assert len(of_class(targets(card(), fixed=["silence"]), "emo-fixed")) == 1


def test_few_attributes_are_not_folded() -> None:
    made = targets(card(achieved={"tempo": 80.0}))
    assert not list(read(made).iter("details"))


def test_tables_have_captions_and_headings_for_screen_readers() -> None:
    tables = list(read(targets(card())).iter("table"))
    assert len(tables) == 2
    for table in tables:
        assert table.find("caption") is not None
        scopes = [e.get("scope") for e in table.iter("th")]
        assert scopes.count("col") == 3 and set(scopes) == {"col", "row"}
        assert all(e.get("aria-hidden") for e in table.iter("td") if e.find("svg") is not None)


def test_a_record_of_a_file_has_measured_values_only() -> None:
    made = targets(record())
    assert len(of_class(made, "emo-row")) == len(ATTRIBUTE_NAMES)
    assert "asked" not in text_of(made) and "measured" in text_of(made)


def test_nothing_measured_is_no_table_and_a_wrong_value_is_named() -> None:
    assert targets({}) == ""
    with pytest.raises(ValueError, match="tempo must be a finite number"):
        targets(changed(tempo=float("nan")))
