"""The endpoint for programs: what it answers, and what it refuses."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

import emomusic.studio.endpoint as own
from emomusic.compose.asking.settings import parse_settings_file
from emomusic.compose.composer import Composer
from emomusic.emotion import parse_curve, parse_mix
from emomusic.music.score import dump_score, parse_score
from emomusic.studio.endpoint import N_FILES, Tray, endpoint

Answer = dict[str, Any]
Endpoint = Callable[..., Answer]
PLACE = {"valence": 0.5, "arousal": -0.5}
INF, NAN = math.inf, math.nan


@pytest.fixture(scope="module")
def composer(tiny_checkpoint: Path) -> Composer:
    return Composer(tiny_checkpoint)


@pytest.fixture(scope="module")
def compose(composer: Composer) -> Endpoint:
    return endpoint(composer)


def midi(answer: Answer) -> bytes:
    return Path(answer["midi"]["path"]).read_bytes()


def refusal(compose: Endpoint, **arguments: Any) -> str:
    """Ask for what must be refused, and return the one sentence."""
    with pytest.raises(gr.Error) as error:
        compose(**arguments)
    words = str(error.value.message)
    assert words.endswith(".") and "\n" not in words and len(words) < 700, words
    assert not error.value.print_exception
    return words


def test_the_answer_is_the_clip_its_card_and_its_settings(
    compose: Endpoint, composer: Composer
) -> None:
    answer = compose("joy", bars=2, seed=5, key="Ebm", attributes={"register": 65})

    settings = parse_settings_file(json.dumps(answer["settings"]))
    (clip,) = composer.compose(settings.request, seed=settings.seed, start=settings.index)
    assert midi(answer) == dump_score(clip.score)
    assert dump_score(parse_score(midi(answer))) == midi(answer)
    assert (settings.request.tonic, settings.request.is_major) == (3, False)
    assert settings.request.fixed == {"register": 65.0}
    card = answer["card"]
    assert (card["emotion"], card["bars"], card["seed"]) == ("joy", 2, 5)
    assert card["explanation"].endswith(".")


def test_the_answer_is_plain_json_without_nan(compose: Endpoint) -> None:
    json.dumps(compose("joy", bars=1), allow_nan=False)


def test_a_seed_gives_the_same_clip_and_another_one_another(compose: Endpoint) -> None:
    first, again, other = (midi(compose("joy", bars=2, seed=seed)) for seed in (1, 1, 2))

    assert first == again != other


def test_emotions_are_named_placed_mixed_and_curved(compose: Endpoint) -> None:
    place = compose(**PLACE, bars=1)["settings"]["emotion"]
    mixed = compose("nostalgia:0.7 hope:0.3", bars=1)["settings"]["emotion"]
    curved = compose(curve="0:calm 2:tense", bars=2)["settings"]

    felt, curve = parse_mix("nostalgia:0.7 hope:0.3"), parse_curve("0:calm 2:tense")
    assert place == PLACE
    assert (mixed["valence"], mixed["arousal"]) == (felt.valence, felt.arousal)
    assert [point["bar"] for point in curved["curve"]] == [0.0, 2.0]
    assert curved["emotion"]["valence"] == curve.mean(2).valence


def test_none_is_as_good_as_nothing(compose: Endpoint) -> None:
    nothing = {"curve": None, "key": None, "tempo": None, "attributes": None, "valence": None}

    assert midi(compose("joy", bars=1, **nothing)) == midi(compose("joy", bars=1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "say what to feel"),
        ({"emotion": "bliss-bliss"}, "unknown emotion 'bliss-bliss'"),
        ({"emotion": "../../etc/passwd"}, "unknown emotion '../../etc/passwd'"),
        ({"emotion": "<script>alert(1)</script>"}, "unknown emotion '<script>"),
        ({"emotion": ["joy"]}, "emotion must be a text"),
        ({"emotion": "x" * 100_000}, "emotion must be a text of at most 4000 characters"),
        ({"emotion": "joy:nan"}, ""),
        ({"emotion": "joy:-1"}, ""),
        ({"emotion": "joy", **PLACE}, "give one of"),
        ({"valence": 0.5}, "say what to feel"),
        ({**PLACE, "valence": 1.01}, "valence must be in [-1, 1], got 1.01"),
        ({**PLACE, "valence": NAN}, "valence must be in [-1, 1], got nan"),
        ({**PLACE, "arousal": -INF}, "arousal must be in [-1, 1], got -inf"),
        ({**PLACE, "arousal": 10**400}, "arousal must be a number of common size"),
        ({**PLACE, "arousal": "0.5"}, "arousal must be a number, got '0.5'"),
        ({**PLACE, "arousal": True}, "arousal must be a number, got True"),
        ({"curve": "0:calm 0:tense"}, "must rise"),
        ({"curve": "1e308:calm"}, "bar must be in [0, 512]"),
        ({"curve": "0:calm", "emotion": "joy"}, "a curve says what to feel"),
        ({"curve": {"0": "calm"}}, "curve must be a text"),
        ({"emotion": "joy", "bars": 0}, "bars must be a whole number in [1, 128], got 0"),
        ({"emotion": "joy", "bars": 129}, "bars must be a whole number in [1, 128], got 129"),
        ({"emotion": "joy", "bars": 1.5}, "bars must be a whole number in [1, 128], got 1.5"),
        ({"emotion": "joy", "bars": INF}, "bars must be a whole number in [1, 128], got inf"),
        ({"emotion": "joy", "bars": None}, "bars must be a whole number in [1, 128], got None"),
        ({"emotion": "joy", "bars": True}, "bars must be a whole number in [1, 128], got True"),
        ({"emotion": "joy", "tempo": 1e308}, "tempo must be in [20, 300], got 1e+308"),
        ({"emotion": "joy", "tempo": [90]}, "tempo must be a number, got [90]"),
        ({"emotion": "joy", "key": "H"}, "key must be a note name"),
        ({"emotion": "joy", "key": 3}, "key must be a text"),
        ({"emotion": "joy", "time_signature": "5/4"}, "time_signature must be 4/4 or 3/4"),
        ({"emotion": "joy", "time_signature": "3/4; rm"}, "time_signature must be 4/4 or 3/4"),
        ({"emotion": "joy", "attributes": [1]}, "attributes must be a table"),
        ({"emotion": "joy", "attributes": {"beauty": 1}}, "unknown attribute 'beauty'"),
        ({"emotion": "joy", "attributes": {"register": "high"}}, "register must be a number"),
        ({"emotion": "joy", "attributes": {"register": NAN}}, "register must be in"),
        ({"emotion": "joy", "attributes": {"x" * 9_999: 1}}, "unknown attribute 'xxx"),
        ({"emotion": "joy", "attributes": dict.fromkeys(map(str, range(65)), 1)}, "a table"),
        ({"emotion": "joy", "tempo": 90, "attributes": {"tempo": 90}}, "give the tempo once"),
        ({"emotion": "joy", "best_of": 17}, "best_of must be a whole number in [1, 16], got 17"),
        ({"emotion": "joy", "seed": -1}, "seed must be a whole number in [0, 900719925474099"),
        ({"emotion": "joy", "seed": 2**53}, "seed must be a whole number"),
        ({"emotion": "joy", "seed": "1"}, "seed must be a whole number"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(
    compose: Endpoint, arguments: dict[str, Any], words: str
) -> None:
    assert words in refusal(compose, **arguments)


def test_no_argument_of_any_kind_breaks_it(compose: Endpoint) -> None:
    """Whatever comes, the answer is a clip or one sentence: a thousand draws of a fixed seed."""
    rng = random.Random(6)
    anything = [
        None, True, 0, -1, 1, 2.0, 1e308, -1e308, 5e-324, NAN, INF, -INF, 10**400, 2**63, -(2**63),
        "", " ", "joy", "Q1", ":", "joy:", ":1", "joy:1", "joy:1e400 calm:1", "0:calm", "1:2,3",
        "0:calm 1e400:joy", "nan:calm", "C", "Bbm", "4/4", "\x00", "\ud800", "é" * 3_999, "../..",
        "%s%n{0}", [], [[]], {}, {"tempo": 90}, {"register": INF}, {"mode": None}, {"": 1},
        {"path": "/etc/passwd"}, {1: 2}, b"bytes", {"tempo": {"tempo": {}}},
    ]  # fmt: skip
    known = {"emotion": "joy", "bars": 1}
    names = ("emotion", "valence", "arousal", "curve", "bars", "tempo", "key", "time_signature",
             "attributes", "best_of", "seed")  # fmt: skip
    n_composed = 0
    for _ in range(1_000):
        changed = {name: rng.choice(anything) for name in rng.sample(names, rng.randint(1, 3))}
        try:
            n_composed += bool(midi(compose(**{**known, **changed})))
        except gr.Error as error:
            assert error.message.endswith("."), changed
            assert len(error.message) < 5_000, changed
    assert n_composed > 0


def test_files_of_answers_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own.tempfile, "tempdir", str(tmp_path))
    tray = Tray()

    answers = [tray.put(f"clip {number}".encode()) for number in range(3 * N_FILES)]

    held = sorted(path.read_bytes() for path in tmp_path.rglob("emomusic.mid"))
    assert held == sorted(f"clip {number}".encode() for number in range(2 * N_FILES, 3 * N_FILES))
    assert Path(answers[-1]["path"]).read_bytes() == f"clip {3 * N_FILES - 1}".encode()
    del tray
    assert not any(tmp_path.iterdir())


def test_a_full_disk_is_told_in_a_sentence(
    compose: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own, "write_atomically", full)

    words = refusal(compose, emotion="joy", bars=1)

    assert words == "The file cannot be written: No space left on device."
