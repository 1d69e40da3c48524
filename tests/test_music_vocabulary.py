"""The vocabulary: what each id says, and the file that holds it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import CHORD_NAMES
from emomusic.music.vocabulary import (
    N_BINS,
    built_vocabulary,
    control_name,
    durations,
    read_vocabulary,
    special_tokens,
    velocities,
    write_vocabulary,
)

LENGTHS = (*range(1, 25), *range(27, 49, 3), *range(54, 145, 6))  # in twelfths of a beat


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_vocabulary(built_vocabulary(), tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


def test_the_bins_of_a_control_follow_each_other() -> None:
    vocabulary = built_vocabulary()
    for names, per_bar in ((ATTRIBUTE_NAMES, False), (BAR_ATTRIBUTE_NAMES, True)):
        first = vocabulary.control_ids(names, per_bar=per_bar)
        assert len(first) == len(names)
        for start, name in zip(first, names, strict=True):
            found = vocabulary.texts[start : start + N_BINS]
            assert found == tuple(control_name(name, b, per_bar=per_bar) for b in range(N_BINS))


def test_an_unknown_token_is_told() -> None:
    with pytest.raises(ValueError, match=r"^the vocabulary has no token 'Pitch_20'$"):
        built_vocabulary().id_of("Pitch_20")
    with pytest.raises(ValueError, match="has no token 'BarControl-tempo_0'"):
        built_vocabulary().control_ids(("tempo",), per_bar=True)


def test_lengths_and_velocities_rise() -> None:
    assert tuple(durations()) == LENGTHS
    assert durations()[30] == "Duration_2.2.4"
    assert velocities() == [7, 15, 23, 31, 39, 47, 55, 63, 71, 79, 87, 95, 103, 111, 119, 127]


def test_miditok_loads_what_was_written_and_has_the_same_ids(saved: Path) -> None:
    import miditok

    ids = miditok.REMI(params=saved).vocab
    assert tuple(sorted(ids, key=ids.__getitem__)) == built_vocabulary().texts


def test_what_miditok_writes_is_read(saved: Path) -> None:
    import miditok

    miditok.REMI(params=saved).save(saved)
    assert "miditok_version" in json.loads(saved.read_text())
    assert read_vocabulary(saved) == built_vocabulary()


def test_a_file_owns_its_list_of_attributes(tmp_path: Path) -> None:
    special = special_tokens(("tempo", "mood_of_its_own"), ("register",))
    write_vocabulary(built_vocabulary(special), tmp_path / "tokenizer.json")
    found = read_vocabulary(tmp_path / "tokenizer.json")
    assert found.attributes == ("tempo", "mood_of_its_own")
    assert found.bar_attributes == ("register",)
    assert found.id_of("Control-mood-of-its-own_11") == 3 + 2 * N_BINS - 1
    whole = built_vocabulary()
    assert whole.attributes == ATTRIBUTE_NAMES
    assert whole.bar_attributes == BAR_ATTRIBUTE_NAMES


def test_special_tokens_stand_before_the_music_in_one_order() -> None:
    assert special_tokens(("tempo",), ()) == [
        *("PAD_None", "BOS_None", "EOS_None"),
        *(f"Control-tempo_{b}" for b in range(N_BINS)),
        *("Ending_1", "Ending_2", "Ending_3", "Ending_4"),
        *("Join_1", "Join_2", "Join_3", "Join_4"),
        "Compound_None",
        *(f"Form-whole_{bars}" for bars in (1, 2, 4, 8, 16)),
        *(f"Form-rhythm_{bars}" for bars in (1, 2, 4, 8, 16)),
        *("Given_None", "Behind_None", "Here_None"),
        *(f"ChordA_{name}" for name in CHORD_NAMES),
        *(f"ChordB_{name}" for name in CHORD_NAMES),
    ]


def test_chords_and_forms_are_found_by_their_numbers() -> None:
    vocabulary = built_vocabulary()
    chords = vocabulary.chord_ids("B")
    assert len(chords) == 109
    assert vocabulary.texts[chords[9 * 7 + 5]] == "ChordB_7:7"
    assert vocabulary.texts[chords[108]] == "ChordB_none"
    assert (np.diff(chords) == 1).all()
    form = vocabulary.form_ids()
    assert [vocabulary.texts[form[code - 1]] for code in (1, 5, 6, 10)] == [
        *("Form-whole_1", "Form-whole_16", "Form-rhythm_1", "Form-rhythm_16"),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "null", "[" * 100_000, '{"tokenization": "TSD", "config": {}}', "\x00"],
)
def test_another_file_is_no_tokenizer(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=r"^tokenizer\.json is no tokenizer of this kind: "
    ) as told:
        read_vocabulary(path)
    assert "\n" not in str(told.value)


def test_a_missing_file_is_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^none\.json is no tokenizer of this kind: No such file"):
        read_vocabulary(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokenization": "TSD"}, "tokenization must be 'REMI', got 'TSD'"),
        ({"_model": "{}"}, "must not be trained"),
        ({"_vocab_base": {"PAD_None": 0}}, "must not be trained"),
        ({"config": None}, "holds no settings"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(
    saved: Path, changes: dict[str, Any], words: str
) -> None:
    saved.write_text(json.dumps({**json.loads(saved.read_text()), **changes}))
    with pytest.raises(ValueError, match=words):
        read_vocabulary(saved)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_velocities": 32}, "num_velocities must be 16, got 32"),
        ({"beat_res": {"0_4": 8}}, "beat_res must be .*, got {'0_4': 8}"),
        ({"use_tempos": None}, "use_tempos must be False, got None"),
        ({"special_tokens": "PAD_None"}, "no list of texts"),
        ({"special_tokens": [["PAD_None"]]}, "no list of texts"),
        ({"special_tokens": ["PAD_None", "PAD_None"]}, "occurs twice"),
        ({"special_tokens": ["Pitch_60"]}, "one of the music"),
        ({"special_tokens": ["PAD_None", "BOS_None"]}, "are not ours, or in another"),
        ({"special_tokens": special_tokens()[::-1]}, "are not ours, or in another order"),
        ({"special_tokens": [*special_tokens(), "Control-mood_0"]}, "are not ours"),
    ],
)
def test_other_settings_are_refused(saved: Path, changes: dict[str, Any], words: str) -> None:
    content = json.loads(saved.read_text())
    saved.write_text(json.dumps({**content, "config": {**content["config"], **changes}}))
    with pytest.raises(ValueError, match=words):
        read_vocabulary(saved)
