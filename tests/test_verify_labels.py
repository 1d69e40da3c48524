from __future__ import annotations

from pathlib import Path

import pytest

from emomusic.verify.labels import LabelError, LabelledClip, part_of, read_labels

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
