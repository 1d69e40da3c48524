from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.jobs import read
from synthetic import make_score

from emomusic.compose.jobs import rows as rows_module
from emomusic.compose.jobs.rows import (
    COLUMNS,
    BadRow,
    JobRow,
    SpecError,
    check_columns,
    options_of,
)
from emomusic.compose.parse import OPTIONS, ROW, ClipSpec, spec_from_options
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import write_score

JOY = spec_from_options({"emotion": "joy"})


def reasons(text: str | bytes, **defaults: Any) -> dict[int, str]:
    """Return what is told of the rows that cannot be used, by line."""
    return {row.line: row.reason for row in read(text, **defaults) if isinstance(row, BadRow)}


def good(text: str | bytes, **defaults: Any) -> list[int | None]:
    """Return the lines of the rows that can be used."""
    return [row.line for row in read(text, **defaults) if isinstance(row, JobRow)]


@pytest.mark.parametrize(
    "options",
    [
        {"emotion": "joy", "bars": 8, "seed": 3},
        {"valence": -0.5, "arousal": 0.25, "seconds": 20.0, "tempo": 90.0},
        {"mix": "joy:2 sadness:1", "key": "F# minor", "time_signature": "3/4"},
        {"curve": "0:calm 16:joy", "bars": 16, "take": 2},
        {"free": True, "set": {"register": 60.0, "note_density": 2.0}},
        {"emotion": "Q3", "temperature": 0.8, "top_p": 0.9, "guidance": 1.5, "guided_bars": 4,
         "steering": False, "best_of": 4, "diversity": 0.5},
    ],
)  # fmt: skip
def test_a_row_is_what_the_same_options_are(options: dict[str, Any]) -> None:
    (row,) = read(json.dumps(options))
    assert row == JobRow(1, spec_from_options(options))
    texts = {name: str(value) for name, value in options.items() if name != "set"}
    texts |= {name: str(value) for name, value in options.get("set", {}).items()}
    table = f"{','.join(texts)}\n{','.join(texts.values())}\n"
    assert read(table) == [JobRow(2, spec_from_options(options))]


def test_music_is_read_from_the_file_that_a_row_names(tmp_path: Any) -> None:
    path = tmp_path / "given.mid"
    write_score(make_score([60, 64, 67, 72]), path)
    for use in ("continue", "vary"):
        assert read(f"{use},bars\n{path},4\n") == [
            JobRow(2, spec_from_options({use: path, "bars": 4}))
        ]
    words = reasons(f"continue\n{tmp_path / 'none.mid'}\n{tmp_path}\n")
    assert "none.mid" in words[2] and str(tmp_path) in words[3]


def test_the_same_rows_come_from_csv_and_from_json() -> None:
    table = 'id,emotion,count,set\na,joy,2,"register=60 mode=0.1"\nb,calm,,\n'
    text = (
        '{"id": "a", "emotion": "joy", "count": 2, "set": {"register": 60, "mode": 0.1}}\n'
        '{"id": "b", "emotion": "calm", "count": null}\n'
    )
    first, second = read(table), read(text)
    assert [(row.settings, row.count, row.id) for row in first if isinstance(row, JobRow)] == [
        (row.settings, row.count, row.id) for row in second if isinstance(row, JobRow)
    ]
    assert len(first) == len(second) == 2 and first[0] == JobRow(
        2, spec_from_options({"emotion": "joy", "set": {"register": 60.0, "mode": 0.1}}), 2, "a"
    )


def test_a_line_of_settings_is_a_row() -> None:
    own = ClipSpec(spec_from_options({"emotion": "calm", "bars": 4}).request, seed=9, index=7)
    text = f"{json.dumps(own.to_dict())}\n" + '{"emotion": "joy"}\n'
    assert read(text, seed=1) == [
        JobRow(1, own),
        JobRow(2, spec_from_options({"emotion": "joy", "seed": 1})),
    ]
    assert "these settings cannot be used" in reasons(
        json.dumps({**own.to_dict(), "seed": -1}), emotion="joy"
    )[1]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffemotion\njoy\n",
        "emotion\r\njoy\r\n",
        "emotion\njoy",
        '"emotion"\n"joy"\n',
        " Emotion \n joy \n",
        "\n\nemotion\n\n\njoy\n\n",
        "emotion,bars,seed\njoy\n",
        "emotion,bars,seed\njoy,,\n",
        "\ufeff" + '{"emotion": "joy"}\n',
        '\n\n {"emotion": "joy"}\r\n\r\n',
        '{"emotion": "joy"}',
        '{"emotion": "\\u006aoy", "bars": null}',
    ],
)
def test_a_text_is_read_however_it_was_written(text: str) -> None:
    assert [row.settings for row in read(text) if isinstance(row, JobRow)] == [JOY]


def test_line_numbers_count_the_lines_of_the_file() -> None:
    table = 'emotion,mix,id\n\njoy,,"two\nlines"\nnone,,\n\ncalm,,"a\n\nb"\nnone,,\njoy,,"\n"\n'
    assert good(table) == [3, 7, 11] and set(reasons(table)) == {5, 10}
    text = '\n{"emotion": "joy"}\n\nnonsense\n{"emotion": "calm"}\n'
    assert good(text) == [2, 5] and set(reasons(text)) == {4}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("emotion\nj\xffoy\n".encode("latin-1"), "the row is no UTF-8 text"),
        (b'{"emotion": "joy"}\n{"emotion": "\xff"}\n', "the row is no UTF-8 text"),
        ('{"emotion": "joy"}\n{"emotion": "\\ud800"}\n', "the row is no UTF-8 text"),
        ("emotion\njo\0y\n", "unknown emotion 'jo\\x00y'"),
        ('{"emotion": "joy"}\n{"bars": NaN}\n', "numbers must be finite, got NaN"),
        ('{"emotion": "joy"}\n{"bars": 1e999}\n', "bars must be a whole number, got inf"),
        ('{"emotion": "joy"}\n{"bars": ' + "9" * 5000 + "}\n", "Exceeds the limit"),
        ('{"emotion": "joy"}\n' + '{"set": ' * 100_000 + "\n", "the row is nested too deeply"),
        ('{"emotion": "joy"}\n{"emotion": "joy"\n', "the row is no JSON: Expecting"),
        ('{"emotion": "joy"}\n["emotion", "joy"]\n', "the row is no JSON object"),
        ('{"emotion": "joy"}\n{"colour": "red"}\n', "unknown column 'colour'; known are"),
        ("emotion\njoy,7\n", "the row has 2 cells for 1 columns"),
        ('emotion\n"joy\n', "the row is no CSV: unexpected end of data"),
        ('emotion\njoy"s\n"joy"s\n', "unknown emotion"),
        ("emotion\n" + "j" * 200_000 + "\n", "the row is no CSV: field larger than"),
    ],
)
def test_a_bad_row_is_told_with_its_line(text: str | bytes, words: str) -> None:
    found = reasons(text)
    assert found[2].startswith(words), found
    assert all(len(told) <= 400 and told.isprintable() for told in found.values())


def test_a_bad_row_does_not_stop_the_rest() -> None:
    table = 'emotion\njoy\nfoo\n"calm"x\njoy,1\ncalm\n'
    assert good(table) == [2, 6] and sorted(reasons(table)) == [3, 4, 5]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest() -> None:
    table = 'emotion\n"joy\n' + "calm\n" * 40_000 + "joy\n"
    found = read(table)
    assert isinstance(found[0], BadRow) and found[0].line == 2
    assert found[-1] == JobRow(40_003, JOY)


@pytest.mark.parametrize("head", ["emotion\n", '{"emotion": "calm"}\n'])
def test_a_line_without_end_takes_no_memory(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_LINE", 100)
    last = "joy" if head == "emotion\n" else '{"emotion": "joy"}'
    text = head + "x" * 1000 + "\n" + "y" * 99 + "\n" + last + "\n"
    assert reasons(text)[2] == "the row is longer than 24 MiB"
    assert good(text)[-1] == 4 and 3 in reasons(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "the job has no rows"),
        (b"\xef\xbb\xbf\r\n \n", "the job has no rows"),
        (b"emotion,colour\njoy,red\n", "unknown column 'colour'; known are id, count"),
        (b"emotion,\njoy,\n", "unknown column ''"),
        (b"joy\ncalm\n", "unknown column 'joy'"),
        (b"emotion,bars,emotion\n", "the column emotion comes twice"),
        (b",,\n,,\n", "it has no line of column names"),
        (b'"emotion\n', "the job cannot be read: unexpected end of data"),
        (b"emo\xfftion\n", "is no UTF-8 text"),
        (b"\xff\xfee\0m\0o\0t\0i\0o\0n\0\n\0", "is no UTF-8 text"),
        (b"[1]\n", "unknown column '[1]'"),
    ],
)
def test_a_file_without_rows_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(SpecError) as error:
        read(text)
    assert words in str(error.value) and "\n" not in str(error.value)


# what a row may say


def column_refused(**values: Any) -> str:
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
    assert column_refused(set="register=60", register="61") == "register is given twice"
    assert column_refused(set="register=60 register=61") == "set gives register twice"
    assert (
        column_refused(set="register=60", attributes={"register": 60}) == "register is given twice"
    )


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
    assert column_refused(**{column: value}).startswith(words)


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
