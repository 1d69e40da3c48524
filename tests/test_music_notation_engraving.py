"""Engraving: one SVG document, whole in itself."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from midi import song

from emomusic.music import notation
from emomusic.music.notation import Notation, notate

SHEET = notate(song(1, n_bars=8), title="A & <b>")
SVG = "{http://www.w3.org/2000/svg}"


def ids(text: str) -> list[str]:
    return re.findall(r' id="([^"]+)"', text)


def test_nothing_outside_is_referred_to_and_nothing_runs() -> None:
    text = SHEET.svg()
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "http" not in outside and "@import" not in outside
    assert not re.search(r'href="[^#]', outside)
    assert all(url.startswith("data:") for url in re.findall(r"url\(['\"]?([^)]*)", outside))
    assert "<script" not in text and not re.search(r"\son\w+=", text)
    assert "<b>" not in text and "A &amp; &lt;b&gt;" in text


def test_two_sheets_in_one_web_page_have_ids_of_their_own() -> None:
    assert not {*ids(notate(song(2, n_bars=2)).svg())} & {*ids(SHEET.svg())}


def test_a_narrow_page_has_more_lines() -> None:
    narrow, wide = (SHEET.svg(width=width).count('class="system"') for width in (700, 2100))
    assert narrow > wide >= 1


@pytest.mark.parametrize("most", [None, 1000])
def test_what_fills_several_pages_is_still_one_document_with_a_size(
    monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    if most:
        monkeypatch.setattr(notation, "MAX_PAGE", most)
    text = SHEET.svg(width=800)
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    width, height = (int(root.attrib[name]) for name in ("width", "height"))
    assert root.attrib["viewBox"] == f"0 0 {width} {height}"
    pages = root.findall(f"{SVG}svg")
    assert (len(pages) > 1) == (most is not None)
    assert text.count('class="measure"') == 8
    tops = [(int(page.attrib["y"]), int(page.attrib["height"])) for page in pages]
    assert all(y + h == below for (y, h), (below, _) in pairwise(tops))
    assert height == sum(tops[-1])
    assert len(ids(text)) == len(set(ids(text)))
    links = re.findall(r'href="#([^"]+)"', text)
    assert links and set(links) <= set(ids(text))


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    SHEET.svg()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("width", [599, 4001])
def test_a_width_out_of_range_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"width must be in 600 to 4000, got {width}"):
        SHEET.svg(width=width)


def test_a_text_that_is_no_musicxml_is_refused() -> None:
    with pytest.raises(ValueError, match="no MusicXML"):
        Notation("no music", 0).svg()
