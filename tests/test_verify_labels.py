from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.verifier import labelled

from emomusic.verify.labels import (
    DEFAULT_LISTENER_SPREAD,
    LISTENER_WEIGHT,
    Curve,
    FittingLabels,
    LabelError,
    LabelledClip,
    clip_weights,
    part_of,
    quadrant_shares,
    read_curves,
    read_labels,
    song_folds,
)

HEAD = "path,source,song,quadrant,split,valence,arousal\n"
ROWS = "emopia/Q1_abc_0.mid,emopia,abc,Q1,train,,\nvgmidi/x.mid,vgmidi,x,Q3,train,-0.25,-0.5\n"


def folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "labels.csv").write_text(text)
    return tmp_path


def test_rows_become_clips_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "emotion").mkdir()
    own = folder(tmp_path / "emotion", HEAD + ROWS)
    first, second = read_labels(own)
    assert first.path == own / "emopia/Q1_abc_0.mid"
    assert (first.source, first.song, first.quadrant) == ("emopia", "abc", "Q1")
    assert (first.valence, first.arousal, first.group) == (None, None, "emopia/abc")
    assert (second.valence, second.arousal) == (-0.25, -0.5)
    assert read_labels(tmp_path) == [first, second]  # the folder above will do, too


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
        (None, r"cannot read .*labels\.csv"),
        (HEAD, "holds no clips"),
        ("path,source\na,b\n", "lacks the columns"),
        (HEAD + "a.mid,emopia,a,Q5,train,,\n", "line 2: quadrant must be one of"),
        (HEAD + ROWS + "a.mid,emopia,a,Q1,train,2.0,\n", r"line 4: valence must be in \[-1, 1\]"),
        (HEAD + "a.mid,emopia,a,Q1,train,loud,\n", "line 2: could not convert"),
        (HEAD + "a.mid,emopia,a,Q1,train,,nan\n", r"arousal must be in \[-1, 1\], got nan"),
        (HEAD + "a.mid,emopia,,Q1,train,,\n", "source and song must be named"),
        (HEAD + "a.mid,emopia\n", "source and song must be named|quadrant"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str | None, words: str) -> None:
    with pytest.raises(LabelError, match=words) as caught:
        read_labels(tmp_path if text is None else folder(tmp_path, text))
    assert "\n" not in str(caught.value)


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


def test_curves_are_read_by_the_paths_of_clips_and_spreads_are_their_means(tmp_path: Path) -> None:
    content = json.dumps({"vgmidi/x.mid": {**CURVE, "whatever": 1}})
    curves = read_curves(with_curves(tmp_path, content))
    assert curves == {"vgmidi/x.mid": Curve(12.5, (0.1, -0.3), (0.2, 0.4), (0.0, 1.0), (0.5, 0.1))}
    first, second = read_labels(tmp_path)
    assert [second.valence_spread, second.arousal_spread] == pytest.approx([0.3, 0.3])
    assert (first.valence_spread, first.arousal_spread) == (None, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"valence": [0.1]}, ""),
        ({"arousal": [0.0, 1.1]}, r"valence and arousal must be in \[-1, 1\]"),
        ({"valence_std": [0.1, -0.1]}, "standard deviations must be 0 or more"),
        ({"duration_s": 0.0}, "duration_s must be above 0, got 0.0"),
        ({"duration_s": "long"}, "could not convert"),
        ({"valence": 0.5}, ""),
        ({key: [] for key in list(CURVE)[1:]}, "at least one"),
        ("{", ""),
        ("[1]", ""),
        ('{"a": 1}', ""),
        ('{"a": {"duration_s": 1}}', ""),
    ],
)
def test_wrong_curves_are_refused(tmp_path: Path, change: Any, words: str) -> None:
    content = change if isinstance(change, str) else json.dumps({"a": {**CURVE, **change}})
    path, words = with_curves(tmp_path, content), rf"cannot read .*vgmidi_curves\.json.*{words}"
    for read in (read_curves, read_labels):
        with pytest.raises(LabelError, match=words) as told:
            read(path)
        assert "\n" not in str(told.value)


def rated(quadrant: str, *values: float | None, spread: float | None = None) -> LabelledClip:
    clip: LabelledClip = labelled(quadrant, "a", source="vgmidi")
    valence, arousal = values
    return replace(
        clip, valence=valence, arousal=arousal, valence_spread=spread, arousal_spread=spread
    )


def test_quadrants_of_a_source_weigh_alike_and_listeners_more() -> None:
    clips = [labelled(q, str(k)) for k, q in enumerate(["Q1"] * 7 + ["Q2"] * 2 + ["Q4"])]
    total: Counter[str] = Counter()
    for clip, weight in zip(clips, clip_weights(clips), strict=True):
        total[clip.quadrant] += weight
    assert [total[name] for name in ("Q1", "Q2", "Q4")] == pytest.approx([10 / 3] * 3)
    assert clip_weights([clips[0], rated("Q3", -0.1, -0.1)]).tolist() == [1.0, LISTENER_WEIGHT]


def test_values_of_listeners_are_nan_where_nobody_was_asked() -> None:
    labels = FittingLabels.of([rated("Q1", 0.25, None), rated("Q3", None, -0.5)])
    np.testing.assert_array_equal(labels.values, [[0.25, np.nan], [np.nan, -0.5]])
    assert labels.songs == ["vgmidi/a", "vgmidi/a"]
    assert labels.shares.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]  # certain


def test_soft_labels_by_hand_and_by_the_spread() -> None:
    clip = replace(rated("Q1", 0.3, -0.1, spread=0.3), arousal_spread=0.2)
    pleasant, excited = 0.8413447, 0.3085375  # of a normal: below 1, and below -1/2
    sad, calm = 1 - pleasant, 1 - excited
    people = np.array([pleasant * excited, sad * excited, sad * calm, pleasant * calm])
    worked = people / 2 + [0.5, 0, 0, 0]
    assert quadrant_shares([clip])[0] == pytest.approx(worked, abs=1e-6)
    # An unknown spread is the usual one, and agreement is surer.
    spreads = (0.05, 0.2, DEFAULT_LISTENER_SPREAD, None, 0.8)
    clips = [rated("Q1", 0.3, 0.3, spread=spread) for spread in spreads]
    shares = quadrant_shares(clips)
    assert shares.sum(axis=1) == pytest.approx(1.0) and shares[0, 0] == pytest.approx(1.0)
    assert np.array_equal(shares[2], shares[3])
    assert (np.diff(shares[[0, 1, 2, 4], 0]) < 0).all()


def test_no_song_is_on_both_sides_and_the_seed_draws_the_folds() -> None:
    songs, y = [f"song {k // 3}" for k in range(120)], np.arange(120) // 3 % 4
    first, again, other = ([*song_folds(y, songs, n_folds=5, seed=seed)] for seed in (3, 3, 4))
    for fit, test in first:
        assert not {songs[row] for row in fit} & {songs[row] for row in test}
        assert sorted([*fit, *test]) == list(range(120)) and set(y[test]) == {0, 1, 2, 3}
    tested, same, different = (
        [row for _, test in folds for row in test.tolist()] for folds in (first, again, other)
    )
    assert sorted(tested) == list(range(120)) and tested == same != different
    with pytest.raises(ValueError, match="need at least 5 songs for 5 folds, got 2"):
        next(song_folds(y[:6], songs[:6], n_folds=5, seed=0))
