"""Labels, the verifier fitted on them, its file, and the report on MIDI files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.verifier import CLIPS, CLIPS_LABELLED, LABELS, clip, fitted, labelled, measured
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from synthetic import make_score

from emomusic.emotion import QUADRANTS
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.notes import Notes
from emomusic.music.score import write_score
from emomusic.verify.ensemble import featurize
from emomusic.verify.labels import (
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
from emomusic.verify.report import examine, find_midi_files
from emomusic.verify.verifier import Verdict, Verifier, VerifierError

N = len(CLIPS)
LABELLING = FittingLabels.of(CLIPS_LABELLED)
SHARES = LABELLING.shares


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return fitted()


@pytest.fixture
def saved(verifier: Verifier, tmp_path: Path) -> Path:
    return verifier.save(tmp_path)


def numbers(verdict: Verdict) -> list[float]:
    values = (verdict.valence, verdict.arousal, verdict.valence_sd, verdict.arousal_sd)
    return [*verdict.probabilities.values(), *values, verdict.trust]


def heard_by(verifier: Verifier, clips: list[Notes]) -> list[Verdict]:
    return [verifier.verdict(notes) for notes in clips]


def test_new_clips_are_heard_rightly_and_verdicts_are_consistent(verifier: Verifier) -> None:
    new = [clip(q, seed) for seed in range(100, 105) for q in QUADRANTS]
    verdicts = heard_by(verifier, new)
    right = [verdict.quadrant == q for verdict, q in zip(verdicts, QUADRANTS * 5, strict=True)]
    assert np.mean(right) >= 0.8
    # Listeners said 0.4 of all that they learned from.
    values = np.abs([(verdict.valence, verdict.arousal) for verdict in verdicts])
    assert np.median(values) == pytest.approx(0.4, abs=0.15) and values.max() <= 1.0
    for verdict in verdicts:
        p = verdict.probabilities
        assert sum(p.values()) == pytest.approx(1.0)
        assert verdict.quadrant == max(p, key=p.__getitem__)
        assert (verdict.valence > 0) == (p["Q1"] + p["Q4"] > 0.5)
        assert (verdict.arousal > 0) == (p["Q1"] + p["Q2"] > 0.5)
        assert verdict.valence_sd > 0.0 and verdict.arousal_sd > 0.0 and 0.0 <= verdict.trust <= 1.0


def test_one_clip_and_many_are_heard_alike(verifier: Verifier) -> None:
    one_note, others = CLIPS[0].where(slice(1)), (clip("Q2", seed) for seed in range(50, 55))
    several = [*CLIPS[::6], CLIPS[1].where(slice(10)), one_note, *others]
    found = verifier.predict(featurize(several))
    rows = [found.probabilities, found.values, found.spreads, found.trust[:, None]]
    worked = np.array([numbers(verdict) for verdict in heard_by(verifier, several)])
    assert np.concatenate(rows, axis=1) == pytest.approx(worked, abs=1e-4)
    assert verifier.predict(featurize([])).verdicts() == []


def test_windows_are_heard_with_the_trust_of_the_piece(verifier: Verifier) -> None:
    clips = (clip("Q1", 70), clip("Q3", 71))
    first, second = (verifier.window_verdict(notes, trust=0.5) for notes in clips)
    assert (first.quadrant, second.quadrant) == ("Q1", "Q3")
    assert first.trust == second.trust == 0.5 and first.arousal > 0.0 > second.arousal
    other = verifier.window_verdict(clip("Q1", 70), trust=1.0)
    assert other.probabilities != first.probabilities


def test_a_saved_verifier_says_the_same_and_the_same_fit_gives_the_same_bytes(
    verifier: Verifier, saved: Path, tmp_path: Path
) -> None:
    assert saved.name == "verifier.safetensors"
    for path in (saved, saved.parent):
        loaded = Verifier.load(path)
        assert heard_by(loaded, CLIPS[:4]) == heard_by(verifier, CLIPS[:4])
        assert loaded.parameters == verifier.parameters
    again = fitted().save(tmp_path / "again.safetensors")
    loaded.ensemble_ = replace(
        loaded.ensemble_,  # arrays that are not contiguous
        supports={name: np.asfortranarray(of) for name, of in loaded.ensemble_.supports.items()},
    )
    copy = loaded.save(tmp_path / "loaded.safetensors")
    other = fitted(ridge=2.0).save(tmp_path / "other.safetensors")
    assert again.read_bytes() == saved.read_bytes() == copy.read_bytes() != other.read_bytes()
    # The seed draws the folds of calibration only.
    first, second = load_file(saved), load_file(fitted(seed=1).save(tmp_path / "seed"))
    different = {name for name, array in first.items() if not np.array_equal(array, second[name])}
    assert different and all(name.startswith("calibration.") for name in different)


@pytest.mark.parametrize("rated", [True, False])
def test_verifiers_of_poor_clips_can_be_loaded(tmp_path: Path, rated: bool) -> None:
    # All alike in touch and loudness, and listeners who say 0 of everything.
    labels = [
        replace(labelled(one.quadrant, one.song), valence=0.0 if rated else None, arousal=0.0)
        for one in CLIPS_LABELLED
    ]
    poor = Verifier(n_folds=4).fit(
        featurize([clip("Q1", 0)] * len(labels)), FittingLabels.of(labels)
    )
    loaded = Verifier.load(poor.save(tmp_path))
    assert heard_by(loaded, CLIPS[:2]) == heard_by(poor, CLIPS[:2])


def test_judging_and_explaining_need_no_scikit_learn_and_no_torch(saved: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from emomusic.music.notes import make_notes\n"
        "from emomusic.verify.verifier import Verifier\n"
        "notes = make_notes(np.arange(4.0), np.ones(4), np.arange(60, 64), np.arange(60, 64))\n"
        "judge = Verifier.load(sys.argv[1])\n"
        "judge.verdict(notes)\n"
        "assert not {'emomusic.verify.explain', 'emomusic.verify.labels'} & set(sys.modules)\n"
        "from emomusic.verify.explain import explain\n"
        "explain(notes, judge)\n"
        "print({'sklearn', 'torch', 'scipy', 'matplotlib', 'symusic'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change the arrays and the description of a saved verifier."""
    with safe_open(path, framework="numpy") as file:
        description = json.loads(file.metadata()["verifier"])
    arrays = load_file(path)
    change(arrays, description)
    save_file(arrays, path, metadata={"verifier": json.dumps(description)})


def put(name: str, index: Any, value: float) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda arrays, _: arrays[name].__setitem__(index, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("mean", 0, np.nan), "mean holds numbers that are not finite"),
        (put("harmony.supports", (0, 0), np.inf), "harmony.supports holds numbers that are not"),
        (put("scale", 0, 0.0), "scale must be above 0"),
        (put("trust", 1, -1.0), "trust must be above 0"),
        (put("calibration.temperatures", 0, -1.0), "calibration.temperatures must be above 0"),
        (put("whole", 0, 0), "whole must be 1 to 120"),
        (put("whole", 0, 121), "whole must be 1 to 120"),
        (lambda a, d: a.pop("ear.all"), r"missing or unknown: \['ear.all'\]"),
        (lambda a, d: a.update(more=a["mean"]), "missing or unknown"),
        (lambda a, d: a.update(mean=a["mean"][1:]), "mean must have shape"),
        (lambda a, d: a.update(mean=a["mean"].astype(np.float32)), "mean must be float64"),
        (lambda a, d: a.update({"ear.notes": a["ear.notes"][1:]}), "ear.notes must have shape"),
        (lambda a, d: a.update({"ear.notes": a["ear.notes"][:, :1]}), "ear.notes must have shape"),
        (lambda a, d: a.update({"touch.basis": a["touch.basis"][:, :0]}), "touch.basis must be"),
        (lambda a, d: d["columns"].reverse(), "fitted on other features"),
        (lambda a, d: d["ears"].reverse(), "fitted with other ears"),
        (lambda a, d: d.update(format="other"), "its description lacks format"),
        (lambda a, d: d.pop("parameters"), "must hold the parameters"),
    ],
)
def test_damaged_files_are_refused(saved: Path, change: Any, words: str) -> None:
    rewritten(saved, change)
    with pytest.raises(VerifierError, match=words) as caught:
        Verifier.load(saved)
    assert "\n" not in str(caught.value)


def test_foreign_files_are_refused(saved: Path, tmp_path: Path) -> None:
    whole, array = saved.read_bytes(), {"a": np.zeros(3)}

    def refused(words: str, path: Path = saved) -> None:
        with pytest.raises(VerifierError, match=words) as caught:
            Verifier.load(path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1_000

    for content in (b"", b"no such thing", whole[:-100], whole[:50]):
        saved.write_bytes(content)
        refused("no sound verifier: ")
    for metadata in (None, {"verifier": "{"}, {"verifier": "[]"}):
        save_file(array, saved, metadata=metadata)
        refused("no sound verifier: ")
    refused("cannot be read: No such file", tmp_path / "none.safetensors")


def test_a_clip_is_never_heard_by_what_learned_from_its_song() -> None:
    logits, familiarity = Verifier(n_folds=4).out_of_fold(measured(), LABELLING)
    assert np.mean(logits[:N].argmax(axis=1) == SHARES.argmax(axis=1)) >= 0.8
    assert logits.shape == (3 * N, 4) and ((familiarity >= 0.0) & (familiarity <= 1.0)).all()
    songs = [clip("Q1", seed) for seed in range(20)]
    twice = featurize([notes for notes in songs for _ in range(2)])
    y = np.random.default_rng(0).permutation(np.arange(20) % 4).repeat(2)
    shares = np.eye(4)[y]

    def hits(groups: list[str]) -> float:
        labels = FittingLabels(shares, np.full((40, 2), np.nan), groups, np.ones(40))
        logits, _ = Verifier(n_folds=4, ridge=0.01).out_of_fold(twice, labels)
        return float(np.mean(twice.average(logits).argmax(axis=1) == y))

    # Labels drawn at random can be known only from the twin of a clip.
    assert hits([str(k // 2) for k in range(40)]) < 0.6 < 0.8 < hits([str(k) for k in range(40)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shares": SHARES[:, :3]}, r"shares must have shape \(40, 4\), got \(40, 3\)"),
        ({"shares": SHARES[:-1]}, r"shares must have shape \(40, 4\), got \(39, 4\)"),
        ({"shares": SHARES * np.nan}, "shares must be finite"),
        ({"values": LABELLING.values[:-1]}, r"values must have shape \(40, 2\)"),
        ({"weight": LABELLING.weight[:-1]}, r"weight must have shape \(40,\)"),
        ({"songs": LABELLING.songs[:-1]}, r"shape \(39, 4\)"),
        ({"shares": SHARES[:1].repeat(N, axis=0)}, "each of Q1 to Q4 must occur, missing is Q2"),
        ({"songs": ["one"] * N}, "at least 4 songs for 4 folds, got 1"),
        ({"songs": LABELS}, "more songs than one fold takes"),
    ],
)
def test_wrong_labels_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Verifier(n_folds=4).fit(measured(), replace(LABELLING, **change))


def test_wrong_rows_are_refused() -> None:
    rows = measured().rows
    for change, words in ((rows[:, :-1], "rows must have shape"), (rows * np.nan, "be finite")):
        with pytest.raises(ValueError, match=words):
            Verifier().fit(replace(measured(), rows=change), LABELLING)
    with pytest.raises(ValueError, match="as many clips as labels, got 3, 40"):
        Verifier().fit(featurize(CLIPS[:3]), LABELLING)


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
    for own, weight in zip(clips, clip_weights(clips), strict=True):
        total[own.quadrant] += weight
    assert [total[name] for name in ("Q1", "Q2", "Q4")] == pytest.approx([10 / 3] * 3)
    assert clip_weights([clips[0], rated("Q3", -0.1, -0.1)]).tolist() == [1.0, 3.0]
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
    spreads = (0.05, 0.2, 0.35, None, 0.8)
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


def test_files_are_found_in_order_and_examined_though_some_are_bad(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    for name in ("b/2.mid", "a/1.MIDI", "b/deep/3.RMI", "z.kar", "no music.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_score(make_score([60, 62, 64, 65, 67, 69, 71, 72], tempo=90.0), tmp_path / name)
    files = [*find_midi_files([tmp_path, tmp_path / "none.mid"])]
    found = [path.relative_to(tmp_path).as_posix() for path in files]
    assert found == ["z.kar", "a/1.MIDI", "b/2.mid", "b/deep/3.RMI", "none.mid"]
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
