"""What a person brings: music, and what is none."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from midi import song
from studio_pages import Visitor

from emomusic.music.score import notes_of, read_score, write_score

SCRIPT = "<img src=x onerror=alert(1)>.mid"


def bring(visitor: Visitor, path: Path) -> None:
    visitor.upload("#music", path)


def tune(path: Path) -> Path:
    write_score(song(3, n_bars=6), path)
    return path


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    )


REFUSED = (
    (png(), "not a MIDI file"),
    (b"", "empty"),
    (bytes(50 * 2**20), "maximum"),
)


def test_a_midi_file_is_heard_and_continued(visitor: Visitor, tmp_path: Path) -> None:
    visitor.unfold("bring")
    visitor.until_ready(lambda: bring(visitor, tune(tmp_path / "my song.mid")), files=True)
    assert visitor.n_bars() == 6
    assert visitor.page.locator(".emo-headline").inner_text().startswith("Heard as Q")
    assert visitor.page.locator("#result .emo-asked").count() == 0
    assert len(visitor.rows()) > 15
    brought = notes_of(read_score(visitor.download("mid", tmp_path)))
    assert visitor.page.locator("#get-json").is_disabled()

    visitor.until_ready(visitor.click("#extend"), files=True)
    assert visitor.n_bars() == 14
    longer = notes_of(read_score(visitor.download("mid", tmp_path)))
    assert len(longer) > len(brought)
    assert longer.pitch[: len(brought)].tolist() == brought.pitch.tolist()


def test_a_script_in_a_file_name_is_shown_as_text(visitor: Visitor, tmp_path: Path) -> None:
    visitor.unfold("bring")
    visitor.until_ready(lambda: bring(visitor, tune(tmp_path / SCRIPT)))
    assert visitor.page.locator("img[src='x']").count() == 0
    assert "onerror" in visitor.page.inner_text("body")


def test_what_is_no_music_is_refused_with_a_sentence(visitor: Visitor, tmp_path: Path) -> None:
    visitor.unfold("bring")
    toast = visitor.page.locator(".toast-body")
    for data, words in REFUSED:
        path = tmp_path / "music.mid"
        path.write_bytes(data)
        bring(visitor, path)
        toast.first.wait_for()
        assert words in visitor.toast()
        visitor.page.locator(".toast-close").click()
        visitor.page.locator("#music").get_by_label("Clear").click()
        toast.first.wait_for(state="hidden")
    assert "Traceback" not in visitor.page.inner_text("body")
    visitor.compose()
    assert visitor.n_bars() == 16
