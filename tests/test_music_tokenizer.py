"""Tokens: the vocabulary, and scores that come back as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
from symusic.core import NoteTick, ScoreTick, TimeSignatureTick, TrackTick

from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import (
    ENDING_BARS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    N_BINS,
    N_VELOCITIES,
    STEPS_PER_BEAT,
    Tokenizer,
    Vocabulary,
    bin_edges,
    control_name,
)

LENGTHS = (*range(1, 25), *range(27, 49, 3), *range(54, 145, 6))  # in twelfths of a beat
VELOCITIES = tuple(round(127 * (i + 1) / 16) for i in range(16))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer()


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


def written(score: ScoreTick) -> list[tuple[float, float, int]]:
    notes = notes_of(score)
    columns = (notes.onset, notes.duration, notes.pitch)
    return [(round(a * 12, 6), round(b * 12, 6), int(c)) for a, b, c in zip(*columns, strict=True)]


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
def test_a_score_on_the_grid_comes_back(tokenizer: Tokenizer, beats_per_bar: int) -> None:
    rng, free = np.random.default_rng(beats_per_bar), dict.fromkeys(range(128), 0)
    notes = [(0, 12, 60, 64)]  # so that the first bar is not empty
    for tick in range(12, 600):
        pitch, length = int(rng.integers(LOWEST_PITCH, HIGHEST_PITCH + 1)), int(rng.choice(LENGTHS))
        if rng.random() < 0.5 and free[pitch] <= tick:
            free[pitch] = tick + length
            notes.append((tick, length, pitch, int(rng.integers(1, 128))))
    score = score_of(*notes, beats_per_bar=beats_per_bar)
    decoded = tokenizer.decode(flat(tokenizer.encode(score)), tempo=90.0)
    assert written(decoded) == written(score)
    assert np.abs(notes_of(decoded).velocity - notes_of(score).velocity).max() <= 8
    assert [(t.time, t.numerator) for t in decoded.time_signatures] == [(0, beats_per_bar)]
    assert [tempo.qpm for tempo in decoded.tempos] == pytest.approx([90.0])
    assert len(decoded.tracks) == 1


def test_what_was_decoded_once_is_encoded_alike(tokenizer: Tokenizer) -> None:
    rng = np.random.default_rng(0)
    notes = [
        (i * 5, int(rng.integers(1, 30)), 40 + i % 40, int(rng.integers(1, 128))) for i in range(60)
    ]
    bars = tokenizer.encode(score_of(*notes))
    assert tokenizer.encode(tokenizer.decode(flat(bars))) == bars


def test_metres_may_change(tokenizer: Tokenizer) -> None:
    score = score_of((0, 12, 60, 64), (48, 12, 62, 64), (84, 12, 64, 64), (108, 12, 65, 64))
    score.time_signatures.append(TimeSignatureTick(48, 3, 4))
    score.time_signatures.append(TimeSignatureTick(84, 2, 4))
    bars = tokenizer.encode(score)
    texts = [tokenizer.vocabulary.texts[bar[1]] for bar in bars]
    assert texts == ["TimeSig_4/4", "TimeSig_3/4", "TimeSig_2/4", "TimeSig_2/4"]
    assert written(tokenizer.decode(flat(bars))) == written(score)


def test_bars_are_counted_and_begin_with_their_metre(tokenizer: Tokenizer) -> None:
    bars = tokenizer.encode(score_of((0, 12, 60, 64), (3 * 48 + 6, 12, 62, 64)))
    assert [len(bar) for bar in bars] == [6, 2, 2, 6]
    texts = tokenizer.vocabulary.texts
    assert [texts[token] for token in bars[3]] == [
        "Bar_None",
        "TimeSig_4/4",
        "Position_6",
        "Pitch_62",
        "Velocity_63",
        "Duration_1.0.12",
    ]


def test_chords_share_a_position_and_go_up(tokenizer: Tokenizer) -> None:
    (bar,) = tokenizer.encode(score_of((0, 12, 67, 64), (0, 12, 60, 64), (0, 12, 64, 64)))
    texts = [tokenizer.vocabulary.texts[token] for token in bar]
    assert [text for text in texts if text.startswith(("Position", "Pitch"))] == [
        "Position_0",
        "Pitch_60",
        "Pitch_64",
        "Pitch_67",
    ]


def test_encoding_leaves_the_score_as_it_was(tokenizer: Tokenizer) -> None:
    score = score_of((0, 100, 60, 61), (1, 25, 62, 2))
    before = score.dumps_midi()
    tokenizer.encode(score)
    assert score.dumps_midi() == before


def test_controls_are_passed_over(tokenizer: Tokenizer) -> None:
    vocabulary, score = tokenizer.vocabulary, score_of((0, 12, 60, 64), (60, 12, 62, 64))
    bars = tokenizer.encode(score)
    named = ("BOS_None", "Control-mode_3", "BarControl-register_11", "Ending_1", "EOS_None")
    bos, clip, bar, ending, eos = (vocabulary.id_of(name) for name in named)
    ids = [bos, clip, bar, *bars[0], ending, bar, *bars[1], eos, vocabulary.id_of("PAD_None")]
    assert written(tokenizer.decode(ids)) == written(score)


def test_a_note_struck_again_ends_the_one_before_it(tokenizer: Tokenizer) -> None:
    again = score_of((0, 12, 60, 64), (6, 12, 60, 64))
    two_bars = (
        flat(tokenizer.encode(score_of((0, 12, 60, 64))))
        + (tokenizer.encode(score_of((6, 12, 60, 64)))[0][2:])
    )
    assert written(tokenizer.decode(two_bars)) == [(0, 6, 60), (6, 12, 60)]
    assert written(tokenizer.decode(flat(tokenizer.encode(again))))[1] == (6, 12, 60)


def test_the_vocabulary_names_all_there_is(tokenizer: Tokenizer) -> None:
    vocabulary = tokenizer.vocabulary
    kinds = [text.split("_")[0] for text in vocabulary.texts]
    assert [kinds.count(kind) for kind in ("Pitch", "Velocity", "Duration", "Position")] == [
        HIGHEST_PITCH - LOWEST_PITCH + 2,  # MidiTok counts its upper end in; it is never used
        N_VELOCITIES,
        len(LENGTHS),
        4 * STEPS_PER_BEAT,
    ]
    assert vocabulary.values("TimeSig") == ["2/4", "3/4", "4/4"]
    assert vocabulary.values("Ending") == [str(i + 1) for i in range(ENDING_BARS)]
    assert vocabulary.values("Pitch")[:-1] == [
        str(p) for p in range(LOWEST_PITCH, HIGHEST_PITCH + 1)
    ]
    assert not [
        k for k in kinds if k in ("Tempo", "Chord", "Rest", "Program", "Pedal", "PitchDrum")
    ]
    assert len(vocabulary) == len(set(vocabulary.texts))
    assert [vocabulary.id_of(text) for text in vocabulary.texts] == list(range(len(vocabulary)))


def test_the_bins_of_a_control_follow_each_other(tokenizer: Tokenizer) -> None:
    vocabulary = tokenizer.vocabulary
    for names, per_bar in ((ATTRIBUTE_NAMES, False), (BAR_ATTRIBUTE_NAMES, True)):
        first = vocabulary.control_ids(names, per_bar=per_bar)
        assert len(first) == len(names)
        for start, name in zip(first, names, strict=True):
            found = vocabulary.texts[start : start + N_BINS]
            assert found == tuple(control_name(name, b, per_bar=per_bar) for b in range(N_BINS))


def test_kinds_are_whole_words(tokenizer: Tokenizer) -> None:
    vocabulary = Vocabulary(("Bar_None", "BarControl-tempo_0", "Pitch_60", "PitchDrum_1"))
    assert vocabulary.kind_ids("Bar").tolist() == [0]
    assert vocabulary.kind_ids("Pitch").tolist() == [2]
    assert vocabulary.kind_ids("None").tolist() == []


def test_an_unknown_token_is_told(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"^the vocabulary has no token 'Pitch_20'$"):
        tokenizer.vocabulary.id_of("Pitch_20")
    with pytest.raises(ValueError, match="has no token 'BarControl-tempo_0'"):
        tokenizer.vocabulary.control_ids(("tempo",), per_bar=True)


def test_a_saved_tokenizer_is_loaded_alike(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]
    loaded = Tokenizer(tmp_path / "tokenizer.json")
    assert loaded.vocabulary == tokenizer.vocabulary
    score = score_of((0, 12, 60, 64), (60, 33, 62, 1), (61, 5, 64, 127))
    assert loaded.encode(score) == tokenizer.encode(score)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"tokenization": "TSD", "config": {}}'])
def test_another_file_is_no_tokenizer(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="tokenizer"):
        Tokenizer(path)


def test_a_missing_file_is_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^none\.json is no tokenizer of this kind: "):
        Tokenizer(tmp_path / "none.json")


def test_a_trained_tokenizer_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert not saved.get("_model")
    assert tokenizer.vocabulary.texts[0] == "PAD_None"


def test_edges_part_values_into_equal_bins() -> None:
    edges = bin_edges(np.arange(1201.0))
    assert edges.shape == (N_BINS - 1,)
    assert edges == pytest.approx(np.arange(100, 1200, 100))
