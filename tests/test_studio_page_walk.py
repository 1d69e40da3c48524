"""From a feeling to a piece that is heard."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from studio_pages import Visitor, small

KEEP_PICTURES = """() => {
  walk.ink = [];
  const canvas = document.querySelector('.emo-roll-notes');
  const where = document.querySelector('.emo-roll-where');
  new MutationObserver(() => {
    if (where.textContent.startsWith('composing')) walk.ink.push(canvas.toDataURL());
  }).observe(where, {childList: true, characterData: true, subtree: true});
}"""
"""What the roll shows while more is composed."""


def name_on_circle(visitor: Visitor, name: str) -> Any:
    return visitor.page.locator(f".plane-name[data-name='{name}']")


def feeling(visitor: Visitor) -> str:
    return str(visitor.page.inner_text(".now-name"))


def test_a_feeling_is_searched_for_clicked_or_dragged_to(visitor: Visitor) -> None:
    page = visitor.page
    search, handle = page.get_by_label("Find an emotion by name"), page.locator(".handle-core")
    search.fill("nosta")
    page.get_by_role("option", name="nostalgia").click()
    assert feeling(visitor) == search.input_value() == "nostalgia"

    name_on_circle(visitor, "joy").click()
    assert feeling(visitor) == "joy"
    slider = page.get_by_role("slider", name="Feeling")
    assert "joy" in slider.get_attribute("aria-valuetext")

    circle, here = page.locator("svg.plane").bounding_box(), handle.bounding_box()
    page.mouse.move(here["x"] + here["width"] / 2, here["y"] + here["height"] / 2)
    page.mouse.down()
    middle = circle["x"] + circle["width"] / 2, circle["y"] + circle["height"] / 2
    page.mouse.move(*middle, steps=5)
    page.mouse.up()
    for axis in ("Valence", "Arousal"):
        assert abs(float(page.get_by_role("slider", name=axis).input_value())) < 0.1


def test_a_piece_grows_before_the_eyes_then_sounds_and_is_explained(
    visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    name_on_circle(visitor, "nostalgia").click()
    visitor.ask_for_bars(64)
    empty = visitor.picture()
    visitor.page.evaluate(KEEP_PICTURES)
    visitor.compose()
    assert len(set(visitor.page.evaluate("walk.ink"))) >= 3

    told = visitor.told()
    growing = [words for words in told if re.fullmatch(r"composing bar \d+ of 64", words)]
    assert len(set(growing)) >= 3, told
    assert re.fullmatch(
        r"64 bars in [\d.]+ s, the first after [\d.]+ s, with sound after [\d.]+ s\.",
        visitor.status(),
    )
    assert visitor.picture() != empty
    assert visitor.n_bars() == 64

    samples, rate = visitor.sound()
    assert len(samples) / rate > 16
    assert np.sqrt(np.mean(samples**2)) > 0.01

    card = visitor.page.get_by_role("radio", name="Variation 1")
    assert card.get_attribute("aria-checked") == "true"
    assert "heard as" in card.get_attribute("aria-label")
    result = visitor.page.locator("#result")
    assert re.match(r"Heard as Q[1-4], \d+ % sure", result.locator(".emo-headline").inner_text())
    assert "Asked for nostalgia" in result.inner_text()
    assert result.locator(".emo-plane-svg .emo-asked").count() == 1
    assert result.locator(".emo-plane-svg .emo-sd").count() == 2
    assert result.locator(".emo-course svg").count() >= 1
    assert len(visitor.rows()) > 15

    times = visitor.page.evaluate("[walk.first, walk.heard]")
    with capsys.disabled():
        print(f"\non the page: notes {times[0]:.0f} ms, sound {times[1]:.0f} ms after the click")


def test_it_plays_seeks_repeats_and_is_turned_down(comer: Visitor) -> None:
    comer.open_with(small())
    page = comer.page
    page.get_by_role("slider", name="Volume").fill("0.2")
    assert page.evaluate("document.querySelector('.emo-audio').volume") == 0.2
    now = "document.querySelector('.emo-audio').currentTime"
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{now} > 0.3")
    place = page.locator(".emo-roll-cursor").bounding_box()["x"]
    page.wait_for_function(f"{now} > 0.8")
    assert page.locator(".emo-roll-cursor").bounding_box()["x"] > place
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("document.querySelector('.emo-audio').paused")

    roll = page.locator(".emo-roll-view").bounding_box()
    page.mouse.click(roll["x"] + roll["width"] * 0.75, roll["y"] + roll["height"] / 2)
    length = page.evaluate("document.querySelector('.emo-audio').duration")
    assert page.evaluate(now) > length / 2
    assert page.inner_text(".emo-roll-where") in ("bar 3 of 4", "bar 4 of 4")

    page.get_by_role("button", name="Repeat").click()
    page.evaluate(f"{now} = {length} - 0.3")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{now} < 2 && !document.querySelector('.emo-audio').paused")
