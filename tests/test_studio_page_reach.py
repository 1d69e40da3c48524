"""For everybody: by keyboard, by ear, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from studio_pages import Visitor, Visits, small

FOLDED = ("shape", "fine", "bring", "reading")
CONTROLS = {
    "button", "checkbox", "combobox", "link", "listbox", "radio", "slider", "spinbutton",
    "switch", "tab", "textbox",
}  # fmt: skip
MAIN_TEXTS = (
    ".studio-head h1", ".studio-head p", ".studio-title h2", ".studio-status", ".now-name",
    ".now-where", "#compose", "#vary", "#get-mid", "#shape > button", ".emo-card-about",
    ".emo-headline", ".emo-asked-for", ".emo-why", "#result .emo-num", "#towards .label-text",
)  # fmt: skip
CONTRAST = """(node) => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const read = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (above, below) => above.slice(0, 3).map(
    (part, i) => part * above[3] / 255 + below[i] * (1 - above[3] / 255));
  const layers = [];
  for (let at = node; at; at = at.parentElement) {
    layers.push(read(getComputedStyle(at).backgroundColor));
  }
  const ground = layers.reverse().reduce((below, above) => over(above, below), [255, 255, 255]);
  const ink = over(read(getComputedStyle(node).color), ground);
  const light = (colour) => colour.map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const [low, high] = [light(ink), light(ground)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


def unfold_all(visitor: Visitor) -> None:
    for name in FOLDED:
        visitor.unfold(name)
    visitor.page.locator(".fader").first.wait_for()


def tab_to(visitor: Visitor, is_there: str) -> None:
    for _ in range(60):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate(f"document.activeElement.matches({is_there!r})"):
            return
    raise AssertionError(f"Tab never came to {is_there}")


def test_a_keyboard_is_enough(visitor: Visitor) -> None:
    press: Callable[[str], None] = visitor.page.keyboard.press
    tab_to(visitor, "[role=slider][aria-label=Feeling]")
    before = visitor.page.inner_text(".now-where")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "Shift+ArrowDown"):
        press(key)
    assert visitor.page.inner_text(".now-where") != before
    tab_to(visitor, "#compose")
    visitor.until_ready(lambda: press("Enter"))
    tab_to(visitor, ".emo-roll-view")
    press("Space")
    visitor.page.wait_for_function("document.querySelector('.emo-audio').currentTime > 0.2")
    press("Space")
    assert visitor.page.evaluate("document.querySelector('.emo-audio').paused")
    press("End")
    press("ArrowLeft")
    assert visitor.page.inner_text(".emo-roll-where") == "bar 16 of 16"
    press("Home")
    press("ArrowRight")
    assert visitor.page.inner_text(".emo-roll-where") == "bar 2 of 16"
    tab_to(visitor, ".emo-card-pick")
    tab_to(visitor, "#get-mid, #vary")


def test_every_control_has_a_name(comer: Visitor) -> None:
    comer.open_with(small())
    unfold_all(comer)
    tree = comer.page.context.new_cdp_session(comer.page).send("Accessibility.getFullAXTree")
    controls = [
        node
        for node in tree["nodes"]
        if not node.get("ignored") and node.get("role", {}).get("value") in CONTROLS
    ]
    assert len(controls) > 60
    nameless = [node for node in controls if not node.get("name", {}).get("value", "").strip()]
    assert [node["role"]["value"] for node in nameless] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(visits: Visits, theme: str) -> None:
    phone = visits(width=360, height=740, has_touch=True, is_mobile=True)
    phone.open_with(small(), query=f"?__theme={theme}")
    assert not phone.is_wider_than_its_window()
    unfold_all(phone)
    phone.page.get_by_text("A curve", exact=True).click()
    phone.page.locator("#sheet svg").first.wait_for()
    assert not phone.is_wider_than_its_window()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read(comer: Visitor, theme: str) -> None:
    comer.open_with(small(), files=True, query=f"?__theme={theme}")
    is_dark = comer.page.evaluate("document.body.classList.contains('dark')")
    assert is_dark == (theme == "dark")
    found = {text: comer.page.locator(text).first.evaluate(CONTRAST) for text in MAIN_TEXTS}
    assert {text: round(ratio, 2) for text, ratio in found.items() if ratio < 4.5} == {}
