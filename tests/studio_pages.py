"""The studio in a real browser: one server a test process, one visitor a test or more."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from studio_server import ROOT, open_studio

from emomusic.compose.parse import ClipSpec
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion

SHIPPED = ROOT / "checkpoints" / "emomusic-12m"
WAIT_S = 90.0
"""So long a busy machine may take; nothing here is measured by it."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WATCH = """
window.walk = {sounds: 0, told: [], clicked: 0, first: null, heard: null};
addEventListener('click', (event) => {
  if (!event.target.closest?.('#compose')) return;
  Object.assign(walk, {clicked: performance.now(), first: null, heard: null});
}, true);
new MutationObserver((changes) => {
  for (const {target, attributeName} of changes) {
    const isSound = attributeName === 'src' && target.matches?.('.emo-audio');
    if (isSound && target.getAttribute('src')) walk.sounds += 1;
  }
  const where = document.querySelector('.emo-roll-where')?.textContent;
  if (!where || walk.told.at(-1) === where) return;
  walk.told.push(where);
  if (where.startsWith('composing') && !where.startsWith('composing bar 1 ')) {
    walk.first ??= performance.now() - walk.clicked;
  }
}).observe(document, {subtree: true, childList: true, characterData: true, attributes: true,
                      attributeFilter: ['src']});
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to instanceof AudioDestinationNode && this.context instanceof AudioContext) {
    walk.ear = this.context.createAnalyser();
    connect.call(this, walk.ear);
  }
  return connect.call(this, to, ...more);
};
addEventListener('canplay', () => { walk.heard ??= performance.now() - walk.clicked; }, true);
"""
"""Kept of each page: how often a sound came, what the roll told, and when."""
IS_READY = """([before, what]) => walk.sounds > before
  && document.querySelector('.emo-audio').getAttribute('src')
  && !document.querySelector(what).disabled && !document.querySelector('#compose').disabled"""


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    _chromium()
    opened = open_studio(SHIPPED, tmp_path_factory.mktemp("studio"))
    yield f"{opened.url}/"
    opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a headless Chromium; closed with each module, as its event loop stays open."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = _chromium()
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium: install Debian's chromium")
    return found


class Visitor:
    """Walk the page as one person would, in a browser profile of their own."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        self.uploads = False
        page.set_default_timeout(WAIT_S * 1000)
        page.add_init_script(WATCH)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._on_console)
        page.on("request", self._on_request)
        page.on("dialog", lambda dialog: (self.complaints.append("a dialog"), dialog.dismiss()))

    def _on_console(self, message: Any) -> None:
        # Gradio asks how far an upload is, and is told "not found" where that is slow.
        is_upload = "Failed to load resource" in message.text or "Response" in message.text
        if message.type == "error" and not (is_upload and self.uploads):
            self.complaints.append(message.text)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"loaded {request.url}")

    # What a person does

    def open(self, fragment: str = "", *, query: str = "") -> Visitor:
        self.page.goto(f"{self.address}{query}{fragment}")
        self.page.locator(".plane-name").first.wait_for()
        self.page.locator(".faders-told, #compose").first.wait_for()
        return self

    def open_with(self, settings: str, *, files: bool = False, query: str = "") -> None:
        """Open a link; wait until its clip is heard, or until its files are there."""
        packed = base64.urlsafe_b64encode(settings.encode()).decode().rstrip("=")
        link = f"#settings={packed}"
        self.until_ready(lambda: self.open(link, query=query), files=files, before=0)

    def compose(self) -> None:
        """Press Compose; wait until it can be heard."""
        self.until_ready(self.click("#compose"))

    def click(self, selector: str) -> Callable[[], None]:
        """Return what clicks there."""
        return cast(Callable[[], None], self.page.locator(selector).click)

    def until_ready(
        self, act: Callable[[], Any], *, files: bool = False, before: int | None = None
    ) -> None:
        """Act; wait until another sound has come, or until its files are there, too."""
        count = int(self.page.evaluate("walk.sounds")) if before is None else before
        act()
        self.page.wait_for_function(
            IS_READY, arg=[count, "#get-zip" if files else ".emo-roll-play"]
        )

    def unfold(self, name: str) -> None:
        self.page.locator(f"#{name} > button.label-wrap").click()

    def type_into(self, selector: str, words: str) -> None:
        self.page.locator(selector).fill(words)
        self.page.locator(selector).press("Tab")

    def ask_for_bars(self, n_bars: int) -> None:
        if not self.page.locator("#length").is_visible():
            self.unfold("shape")
        self.type_into("#length input[type=number]", str(n_bars))

    def upload(self, selector: str, path: Path) -> None:
        self.uploads = True
        self.page.locator(f"{selector} input[type=file]").set_input_files(path)

    def download(self, suffix: str, folder: Path) -> Path:
        with self.page.expect_download() as got:
            self.page.click(f"#get-{suffix}")
        path = folder / str(got.value.suggested_filename)
        got.value.save_as(path)
        return path

    # What a person sees and hears

    def told(self) -> list[str]:
        """Return what the roll has told, in order, up to now."""
        return list(self.page.evaluate("walk.told"))

    def status(self) -> str:
        return str(self.page.inner_text("#status .studio-status")).strip()

    def n_bars(self) -> int:
        is_told = "/\\d$/.test(document.querySelector('.emo-roll-where')?.innerText ?? '')"
        self.page.wait_for_function(is_told)  # a roll is empty until it is drawn
        return int(self.page.inner_text(".emo-roll-where").rsplit(" ", 1)[-1])

    def rows(self) -> dict[str, str]:
        """Return what came out of each attribute, as text, those under a fold too."""
        found = self.page.locator("#result tr[data-attribute]").evaluate_all(
            "rows => rows.map(r => [r.dataset.attribute,"
            " r.querySelector('.emo-value').firstChild.textContent])"
        )
        return {name: value.replace("\u2212", "-") for name, value in found}

    def achieved(self, name: str) -> float:
        return float(self.rows()[name])

    def asked(self) -> tuple[float, ...]:
        row = self.page.locator("#result .emo-points tbody tr", has_text="asked").first
        cells = row.locator("td").all_inner_texts()
        return tuple(float(cell.replace("\u2212", "-")) for cell in cells[:2])

    def hear(self, at_s: float = 0.0) -> float:
        """Play from there; return how loud it is as soon as it sounds, 0 to 1."""
        self.page.evaluate(f"document.querySelector('.emo-audio').currentTime = {at_s}")
        self.page.get_by_role("button", name="Play").click()
        loud = """() => {
          const wave = new Float32Array(2048);
          walk.ear?.getFloatTimeDomainData(wave);
          const highest = Math.max(...wave.map(Math.abs));
          return highest > 0.01 && highest;
        }"""
        heard = float(self.page.wait_for_function(loud).json_value())
        self.page.get_by_role("button", name="Pause").click()
        return heard

    def picture(self) -> str:
        """Return what the roll shows, to compare it with what it shows later."""
        return str(self.page.eval_on_selector(".emo-roll-notes", "c => c.toDataURL()"))


Visits = Callable[..., Visitor]


@pytest.fixture
def visits(studio: str, browser: Any) -> Iterator[Visits]:
    """Return what lets another person in; at the end nobody may have met an error."""
    there: list[Visitor] = []

    def enter(*, width: int = 1280, height: int = 900, **profile: Any) -> Visitor:
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, reduced_motion="reduce", **profile)
        there.append(Visitor(context.new_page(), studio))
        return there[-1]

    yield enter
    for visitor in there:
        visitor.page.context.close()
    assert [words for visitor in there for words in visitor.complaints] == []


@pytest.fixture
def comer(visits: Visits) -> Visitor:
    """Return a person who has not opened the page yet."""
    return visits()


@pytest.fixture
def visitor(comer: Visitor) -> Visitor:
    return comer.open()


def small(emotion: str = "nostalgia", *, seed: int = 1, **wishes: Any) -> str:
    """Return settings of a clip that is soon composed: four bars, the first draw."""
    request = Request(find_emotion(emotion), **{"n_bars": 4, **wishes})
    return json.dumps(ClipSpec(request, seed).to_dict())
