"""Points of the plane, quadrants, the named emotions, and the script that makes their table."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emomusic.emotion import (
    QUADRANT_CENTRES,
    QUADRANTS,
    Emotion,
    UnknownEmotionError,
    emotion_families,
    emotion_names,
    find_emotion,
    nearest_names,
    quadrant_of,
)
from emomusic.emotion.space import aliases

ROOT = Path(__file__).parent.parent
ENTRIES = json.loads((ROOT / "emomusic/emotion/emotions.json").read_text())["emotions"]
UNMISTAKABLE = {
    "Q1": "joy happy excited euphoria playful triumphant delighted hope pride power wonder",
    "Q2": "anger rage hatred fear anxiety distress tension frustration disgust terror",
    "Q3": "sadness grief melancholy loneliness boredom gloomy depressed tired longing",
    "Q4": "calm serene peacefulness relaxed tenderness content relief nostalgia dreaminess",
}


def test_quadrant_counts_zero_as_positive_and_centres_lie_well_inside() -> None:
    for valence, arousal, quadrant in (
        (0.5, 0.5, "Q1"), (-0.5, 0.5, "Q2"), (-0.5, -0.5, "Q3"), (0.5, -0.5, "Q4"),
        (0.0, 0.0, "Q1"), (-0.0, -0.0, "Q1"), (-1.0, 0.0, "Q2"), (0.0, -1.0, "Q4"),
    ):  # fmt: skip
        assert quadrant_of(valence, arousal) == quadrant == Emotion(valence, arousal).quadrant
    assert tuple(QUADRANT_CENTRES) == QUADRANTS
    for quadrant, centre in QUADRANT_CENTRES.items():
        assert quadrant_of(*centre) == quadrant
        assert all(abs(value) >= 0.5 for value in centre)


@pytest.mark.parametrize("value", [1.2, -1.01, math.nan, -math.inf, "0.5", None, True])
def test_values_outside_the_plane_are_named(value: Any) -> None:
    error = ValueError if type(value) is float else TypeError
    for axis, make in (
        ("valence", lambda: Emotion(value, 0.0)),
        ("arousal", lambda: Emotion(0.0, value)),
        ("arousal", lambda: quadrant_of(0.0, value)),
    ):
        with pytest.raises(error, match=rf"^{axis} must be .*in \[-1, 1\], got "):
            make()


def test_values_are_plain_floats_and_a_name_is_a_word_or_absent() -> None:
    emotion = Emotion(1, -0.0)
    assert isinstance(emotion.valence, float) and emotion.name is None
    assert math.copysign(1.0, emotion.arousal) == 1.0
    with pytest.raises(ValueError, match=r"^name must be None or not blank, got ' '$"):
        Emotion(0.0, 0.0, " ")
    with pytest.raises(TypeError, match=r"^name must be a string or None, got 3$"):
        Emotion(0.0, 0.0, 3)  # type: ignore[arg-type]


def test_intensity_is_the_distance_from_the_middle_capped_at_one() -> None:
    points = ((0.0, 0.0), (0.3, -0.4), (-1.0, 1.0))
    assert [Emotion(*point).intensity for point in points] == pytest.approx([0.0, 0.5, 1.0])


def test_the_names_are_102_in_order_and_each_alias_leads_to_one() -> None:
    names = emotion_names()
    assert len(set(names)) == 102 and list(names) == sorted(names)
    assert set(aliases().values()) <= set(names) and not set(names) & aliases().keys()
    assert find_emotion("Scared").name == "afraid"
    for text in ("Joyful-Activation", " JOYFUL_activation "):
        assert find_emotion(text) == find_emotion("joyful activation")
    for text in ("Q2", "q2", " Q2 "):
        assert find_emotion(text) == Emotion(-0.6, 0.6, "Q2")


def test_unmistakable_emotions_lie_in_their_quadrant_and_all_fill_the_circle() -> None:
    for quadrant, names in UNMISTAKABLE.items():
        found = {name: find_emotion(name).quadrant for name in names.split()}
        assert set(found.values()) == {quadrant}, found
    emotions = [find_emotion(name) for name in emotion_names()]
    assert all(math.hypot(e.valence, e.arousal) <= 1.005 for e in emotions)
    assert sum(e.intensity > 0.6 for e in emotions) > len(emotions) / 2
    assert min(sum(e.quadrant == q for e in emotions) for q in QUADRANTS) >= 15


def test_an_unknown_name_is_offered_the_nearest_or_told_what_is_accepted() -> None:
    for text, offered in (
        ("hapiness", "happiness"), ("anxios", "anxious"), ("MELANCHOLIA", "melancholy"),
        *((text, "") for text in ("", "q5", "zzzz\nzzzz", "w" * 5000)),
    ):  # fmt: skip
        with pytest.raises(UnknownEmotionError) as caught:
            find_emotion(text)
        message = str(caught.value)
        assert "\n" not in message and len(message) < 200
        if offered:
            words = message.removeprefix(f"unknown emotion {text!r}, nearest are: ").split(", ")
            assert offered in words and all(find_emotion(word) for word in words)
        else:
            assert "accepted are Q1 to Q4 and 102 names" in message


def test_nearest_names_start_with_the_emotion_itself() -> None:
    for name in emotion_names():
        here = find_emotion(name)
        assert find_emotion(nearest_names(here, 1)[0]).valence == here.valence
    assert nearest_names(find_emotion("calm"), 2) == ("calm", "relaxed")
    assert nearest_names(find_emotion("satisfied"), 2) == ("satisfaction", "satisfied")
    assert len(nearest_names(Emotion(0.0, 0.0), 500)) == 102
    with pytest.raises(ValueError, match=r"^k must be at least 1, got 0$"):
        nearest_names(Emotion(0.0, 0.0), 0)
    families = emotion_families()
    kinds = "adjective ekman-6 gems-9 typology-negative typology-positive"
    assert list(families) == kinds.split()
    assert (len(families["gems-9"]), len(families["ekman-6"])) == (9, 6)
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
    assert spec and spec.loader
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
    low, high = built["emotions"]["low"], built["emotions"]["high"]
    assert high["families"] == ["a", "b"] and low["valence"] == -high["valence"] < 0
    assert built["emotions"]["anxiety"]["arousal"] == 0.5
    assert json.loads(builder.dump(built)) == built


def test_the_shipped_table_is_the_builders(builder: ModuleType) -> None:
    columns = ("valence", "arousal", "corrected")
    corrected = {n: tuple(map(e.get, columns)) for n, e in ENTRIES.items() if "corrected" in e}
    assert corrected == builder.CORRECTIONS and "anxiety" in corrected
    for entry in ENTRIES.values():
        assert entry["families"] and entry.keys() <= {*columns, "families"}


def test_builder_refuses_a_bad_table_in_one_line(
    tmp_path: Path, builder: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    out, bad = tmp_path / "out.json", "must be in"
    for row, words in (("joy,a,12,5", bad), ("low,a,4,4", "two rows rate 'low'"), ("joy,a,5", bad)):
        _write_ratings(tmp_path / "r.csv", builder)
        with (tmp_path / "r.csv").open("a") as file:
            file.write("\n" + row)
        assert builder.main(["--ratings", str(tmp_path / "r.csv"), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
        assert not out.exists()
