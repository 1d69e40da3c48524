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
def three(visitor: Visitor) -> Visitor:
    """Return a person with three cards of four bars."""
    visitor.open_with(small())
    visitor.type_into("#n-variations input[type=number]", "3")
    visitor.compose()
    return visitor


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


def test_a_variation_comes_beside_what_it_varies(visitor: Visitor) -> None:
    visitor.open_with(small())
    picture = visitor.picture()
    visitor.until_ready(visitor.click("#vary"))
    assert cards(visitor).count() == 2
    assert picks(visitor).nth(1).get_attribute("aria-checked") == "true"
    assert visitor.picture() != picture
    about = visitor.page.locator(".emo-card-about").all_inner_texts()
    assert about[0] == about[1]


def test_a_piece_goes_on_by_eight_bars_and_back(visitor: Visitor) -> None:
    visitor.open_with(small(n_bars=16))
    before = visitor.picture()
    assert visitor.page.locator("#undo").is_disabled()
    visitor.until_ready(visitor.click("#extend"))
    assert visitor.n_bars() == 24
    assert cards(visitor).count() == 1
    assert "24 bars" in visitor.page.locator(".emo-card-about").inner_text()
    visitor.until_ready(visitor.click("#undo"))
    assert visitor.n_bars() == 16
    assert visitor.picture() == before
    assert visitor.page.locator("#undo").is_disabled()


def test_a_piece_goes_on_towards_another_feeling(visitor: Visitor) -> None:
    visitor.open_with(small("joy"))
    visitor.page.locator(".plane-name[data-name='sadness']").click()
    visitor.page.get_by_label("Continue towards the feeling set above").check()
    visitor.until_ready(visitor.click("#extend"))
    assert visitor.n_bars() == 12
    assert "Asked for sadness" in visitor.page.inner_text("#result")
    assert "Given, not composed" in visitor.page.inner_text("#result")


@pytest.mark.parametrize(("button", "axis", "step"), [("happier", 0, 0.4), ("calmer", 1, -0.4)])
def test_a_mood_button_moves_what_is_asked(
    visitor: Visitor, button: str, axis: int, step: float
) -> None:
    visitor.open_with(small("longing"))
    before = visitor.asked()
    visitor.until_ready(visitor.click(f"#{button}"))
    after = visitor.asked()
    wanted = max(-1.0, min(1.0, before[axis] + step))
    assert abs(after[axis] - wanted) < 0.02
    assert abs(after[1 - axis] - before[1 - axis]) < 0.02
    assert cards(visitor).count() == 2
