"""The page in a real browser: ask, watch, hear, choose, take away, by whom and how it may be."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from midi import song
from studio_pages import Visitor, Visits, small

from emomusic.music.score import notes_of, read_score, write_score

FORMATS = ("mid", "mp3", "wav", "musicxml", "svg", "json", "zip")
SCRIPT = "<img src=x onerror=alert(1)>.mid"
KEEP_PICTURES = """() => {
  walk.ink = [];
  const canvas = document.querySelector('.emo-roll-notes');
  const where = document.querySelector('.emo-roll-where');
  new MutationObserver(() => {
    if (where.textContent.startsWith('composing')) walk.ink.push(canvas.toDataURL());
  }).observe(where, {childList: true, characterData: true, subtree: true});
}"""
"""What the roll shows while more is composed."""
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
WRITES_BAR_4 = """Number((document.querySelector('.emo-roll-where').textContent
  .match(/^composing bar (\\d+)/) || [])[1]) >= 4"""
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
  const paint = (colours) => {
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
      .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  };
  const layers = [];
  for (let at = node; at; at = at.parentElement) {
    layers.unshift(getComputedStyle(at).backgroundColor);
  }
  layers.unshift('white');
  const lights = [paint(layers), paint([...layers, getComputedStyle(node).color])];
  return (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
}"""
"""The contrast of a text with what it stands on (WCAG 2)."""


def click_name(visitor: Visitor, name: str) -> None:
    visitor.page.locator(f".plane-name[data-name='{name}']").click()


def fader(name: str) -> str:
    return f".fader[data-name='{name}'] input[type=range]"


def picks(visitor: Visitor) -> Any:
    return visitor.page.locator(".emo-card-pick")


def checked(visitor: Visitor) -> list[bool]:
    """Tell which of the cards is chosen."""
    return [pick.get_attribute("aria-checked") == "true" for pick in picks(visitor).all()]


# From a feeling to a piece that is heard


def test_a_feeling_is_found_and_its_piece_grows_sounds_and_is_explained(
    visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    page = visitor.page
    search, handle = page.get_by_label("Find an emotion by name"), page.locator(".handle-core")
    circle, here = page.locator("svg.plane").bounding_box(), handle.bounding_box()
    page.mouse.move(here["x"] + here["width"] / 2, here["y"] + here["height"] / 2)
    page.mouse.down()
    middle = circle["x"] + circle["width"] / 2, circle["y"] + circle["height"] / 2
    page.mouse.move(*middle, steps=5)
    page.mouse.up()
    for axis in ("Valence", "Arousal"):
        assert abs(float(page.get_by_role("slider", name=axis).input_value())) < 0.1
    click_name(visitor, "joy")
    slider = page.get_by_role("slider", name="Feeling")
    assert "joy" in slider.get_attribute("aria-valuetext")
    search.fill("nosta")
    page.get_by_role("option", name="nostalgia").click()
    assert page.inner_text(".now-name") == search.input_value() == "nostalgia"

    visitor.ask_for_bars(64)
    empty = visitor.picture()
    page.evaluate(KEEP_PICTURES)
    visitor.compose()
    assert len(set(page.evaluate("walk.ink"))) >= 3 and visitor.picture() != empty
    told = visitor.told()
    growing = [words for words in told if re.fullmatch(r"composing bar \d+ of 64", words)]
    assert len(set(growing)) >= 3, told
    times = r"64 bars in [\d.]+ s, the first after [\d.]+ s\."
    assert re.fullmatch(times, visitor.status())
    assert visitor.n_bars() == 64
    assert 0.01 < visitor.hear() < 1
    card, result = page.get_by_role("radio", name="Variation 1"), page.locator("#result")
    assert checked(visitor) == [True] and "heard as" in card.get_attribute("aria-label")
    assert re.match(r"Heard as Q[1-4], \d+ % sure", result.locator(".emo-headline").inner_text())
    assert "Asked for nostalgia" in result.inner_text()
    marks = (".emo-plane-svg .emo-asked", ".emo-plane-svg .emo-sd", ".emo-course svg")
    assert [result.locator(mark).count() for mark in marks] == [1, 2, 1]
    assert len(visitor.rows()) > 15
    first, sound = page.evaluate("[walk.first, walk.heard]")
    with capsys.disabled():
        print(f"\non the page: notes {first:.0f} ms, sound {sound:.0f} ms after the click")


def test_it_plays_seeks_repeats_and_is_turned_down(comer: Visitor) -> None:
    comer.open_with(small())
    page, now = comer.page, "document.querySelector('.emo-audio').currentTime"
    page.get_by_role("slider", name="Volume").fill("0.2")
    assert page.evaluate("document.querySelector('.emo-audio').volume") == 0.2
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


# What is asked for besides a feeling


def test_faders_follow_the_feeling_and_tempo_key_metre_and_length_are_as_asked(
    visitor: Visitor,
) -> None:
    page, found, tempo = visitor.page, set[str](), fader("tempo")
    visitor.unfold("shape")
    for name in ("rage", "calm"):
        click_name(visitor, name)
        page.wait_for_function(
            "([s, known]) => !known.includes(document.querySelector(s).value)",
            arg=[tempo, [*found, ""]],
        )
        found.add(page.locator(tempo).input_value())
    page.locator(tempo).fill("132")
    visitor.type_into("#length input[type=number]", "6")
    page.locator("#key input").click()
    page.get_by_role("option", name="D", exact=True).click()
    page.locator("#mode").get_by_role("radio", name="minor").check()
    page.get_by_role("radio", name="3/4").check()
    visitor.compose()
    assert page.locator(".emo-card-about").inner_text() == "D minor · 132 bpm · 6 bars"
    assert visitor.achieved("tempo") == 132
    ends = page.eval_on_selector(".emo-roll-of", "e => e.textContent")
    assert ends in ("0:08", "0:09", "0:10", "0:11")  # 18 beats, and what rings on

    page.get_by_role("radio", name="seconds").check()
    visitor.type_into("#length input[type=number]", "12")
    visitor.unfold("fine")
    page.click("#dice")
    page.wait_for_function("document.querySelector('#seed input').value !== '0'")
    before = visitor.picture()
    visitor.compose()
    bar_s = 3 * 60 / visitor.achieved("tempo")
    assert abs(visitor.n_bars() * bar_s - 12) < bar_s and visitor.picture() != before


def test_wishes_of_a_link_stay_until_their_faders_are_freed(comer: Visitor) -> None:
    comer.open_with(small("calm", fixed={"note_density": 9.0}, tempo=140.0, seed=1))
    comer.compose()
    dense = comer.achieved("note_density")
    assert comer.achieved("tempo") == 140 and comer.n_bars() == 4
    assert comer.page.locator("#result .emo-fixed").count() == 2
    comer.unfold("shape")
    row = comer.page.locator(".fader[data-name='note_density']")
    row.get_by_role("button", name="free Note density again").click()
    assert row.get_attribute("data-state") == "free"
    assert float(row.locator("input").input_value()) < 8  # as it is suggested
    comer.compose()
    assert comer.page.locator("#result .emo-fixed").count() == 1
    assert comer.achieved("note_density") < dense
    row.locator("input").fill("9")
    comer.compose()
    assert comer.achieved("note_density") == dense


def test_a_mixture_is_asked_for_between_its_feelings_and_a_curve_along_its_path(
    visitor: Visitor,
) -> None:
    page = visitor.page
    visitor.unfold("shape")
    page.get_by_role("radio", name="A mixture").check()
    weights, shares = (
        page.locator(f".mix-row:visible {e}") for e in ("input[type=range]", "output")
    )
    assert shares.all_inner_texts() == ["70%", "30%"]
    weights.first.fill("30")
    assert shares.all_inner_texts() == ["50%", "50%"]
    page.get_by_role("button", name="Add a feeling").click()
    assert weights.count() == 3
    page.get_by_role("button", name="Remove emotion 3").click()
    where = page.inner_text(".now-where").replace("\u2212", "-")
    wanted = [float(number) for number in re.findall(r"-?\d\.\d\d", where)]
    visitor.compose()
    assert visitor.asked() == pytest.approx(wanted, abs=0.02)
    assert "nostalgia" in page.locator(".emo-asked-for").inner_text()

    page.get_by_role("radio", name="A curve").check()
    points = page.locator(".strip-point")
    page.get_by_role("button", name="Add point").click()
    assert points.count() == 4
    page.get_by_role("button", name="Remove point").click()
    assert points.count() == 3
    points.first.press("ArrowRight")
    assert points.first.get_attribute("aria-valuenow") == "1"
    visitor.compose()
    assert "Asked to move: calm → tension → relief" in page.inner_text("#result")
    assert page.locator("#result .emo-asked-path").count() >= 1
    visitor.ask_for_bars(32)  # a longer piece leaves more room
    page.locator(".strip-point[aria-valuemax='32']").last.wait_for()


# Several pieces


def test_another_card_is_chosen_and_heard_and_a_favourite_stays(comer: Visitor) -> None:
    comer.open_with(small())
    comer.type_into("#n-variations input[type=number]", "3")
    comer.compose()
    titles = comer.page.locator(".emo-card-title")
    rolls = comer.page.locator(".emo-card-roll").evaluate_all("all => all.map(c => c.toDataURL())")
    assert len(set(rolls)) == 3
    picture = comer.picture()
    comer.until_ready(lambda: picks(comer).nth(1).click())
    assert checked(comer) == [False, True, False] and comer.picture() != picture
    assert comer.hear() > 0.01

    kept = titles.all_inner_texts()[1]
    star = comer.page.get_by_role("button", name=f"Keep variation {kept}")
    star.click()
    comer.compose()
    first, *rest = titles.all_inner_texts()
    assert first == kept and len(rest) == 3 and kept not in rest
    assert star.get_attribute("aria-pressed") == "true"
    comer.compose()  # need not wait for the files of what was composed before
    assert comer.page.locator(".toast-body").count() == 0


def test_a_piece_is_continued_undone_varied_and_moved(comer: Visitor) -> None:
    comer.open_with(small("longing", n_bars=16))
    before, about = comer.picture(), comer.page.locator(".emo-card-about")
    assert comer.page.locator("#undo").is_disabled()
    comer.until_ready(comer.click("#extend"))
    assert comer.n_bars() == 24 and "24 bars" in about.inner_text()
    comer.until_ready(comer.click("#undo"))
    assert comer.n_bars() == 16 and comer.picture() == before
    comer.page.wait_for_function("document.querySelector('#undo').disabled")
    comer.until_ready(comer.click("#vary"))
    assert checked(comer) == [False, True] and comer.picture() != before
    # The mode that sounds may turn.
    assert len({words.replace("minor", "major") for words in about.all_inner_texts()}) == 1
    for n, (button, axis, step) in enumerate([("happier", 0, 0.4), ("calmer", 1, -0.4)], 3):
        wanted = [*comer.asked()]
        wanted[axis] = max(-1.0, min(1.0, wanted[axis] + step))
        comer.until_ready(comer.click(f"#{button}"))
        assert comer.asked() == pytest.approx(wanted, abs=0.02)
        assert picks(comer).count() == n
    click_name(comer, "sadness")
    comer.page.get_by_label("Continue towards the feeling set above").check()
    comer.until_ready(comer.click("#extend"))
    assert comer.n_bars() == 24
    told = comer.page.inner_text("#result")
    assert "Asked for sadness" in told and "Given, not composed" in told


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
    assert kept and 3 <= int(kept[1]) < 240, visitor.status()
    assert visitor.n_bars() == int(kept[1])
    assert visitor.hear() > 0.01
    notes = notes_of(read_score(visitor.download("mid", tmp_path)))
    assert notes.onset.max() < int(kept[1]) * 4
    assert visitor.page.locator("#stop").is_disabled()
    visitor.ask_for_bars(2)
    visitor.compose()
    assert visitor.n_bars() == 2


# What is taken away, and what is brought


def test_files_are_those_of_the_command_line_and_bring_the_piece_back_as_a_link_does(
    visits: Visits, tmp_path: Path
) -> None:
    first = visits()
    first.open_with(small("wonder", n_bars=5, tempo=100.0), files=True)
    paths = {suffix: first.download(suffix, tmp_path) for suffix in FORMATS}
    wanted = paths["mid"].read_bytes()
    assert {path.suffix[1:] for path in paths.values()} == set(FORMATS)
    assert len(notes_of(read_score(paths["mid"]))) > 8
    assert json.loads(paths["json"].read_text())["bars"] == 5
    with zipfile.ZipFile(paths["zip"]) as archive:
        packed = {Path(name).suffix[1:]: archive.read(name) for name in archive.namelist()}
    assert packed == {s: paths[s].read_bytes() for s in FORMATS if s != "zip"}
    first.unfold("reading")
    first.page.locator("#sheet svg .notehead").first.wait_for()
    out = tmp_path / "again"
    command = [sys.executable, "-m", "emomusic", "generate", "--settings", paths["json"]]
    done = subprocess.run([*command, "--out", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (midi,) = out.glob("*.mid")
    assert midi.read_bytes() == wanted

    link = first.page.input_value("#link input")
    assert link.startswith(f"{first.address}#settings=")
    second = visits()
    fragment = link.removeprefix(first.address)
    second.until_ready(lambda: second.open(fragment), files=True, before=0)
    assert second.download("mid", tmp_path).read_bytes() == wanted
    assert second.page.inner_text(".now-name") == "wonder"
    third = visits().open()
    third.unfold("bring")
    third.until_ready(lambda: third.upload("#recipe", paths["json"]), files=True)
    assert third.download("mid", tmp_path).read_bytes() == wanted
    third.unfold("shape")
    assert third.page.input_value("#length input[type=number]") == "5"
    assert third.page.locator(".fader[data-name='tempo']").get_attribute("data-state") == "set"


def test_a_midi_file_is_heard_and_continued_and_a_script_in_its_name_is_text(
    visitor: Visitor, tmp_path: Path
) -> None:
    visitor.unfold("bring")
    write_score(song(3, n_bars=6), tmp_path / SCRIPT)
    visitor.until_ready(lambda: visitor.upload("#music", tmp_path / SCRIPT), files=True)
    page = visitor.page
    assert visitor.n_bars() == 6 and len(visitor.rows()) > 15
    assert page.locator(".emo-headline").inner_text().startswith("Heard as Q")
    assert page.locator("#result .emo-asked").count() == page.locator("img[src='x']").count() == 0
    assert "onerror" in page.inner_text("body") and page.locator("#get-json").is_disabled()
    brought = notes_of(read_score(visitor.download("mid", tmp_path)))
    visitor.until_ready(visitor.click("#extend"), files=True)
    assert visitor.n_bars() == 14
    longer = notes_of(read_score(visitor.download("mid", tmp_path)))
    assert len(longer) > len(brought)
    assert longer.pitch[: len(brought)].tolist() == brought.pitch.tolist()


def test_a_damaged_link_and_what_is_no_music_are_refused_with_a_sentence(
    comer: Visitor, tmp_path: Path
) -> None:
    comer.open("#settings=!!!")
    assert "these settings cannot be used" in refused(comer)
    comer.unfold("bring")
    (tmp_path / "music.mid").write_bytes(b"\x89PNG\r\n\x1a\n")
    comer.upload("#music", tmp_path / "music.mid")
    assert "not a MIDI file" in refused(comer)
    assert "Traceback" not in comer.page.inner_text("body")
    comer.compose()
    assert comer.n_bars() == 16


def refused(visitor: Visitor) -> str:
    """Return what the page complains of, and close that."""
    visitor.page.locator(".toast-body").first.wait_for()
    words = str(visitor.page.locator(".toast-message-text").last.inner_text())
    visitor.page.locator(".toast-close").click()
    visitor.page.locator(".toast-body").first.wait_for(state="hidden")
    return words


# For everybody: by keyboard, by ear, on a phone, in the dark


def test_a_keyboard_is_enough(visitor: Visitor) -> None:
    page, press = visitor.page, visitor.page.keyboard.press

    def tab_to(is_there: str) -> None:
        for _ in range(60):
            press("Tab")
            if page.evaluate(f"document.activeElement.matches({is_there!r})"):
                return
        raise AssertionError(f"Tab never came to {is_there}")

    tab_to("[role=slider][aria-label=Feeling]")
    before = page.inner_text(".now-where")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "Shift+ArrowDown"):
        press(key)
    assert page.inner_text(".now-where") != before
    tab_to("#compose")
    visitor.until_ready(lambda: press("Enter"))
    tab_to(".emo-roll-view")
    press("Space")
    page.wait_for_function("document.querySelector('.emo-audio').currentTime > 0.2")
    press("Space")
    assert page.evaluate("document.querySelector('.emo-audio').paused")
    for keys, bar in ((("End", "ArrowLeft"), 16), (("Home", "ArrowRight"), 2)):
        for key in keys:
            press(key)
        assert page.inner_text(".emo-roll-where") == f"bar {bar} of 16"
    tab_to(".emo-card-pick")
    tab_to("#get-mid, #vary")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_all_in_texts_that_can_be_read_and_controls_that_have_names(
    visits: Visits, theme: str
) -> None:
    phone = visits(width=360, height=740, has_touch=True, is_mobile=True)
    page: Any = phone.page
    phone.open_with(small(), files=True, query=f"?__theme={theme}")
    assert page.evaluate(FITS)
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    found = {text: page.locator(text).first.evaluate(CONTRAST) for text in MAIN_TEXTS}
    assert {text: round(ratio, 2) for text, ratio in found.items() if ratio < 4.5} == {}
    for name in ("shape", "fine", "bring", "reading"):
        phone.unfold(name)
    page.locator(".fader").first.wait_for()
    page.get_by_text("A curve", exact=True).click()
    page.locator("#sheet svg").first.wait_for()
    assert page.evaluate(FITS)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    roles = ((node, node.get("role", {}).get("value")) for node in tree["nodes"])
    controls = [(n, role) for n, role in roles if role in CONTROLS and not n.get("ignored")]
    assert len(controls) > 60
    assert [role for n, role in controls if not n.get("name", {}).get("value", "").strip()] == []
