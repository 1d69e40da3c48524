"""Several at once: choose, keep, vary, continue, undo, move the mood, stop; and several people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studio_pages import Visitor, Visits, small

from emomusic.music.score import notes_of, read_score

WRITES_BAR_4 = """Number((document.querySelector('.emo-roll-where').textContent
  .match(/^composing bar (\\d+)/) || [])[1]) >= 4"""


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
    three.compose()  # need not wait for the files of what was composed before
    assert three.page.locator(".toast-body").count() == 0
    assert picks(three).nth(1).get_attribute("aria-checked") == "true"


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


def test_mood_buttons_move_what_is_asked(comer: Visitor) -> None:
    comer.open_with(small("longing"))
    for n, (button, axis, step) in enumerate([("happier", 0, 0.4), ("calmer", 1, -0.4)], 2):
        before = comer.asked()
        comer.until_ready(comer.click(f"#{button}"))
        after = comer.asked()
        wanted = max(-1.0, min(1.0, before[axis] + step))
        assert abs(after[axis] - wanted) < 0.02
        assert abs(after[1 - axis] - before[1 - axis]) < 0.02
        assert cards(comer).count() == n


def test_what_was_there_when_it_was_stopped_is_heard_and_taken_away(
    visitor: Visitor, tmp_path: Path
) -> None:
    visitor.ask_for_bars(240)
    assert visitor.page.locator("#stop").is_disabled()
    visitor.click("#compose")()
    visitor.page.wait_for_function(WRITES_BAR_4)
    assert visitor.page.locator("#compose").is_disabled()
    visitor.until_ready(visitor.click("#stop"), files=True)

    kept = re.match(r"Stopped: kept (\d+) bars", visitor.status())
    assert kept, visitor.status()
    assert 3 <= int(kept[1]) < 240
    assert visitor.n_bars() == int(kept[1])
    samples, _ = visitor.sound()
    assert np.sqrt(np.mean(samples**2)) > 0.01
    notes = notes_of(read_score(visitor.download("mid", tmp_path)))
    assert notes.onset.max() < int(kept[1]) * 4
    assert visitor.page.locator("#stop").is_disabled()

    visitor.ask_for_bars(2)
    visitor.compose()
    assert visitor.n_bars() == 2


def test_two_people_do_not_see_each_others_cards(visits: Visits) -> None:
    one, other = visits(), visits()
    one.open_with(small("joy"))
    other.open_with(small("grief"))
    one.until_ready(one.click("#vary"))
    assert (cards(one).count(), cards(other).count()) == (2, 1)
    assert "Asked for joy" in one.page.inner_text("#result")
    other.until_ready(other.click("#extend"))
    assert cards(other).count() == 1
    assert "Asked for grief" in other.page.inner_text("#result")
    assert one.picture() != other.picture()
