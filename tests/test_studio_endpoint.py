"""The endpoint for programs: what it answers, and what it refuses."""

from __future__ import annotations

import inspect
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import gradio as gr
import pytest

import emomusic.studio.endpoint as own
from emomusic.compose.composer import Composer
from emomusic.compose.parse import parse_settings_file
from emomusic.emotion import parse_curve, parse_mix
from emomusic.music.score import dump_score, parse_score
from emomusic.studio.endpoint import N_FILES, Tray, endpoint

Answer = dict[str, Any]
Endpoint = Callable[..., Answer]
PLACE = {"valence": 0.5, "arousal": -0.5}
INF, NAN = math.inf, math.nan
NAMES = [
    "emotion", "valence", "arousal", "curve", "bars", "tempo", "key", "time_signature",
    "attributes", "best_of", "seed",
]  # fmt: skip


@pytest.fixture(scope="module")
def compose(tiny_composer: Composer) -> Endpoint:
    return endpoint(tiny_composer)


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
    compose: Endpoint, tiny_composer: Composer
) -> None:
    answer = compose("joy", bars=2, seed=5, key="Ebm", attributes={"register": 65})
    settings = parse_settings_file(json.dumps(answer["settings"], allow_nan=False))
    (clip,) = tiny_composer.compose(settings.request, seed=settings.seed, start=settings.index)
    assert midi(answer) == dump_score(clip.score)
    assert dump_score(parse_score(midi(answer))) == midi(answer)
    assert (settings.request.tonic, settings.request.is_major) == (3, False)
    assert settings.request.fixed == {"register": 65.0}
    card = answer["card"]
    assert (card["emotion"], card["bars"], card["seed"]) == ("joy", 2, 5)
    assert card["explanation"].endswith(".")
    json.dumps(card, allow_nan=False)


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


def test_an_argument_that_it_does_not_know_is_refused(compose: Endpoint) -> None:
    assert "colour" in refusal(compose, emotion="joy", colour="red")
    for mixed in ("joy:nan", "joy:-1", "<script>alert(1)</script>"):
        refusal(compose, emotion=mixed)


def test_its_arguments_are_told_with_their_kinds_and_ranges(compose: Endpoint) -> None:
    assert [*inspect.signature(compose).parameters] == NAMES
    kinds = get_type_hints(compose)
    assert (kinds["emotion"], kinds["bars"], kinds["tempo"]) == (str, int, float | None)
    assert "In [1, 128]." in str(compose.__doc__)


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
    n_composed = 0
    for _ in range(1_000):
        changed = {name: rng.choice(anything) for name in rng.sample(NAMES, rng.randint(1, 3))}
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
