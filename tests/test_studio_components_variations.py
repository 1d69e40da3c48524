"""The cards' Python side: what they accept, what they send, what they read back."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np
import pytest

from emomusic.studio.components.assets import asset
from emomusic.studio.components.variations import Card, Choice, Deck, Variations

FIRST = Card(
    title="1",
    notes=np.array([[0.0, 0.5, 60]]),
    length_s=30.0,
    quadrant="Q1",
    probability=0.81234,
    valence=0.5,
    arousal=-0.25,
    n_bars=16,
    tempo=126.8,
    key="C major",
    done=True,
)


def read(payload: Any) -> Choice:
    return Variations().preprocess(payload)


def test_a_deck_is_sent_as_plain_json() -> None:
    value = Variations().postprocess(Deck((FIRST,), selected=0, take="7"))
    assert value["take"] == "7" and value["selected"] == 0
    assert value["cards"] == [
        {
            "title": "1",
            "notes": "0,500,60;",
            "length_s": 30.0,
            "quadrant": "Q1",
            "probability": 0.812,
            "valence": 0.5,
            "arousal": -0.25,
            "n_bars": 16,
            "tempo": 126.8,
            "key": "C major",
            "favourite": None,
            "composing": False,
            "done": True,
        }
    ]


def test_what_python_leaves_open_is_sent_open_so_that_the_browser_keeps_it() -> None:
    value = Variations().postprocess(Deck((Card("1"), Card("2", favourite=False))))
    assert value["selected"] is None
    assert [card["favourite"] for card in value["cards"]] == [None, False]


def test_no_deck_is_sent_as_an_empty_one() -> None:
    assert Variations().postprocess(None) == {"take": "", "selected": None, "cards": []}


def test_choice_and_favourites_are_read_back() -> None:
    payload = {
        "take": "7",
        "selected": 1,
        "cards": [{"favourite": True}, {"favourite": False}, {"favourite": True}],
    }
    assert read(payload) == Choice(selected=1, favourites=(0, 2), take="7")


def test_what_was_sent_can_be_read_back() -> None:
    deck = Deck((FIRST, Card("2", favourite=True)))
    assert read(Variations().postprocess(deck)) == Choice(selected=0, favourites=(1,))


def test_nothing_reads_as_no_favourites() -> None:
    assert read(None) == Choice(selected=0, favourites=())


@pytest.mark.parametrize(
    "payload",
    [
        "text",
        [1],
        7,
        {},
        {"cards": "many"},
        {"cards": [1, 2]},
        {"cards": [{}] * 9},
        {"cards": [{}] * 100_000},
        {"cards": [{}], "selected": 1},
        {"cards": [{}], "selected": -1},
        {"cards": [{}, {}], "selected": True},
        {"cards": [{}, {}], "selected": 1.0},
        {"cards": [{}], "selected": float("nan")},
        {"cards": [{}], "selected": "0"},
        {"cards": [{}], "selected": [0]},
    ],
)
def test_a_payload_out_of_shape_is_refused_in_a_sentence(payload: Any) -> None:
    with pytest.raises(gr.Error) as error:
        read(payload)
    assert error.value.message.endswith(".")


def test_favourites_are_only_what_is_truly_one() -> None:
    cards = [{"favourite": value} for value in ("yes", 1, None, True)]
    assert read({"cards": cards}).favourites == (3,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quadrant": "Q5"}, "quadrant must be one of Q1, Q2, Q3, Q4, got Q5"),
        ({"probability": 1.1}, r"probability must be in \[0, 1\], got 1.1"),
        ({"valence": float("nan")}, r"valence must be in \[-1, 1\], got nan"),
        ({"arousal": -2.0}, r"arousal must be in \[-1, 1\], got -2.0"),
        ({"length_s": 0.0}, "length_s must be above 0, got 0.0"),
        ({"length_s": float("nan")}, "length_s must be above 0, got nan"),
        ({"tempo": float("nan")}, "tempo must be above 0, got nan"),
        ({"notes": np.ones((2, 5))}, r"notes must have shape \(n, 3\), got \(2, 5\)"),
    ],
)
def test_cards_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Card("1", **changes)


def test_a_deck_holds_eight_cards_and_one_of_them_may_be_selected() -> None:
    eight = tuple(Card(str(n + 1)) for n in range(8))
    assert Deck(eight, selected=7).selected == 7
    with pytest.raises(ValueError, match="at most 8 cards can be shown, got 9"):
        Deck((*eight, Card("9")))
    with pytest.raises(ValueError, match="selected must be one of 8 cards: 8"):
        Deck(eight, selected=8)


def test_a_page_hears_of_choices_and_favourites() -> None:
    with gr.Blocks() as page:
        cards = Variations(Deck((FIRST,)))
        cards.select(lambda choice: None, cards, None)
        cards.favourite(lambda choice: None, cards, None)
    events = [
        target[1] for each in page.get_config_file()["dependencies"] for target in each["targets"]
    ]
    assert events == ["select", "favourite"]


def test_markup_and_style_hold_no_placeholders() -> None:
    for text in (asset("variations.html"), asset("variations.css")):
        assert not any(mark in text for mark in ("${", "{{", "`", "\\"))


def test_words_never_enter_the_page_as_markup() -> None:
    script = asset("variations.js")
    assert not any(way in script for way in ("innerHTML", "outerHTML", "insertAdjacentHTML"))


def test_the_value_is_described_to_programs() -> None:
    info = Variations().api_info()
    assert info["type"] == "object"
    assert set(info["properties"]) == {"take", "selected", "cards"}
