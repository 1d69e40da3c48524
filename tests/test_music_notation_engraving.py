"""Engraving: one SVG document, whole in itself, the same each time."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from midi import song

from emomusic.music.notation import engraving, notate
from emomusic.music.notation.engraving import svg_of

MUSICXML = notate(song(1, n_bars=8), title="A & <b>").musicxml
SVG = "{http://www.w3.org/2000/svg}"


def test_the_sheet_is_one_svg_document_with_a_size() -> None:
    root = ElementTree.fromstring(svg_of(MUSICXML, width=2100))
    assert root.tag == f"{SVG}svg"
    width, height = (int(root.attrib[name]) for name in ("width", "height"))
    assert root.attrib["viewBox"] == f"0 0 {width} {height}"
    assert len([e for e in root.iter() if e.get("class") == "measure"]) == 8


def test_nothing_outside_is_referred_to_and_nothing_runs() -> None:
    text = svg_of(MUSICXML, width=2100)
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "http" not in outside and "@import" not in outside
    assert not re.search(r'href="[^#]', outside)
    assert all(url.startswith("data:") for url in re.findall(r"url\(['\"]?([^)]*)", outside))
    assert "<script" not in text and not re.search(r"\son\w+=", text)
    assert "<b>" not in text and "A &amp; &lt;b&gt;" in text


def test_the_same_sheet_is_the_same_text() -> None:
    first = svg_of(MUSICXML, width=2100)
    svg_of(MUSICXML, width=1000)
    assert svg_of(MUSICXML, width=2100) == first


def test_two_sheets_in_one_web_page_have_ids_of_their_own() -> None:
    def ids(text: str) -> set[str]:
        return set(re.findall(r' id="([^"]+)"', text))

    other = notate(song(2, n_bars=2)).svg()
    assert not ids(other) & ids(svg_of(MUSICXML, width=2100))


def test_a_narrow_page_has_more_lines() -> None:
    def lines(width: int) -> int:
        return svg_of(MUSICXML, width=width).count('class="system"')

    assert lines(700) > lines(2100) >= 1


def test_what_fills_several_pages_is_still_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = svg_of(MUSICXML, width=800)
    monkeypatch.setattr(engraving, "MAX_PAGE", 1000)
    text = svg_of(MUSICXML, width=800)
    root = ElementTree.fromstring(text)
    pages = [child for child in root if child.tag == f"{SVG}svg"]
    assert len(pages) > 1
    assert text.count('class="measure"') == whole.count('class="measure"')
    tops = [(int(page.attrib["y"]), int(page.attrib["height"])) for page in pages]
    assert all(y + h == below for (y, h), (below, _) in pairwise(tops))
    assert int(root.attrib["height"]) == sum(tops[-1])
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))
    links = [v[1:] for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert links and set(links) <= set(ids)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    svg_of(MUSICXML, width=2100)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("width", [0, 599, 4001])
def test_a_width_out_of_range_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"width must be in 600 to 4000, got {width}"):
        svg_of(MUSICXML, width=width)


def test_a_text_that_is_no_musicxml_is_refused() -> None:
    with pytest.raises(ValueError, match="no MusicXML"):
        svg_of("no music", width=2100)
