"""Tables from spreadsheets and data frames: read as they are, or refused in a sentence."""

from __future__ import annotations

import io
import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from random import Random
from typing import Any

import pytest
from helpers.jobs import read
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_score

from emomusic.compose.jobs import table as table_module
from emomusic.compose.jobs.job import Job
from emomusic.compose.jobs.table import COLUMNS, BadRow, JobRow, JobTable, SpecError, row_of
from emomusic.compose.parse import parse_settings_file, spec_from_options
from emomusic.files import decode_text
from emomusic.music.score import write_score
from emomusic.training.config import make_config

JOY, FEAR = {"emotion": "joy", "bars": 4}, {"emotion": "fear", "bars": 4}
PRETTY = json.dumps(JOY, indent=1)


def asked(text: str | bytes, **defaults: Any) -> dict[int, Any]:
    """Return what rows ask for, or why they cannot be used, by their numbers."""
    data = text.encode() if isinstance(text, str) else text
    found = dict(JobTable(io.BytesIO(data), defaults))
    return {n: row.reason if isinstance(row, BadRow) else row for n, row in found.items()}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # an index without a name, columns and rows of nothing
        (",emotion,bars\n0,joy,4.0\n1,fear,4.0\n", {2: JOY, 3: FEAR}),
        ("Unnamed: 0.1,Unnamed: 0,emotion,bars\n0,0,joy,4\n", {2: JOY}),
        ("emotion,bars,notes,\njoy,4,,\nfear,4, ,\n", {2: JOY, 3: FEAR}),
        ("emotion,,bars\njoy,anything,4\n", {2: JOY}),
        (",emotion,bars\n0,joy,4\n1,,\n,,\n2,fear,4\n", {2: JOY, 5: FEAR}),
        ("emotion,bars\njoy,4,,\nfear,4\n\n", {2: JOY, 3: FEAR}),
        # names as people write them
        (" Emotion ,BARS\njoy,4\n", {2: JOY}),
        ("Time Signature,Note-Density,emotion\n3/4,2,joy\n",
         {2: {"emotion": "joy", "time_signature": "3/4", "set": {"note_density": 2.0}}}),
        # separators
        ("emotion;bars\njoy;4\n", {2: JOY}),
        ("emotion\tbars\r\njoy\t4\r\n", {2: JOY}),
        ('"emotion";"bars"\n"joy";"4"\n', {2: JOY}),
        ("emotion|bars\njoy|4\n", {2: JOY}),
        ("sep=,\r\nemotion,bars\r\njoy,4\r\n", {3: JOY}),
        ('\n"sep=;"\nemotion;bars\njoy;4\n', {4: JOY}),
        ("sep=;\ncurve\n0:0.5,0.5\n", {3: {"curve": "0:0.5,0.5"}}),
        ("SEP=\t\nemotion\tbars\njoy\t4\n", {3: JOY}),
        ('emotion,id\njoy,"a;b\tc;d"\n', {2: {"emotion": "joy", "id": "a;b\tc;d"}}),
        ("curve\tbars\n0:calm; 8:-0.5,0.3\t4\n", {2: {"curve": "0:calm; 8:-0.5,0.3", "bars": 4}}),
        # decimal commas, where commas part nothing else
        ("valence;arousal;bars;chords;id\n0,5;-0,25;4,0;C,G7 F;1,5\n",
         {2: {"valence": 0.5, "arousal": -0.25, "bars": 4, "chords": "C,G7 F", "id": "1,5"}}),
        ("emotion;set\njoy;register=60,5,mode=0,1\n",
         {2: {"emotion": "joy", "set": {"register": 60.5, "mode": 0.1}}}),
        ("free\ttempo\nyes\t90,5\n", {2: {"free": True, "tempo": 90.5}}),
        ("tempo;free\n1.234,5;yes\n", {2: "tempo must be a number, got '1.234,5'"}),
        ('valence,arousal\n"0,5",0\n', {2: "valence must be a number, got '0,5'"}),
        # ends of lines
        ("emotion,bars\rjoy,4\rfear,4\r", {2: JOY, 3: FEAR}),
        ('emotion,id\r\njoy,"a\r\nb"\r\nfoo,\r\n\r\n',
         {2: {"emotion": "joy", "id": "a\r\nb"},
          4: "unknown emotion 'foo', accepted are Q1 to Q4 and 102 names such as joy, calm, "
             "sadness, anger"}),
        # JSON that is not a line a row
        (json.dumps([JOY, FEAR]), {1: JOY, 2: FEAR}),
        (f" [\n{PRETTY},\n{PRETTY}\n]\n", {1: JOY, 2: JOY}),
        (f'[{PRETTY}, 4, {{"bars": NaN}}, {{"Unnamed: 0": 7, "Emotion": "joy", "x": null}}]',
         {1: JOY, 2: "the row is no JSON object", 3: "numbers must be finite, got NaN",
          4: {"emotion": "joy"}}),
        ('[{"id": "\\ud800"}, {"emotion": "joy"},]',
         {1: "the row is no UTF-8 text: save it as UTF-8", 2: {"emotion": "joy"}}),
        (PRETTY, {1: JOY}),
        (f"{PRETTY}\n{PRETTY}\n", {1: JOY, 2: JOY}),
        (f"{json.dumps(JOY)}\n\n{json.dumps(FEAR)}\n", {1: JOY, 3: FEAR}),
        ('{"emotion": "joy"\n{"emotion": "joy"}\n',
         {1: "the row is no JSON: Expecting ',' delimiter at column 1", 2: {"emotion": "joy"}}),
    ],
)  # fmt: skip
def test_a_table_is_read_as_programs_write_it(text: str, rows: dict[int, Any]) -> None:
    assert asked(text) == rows
    for mark, encoding in ((BOM_UTF8, "utf-8"), (BOM_UTF16_LE, "utf-16-le"),
                           (BOM_UTF16_BE, "utf-16-be")):  # fmt: skip
        assert asked(mark + text.encode(encoding)) == rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("emotion,tempoo\njoy,\ncalm,90\n", "unknown column 'tempoo'; nearest is tempo"),
        ("emoton\n", "unknown column 'emoton'; nearest is emotion"),
        ("emotion;Time Signatur\njoy;3/4\n", "'Time Signatur'; nearest is time_signature"),
        ("joy,4\ncalm,8\n", "unknown column 'joy'; known are id, count, emotion"),
        ("emotion;EMOTION\njoy;joy\n", "the column emotion comes twice"),
        ("emotion,bars\n,\n", "the job has no rows"),
        ("[ ]\n", "the job has no rows"),
        ('[{"emotion": "joy"},\n{"emotion" "joy"}]', "row 2 is no JSON: Expecting ':'"),
        ('[{"emotion": "joy"},\n', "row 2 is no JSON: Expecting value"),
        ('[{"emotion": "jo', "row 1 is no JSON: Unterminated string starting"),
        ('[{"emotion": "joy"}]\n{}\n', "it goes on after its array"),
        ("[" * 100_000, "is no JSON, or is longer than 24 MiB: nested too deeply"),
        ('[{"id": "' + "x" * 2000, "is no JSON, or is longer than 24 MiB: Unterminated string"),
        (b"PK\3\4 of a workbook", "the job is a workbook, not a table of text: save it as CSV"),
        ("emotion\njoy\n".encode("utf-16-be"), "the job is no UTF-8 text: save it as UTF-8"),
        ("emotion,\xe9tude\n".encode("latin-1"), "names is no UTF-8 text: save it as UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_a_sentence(
    text: str | bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "_CHUNK", 64)
    monkeypatch.setattr(table_module, "MAX_LINE", 1000)
    with pytest.raises(SpecError) as error:
        asked(text)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_an_array_is_read_in_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"emotion": "joy", "seed": n, "id": "é𝄞\n" * (n % 5)} for n in range(50)]
    texts = [json.dumps(rows, indent=n, ensure_ascii=n > 1) for n in range(3)]
    whole = [asked(text) for text in texts]
    monkeypatch.setattr(table_module, "_CHUNK", size)
    assert [asked(text) for text in texts] == whole and len(whole[0]) == len(rows)


def test_settings_and_configurations_are_read_in_the_same_encodings(tmp_path: Path) -> None:
    wanted = spec_from_options({"emotion": "joy", "key": "F#", "seed": 7})
    text, toml = wanted.to_json(), 'size = "tiny"\nmax_steps = 3\n'
    for mark, encoding in ((b"", "utf-8"), (BOM_UTF8, "utf-8"), (BOM_UTF16_LE, "utf-16-le"),
                           (BOM_UTF16_BE, "utf-16-be")):  # fmt: skip
        for end in ("\n", "\r\n", "\r"):
            data = mark + text.replace("\n", end).encode(encoding)
            assert parse_settings_file(data) == wanted and read(data) == [JobRow(1, wanted)]
            for name, own in (("a.toml", toml), ("a.json", '{"max_steps": 3, "size": "tiny"}')):
                (tmp_path / name).write_bytes(mark + own.replace("\n", end).encode(encoding))
                assert make_config(tmp_path / name, {}).size == "tiny"
    (tmp_path / "a.toml").write_bytes(b'size = "\xe9"\n')
    for read_it in (
        lambda: decode_text(b"\xff\xfea"),
        lambda: parse_settings_file(b'{"format": "\xe9"}'),
        lambda: make_config(tmp_path / "a.toml", {}),
    ):
        with pytest.raises(ValueError, match="it is no UTF-8 text: save it as UTF-8"):
            read_it()


def test_paths_in_rows_begin_in_a_folder_and_those_of_defaults_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs" / "in").mkdir(parents=True)
    write_score(make_score([60, 64, 67, 72]), tmp_path / "jobs" / "in" / "a.mid")
    monkeypatch.setenv("HOME", str(tmp_path / "jobs"))
    monkeypatch.chdir(tmp_path)
    wanted = spec_from_options({"continue": tmp_path / "jobs" / "in" / "a.mid"})
    for path, folder in (("in/a.mid", "jobs"), ("../jobs/in/a.mid", "jobs"), ("~/in/a.mid", "no"),
                         (f"{tmp_path}/jobs/in/a.mid", "no"), ("jobs/in/a.mid", ".")):  # fmt: skip
        table = JobTable(io.BytesIO(f"continue\n{path}\n".encode()), folder=Path(folder))
        assert dict(table) == {2: JobRow(2, wanted)}
    table = JobTable(io.BytesIO(b"vary\n~no-one/a.mid\na.mid\n"), folder=Path("jobs"))
    reasons = [row.reason for _, row in table if isinstance(row, BadRow)]
    assert "jobs/~no-one/a.mid" in reasons[0] and "jobs/a.mid" in reasons[1]
    table = JobTable(
        io.BytesIO(b"seed\n1\n"), {"continue": Path("jobs/in/a.mid")}, folder=Path("no")
    )
    assert isinstance(dict(table)[2], JobRow)


# rows that are alike but for numbers are checked once

CELLS: dict[str, list[Any]] = {
    "id": ["a", "x" * 201, 7, " b "],
    "count": ["2", "0", 3.0, "1e1"],
    "emotion": ["joy", "JOY", "jooy"],
    "valence": ["0.5", "-1", "-0.0", "1.01", "nan", 0, True, "٠.٥"],
    "arousal": ["0.25", "1e-1", "1_0", "inf", -0.25],
    "mix": ["joy:1 calm:2"],
    "curve": ["0:calm 8:joy", "8"],
    "free": ["yes", "no", True, 1],
    "bars": ["4", "8.0", "512", "513", "+4", 4, 4.0, 4.5],
    "seconds": ["0.5", "20", "0.4"],
    "tempo": ["90", "20", "19.9"],
    "key": ["D", "F# minor", "H"],
    "time_signature": ["3/4", "5/4"],
    "set": ["register=60", "tempo=90", "mode=9", {"register": 60}],
    "register": ["60", "61.5", "-500", "500"],
    "temperature": ["1", "0", "5e-324", "5"],
    "steering": ["no", False],
    "best_of": ["1", "2", 1, 1.0],
    "seed": ["1", str(2**63 - 1), str(2**63), "9007199254740993", "+9007199254740993",
             "000000009007199254740993", "-1", 2**60 + 1, "1e999"],
    "take": ["1", "0"],
}  # fmt: skip
TOGETHER = ("free best_of", "emotion free best_of", "valence arousal seed register",
            "free set register tempo", "emotion bars seconds tempo set", "id count emotion seed",
            "curve bars key take", "emotion register temperature best_of",
            "valence arousal mix free")  # fmt: skip
DEFAULTS = [{}, {"emotion": "joy"}, {"bars": 8, "set": {"register": 60.0, "mode": 0.5}},
            {"seconds": 9.0, "valence": 0.1, "arousal": 0.2}, {"tempo": 90.0, "count": 3},
            {"best_of": 2}, {"free": True, "seed": 5}]  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.randoms(use_true_random=False), st.sampled_from(DEFAULTS), st.booleans())
def test_what_is_remembered_of_rows_changes_nothing(
    rng: Random, defaults: dict[str, Any], is_json: bool
) -> None:
    def cell(name: str) -> Any:  # what can be used comes first, and more often
        usual = rng.random() < 0.7
        return rng.choice([None, *CELLS[name][:2]] if usual else ["", *CELLS[name]])

    names = rng.choice([rng.sample(list(CELLS), 4), *map(str.split, TOGETHER)])
    bases = [{name: cell(name) for name in names} for _ in range(3)]
    changed = rng.choices(names, k=18)
    rows = [base | {name: cell(name)} for base, name in zip(bases * 6, changed, strict=True)]
    if is_json:
        lines = [json.dumps(own) for own in rows]
    else:
        texts = [[str(own[n] or "") for n in names if not isinstance(own[n], dict)] for own in rows]
        head = ",".join(names)
        lines = [f"{head}\n{','.join(own)}" for own in texts if len(own) == len(names)]
    together = "\n".join([*lines[:1], *(line.split("\n")[-1] for line in lines[1:])])

    def found(text: str) -> list[Any]:
        try:
            return list(asked(text, **defaults).values())
        except SpecError:  # no rows
            return []

    alone = [found(line) for line in lines]
    assert repr(found(together)) == repr([own for one in alone for own in one])
    for options in found(together):
        if isinstance(options, dict):
            row_of(1, options)


def test_a_rule_is_checked_once_for_rows_alike_and_clips_are_made_of_chosen_batches_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def noted(line: int, options: Any) -> JobRow:
        made.append(line)
        return row_of(line, options)

    monkeypatch.setattr("emomusic.compose.jobs.table.row_of", noted)
    monkeypatch.setattr("emomusic.compose.jobs.job.row_of", noted)
    monkeypatch.setattr("emomusic.compose.jobs.job.SHOW_EVERY", 100)
    text = "emotion,seed,valence,arousal,key\n" + "".join(
        f"joy,{n},,,D\n,{n},{n / 1000},{-n / 999},\n" for n in range(500)
    )
    shown: list[tuple[int, int]] = []
    job = Job(JobTable(io.BytesIO(text.encode())), lambda *how_far: shown.append(how_far))
    assert made == [2, 3] and job.n_rows == 1000
    assert len(shown) == 10 and shown == sorted(shown)
    assert 0 < shown[0][0] < shown[0][1] == len(text) >= shown[-1][0]
    made.clear()
    chosen = [n == 3 for n in range(job.n_batches)]
    (batch,) = job.batches(chosen)
    assert made == list(range(50, 66)) == [item.row for item in batch.items]
    assert [item.number for item in batch.items] == list(range(48, 64))
    assert [item.settings.seed for item in batch.items[:3]] == [24, 24, 25]


def test_every_number_is_read_as_its_field_reads_it() -> None:
    for name, own in COLUMNS.items():
        low, high = own.bounds or (0, 1)
        for value in (low, high, low - 1, high + 1, (low + high) / 2, "1", " 2 ", "-3", "x", "nan",
                      True, None, 10**400, "9" * 30, 0.1 + 0.2, "1e0", "0x1"):  # fmt: skip
            results = []
            for reading in (own.read_word, table_module._READ[name]):
                try:
                    results.append(repr(reading(value)))
                except ValueError as error:
                    results.append(str(error))
            assert results[0] == results[1] or (name == "id" and type(value) is int)
