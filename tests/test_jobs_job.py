"""Jobs: what rows may say, and the schema of it; numbers, batches, which jobs are the same."""

from __future__ import annotations

import io
import json
import re
import runpy
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import item, job_of, read
from synthetic import make_score

from emomusic.compose.jobs import job as job_module
from emomusic.compose.jobs import table as table_module
from emomusic.compose.jobs.job import Job, Output
from emomusic.compose.jobs.table import COLUMNS, BadRow, JobRow, JobTable, SpecError, options_of
from emomusic.compose.parse import OPTIONS, ROW, ClipSpec, spec_from_options
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import write_score

ROOT = Path(__file__).parent.parent
JOY = spec_from_options({"emotion": "joy"})
TWO = '{"emotion": "joy"}\n'
TABLE = "id,emotion,count,seed\na,joy,3,1\nb,foo,,\nc,calm,2,5\n"


def reasons(text: str | bytes, **defaults: Any) -> dict[int, str]:
    """Return what is told of the rows that cannot be used, by line."""
    return {row.line: row.reason for row in read(text, **defaults) if isinstance(row, BadRow)}


@pytest.mark.parametrize(
    "options",
    [
        {"valence": -0.5, "arousal": 0.25, "seconds": 20.0, "tempo": 90.0, "seed": 2**63 - 1},
        {"mix": "joy:2 sadness:1", "key": "F# minor", "time_signature": "3/4", "bars": 8},
        {"curve": "0:calm 16:joy", "bars": 16, "take": 2, "time_signature": "2/4"},
        {"free": True, "set": {"register": 60.0, "note_density": 2.0}},
        {"emotion": "Q3", "temperature": 0.8, "top_p": 0.9, "guidance": 1.5, "guided_bars": 4,
         "steering": False, "best_of": 4, "diversity": 0.5},
    ],
)  # fmt: skip
def test_a_row_is_what_the_same_options_are(options: dict[str, Any]) -> None:
    assert read(json.dumps(options)) == [JobRow(1, spec_from_options(options))]
    texts = {name: str(value) for name, value in options.items() if name != "set"}
    texts |= {name: str(value) for name, value in options.get("set", {}).items()}
    table = f"{','.join(texts)}\n{','.join(texts.values())}\n"
    assert read(table) == [JobRow(2, spec_from_options(options))]


def test_rows_have_a_number_of_clips_and_a_name_and_may_be_settings() -> None:
    table = 'id,emotion,count,set\na,joy,2,"register=60 mode=0.1"\nb,calm,,\n'
    text = (
        '{"id": "a", "emotion": "joy", "count": 2, "set": {"register": 60, "mode": 0.1}}\n'
        '{"id": "b", "emotion": "calm", "count": null}\n'
    )
    first, second = read(table), read(text)
    wanted = spec_from_options({"emotion": "joy", "set": {"register": 60.0, "mode": 0.1}})
    assert first[0] == JobRow(2, wanted, 2, "a") and second[0] == JobRow(1, wanted, 2, "a")
    calm = spec_from_options({"emotion": "calm"})
    assert first[1] == JobRow(3, calm, 1, "b") and second[1] == JobRow(2, calm, 1, "b")
    own = ClipSpec(spec_from_options({"emotion": "calm", "bars": 4}).request, seed=9, index=7)
    joy = spec_from_options({"emotion": "joy", "seed": 1})
    assert read(f"{json.dumps(own.to_dict())}\n{TWO}", seed=1) == [JobRow(1, own), JobRow(2, joy)]
    damaged = json.dumps({**own.to_dict(), "seed": -1})
    assert "these settings cannot be used" in reasons(damaged, emotion="joy")[1]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffemotion\njoy\n", "emotion\r\njoy\r\n", "emotion\njoy", '"emotion"\n"joy"\n',
        " Emotion \n joy \n", "\n\nemotion\n\n\njoy\n\n", "emotion,bars,seed\njoy\n",
        "emotion,bars,seed\njoy,,\n", "\ufeff" + TWO, '\n\n {"emotion": "joy"}\r\n\r\n',
        TWO.strip(), '{"emotion": "\\u006aoy", "bars": null}',
    ],
)  # fmt: skip
def test_a_text_is_read_however_it_was_written(text: str) -> None:
    assert [row.settings for row in read(text) if isinstance(row, JobRow)] == [JOY]


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('emotion,mix,id\n\njoy,,"two\nlines"\nnone,,\n\ncalm,,"a\n\nb"\nnone,,\njoy,,"\n"\n',
         [3, 7, 11], {5, 10}),
        (f'\n{TWO}\nnonsense\n{{"emotion": "calm"}}\n', [2, 5], {4}),
        ('emotion\njoy\nfoo\n"calm"x\njoy,1\ncalm\n', [2, 6], {3, 4, 5}),
        ("emotion\n" + "x" * 1000 + "\n" + "y" * 999 + "\njoy\n", [4], {2, 3}),
        (TWO + "x" * 1000 + "\n" + "y" * 999 + "\n" + TWO, [1, 4], {2, 3}),
    ],
)  # fmt: skip
def test_lines_are_those_of_the_file_and_a_bad_one_does_not_stop_the_rest(
    text: str, good: list[int], bad: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "MAX_LINE", 1000)
    told = reasons(text)
    assert [row.line for row in read(text) if isinstance(row, JobRow)] == good
    too_long = [line for line in bad if told[line] == "the row is longer than 24 MiB"]
    assert set(told) == bad and too_long == [2] * ("xxx" in text)


def test_a_quote_that_is_not_closed_takes_no_more_than_a_field() -> None:
    found = read('emotion\n"joy\n' + "calm\n" * 30_000 + "joy\n")
    assert isinstance(found[0], BadRow) and found[0].line == 2
    assert found[-1] == JobRow(30_003, JOY)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("emotion\nj\xffoy\n".encode("latin-1"), "the row is no UTF-8 text"),
        (b'{"emotion": "joy"}\n{"emotion": "\xff"}\n', "the row is no UTF-8 text"),
        (TWO + '{"emotion": "\\ud800"}\n', "the row is no UTF-8 text"),
        ("emotion\njo\0y\n", "unknown emotion 'jo\\x00y'"),
        (TWO + '{"bars": NaN}\n', "numbers must be finite, got NaN"),
        (TWO + '{"bars": 1e999}\n', "bars must be a whole number, got inf"),
        (TWO + '{"bars": ' + "9" * 5000 + "}\n", "Exceeds the limit"),
        (TWO + '{"set": ' * 100_000 + "\n", "the row is nested too deeply"),
        (TWO + '{"emotion": "joy"\n', "the row is no JSON: Expecting"),
        (TWO + '["emotion", "joy"]\n', "the row is no JSON object"),
        (TWO + '{"colour": "red"}\n', "unknown column 'colour'; known are id, count, emotion"),
        (TWO + '{"top-p": 0.5, "top_p": 0.9}\n', "the column top_p comes twice"),
        ("emotion\njoy,7\n", "the row has 2 cells for 1 columns"),
        ('emotion\n"joy\n', "the row is no CSV: unexpected end of data"),
        ('emotion\njoy"s\n"joy"s\n', "unknown emotion"),
        ("emotion\n" + "j" * 200_000 + "\n", "the row is no CSV: field larger than"),
        ("bars\neight\n", "bars must be a whole number, got 'eight'"),
        ("seed\n" + "9" * 400, "seed must be a whole number, got '9999"),
        ("tempo\n1e999\n", "tempo must be a number, got '1e999'"),
        ("set\nregister=high\n", "set takes ATTRIBUTE=VALUE with a number, got 'register=high'"),
        ("set\nregister\n", "set takes ATTRIBUTE=VALUE with a number, got 'register'"),
        ("set\nregister=60 register=61\n", "set gives register twice"),
        ("set,register\nregister=60,61\n", "register is given twice"),
        (TWO + '{"set": "register=60", "attributes": {"register": 6}}', "register is given twice"),
    ],
)
def test_a_bad_row_is_told_with_its_line(text: str | bytes, words: str) -> None:
    found = reasons(text)
    assert found[2].startswith(words), found
    assert all(len(told) <= 400 and told.isprintable() for told in found.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "the job has no rows"),
        (b"\xef\xbb\xbf\r\n \n", "the job has no rows"),
        (b"emotion,colour\njoy,red\n", "unknown column 'colour'; known are id, count"),
        (b"emotion,bars,emotion\n", "the column emotion comes twice"),
        (b",,\n,,\n", "it has no line of column names"),
        (b'"emotion\n', "the job cannot be read: unexpected end of data"),
        (b"emo\xfftion\n", "is no UTF-8 text"),
    ],
)
def test_a_file_without_rows_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(SpecError) as error:
        read(text)
    assert words in str(error.value) and "\n" not in str(error.value)


# what a row may say


def test_texts_and_numbers_become_values() -> None:
    texts = {"seed": " 12 ", "free": "no", "steering": "FALSE", "time-signature": "3/4", "id": "a",
             "key": None, "mix": ""}  # fmt: skip
    assert options_of(texts, {}) == {
        "seed": 12, "free": False, "steering": False, "time_signature": "3/4", "id": "a"
    }  # fmt: skip
    assert options_of({"bars": 4.0, "seed": 2**60 + 1, "valence": 0, "id": 7}, {}) == {
        "bars": 4, "seed": 2**60 + 1, "valence": 0.0, "id": "7",
    }  # fmt: skip
    wanted = {"register": 60.0, "note_density": 2.0}
    for said in ({"register": "60", "note_density": 2}, {"set": "register=60, note-density=2"},
                 {"attributes": {"register": 60, "note-density": "2"}},
                 {"set": "register=60", "note_density": "2"}):  # fmt: skip
        assert options_of(said, {})["set"] == wanted


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({}, {"bars": 8, "emotion": "joy", "set": {"register": 60.0, "mode": 0.1}}),
        ({"seed": "4", "mode": "0.2"},
         {"bars": 8, "emotion": "joy", "seed": 4, "set": {"register": 60.0, "mode": 0.2}}),
        ({"valence": "0", "arousal": "0"}, {"bars": 8, "valence": 0.0, "arousal": 0.0}),
        ({"curve": "0:joy 8:calm"}, {"bars": 8, "curve": "0:joy 8:calm"}),
        ({"free": "yes"}, {"bars": 8, "free": True}),
        ({"free": "no"}, {"bars": 8, "emotion": "joy", "free": False}),
        ({"seconds": "9"}, {"emotion": "joy", "seconds": 9.0}),
    ],
)  # fmt: skip
def test_defaults_fill_what_a_row_leaves_open(row: dict[str, str], kept: dict[str, Any]) -> None:
    defaults = {"emotion": "joy", "bars": 8, "set": {"register": 60.0, "mode": 0.1}}
    assert options_of(row, defaults) == {"set": defaults["set"], **kept}
    assert defaults == {"emotion": "joy", "bars": 8, "set": {"register": 60.0, "mode": 0.1}}


# the schema on the page


def test_the_schema_is_that_of_the_columns_and_attributes_may_be_fixed_within_it() -> None:
    assert {*OPTIONS, *ROW, *ATTRIBUTE_NAMES, "count", "id"} == set(COLUMNS)
    text = (ROOT / "docs" / "job.schema.json").read_text("utf-8")
    assert text == runpy.run_path(str(ROOT / "scripts" / "document_jobs.py"))["page"]()
    schema = json.loads(text)["properties"]
    assert list(schema) == list(COLUMNS)
    for attribute, limits in schema["set"]["properties"].items():
        middle = (limits["minimum"] + limits["maximum"]) / 2
        for name in ("set", "attributes"):
            (found,) = read(json.dumps({"emotion": "joy", name: {attribute: middle}}))
            assert isinstance(found, JobRow) and found.settings.request.fixed == {attribute: middle}


def test_the_rows_on_the_page_can_be_used() -> None:
    text = (ROOT / "docs" / "scale.md").read_text("utf-8")
    for rows in re.findall(r"```(?:csv|json)\n(.*?)```", text, re.DOTALL):
        found = read(rows)
        assert len(found) > 1 and all(isinstance(row, JobRow) for row in found), found


# jobs


def test_clips_are_numbered_through_and_counted_within_their_row() -> None:
    job = job_of(TABLE)
    assert (job.n_rows, job.n_bad, job.n_clips) == (2, 1, 5)
    found = [(o.number, o.row, o.id, o.settings.seed, o.settings.index) for o in job.items()]
    assert found == [(0, 2, "a", 1, 0), (1, 2, "a", 1, 1), (2, 2, "a", 1, 2),
                     (3, 4, "c", 5, 0), (4, 4, "c", 5, 1)]  # fmt: skip
    assert [row.line for row in job.bad_rows()] == [3]
    assert list(job.items()) == list(job.items())
    own = ClipSpec(spec_from_options({"emotion": "joy"}).request, seed=4, index=9)
    found = [(o.number, o.settings.index) for o in Job([JobRow(None, own, 2)]).items()]
    assert found == [(9, 9), (10, 10)]
    found = [(o.number, o.settings.index) for o in Job([JobRow(1, own), JobRow(2, own)]).items()]
    assert found == [(0, 9), (1, 9)]


def test_batches_are_large_enough_not_too_many_and_hold_each_clip_once() -> None:
    for count, size, n_batches in ((1, 16, 1), (16, 16, 1), (17, 16, 2), (1024, 16, 64),
                                   (1025, 17, 61), (10**6, 512, 1954)):  # fmt: skip
        job = job_of(f"emotion,count\njoy,{count}\n")
        assert (job.items_per_batch, job.n_batches) == (size, n_batches)
        assert job.count_clips([True] * n_batches) == count
    job = job_of("emotion,count\n" + "".join(f"joy,{count}\n" for count in (1, 60, 16, 3, 31)))
    batches = list(job.batches([True] * job.n_batches))
    assert [o.number for batch in batches for o in batch.items] == list(range(111))
    assert all(len(batch.items) == job.items_per_batch for batch, _ in pairwise(batches))
    chosen = [batch.index % 3 != 1 for batch in batches]
    assert list(job.batches(chosen)) == [b for b in batches if b.index % 3 != 1]


def test_rows_are_read_once_from_what_may_change_or_be_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(TABLE)
    with path.open("rb") as file:
        job = Job(JobTable(file))
        before = list(job.items())
        path.write_text("emotion\nanger\n")
        assert list(job.items()) == before

    class Pipe(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise OSError("illegal seek")

    assert Job(JobTable(Pipe(TABLE.encode()))).digest == job.digest


def test_music_of_a_row_is_read_and_noticed_where_it_changes_while_the_job_runs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "given.mid"
    write_score(make_score([60, 64, 67, 72]), path)
    for use in ("continue", "vary"):
        wanted = spec_from_options({use: path, "bars": 4})
        assert read(f"{use},bars\n{path},4\n") == [JobRow(2, wanted)]
    words = reasons(f"continue\n{tmp_path / 'none.mid'}\n{tmp_path}\n")
    assert "none.mid" in words[2] and str(tmp_path) in words[3]
    job = job_of(f"continue,bars,count\n,1,1\n{path},1,20\n", emotion="joy")
    assert len(list(job.items())) == job.n_clips == 21
    for change in (lambda: write_score(make_score([60, 64, 67, 71]), path), path.unlink):
        change()
        with pytest.raises(OSError, match="the music that line 3 names is no longer what it was"):
            list(job.items())


def test_the_same_rows_are_the_same_job_and_others_another() -> None:
    assert job_of(TABLE).digest == job_of(TABLE.replace("\n", "\r\n")).digest
    assert job_of(TABLE).digest == job_of(TABLE.replace("joy", " joy ")).digest
    assert job_of("emotion,bars\njoy,8\n").digest == job_of("bars\n8\n", emotion="joy").digest
    head, *rows = TABLE.splitlines()
    others = [
        *(TABLE.replace(*change) for change in (
            ("joy", "Q1"), ("a,joy", "z,joy"), ("joy,3", "joy,2"), ("3,1", "3,2"),
            ("b,foo", "\nb,foo"), ("count,seed", "count,take"),
        )),
        TABLE + "d,joy,,\n",
        "\n".join([head, *reversed(rows), ""]),
    ]  # fmt: skip
    digests = {
        job_of(TABLE).digest,
        job_of(TABLE, bars=4).digest,
        *(job_of(o).digest for o in others),
    }
    assert len(digests) == len(others) + 2


def test_a_job_goes_on_only_where_all_is_the_same(own_checkpoint: Path, tmp_path: Path) -> None:
    job = job_of(TABLE)

    def identity(own: Job = job, kept: Output | None = None, **how: Any) -> dict[str, Any]:
        how = {"checkpoint": own_checkpoint, "engine": "int8", **how}
        return own.identity(kept or Output(), **how)

    first = identity()
    assert identity(job_of(TABLE)) == first
    assert (first["clips"], first["rows"], first["bad_rows"], first["block"]) == (5, 2, 1, 16)
    copied = shutil.copytree(own_checkpoint, tmp_path / "elsewhere")
    (copied / "README.md").write_text("another card")
    assert identity(checkpoint=copied) == first
    mapper = copied / "mapper.json"
    mapper.write_text(mapper.read_text() + "\n")
    outputs = [Output(("mid", "json")), Output(pack="tar"), Output(explained=True)]
    others = [*(identity(kept=own) for own in outputs), identity(engine="torch")]
    others += [identity(job_of(TABLE.replace("joy", "Q1"))), identity(checkpoint=copied)]
    assert all(other != first for other in others)


def test_a_job_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "MAX_CLIPS", 30)
    rows = [JobRow(line, item(0).settings, 16) for line in range(2)]
    with pytest.raises(ValueError, match=r"a job has at most 2\*\*40 clips, got 32"):
        Job(rows)
