from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emomusic.verify.labels import (
    Curve,
    LabelError,
    LabelledClip,
    part_of,
    read_curves,
    read_labels,
)

HEAD = "path,source,song,quadrant,split,valence,arousal\n"
ROWS = "emopia/Q1_abc_0.mid,emopia,abc,Q1,train,,\nvgmidi/x.mid,vgmidi,x,Q3,train,-0.25,-0.5\n"


def folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "labels.csv").write_text(text)
    return tmp_path


def test_rows_become_clips_in_their_order(tmp_path: Path) -> None:
    first, second = read_labels(folder(tmp_path, HEAD + ROWS))
    assert first.path == tmp_path / "emopia/Q1_abc_0.mid"
    assert (first.source, first.song, first.quadrant) == ("emopia", "abc", "Q1")
    assert first.valence is None
    assert first.group == "emopia/abc"
    assert (second.valence, second.arousal) == (-0.25, -0.5)


def test_the_folder_above_is_accepted_too(tmp_path: Path) -> None:
    (tmp_path / "emotion").mkdir()
    folder(tmp_path / "emotion", HEAD + ROWS)
    assert len(read_labels(tmp_path)) == 2


def test_parts_are_halves_and_never_move() -> None:
    parts = [part_of("emopia", f"song {k}") for k in range(1000)]
    assert 450 < parts.count("judge") < 550
    # Published accuracies hold for this split: it must be the same everywhere, for ever.
    pinned = ["judge", "judge", "judge", "mapper"]
    assert [part_of("emopia", song) for song in ("a", "b", "c", "d")] == pinned


def test_songs_that_the_generator_hears_are_the_mappers(tmp_path: Path) -> None:
    song = next(f"s{k}" for k in range(99) if part_of("emopia", f"s{k}") == "judge")
    rows = "".join(f"emopia/Q1_{song}_{k}.mid,emopia,{song},Q1,train,,\n" for k in range(2))
    folder(tmp_path, HEAD + rows)
    assert [clip.part for clip in read_labels(tmp_path)] == ["judge", "judge"]
    also = f"clip,corpus_path,at_s,score\nQ1_{song}_1,pop1k7/x.mid,0.0,0.4\n"
    (tmp_path / "emopia_also_in_pop1k7.csv").write_text(also)
    assert [clip.part for clip in read_labels(tmp_path)] == ["mapper", "mapper"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD, "holds no clips"),
        ("path,source\na,b\n", "lacks the columns"),
        (HEAD + "a.mid,emopia,a,Q5,train,,\n", "line 2: quadrant must be one of"),
        (HEAD + ROWS + "a.mid,emopia,a,Q1,train,2.0,\n", r"line 4: valence must be in \[-1, 1\]"),
        (HEAD + "a.mid,emopia,a,Q1,train,loud,\n", "line 2: could not convert"),
        (HEAD + "a.mid,emopia,a,Q1,train,nan,\n", "valence and arousal must be numbers"),
        (HEAD + "a.mid,emopia,,Q1,train,,\n", "source and song must be named"),
        (HEAD + "a.mid,emopia\n", "source and song must be named|quadrant"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(LabelError, match=words) as caught:
        read_labels(folder(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"cannot read .*labels\.csv"):
        read_labels(tmp_path)


def test_clips_check_their_values() -> None:
    with pytest.raises(LabelError, match="arousal must be in"):
        LabelledClip(Path("a.mid"), "vgmidi", "a", "Q1", 0.0, -1.5, "judge")


CURVE: dict[str, Any] = {
    "duration_s": 12.5,
    "valence": [0.1, -0.3],
    "valence_std": [0.2, 0.4],
    "arousal": [0, 1],
    "arousal_std": [0.5, 0.1],
}


def with_curves(tmp_path: Path, content: str) -> Path:
    (tmp_path / "vgmidi_curves.json").write_text(content)
    return folder(tmp_path, HEAD + ROWS)


def test_curves_are_read_by_the_paths_of_clips(tmp_path: Path) -> None:
    content = json.dumps({"vgmidi/x.mid": {**CURVE, "whatever": 1}})
    curves = read_curves(with_curves(tmp_path, content))
    assert curves == {"vgmidi/x.mid": Curve(12.5, (0.1, -0.3), (0.2, 0.4), (0.0, 1.0), (0.5, 0.1))}


def test_spreads_are_the_means_of_the_curves(tmp_path: Path) -> None:
    first, second = read_labels(with_curves(tmp_path, json.dumps({"vgmidi/x.mid": CURVE})))
    assert second.valence_spread == pytest.approx(0.3)
    assert second.arousal_spread == pytest.approx(0.3)
    assert (first.valence_spread, first.arousal_spread) == (None, None)


def test_without_curves_no_spread_is_known(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == {}
    clips = read_labels(folder(tmp_path, HEAD + ROWS))
    assert {clip.valence_spread for clip in clips} == {None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"valence": [0.1]}, "as many values on each axis, at least one"),
        ({name: [] for name in CURVE if name != "duration_s"}, "at least one"),
        ({"arousal": [0.0, 1.1]}, r"valence and arousal must be in \[-1, 1\]"),
        ({"valence": [0.0, float("nan")]}, r"valence and arousal must be in \[-1, 1\]"),
        ({"valence_std": [0.1, -0.1]}, "standard deviations must be 0 or more"),
        ({"arousal_std": [0.1, float("inf")]}, "standard deviations must be 0 or more"),
        ({"duration_s": 0.0}, "duration_s must be above 0, got 0.0"),
        ({"duration_s": float("nan")}, "duration_s must be above 0, got nan"),
        ({"duration_s": "long"}, "cannot read .*could not convert"),
        ({"valence": 0.5}, "cannot read"),
        ({"valence": ["a", "b"]}, "cannot read"),
    ],
)
def test_wrong_curves_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = with_curves(tmp_path, json.dumps({"vgmidi/x.mid": {**CURVE, **change}}))
    for read in (read_curves, read_labels):
        with pytest.raises(LabelError, match=words) as caught:
            read(path)
        assert "vgmidi_curves.json" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[1]", "[]", '{"a": 1}', '{"a": {"duration_s": 1}}'])
def test_damaged_curves_are_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(LabelError, match=r"cannot read .*vgmidi_curves\.json"):
        read_curves(with_curves(tmp_path, content))
