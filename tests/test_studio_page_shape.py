"""What is asked for besides a feeling: faders, length, key, mixtures, curves."""

from __future__ import annotations

import re

from studio_pages import Visitor, small


def fader(visitor: Visitor, name: str) -> str:
    return f".fader[data-name='{name}'] input[type=range]"


def choose(visitor: Visitor, field: str, value: str) -> None:
    visitor.page.locator(f"#{field} input").click()
    visitor.page.get_by_role("option", name=value, exact=True).click()


def test_note_density_follows_its_fader_and_is_freed_again(comer: Visitor) -> None:
    comer.open_with(small("calm"))
    before = comer.achieved("note_density")
    comer.unfold("shape")
    row = comer.page.locator(".fader[data-name='note_density']")
    assert row.get_attribute("data-state") == "free"
    suggested = float(row.locator("input").input_value())

    comer.page.locator(fader(comer, "note_density")).fill("9")
    assert row.get_attribute("data-state") == "set"
    comer.compose()
    result = comer.page.locator("#result tr[data-attribute='note_density']")
    assert "fixed" in result.inner_text()
    assert comer.achieved("note_density") > before + 1

    row.get_by_role("button", name="free Note density again").click()
    assert row.get_attribute("data-state") == "free"
    assert float(row.locator("input").input_value()) == suggested
    comer.compose()
    assert "fixed" not in result.inner_text()
    assert comer.achieved("note_density") == before


def test_free_faders_follow_the_feeling(visitor: Visitor) -> None:
    visitor.unfold("shape")
    tempo = visitor.page.locator(fader(visitor, "tempo"))
    found = set()
    for name in ("rage", "calm"):
        visitor.page.locator(f".plane-name[data-name='{name}']").click()
        visitor.page.wait_for_function(
            "([s, known]) => !known.includes(document.querySelector(s).value)",
            arg=[fader(visitor, "tempo"), [*found, ""]],
        )
        found.add(tempo.input_value())
    assert len(found) == 2


def test_tempo_key_mode_metre_and_length_in_bars_or_seconds_are_as_asked(visitor: Visitor) -> None:
    visitor.unfold("shape")
    visitor.page.locator(fader(visitor, "tempo")).fill("132")
    visitor.type_into("#length input[type=number]", "6")
    choose(visitor, "key", "D")
    visitor.page.locator("#mode").get_by_role("radio", name="minor").check()
    visitor.page.get_by_role("radio", name="3/4").check()
    visitor.compose()
    about = visitor.page.locator(".emo-card-about").inner_text()
    assert about == "D minor · 132 bpm · 6 bars"
    assert visitor.achieved("tempo") == 132
    ends = visitor.page.eval_on_selector(".emo-roll-of", "e => e.textContent")
    assert ends in ("0:08", "0:09", "0:10", "0:11")  # 18 beats, and what rings on

    visitor.page.get_by_role("radio", name="seconds").check()
    visitor.type_into("#length input[type=number]", "12")
    visitor.compose()
    bar_s = 3 * 60 / visitor.achieved("tempo")
    assert abs(visitor.n_bars() * bar_s - 12) < bar_s


def test_the_dice_rolls_another_seed_and_another_piece(comer: Visitor) -> None:
    comer.open_with(small(seed=1))
    first = comer.picture()
    comer.unfold("fine")
    seed = comer.page.get_by_label("Seed")
    assert seed.input_value() == "1"
    comer.page.click("#dice")
    comer.page.wait_for_function("document.querySelector('#seed input').value !== '1'")
    comer.compose()
    assert comer.picture() != first


def test_a_mixture_is_asked_for_between_its_feelings(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("radio", name="A mixture").check()
    weights = page.locator(".mix-row:visible input[type=range]")
    assert weights.count() == 2
    told = page.locator(".mix-row:visible output").all_inner_texts()
    assert told == ["70%", "30%"]
    weights.first.fill("30")
    assert page.locator(".mix-row:visible output").all_inner_texts() == ["50%", "50%"]
    page.get_by_role("button", name="Add a feeling").click()
    assert page.locator(".mix-row:visible").count() == 3
    page.get_by_role("button", name="Remove emotion 3").click()
    where = page.inner_text(".now-where").replace("\u2212", "-")
    wanted = [float(number) for number in re.findall(r"-?\d\.\d\d", where)]
    visitor.compose()
    valence, arousal = visitor.asked()
    assert abs(valence - wanted[0]) < 0.02 and abs(arousal - wanted[1]) < 0.02
    assert "nostalgia" in page.locator(".emo-asked-for").inner_text()


def test_a_curve_is_asked_for_along_its_path(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("radio", name="A curve").check()
    points = page.locator(".strip-point")
    assert points.count() == 3
    page.get_by_role("button", name="Add point").click()
    assert points.count() == 4
    page.get_by_role("button", name="Remove point").click()
    points.first.press("ArrowRight")
    assert points.first.get_attribute("aria-valuenow") == "1"
    visitor.compose()
    assert "Asked to move: calm → tension → relief" in page.inner_text("#result")
    assert page.locator("#result .emo-asked-path").count() >= 1
    first_column = page.locator("#result .emo-points tbody th").all_inner_texts()
    assert [text.split()[-1] for text in first_column] == ["from", "to", "heard"]


def test_a_longer_piece_leaves_more_room_for_the_curve(visitor: Visitor) -> None:
    visitor.page.get_by_role("radio", name="A curve").check()
    visitor.unfold("shape")
    visitor.type_into("#length input[type=number]", "32")
    last = ".strip-point:last-child"
    visitor.page.wait_for_function(
        "s => document.querySelector(s).getAttribute('aria-valuemax') === '32'", arg=last
    )


def test_wishes_of_a_link_stay_when_composing_again(comer: Visitor) -> None:
    comer.open_with(small(fixed={"note_density": 8.0}, tempo=140.0))
    assert comer.achieved("tempo") == 140
    comer.compose()
    assert comer.achieved("tempo") == 140
    assert comer.n_bars() == 4
    fixed = comer.page.locator("#result .emo-fixed").all()
    assert len(fixed) == 2
    comer.unfold("shape")
    states = comer.page.locator(".fader[data-state='set']")
    states.first.wait_for()
    assert states.count() == 2
