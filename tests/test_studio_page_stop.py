"""Stopping half-way, and two people at once."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from studio_pages import Visitor, Visits, small

from emomusic.music.score import notes_of, read_score


def wait_until_it_writes(visitor: Visitor, bar: int) -> None:
    visitor.page.wait_for_function(
        "bar => Number((document.querySelector('.emo-roll-where').textContent"
        ".match(/^composing bar (\\d+)/) || [])[1]) >= bar",
        arg=bar,
    )


def test_what_was_there_when_it_was_stopped_is_heard_and_taken_away(
    visitor: Visitor, tmp_path: Path
) -> None:
    visitor.ask_for_bars(240)
    assert visitor.page.locator("#stop").is_disabled()
    visitor.click("#compose")()
    wait_until_it_writes(visitor, 4)
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


def test_one_persons_stop_does_not_stop_another(visits: Visits) -> None:
    one, other = visits().open(), visits().open()
    one.ask_for_bars(240)
    other.ask_for_bars(24)
    one.click("#compose")()
    wait_until_it_writes(one, 2)

    def stop_the_one() -> None:
        other.click("#compose")()
        wait_until_it_writes(other, 2)
        one.until_ready(one.click("#stop"))

    other.until_ready(stop_the_one)
    assert one.status().startswith("Stopped: kept ")
    assert other.status().startswith("24 bars in ")
    assert other.n_bars() == 24


def test_two_people_do_not_see_each_others_cards(visits: Visits) -> None:
    one, other = visits(), visits()
    one.open_with(small("joy"))
    other.open_with(small("grief"))
    one.until_ready(one.click("#vary"))
    assert one.page.locator(".emo-card").count() == 2
    assert other.page.locator(".emo-card").count() == 1
    assert "Asked for joy" in one.page.inner_text("#result")
    other.until_ready(other.click("#extend"))
    assert other.page.locator(".emo-card").count() == 1
    assert "Asked for grief" in other.page.inner_text("#result")
    assert one.picture() != other.picture()
