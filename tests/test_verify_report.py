from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import make_score

from emomusic.emotion import QUADRANTS
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import write_score
from emomusic.verify.report import examine, find_midi_files
from emomusic.verify.verifier import Verifier


def test_files_are_found_in_order_and_examined_though_some_are_bad(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    for name in ("b/2.mid", "a/1.MIDI", "b/deep/3.midi", "z.mid", "no music.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_score(make_score([60, 62, 64, 65, 67, 69, 71, 72], tempo=90.0), tmp_path / name)
    files = [*find_midi_files([tmp_path, tmp_path / "none.mid"])]
    found = [path.relative_to(tmp_path).as_posix() for path in files]
    assert found == ["z.mid", "a/1.MIDI", "b/2.mid", "b/deep/3.midi", "none.mid"]
    files[1].write_bytes(b"")
    files[2].write_bytes(b"MThd\x00\x00")
    whole, empty, damaged, another, missing = map(examine, files)
    assert whole.error is None and another.error is None
    assert str(empty) == f"{files[1]}: the file is empty"
    assert str(damaged.error).startswith("damaged MIDI file")
    assert missing.error == "cannot read the file: No such file or directory"
    attributes = whole.to_dict()["attributes"]
    assert tuple(attributes) == ATTRIBUTE_NAMES
    assert attributes["tempo"] == pytest.approx(90.0, abs=0.01)
    assert attributes["note_density"] == pytest.approx(1.0)
    report = examine(files[0], Verifier.load(tiny_checkpoint), explained=True)
    record = report.to_dict()
    assert {*record} == {"file", "verdict", "attributes", "explanation", "course"}
    values = {"valence", "arousal", "valence_sd", "arousal_sd"}
    assert {*record["verdict"]} == {"quadrant", "probabilities", "trust", *values}
    assert tuple(record["verdict"]["probabilities"]) == QUADRANTS
    assert report.verdict is not None
    head, sentence = str(report).splitlines()  # so short a piece has no course to tell of
    assert head.startswith(f"{files[0]}  Q") and " p=0." in head
    assert f"({report.verdict.quadrant}," in sentence
