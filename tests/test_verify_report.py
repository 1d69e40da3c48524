from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import make_score

from emomusic.emotion import QUADRANTS
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import write_score
from emomusic.verify.report import examine, find_midi_files
from emomusic.verify.verifier import Verifier

SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    for name in ("b/2.mid", "a/1.MIDI", "b/deep/3.midi", "z.mid"):
        write_score(make_score(SCALE, tempo=90.0), tmp_path / name)
    (tmp_path / "notes.txt").write_text("no music")
    return tmp_path


def test_folders_are_walked_in_order_for_midi_files_only(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in find_midi_files([folder])]
    assert found == ["z.mid", "a/1.MIDI", "b/2.mid", "b/deep/3.midi"]


def test_attributes_are_measured(folder: Path) -> None:
    record = examine(folder / "z.mid").to_dict()
    assert set(record) == {"file", "attributes"}
    assert tuple(record["attributes"]) == ATTRIBUTE_NAMES
    assert record["attributes"]["tempo"] == pytest.approx(90.0, abs=0.01)
    assert record["attributes"]["note_density"] == pytest.approx(1.0)


def test_a_verdict_is_given_where_there_is_a_verifier(folder: Path, tiny_checkpoint: Path) -> None:
    report = examine(folder / "z.mid", Verifier.load(tiny_checkpoint))
    record = report.to_dict()
    assert set(record) == {"file", "verdict", "attributes"}
    values = {"valence", "arousal", "valence_sd", "arousal_sd"}
    assert set(record["verdict"]) == {"quadrant", "probabilities", "trust", *values}
    assert tuple(record["verdict"]["probabilities"]) == QUADRANTS
    line = str(report)
    assert report.verdict is not None
    assert line.startswith(f"{folder / 'z.mid'}  Q") and " p=0." in line and "tempo=90" in line
    explained = examine(folder / "z.mid", Verifier.load(tiny_checkpoint), explained=True)
    assert {*explained.to_dict()} == {"file", "verdict", "attributes", "explanation", "course"}
    head, sentence = str(explained).splitlines()  # so short a piece has no course to tell of
    assert head == line.partition("  tempo")[0] and f"({report.verdict.quadrant}," in sentence


def test_a_bad_file_is_told_and_the_others_are_examined(folder: Path) -> None:
    (folder / "b" / "2.mid").write_bytes(b"MThd\x00\x00")
    (folder / "a" / "1.MIDI").write_bytes(b"")
    reports = [examine(path) for path in find_midi_files([folder, folder / "none.mid"])]
    errors = [report.error for report in reports]
    assert errors[0] is None and errors[1] == "the file is empty"
    assert str(errors[2]).startswith("damaged MIDI file") and errors[3] is None
    assert errors[4] == "cannot read the file: No such file or directory"
    assert str(reports[1]) == f"{folder / 'a' / '1.MIDI'}: the file is empty"
