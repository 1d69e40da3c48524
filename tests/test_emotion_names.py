import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from emomusic.emotion import (
    Emotion,
    UnknownEmotionError,
    emotion_families,
    emotion_names,
    find_emotion,
    nearest_names,
)
from emomusic.emotion.space import aliases

ROOT = Path(__file__).parent.parent
ENTRIES = json.loads((ROOT / "emomusic/emotion/emotions.json").read_text())["emotions"]

UNMISTAKABLE = {
    "Q1": "joy happy excited euphoria enjoyment playful triumphant heroic energized delighted "
    "hope pride amusement power wonder",
    "Q2": "anger angry rage hatred fear afraid anxiety nervousness distress startle tension "
    "tense frustration worry disgust desperation",
    "Q3": "sadness sad grief melancholy loneliness boredom bored gloomy depressed tired longing "
    "disappointment miserable",
    "Q4": "calm serene peacefulness relaxation relaxed tenderness satisfaction content relief "
    "nostalgia transcendence dreaminess",
}


def test_there_are_102_names_in_order() -> None:
    names = emotion_names()
    assert len(names) == len(set(names)) == 102
    assert list(names) == sorted(names)


@pytest.mark.parametrize("quadrant", UNMISTAKABLE)
def test_unmistakable_emotions_lie_in_their_quadrant(quadrant: str) -> None:
    found = {name: find_emotion(name).quadrant for name in UNMISTAKABLE[quadrant].split()}
    assert set(found.values()) == {quadrant}, found


def test_points_fill_the_circle() -> None:
    emotions = [find_emotion(name) for name in emotion_names()]
    assert all(math.hypot(e.valence, e.arousal) <= 1.005 for e in emotions)
    assert max(e.arousal for e in emotions) > 0.85
    assert min(e.arousal for e in emotions) < -0.85
    assert sum(e.intensity > 0.6 for e in emotions) > len(emotions) / 2
    counts = [sum(e.quadrant == q for e in emotions) for q in UNMISTAKABLE]
    assert min(counts) >= 15


def test_each_correction_has_a_reason_and_two_decimals_are_kept() -> None:
    corrected = {name for name, entry in ENTRIES.items() if entry.get("corrected")}
    assert {"anxiety", "nervousness", "startle", "distress"} <= corrected
    for entry in ENTRIES.values():
        assert entry["families"]
        assert entry.keys() <= {"valence", "arousal", "families", "corrected"}
        assert entry["valence"] == round(entry["valence"], 2)
        assert entry["arousal"] == round(entry["arousal"], 2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((text, find_emotion("joyful activation")) for text in
          ("Joyful-Activation", " JOYFUL_activation ")),
        *((text, Emotion(-0.6, 0.6, "Q2")) for text in ("Q2", "q2", " Q2 ")),
    ],
)  # fmt: skip
def test_case_and_separators_count_alike_and_a_quadrant_is_its_centre(
    text: str, found: Emotion
) -> None:
    assert find_emotion(text) == found


def test_aliases_lead_to_names_and_hide_none() -> None:
    names = set(emotion_names())
    assert set(aliases().values()) <= names
    assert not names & aliases().keys()
    assert find_emotion("Scared").name == "afraid"
    assert find_emotion("happiness") == find_emotion("happy")
    suggested = {"Q1": "happiness", "Q2": "furious terror anxious", "Q3": "lonely sorrow",
                 "Q4": "serenity peaceful"}  # fmt: skip
    for quadrant, words in suggested.items():
        assert {find_emotion(word).quadrant for word in words.split()} == {quadrant}


@pytest.mark.parametrize(
    ("text", "offered"),
    [("hapiness", "happiness"), ("anxios", "anxious"), ("MELANCHOLIA", "melancholy")],
)
def test_a_typing_mistake_is_offered_the_right_name(text: str, offered: str) -> None:
    with pytest.raises(UnknownEmotionError, match="nearest are: ") as caught:
        find_emotion(text)
    message = str(caught.value)
    words = message.removeprefix(f"unknown emotion {text!r}, nearest are: ").split(", ")
    assert offered in words and "\n" not in message
    assert all(find_emotion(word) for word in words)


@pytest.mark.parametrize("text", ["", "q5", "zzzz\nzzzz", "w" * 5000])
def test_a_word_near_nothing_is_told_what_is_accepted(text: str) -> None:
    with pytest.raises(UnknownEmotionError, match="accepted are Q1 to Q4 and 102 names") as caught:
        find_emotion(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_nearest_names_start_with_the_emotion_itself() -> None:
    for name in emotion_names():
        here = find_emotion(name)
        assert find_emotion(nearest_names(here, 1)[0]).valence == here.valence
    assert nearest_names(find_emotion("calm"), 2) == ("calm", "relaxed")
    assert nearest_names(find_emotion("satisfied"), 2) == ("satisfaction", "satisfied")
    assert len(nearest_names(Emotion(0.0, 0.0), 500)) == 102
    with pytest.raises(ValueError, match=r"^k must be at least 1, got 0$"):
        nearest_names(Emotion(0.0, 0.0), 0)


def test_families_hold_every_name() -> None:
    families = emotion_families()
    assert set(families) == {"adjective", "ekman-6", "gems-9", "typology-negative",
                             "typology-positive"}  # fmt: skip
    assert len(families["gems-9"]) == 9
    assert len(families["ekman-6"]) == 6
    assert {name for names in families.values() for name in names} == set(emotion_names())


def test_import_reads_no_file_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, emomusic.emotion, emomusic.emotion.space as n\n"
        "assert not n._content.cache_info().currsize\n"
        "print(*sorted({'numpy', 'torch', 'json', 'difflib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True,
                          check=True, cwd=ROOT)  # fmt: skip
    assert done.stdout.strip() == ""


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", ROOT / "scripts/build_emotions.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write_ratings(path: Path, builder: ModuleType) -> None:
    lines = ["emotion,family,valence_1to9,arousal_1to9", "low,a,3,4", "high,a,7,6", "high,b,7,6"]
    path.write_text("\n".join(lines + [f"{name},c,5,5" for name in builder.CORRECTIONS]))


def test_builder_standardises_squashes_and_corrects(tmp_path: Path, builder: ModuleType) -> None:
    _write_ratings(tmp_path / "r.csv", builder)
    assert builder.squash([1.0, 3.0]) == pytest.approx([-math.tanh(0.6), math.tanh(0.6)])
    assert builder.into_circle(3.0, 4.0) == (0.6, 0.8)
    built = builder.build(builder.read_ratings(tmp_path / "r.csv"))
    assert built["emotions"]["high"]["families"] == ["a", "b"]
    low, high = built["emotions"]["low"], built["emotions"]["high"]
    assert low["valence"] == -high["valence"] < 0
    assert built["emotions"]["anxiety"]["arousal"] == 0.5
    assert json.loads(builder.dump(built)) == built


def test_shipped_corrections_are_those_of_the_builder(builder: ModuleType) -> None:
    shipped = {
        name: (entry["valence"], entry["arousal"], entry["corrected"])
        for name, entry in ENTRIES.items()
        if "corrected" in entry
    }
    assert shipped == builder.CORRECTIONS


@pytest.mark.parametrize(
    ("row", "words"),
    [("joy,a,12,5", "must be in"), ("low,a,4,4", "two rows rate 'low'"), ("joy,a,5", "must be in")],
)
def test_builder_refuses_a_bad_table_in_one_line(
    tmp_path: Path, builder: ModuleType, capsys: pytest.CaptureFixture[str], row: str, words: str
) -> None:
    _write_ratings(tmp_path / "r.csv", builder)
    with (tmp_path / "r.csv").open("a") as file:
        file.write("\n" + row)
    out = tmp_path / "out.json"
    assert builder.main(["--ratings", str(tmp_path / "r.csv"), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not out.exists()
