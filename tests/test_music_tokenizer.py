"""Tokens: the vocabulary and its file, and scores that come back as they were."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from symusic.core import NoteTick, ScoreTick, TimeSignatureTick, TimeSignatureTickList, TrackTick

from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import CHORD_NAMES
from emomusic.music.tokenizer import (
    HIGHEST_PITCH,
    LOWEST_PITCH,
    N_BINS,
    STEPS_PER_BEAT,
    Tokenizer,
    beats_of,
    bin_edges,
    built_vocabulary,
    control_name,
    durations,
    read_vocabulary,
    special_tokens,
    velocities,
    write_vocabulary,
)

LENGTHS = (*range(1, 25), *range(27, 49, 3), *range(54, 145, 6))  # in twelfths of a beat


TOKENIZER = Tokenizer()
VOCABULARY = TOKENIZER.vocabulary


def decode(*names: str) -> ScoreTick:
    return TOKENIZER.decode([VOCABULARY.id_of(name) for name in names])


def score_of(*notes: tuple[int, int, int, int], beats_per_bar: int = 4) -> ScoreTick:
    """Make a score of (tick, length, pitch, velocity), twelve ticks a beat."""
    score = ScoreTick(STEPS_PER_BEAT)
    score.time_signatures.append(TimeSignatureTick(0, beats_per_bar, 4))
    track = TrackTick("Piano", 0, False)
    for note in notes:
        track.notes.append(NoteTick(*note))
    score.tracks.append(track)
    return score


def flat(bars: list[list[int]]) -> list[int]:
    return [token for bar in bars for token in bar]


def test_controls_given_notes_chords_and_marks_of_form_are_passed_over() -> None:
    note = ["Position_0", "Pitch_60", "Velocity_63", "Duration_1.0.12"]
    other = ["Position_6", "Pitch_64", "Velocity_63", "Duration_1.0.12"]
    plain_texts = ["Bar_None", "TimeSig_2/4", *note, *other]
    plain = decode(*plain_texts)
    told = [
        *("BOS_None", "Control-mode_3", "Ending_1", "BarControl-register_11"),
        *("Bar_None", "TimeSig_2/4", "Compound_None", "Join_1", "Form-whole_1"),
        *("Given_None", "Position_0", "Pitch_60", "Given_None", *other),
        *("ChordA_0:maj", "ChordB_none", *note, *other, "EOS_None", "PAD_None"),
    ]
    assert decode(*told) == plain
    assert decode(*(text for text in told if not text.startswith("Chord"))) == plain
    assert len(plain.tracks[0].notes) == 2
    # a second pitch begins another note than the given one
    assert decode(*plain_texts[:2], "Given_None", *note[:2], *other[1:], *other) == decode(
        *plain_texts[:2], *other[1:], *other
    )


def sounding(score: ScoreTick) -> list[tuple[int, ...]]:
    """Return the notes by onset and pitch, each ended by the next of its pitch."""
    found = [(n.time, n.duration, n.pitch, n.velocity) for t in score.tracks for n in t.notes]
    found.sort(key=lambda note: (note[0], note[2]))
    ended = []
    for at, (tick, length, pitch, velocity) in enumerate(found):
        again = [note[0] - tick for note in found[at + 1 :] if note[2] == pitch][:1]
        ended.append((tick, max(min([length, *again]), 1), pitch, velocity))
    return ended


def signed(score: ScoreTick) -> list[tuple[int, int, int]]:
    return [(t.time, t.numerator, t.denominator) for t in score.time_signatures]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    TOKENIZER.save(folder)
    return folder / "tokenizer.json"


@pytest.fixture(scope="module")
def remi(saved: Path) -> Any:
    """Load MidiTok's own tokenizer from our file, as the oracle."""
    import miditok

    return miditok.REMI(params=saved)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ticks_a_beat", [12, 48])
def test_scores_are_encoded_as_miditok_does(remi: Any, seed: int, ticks_a_beat: int) -> None:
    rng, score, tick = np.random.default_rng(seed), ScoreTick(ticks_a_beat), 0
    for _ in range(5):
        beats = int(rng.integers(2, 5))
        score.time_signatures.append(TimeSignatureTick(tick, beats, 4))
        tick += beats * ticks_a_beat * int(rng.integers(1, 4))
    columns = (
        rng.integers(0, tick + 300, 400),
        rng.integers(1, 20 * ticks_a_beat, 400),
        rng.integers(LOWEST_PITCH - 2, HIGHEST_PITCH + 1, 400),
        rng.integers(1, 128, 400),
    )
    track = TrackTick("Piano", 0, False)
    for note in zip(*(column.tolist() for column in columns), strict=True):
        track.notes.append(NoteTick(*note))
    score.tracks.append(track)
    before = score.dumps_midi()
    assert flat(TOKENIZER.encode(score)) == remi.encode(score)[0].ids
    assert score.dumps_midi() == before


@pytest.mark.parametrize("seed", range(30))
def test_any_ids_are_read_as_miditok_reads_them(remi: Any, seed: int) -> None:
    rng, vocabulary = np.random.default_rng(seed), VOCABULARY
    kinds = ("Bar", "TimeSig", "Position", "Pitch", "Velocity", "Duration", "PAD")
    ids = []
    for _ in range(120):
        first = int(rng.integers(len(kinds)))  # from here on as the grammar has it, then not
        for kind in kinds[first : first + int(rng.integers(1, 5))]:
            ids.append(int(rng.choice(vocabulary.kind_ids(kind))))
    oracle = remi.decode([[i for i in ids if vocabulary.texts[i] != "PAD_None"]])
    decoded = TOKENIZER.decode(ids)
    assert sounding(decoded) == sounding(oracle)
    assert signed(decoded) == signed(oracle)


def test_ids_that_write_no_note_give_an_empty_score() -> None:
    for names in ([], ["Pitch_60", "Velocity_63"], ["EOS_None"]):
        score = decode(*names)
        assert not sounding(score) and len(score.tracks) == 1 and signed(score) == [(0, 4, 4)]


def test_notes_end_where_the_clip_does() -> None:
    ids = flat(TOKENIZER.encode(score_of((0, 96, 60, 63), (36, 24, 62, 63), (47, 2, 64, 63))))
    for n_beats, lengths in ((4.0, [48, 12, 1]), (None, [96, 24, 2])):
        score = TOKENIZER.decode(ids, n_beats=n_beats, tempo=90.0)
        assert [tempo.qpm for tempo in score.tempos] == pytest.approx([90.0])
        decoded = sounding(score)
        assert [own[1] for own in decoded] == lengths
        assert [(own[0], *own[2:]) for own in decoded] == [(0, 60, 63), (36, 62, 63), (47, 64, 63)]


def test_what_has_no_token_is_told() -> None:
    for changes, n_tracks, words in (
        ([(0, 4, 4), (48, 5, 4)], 1, "must be 2/4, 3/4 or 4/4, got 5/4"),
        ([(0, 4, 4), (36, 3, 4)], 1, "must change at bar lines, got tick 36"),
        ([(0, 4, 4)], 2, "must have one track, got 2"),
    ):
        score = score_of((0, 12, 60, 64))
        score.time_signatures = TimeSignatureTickList([TimeSignatureTick(*c) for c in changes])
        for _ in range(n_tracks - 1):
            score.tracks.append(TrackTick("Left", 0, False))
        with pytest.raises(ValueError, match=words):
            TOKENIZER.encode(score)


def test_tokens_measuring_and_writing_need_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from emomusic.mapping import Mapper\n"
        "from emomusic.music.attributes import measure, passage_of\n"
        "from emomusic.music.score import notes_of, read_score\n"
        "from emomusic.music.tokenizer import Tokenizer\n"
        "score = read_score(sys.argv[1])\n"
        "measure(passage_of(notes_of(score), tempo=90.0)), Tokenizer().encode(score)\n"
        "print(sorted({'miditok', 'torch', 'sklearn', 'scipy'} & set(sys.modules)))\n"
    )
    score_of((0, 12, 60, 64)).dump_midi(tmp_path / "clip.mid")
    command = [sys.executable, "-c", code, tmp_path / "clip.mid"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_bins_of_a_control_follow_each_other_and_an_unknown_token_is_told() -> None:
    assert bin_edges(np.arange(1201.0)) == pytest.approx(np.arange(100, 1200, 100))
    for names, per_bar in ((ATTRIBUTE_NAMES, False), (BAR_ATTRIBUTE_NAMES, True)):
        first = VOCABULARY.control_ids(names, per_bar=per_bar)
        for start, name in zip(first, names, strict=True):
            found = VOCABULARY.texts[start : start + N_BINS]
            assert found == tuple(control_name(name, b, per_bar=per_bar) for b in range(N_BINS))
    with pytest.raises(ValueError, match=r"^the vocabulary has no token 'Pitch_20'$"):
        VOCABULARY.id_of("Pitch_20")
    assert VOCABULARY.values("Pitch") == [str(pitch) for pitch in range(LOWEST_PITCH, 110)]


def test_lengths_and_velocities_rise() -> None:
    assert tuple(durations()) == LENGTHS
    assert [beats_of(text) * 12 for text in durations().values()] == pytest.approx(LENGTHS)
    assert durations()[30] == "Duration_2.2.4" and beats_of("Pitch_60") == 0
    assert velocities() == [7, 15, 23, 31, 39, 47, 55, 63, 71, 79, 87, 95, 103, 111, 119, 127]


def test_miditok_loads_what_was_written_and_what_it_writes_is_read(
    remi: Any, tmp_path: Path
) -> None:
    assert tuple(sorted(remi.vocab, key=remi.vocab.__getitem__)) == VOCABULARY.texts
    remi.save(tmp_path / "tokenizer.json")
    assert "miditok_version" in json.loads((tmp_path / "tokenizer.json").read_text())
    assert read_vocabulary(tmp_path / "tokenizer.json") == VOCABULARY


def test_a_file_owns_its_list_of_attributes(tmp_path: Path) -> None:
    special = special_tokens(("tempo", "mood_of_its_own"), ("register",))
    write_vocabulary(built_vocabulary(special), tmp_path / "tokenizer.json")
    found = read_vocabulary(tmp_path / "tokenizer.json")
    assert found.attributes == ("tempo", "mood_of_its_own")
    assert found.bar_attributes == ("register",)
    assert found.id_of("Control-mood-of-its-own_11") == 3 + 2 * N_BINS - 1
    assert VOCABULARY.attributes == ATTRIBUTE_NAMES
    assert VOCABULARY.bar_attributes == BAR_ATTRIBUTE_NAMES


def test_special_tokens_stand_before_the_music_in_one_order() -> None:
    texts, steps = special_tokens(("tempo",), ()), (1, 2, 4, 8, 16)
    assert texts[:39] == [
        *("PAD_None", "BOS_None", "EOS_None", *(f"Control-tempo_{b}" for b in range(N_BINS))),
        *(f"{kind}_{left}" for kind in ("Ending", "Join") for left in (1, 2, 3, 4)),
        "Compound_None",
        *(f"Form-{kind}_{bars}" for kind in ("whole", "rhythm") for bars in steps),
        *("Given_None", "Behind_None", "Here_None", "ChordA_0:maj", "ChordA_0:min"),
    ]
    assert texts[37:] == [f"Chord{half}_{name}" for half in "AB" for name in CHORD_NAMES]

    chords, form = VOCABULARY.chord_ids("B"), VOCABULARY.form_ids()
    assert len(chords) == 109 and (np.diff(chords) == 1).all()
    assert [VOCABULARY.texts[chords[n]] for n in (9 * 7 + 5, 108)] == ["ChordB_7:7", "ChordB_none"]
    assert [VOCABULARY.texts[form[code - 1]] for code in (1, 5, 6, 10)] == [
        *("Form-whole_1", "Form-whole_16", "Form-rhythm_1", "Form-rhythm_16")
    ]


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"tokenization": "TSD", "config": {}}'])
def test_another_file_is_no_tokenizer(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^tokenizer\.json is no tokenizer of this ki") as told:
        read_vocabulary(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokenization": "TSD"}, "tokenization must be 'REMI', got 'TSD'"),
        ({"_vocab_base": {"PAD_None": 0}}, "must not be trained"),
        ({"config": None}, "holds no settings"),
        ({"config": {"num_velocities": 32}}, "num_velocities must be 16, got 32"),
        ({"config": {"beat_res": {"0_4": 8}}}, "beat_res must be .*, got {'0_4': 8}"),
        ({"config": {"special_tokens": "PAD_None"}}, "no list of texts"),
        ({"config": {"special_tokens": ["PAD_None", "PAD_None"]}}, "occurs twice"),
        ({"config": {"special_tokens": ["Pitch_60"]}}, "one of the music"),
        ({"config": {"special_tokens": special_tokens()[::-1]}}, "are not ours, or in another or"),
        ({"config": {"special_tokens": [*special_tokens(), "Control-mood_0"]}}, "are not ours"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(
    saved: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    content = json.loads(saved.read_text())
    config = content["config"] | (changes.get("config") or {})
    content |= changes | ({} if changes.get("config", {}) is None else {"config": config})
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=words):
        read_vocabulary(tmp_path / "tokenizer.json")
