import csv
import json
from pathlib import Path

import pytest
from symusic import Note, Score, Tempo, Track

from emomusic.data.layout import RULES, LayoutError, arrange, name_of, split_of


def write_midi(path: Path, *tempos: float) -> None:
    score = Score(480)
    score.tracks.append(Track("", 0, False, [Note(0, 480, 60, 80)]))
    score.tempos.extend([Tempo(480 * i, qpm) for i, qpm in enumerate(tempos)])
    path.parent.mkdir(parents=True, exist_ok=True)
    score.dump_midi(path)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("source", "path", "name"),
    [
        ("pop1k7", "r-1/midi_synchronized/src_001/10.mid", "src_001_10.mid"),
        ("pop909", "r-1/POP909-24-bin-midi/001.mid", "001.mid"),
        (
            "openscore_lieder",
            "r-1/scores/Zumsteeg,_Emilie/6_Lieder,_Op.4/6_Lied_in_der_Ferne/lc6164142.mxl",
            "Zumsteeg__Emilie__6_Lieder__Op.4__6_Lied_in_der_Ferne__lc6164142.mid",
        ),
        ("asap", "r-1/Bach/Fugue/bwv_848/midi_score.mid", "Bach_Fugue_bwv_848.mid"),
        ("game_piano", "r-1/midi_songs/A_(Piano).mid", "A__Piano_.mid"),
        ("vgmidi_unlabelled", "r-1/unlabelled/midi/A b_3DS_C.mid", "vgmidi_A_b_3DS_C.mid"),
        ("pianocore", "a.mid", "a.mid"),
        (
            "pijama",
            "r-1/midi_dataset/midi_kong/live/Bill Mays/An Album/A Song - Live.midi",
            "Bill_Mays__An_Album__A_Song_-_Live.mid",
        ),
    ],
)
def test_names_are_those_of_the_index(source: str, path: str, name: str) -> None:
    (rule,) = [rule for rule in RULES if rule.source == source]
    assert Path(path).match(rule.pattern)
    assert name_of(rule, Path(path)) == name


def test_corpus_takes_its_tempo_from_the_original_songs(tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    write_midi(downloads / "pop909/r/POP909-24-bin-midi/001.mid", 120)
    write_midi(downloads / "pop909/r/POP909-24-bin-midi/002.mid", 120)
    write_midi(downloads / "pop909_original/r/POP909/001/001.mid", 60, 90, 91)
    result = arrange(tmp_path)
    rows = table(tmp_path / "corpus/index.csv")
    assert [(row["path"], row["bpm"]) for row in rows] == [
        ("pop909/001.mid", "90.0"),
        ("pop909/002.mid", ""),
    ]
    assert rows[0]["grid"] == "bar"
    assert (tmp_path / "corpus" / rows[0]["path"]).exists()
    assert dict(result.n_files) == {"pop909": 2}
    assert table(tmp_path / "emotion/labels.csv") == []


def test_emopia_labels_come_from_the_names(tmp_path: Path) -> None:
    for stem in ("Q3_ab_c-D_0", "Q3_ab_c-D_1", "strange"):
        write_midi(tmp_path / f"downloads/emopia/EMOPIA_2.2/midis/{stem}.mid", 120)
    result = arrange(tmp_path)
    rows = table(tmp_path / "emotion/labels.csv")
    assert [(row["path"], row["song"], row["quadrant"]) for row in rows] == [
        ("emopia/Q3_ab_c-D_0.mid", "ab_c-D", "Q3"),
        ("emopia/Q3_ab_c-D_1.mid", "ab_c-D", "Q3"),
    ]
    assert rows[0]["split"] == rows[1]["split"] == split_of("ab_c-D")
    assert result.skipped == {"name without quadrant and song": 1}


def test_vgmidi_values_are_the_mean_of_the_median_over_listeners(tmp_path: Path) -> None:
    top = tmp_path / "downloads/vgmidi/r/labelled"
    write_midi(top / "midi/A game_Song.mid", 120)
    write_midi(top / "midi/B.mid", 120)
    curves = [[-0.2, 0.0], [-0.4, -0.2], [-1.0, 1.0]]
    annotations = {
        f"piece1_{i}": {"valence": curve, "arousal": [0.5, 0.7]} for i, curve in enumerate(curves)
    }
    (top / "annotations").mkdir()
    (top / "annotations/vgmidi_raw_1.json").write_text(
        json.dumps({"annotations": annotations, "pieces": {"piece1": {"midi": "A game_Song.mid"}}})
    )
    result = arrange(tmp_path)
    (row,) = table(tmp_path / "emotion/labels.csv")
    assert row["path"] == "vgmidi/A_game_Song.mid"
    assert (row["valence"], row["arousal"], row["quadrant"]) == ("-0.200", "0.600", "Q2")
    assert result.skipped == {"labelled piece without annotation": 1}


def test_unreadable_files_are_counted_with_their_reason(tmp_path: Path) -> None:
    write_midi(tmp_path / "downloads/pianocore/a/x.mid", 120)
    write_midi(tmp_path / "downloads/pianocore/b/x.mid", 120)
    (tmp_path / "downloads/pianocore/._x.mid").write_bytes(b"no music")
    result = arrange(tmp_path)
    assert dict(result.n_files) == {"pianocore": 1}
    assert result.skipped == {
        "not a MIDI file: it does not start with MThd": 1,
        "name taken by another file": 1,
    }
    assert not (tmp_path / "corpus/pianocore/._x.mid").exists()


def test_musicxml_becomes_midi(tmp_path: Path) -> None:
    music21 = pytest.importorskip("music21")
    path = tmp_path / "downloads/musetrainer/r/scores/Tune.mxl"
    path.parent.mkdir(parents=True)
    stream = music21.stream.Stream([music21.note.Note("C4"), music21.note.Note("E4")])
    stream.write("mxl", fp=path)
    assert dict(arrange(tmp_path).n_files) == {"musetrainer": 1}
    score = Score(tmp_path / "corpus/musetrainer/Tune.mid")
    assert [note.pitch for note in score.tracks[0].notes] == [60, 64]


def test_an_empty_folder_is_named_and_tables_are_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"no file of a known source in .*downloads"):
        arrange(tmp_path)
    assert not list(tmp_path.iterdir())
    write_midi(tmp_path / "downloads/pianocore/x.mid", 120)
    arrange(tmp_path)
    with pytest.raises(LayoutError, match=r"index\.csv exists already"):
        arrange(tmp_path)


def test_split_is_about_a_fifth_and_stays() -> None:
    sides = [split_of(f"song {i}") for i in range(2000)]
    assert 0.16 < sides.count("val") / len(sides) < 0.24
    assert split_of("song 1") == split_of("song 1")
