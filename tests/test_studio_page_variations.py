"""Several at once: choose, keep, vary, continue, undo, move the mood."""

from __future__ import annotations

from typing import Any

import pytest
from studio_pages import Visitor, small


def cards(visitor: Visitor) -> Any:
    return visitor.page.locator(".emo-card")


def picks(visitor: Visitor) -> Any:
    return visitor.page.locator(".emo-card-pick")


def titles(visitor: Visitor) -> list[str]:
    return list(visitor.page.locator(".emo-card-title").all_inner_texts())


@pytest.fixture
def three(comer: Visitor) -> Visitor:
    """Return a person with three cards of four bars."""
    comer.open_with(small())
    comer.type_into("#n-variations input[type=number]", "3")
    comer.compose()
    return comer


def test_another_variation_is_chosen_and_heard(three: Visitor) -> None:
    assert cards(three).count() == 3
    rolls = three.page.locator(".emo-card-roll").evaluate_all("all => all.map(c => c.toDataURL())")
    assert len(set(rolls)) == 3
    picture, (samples, _) = three.picture(), three.sound()
    three.until_ready(lambda: picks(three).nth(1).click())
    assert picks(three).nth(1).get_attribute("aria-checked") == "true"
    assert picks(three).nth(0).get_attribute("aria-checked") == "false"
    assert three.picture() != picture
    others, _ = three.sound()
    assert others.shape != samples.shape or (others != samples).any()


def test_a_favourite_stays_when_others_are_composed(three: Visitor) -> None:
    kept = titles(three)[1]
    three.page.get_by_role("button", name=f"Keep variation {kept}").click()
    three.compose()
    assert cards(three).count() == 4
    assert titles(three)[0] == kept
    star = three.page.get_by_role("button", name=f"Keep variation {kept}")
    assert star.get_attribute("aria-pressed") == "true"
    assert kept not in titles(three)[1:]
    assert picks(three).nth(1).get_attribute("aria-checked") == "true"


def test_composing_again_need_not_wait_for_the_files(three: Visitor) -> None:
    three.compose()
    three.compose()
    assert three.page.locator(".toast-body").count() == 0
    assert cards(three).count() == 3


def test_a_variation_comes_beside_what_it_varies(comer: Visitor) -> None:
    comer.open_with(small())
    picture = comer.picture()
    comer.until_ready(comer.click("#vary"))
    assert cards(comer).count() == 2
    assert picks(comer).nth(1).get_attribute("aria-checked") == "true"
    assert comer.picture() != picture
    about = comer.page.locator(".emo-card-about").all_inner_texts()
    alike = [words.replace("minor", "major") for words in about]  # the mode that sounds may turn
    assert alike[0] == alike[1]


def test_a_piece_goes_on_by_eight_bars_and_back(comer: Visitor) -> None:
    comer.open_with(small(n_bars=16))
    before = comer.picture()
    assert comer.page.locator("#undo").is_disabled()
    comer.until_ready(comer.click("#extend"))
    assert comer.n_bars() == 24
    assert cards(comer).count() == 1
    assert "24 bars" in comer.page.locator(".emo-card-about").inner_text()
    comer.until_ready(comer.click("#undo"))
    assert comer.n_bars() == 16
    assert comer.picture() == before
    comer.page.wait_for_function("document.querySelector('#undo').disabled")


def test_a_piece_goes_on_towards_another_feeling(comer: Visitor) -> None:
    comer.open_with(small("joy"))
    comer.page.locator(".plane-name[data-name='sadness']").click()
    comer.page.get_by_label("Continue towards the feeling set above").check()
    comer.until_ready(comer.click("#extend"))
    assert comer.n_bars() == 12
    assert "Asked for sadness" in comer.page.inner_text("#result")
    assert "Given, not composed" in comer.page.inner_text("#result")


@pytest.mark.parametrize(("button", "axis", "step"), [("happier", 0, 0.4), ("calmer", 1, -0.4)])
def test_a_mood_button_moves_what_is_asked(
    comer: Visitor, button: str, axis: int, step: float
) -> None:
    comer.open_with(small("longing"))
    before = comer.asked()
    comer.until_ready(comer.click(f"#{button}"))
    after = comer.asked()
    wanted = max(-1.0, min(1.0, before[axis] + step))
    assert abs(after[axis] - wanted) < 0.02
    assert abs(after[1 - axis] - before[1 - axis]) < 0.02
    assert cards(comer).count() == 2
