from __future__ import annotations

import re
import subprocess
import sys

import pytest
from studio_result_cases import card, of_class, read, record, text_of, verdict

from emomusic.studio.result import heard_page, result_page, style

EVIL = "<script>alert(1)</script>\"' onload=x ${1+1} {{value}}"
CURVE = [
    {"bar": 0, "valence": 0.5, "arousal": -0.5},
    {"bar": 8, "valence": -0.5, "arousal": 0.5},
]


def test_the_headline_says_what_is_heard_and_how_surely() -> None:
    told = text_of(result_page(card()))
    assert told.startswith("Heard as Q3, 81 % sure: sad")
    assert "Asked for sadness, in Q3." in told


def test_the_explanation_and_the_course_follow_without_repeating_the_headline() -> None:
    told = text_of(result_page(card()))
    assert "Minor mode lowers valence." in told and "Most sad: bars 5 to 8." in told
    assert "0.81 sure" not in told
    other = card(explanation={"emotion": "sad", "sentence": "Quite another sentence."})
    assert "Quite another sentence." in text_of(result_page(other))


def test_another_quadrant_is_owned_up_to() -> None:
    told = text_of(result_page(card(emotion="joy", valence=0.7, arousal=0.4)))
    assert "Asked for joy, in Q1: heard in another quadrant." in told


def test_a_curve_is_named_by_its_points() -> None:
    told = text_of(result_page(card(), asked_course=CURVE))
    assert re.search(r"Asked to move: near \w+ → near \w+\.", told)
    drawn = result_page(card(curve="0:calm 4:tense 8:relief"))
    assert "Asked to move: calm → tense → relief." in text_of(drawn)
    assert of_class(drawn, "emo-asked-path")


def test_bars_that_were_given_are_told_and_nothing_was_asked_of_them() -> None:
    drawn = result_page(card(given_bars=4))
    assert "Given, not composed: bars 1 to 4." in text_of(drawn)
    assert len(of_class(drawn, "emo-gap")) == 2
    moved = result_page(card(given_bars=4), asked_course=CURVE)
    assert len(of_class(moved, "emo-thread")) == 1


def test_nothing_asked_says_so() -> None:
    free = card(emotion=None, valence=None, arousal=None)
    assert "No emotion was asked for." in text_of(result_page(free))
    assert not of_class(result_page(free), "emo-asked")


def test_the_page_says_which_draw_it_is() -> None:
    assert "First draw: nothing was picked." in text_of(result_page(card()))
    assert "Best of 4 draws" in text_of(result_page(card(best_of=4)))


def test_trust_is_mentioned_where_it_is_low() -> None:
    assert not of_class(result_page(card()), "emo-trust")
    low = result_page(card(verdict=verdict(trust=0.12)))
    assert "Low trust (0.12)" in text_of(low)
    assert of_class(heard_page(record(verdict=verdict(trust=0.12))), "emo-trust")


def test_a_card_without_an_explanation_has_its_verdict_and_its_targets() -> None:
    bare = {name: part for name, part in card().items() if name not in ("explanation", "course")}
    made = result_page(bare)
    assert text_of(made).startswith("Heard as Q3, 81 % sureAsked")
    assert of_class(made, "emo-plane-svg") and of_class(made, "emo-targets")
    assert not of_class(made, "emo-course-svg")


def test_a_file_shows_what_is_heard_and_its_name_without_its_folder() -> None:
    for path in ("some/where/song.mid", "C:\\some\\where\\song.mid", "song.mid"):
        made = heard_page(record(file=path))
        (name,) = of_class(made, "emo-file")
        assert name.text == "song.mid"
    assert not of_class(made, "emo-asked") and "sked for" not in text_of(made)
    assert of_class(made, "emo-course-svg") and of_class(made, "emo-targets")


def test_no_text_of_a_card_becomes_markup() -> None:
    explanation = {"emotion": EVIL, "sentence": EVIL, "effects": []}
    course = {**card()["course"], "sentence": EVIL}
    evil = {"explanation": explanation, "course": course}
    for made in (
        result_page(card(emotion=EVIL, **evil), fixed=[EVIL]),
        heard_page(record(file=EVIL, **evil)),
    ):
        assert "<script" not in made and "${" not in made and "{{" not in made
        assert not [e for e in read(made).iter() if e.tag == "script" or e.get("onload")]
    assert EVIL in text_of(result_page(card(emotion=EVIL)))


def test_no_id_is_given_so_that_results_can_stand_side_by_side() -> None:
    assert not [e for e in read(result_page(card())).iter() if e.get("id")]


def test_a_card_without_a_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="probability of Q1 must be a finite number, got None"):
        result_page({})


def test_every_class_is_ours_and_the_style_sheet_knows_it() -> None:
    pages = [result_page(card(), fixed=["silence"]), result_page(card(), asked_course=CURVE)]
    pages += [heard_page(record()), result_page(card(verdict=verdict(trust=0.0)))]
    used = {
        name for page in pages for e in read(page).iter() for name in str(e.get("class")).split()
    } - {"None"}
    assert used and all(name.startswith("emo-") for name in used)
    known = set(re.findall(r"\.(emo-[\w-]+)", style()))
    assert known <= used | {"emo-off", "emo-far", "emo-beyond", "emo-free"}


def test_the_style_sheet_loads_nothing_and_styles_nothing_else() -> None:
    sheet = re.sub(r"/\*.*?\*/", "", style(), flags=re.DOTALL)
    assert "url(" not in sheet and "@import" not in sheet and "{{" not in sheet
    selectors = re.findall(r"([^{};]+)\{", sheet)
    for selector in selectors:
        assert selector.strip().startswith("@") or ".emo-" in selector, selector


def test_the_result_needs_no_gradio() -> None:
    code = "import sys, emomusic.studio.result\nprint('gradio' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert told.stdout.strip() == "False", told.stderr
