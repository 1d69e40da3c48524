from __future__ import annotations

from typing import Any

import pytest

from emomusic.compose.jobs.rows import (
    COLUMNS,
    check_columns,
    options_of,
)
from emomusic.compose.parse import OPTIONS, ROW
from emomusic.music.attributes import ATTRIBUTE_NAMES


def refused(**values: Any) -> str:
    with pytest.raises(ValueError) as error:
        options_of(values, {})
    return str(error.value)


def test_each_option_and_each_attribute_has_a_column() -> None:
    assert {*OPTIONS, *ROW, *ATTRIBUTE_NAMES, "count", "id"} == set(COLUMNS)


def test_texts_become_values() -> None:
    values = {"emotion": "joy", "bars": "8", "seed": " 12 ", "tempo": "90.5", "free": "no",
              "steering": "FALSE", "time-signature": "3/4", "id": "a", "key": None,
              "mix": ""}  # fmt: skip
    assert options_of(values, {}) == {
        "emotion": "joy", "bars": 8, "seed": 12, "tempo": 90.5, "free": False, "steering": False,
        "time_signature": "3/4", "id": "a",
    }  # fmt: skip


def test_numbers_of_json_are_taken_as_they_are() -> None:
    assert options_of({"bars": 4.0, "seed": 2**60 + 1, "valence": 0, "id": 7}, {}) == {
        "bars": 4, "seed": 2**60 + 1, "valence": 0.0, "id": "7",
    }  # fmt: skip


def test_a_seed_in_digits_keeps_all_of_them() -> None:
    assert options_of({"seed": str(2**63 - 1)}, {})["seed"] == 2**63 - 1


def test_attributes_come_as_columns_as_a_text_and_as_a_table() -> None:
    wanted = {"register": 60.0, "note_density": 2.0}
    assert options_of({"register": "60", "note_density": 2}, {})["set"] == wanted
    assert options_of({"set": "register=60, note-density=2"}, {})["set"] == wanted
    assert options_of({"attributes": {"register": 60, "note-density": "2"}}, {})["set"] == wanted
    assert options_of({"set": "register=60", "note_density": "2"}, {})["set"] == wanted


def test_an_attribute_is_given_once() -> None:
    assert refused(set="register=60", register="61") == "register is given twice"
    assert refused(set="register=60 register=61") == "set gives register twice"
    assert refused(set="register=60", attributes={"register": 60}) == "register is given twice"


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("bars", "eight", "bars must be a whole number, got 'eight'"),
        ("seed", "--5", "seed must be a whole number, got '--5'"),
        ("seed", "9" * 400, "seed must be a whole number, got '9999"),
        ("tempo", "nan", "tempo must be a number, got 'nan'"),
        ("tempo", "1e999", "tempo must be a number, got '1e999'"),
        ("set", "register=high", "set takes ATTRIBUTE=VALUE with a number, got 'register=high'"),
        ("register", "high", "register must be a number, got 'high'"),
    ],
)
def test_a_word_of_the_wrong_kind_is_named(column: str, value: str, words: str) -> None:
    assert refused(**{column: value}).startswith(words)


def test_columns_are_known_and_come_once() -> None:
    with pytest.raises(ValueError, match="unknown column 'colour'; known are id, count, emotion"):
        check_columns(["emotion", "colour"])
    with pytest.raises(ValueError, match="the column seed comes twice"):
        check_columns(["seed", "bars", "seed"])
    with pytest.raises(ValueError, match="the column top_p comes twice"):
        options_of({"top-p": 0.5, "top_p": 0.9}, {})


def test_defaults_fill_what_a_row_leaves_open() -> None:
    defaults = {"emotion": "joy", "bars": 8, "seed": 3, "set": {"register": 60.0, "mode": 0.1}}
    assert options_of({}, defaults) == defaults
    assert options_of({"seed": "4", "mode": "0.2"}, defaults) == {
        **defaults, "seed": 4, "set": {"register": 60.0, "mode": 0.2},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"valence": "0", "arousal": "0"}, {"bars": 8, "valence": 0.0, "arousal": 0.0}),
        ({"curve": "0:joy 8:calm"}, {"bars": 8, "curve": "0:joy 8:calm"}),
        ({"free": "yes"}, {"bars": 8, "free": True}),
        ({"free": "no"}, {"bars": 8, "emotion": "joy", "free": False}),
        ({"seconds": "9"}, {"emotion": "joy", "seconds": 9.0}),
    ],
)
def test_another_way_to_say_it_replaces_the_default(
    row: dict[str, str], kept: dict[str, Any]
) -> None:
    assert options_of(row, {"emotion": "joy", "bars": 8}) == kept


def test_defaults_are_left_as_they_were() -> None:
    defaults = {"emotion": "joy", "set": {"register": 60.0}}
    options_of({"emotion": "calm", "set": "register=50"}, defaults)
    assert defaults == {"emotion": "joy", "set": {"register": 60.0}}
