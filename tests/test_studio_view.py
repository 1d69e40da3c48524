"""What people do on the page, what it then shows, and what they take away; without a browser."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gradio as gr
import numpy as np
import pytest
import soundfile
from midi import score_of
from symusic import ControlChange

import emomusic.studio.view as own
from emomusic.compose.composer import Composer
from emomusic.compose.parse import ClipSpec, parse_settings_file
from emomusic.compose.request import Request
from emomusic.emotion import Emotion, find_emotion
from emomusic.music.score import dump_score
from emomusic.studio.callbacks import Callbacks, suggested
from emomusic.studio.page import Page
from emomusic.studio.session import Progress, Session, StudioPiece
from emomusic.studio.view import (
    CARD_NOTES,
    Stream,
    Updates,
    View,
    deck_of,
    pack_notes,
    roll_of,
    save,
    settings_text,
    stem_of,
)

JOY = find_emotion("joy")


@pytest.fixture(scope="module")
def do(tiny_composer: Composer) -> Callbacks:
    with gr.Blocks(analytics_enabled=False):
        return Callbacks(tiny_composer, Page(suggested(tiny_composer.mapper, JOY)))


@pytest.fixture(scope="module")
def view(do: Callbacks) -> View:
    return do.view


@pytest.fixture(scope="module")
def page(view: View) -> Page:
    return view.page


@pytest.fixture
def session(tiny_composer: Composer) -> Iterator[Session]:
    clips = tiny_composer.compose(Request(JOY, n_bars=1), seed=1, count=2)
    session = session_of(*map(StudioPiece.of, clips))
    yield session
    session.close()


def session_of(*pieces: StudioPiece, favourite: int | None = None) -> Session:
    session = Session()
    session.replace_others(pieces)
    for at, take in enumerate(session.takes):
        take.is_favourite = at == favourite
    return session


def compose(do: Callbacks, session: Session, **form: Any) -> Stream:
    asked = {"feeling": JOY, "n_variations": 3, "seed": 5, "length": 2}
    return do.compose(session, **{**asked, **form})


def refused(stream: Stream) -> str:
    with pytest.raises(gr.Error) as error:
        list(stream)
    return str(error.value.message)


# What people do


def test_cards_make_way_but_for_favourites_until_there_are_eight_of_these(do: Callbacks) -> None:
    session = Session()
    first, *_ = compose(do, session)
    again, *_ = compose(do, session)  # without a change: with another seed
    assert first[do.page.seed] == 5 != again[do.page.seed] and len(session.takes) == 3
    for n_variations, n_cards in ((4, 7), (8, 8)):
        for take in session.takes:
            take.is_favourite = True
        [*compose(do, session, n_variations=n_variations)]
        assert len(session.takes) == n_cards
    session.takes[-1].is_favourite = True
    assert "are favourites: let one go first." in refused(compose(do, session, seed=9))
    assert "are favourites: let one go first." in refused(do.add(session))


def test_one_thing_is_composed_for_a_person_at_a_time(do: Callbacks) -> None:
    session = Session()
    growing = compose(do, session, length=64)
    next(growing), next(growing)
    assert "composed already: stop it first." in refused(compose(do, session))
    growing.close()
    assert [*compose(do, session)]


def test_a_link_or_a_file_brings_back_what_may_be_asked_for_here(
    do: Callbacks, tmp_path: Path
) -> None:
    session = Session()
    for asked in ({"n_bars": 257}, {"seconds": 257.0}, {"best_of": 17}):
        link = ClipSpec(Request(JOY, **asked)).to_json()  # type: ignore[arg-type]
        assert "more on the command line." in refused(do.open_link(session, link))
    [*do.open_link(session, ClipSpec(Request(JOY, n_bars=2), 7, 2).to_json())]
    clip, path = session.takes[0].piece.clip, tmp_path / "settings.json"
    assert clip is not None and (clip.seed, clip.index) == (7, 2)
    path.write_text(ClipSpec.of(clip).to_json())
    [*do.recall(session, str(path))]
    again = session.takes[0].piece.clip
    assert again is not None and dump_score(again.score) == dump_score(clip.score)
    path.write_bytes(b" " * (16 * 2**20 + 1))
    assert "at most 16 MiB long" in refused(do.recall(session, str(path)))


# Pieces as the components take them


def test_a_piece_is_drawn_with_its_sound_or_with_room_for_what_comes(composed: StudioPiece) -> None:
    columns = [[0.0, 0.2504], [0.5, 1.0], [60, 36], [80, 127], [1, 0]]
    assert pack_notes(*map(np.array, columns)) == "0,500,60,80,1;250,1000,36,127,0;"
    whole, growing = roll_of(composed), roll_of(composed, n_bars=16)
    assert whole["notes"].count(";") == len(composed.notes)
    assert (whole["n_bars"], whole["composing"]) == (2, False)
    notes = composed.notes
    until_s = np.array([int(ms) for ms in whole["until"].split(",")]) / 1000
    assert len(until_s) == len(notes) and (until_s > notes.onset_s).all()
    assert len(whole["bars"]) == 3 and whole["bars"] == sorted(whole["bars"])
    assert (growing["n_bars"], growing["composing"], growing["until"]) == (16, True, "")
    held = score_of([(0, 1, 60, 64)])
    held.tracks[0].controls.append(ControlChange(0, 64, 127))
    assert roll_of(StudioPiece(held, "C major", 120.0))["until"] == "-1"  # the pedal stays


def test_cards_say_what_is_heard_and_of_a_long_piece_they_show_its_beginning(
    composed: StudioPiece, brought: StudioPiece
) -> None:
    notes = [(at / 4, 0.25, 60, 64) for at in range(2 * CARD_NOTES)]
    long = StudioPiece(score_of(notes), "C major", 120.0, brought.verdict)
    deck = deck_of(session_of(composed, brought, long, favourite=1))
    assert deck["selected"] == 0
    assert [card["title"] for card in deck["cards"]] == ["1", "2", "3"]
    assert [card["favourite"] for card in deck["cards"]] == [False, True, False]
    for card, piece in zip(deck["cards"], (composed, brought, long), strict=True):
        verdict = piece.verdict
        assert verdict is not None
        assert (card["quadrant"], card["key"]) == (verdict.quadrant, piece.key)
        assert card["valence"] == round(verdict.valence, 3)
        assert card["probability"] == round(max(verdict.probabilities.values()), 3)
        assert (card["n_bars"], card["tempo"]) == (piece.n_bars, round(piece.tempo, 3))
        assert card["length_s"] == pytest.approx(piece.bars_s[-1], abs=1e-3)
        assert card["notes"].count(";") == min(len(piece.notes), CARD_NOTES)
    assert deck_of(Session())["cards"] == [] and deck_of(Session())["selected"] is None


def test_growing_cards_stand_behind_the_favourites(
    composed: StudioPiece, brought: StudioPiece
) -> None:
    session = session_of(composed, brought, favourite=1)
    begun = replace(composed, verdict=None)
    deck = deck_of(session, growing=[(None, 8), (begun, 8), (composed, 2)])
    cards = deck["cards"]
    assert [card["title"] for card in cards] == ["2", "3", "4", "5"]
    assert ["quadrant" in card for card in cards] == [True, False, False, True]
    assert [card["favourite"] for card in cards[1:]] == [None] * 3  # as the browser has them
    assert deck["selected"] == 1 and cards[1]["notes"] == ""
    assert cards[2]["length_s"] == pytest.approx(4 * composed.bars_s[-1], abs=1e-3)
    assert deck["take"] != deck_of(session)["take"]


# The page while pieces grow


def test_cards_make_way_for_those_that_grow_and_stay_for_one_beside_them(
    view: View, session: Session, page: Page, composed: StudioPiece
) -> None:
    begun = replace(composed, verdict=None)
    several = view.growing(session, Progress((None, begun), (4, 8)), beside=False)
    assert "Composing 2 variations: 2 of 12 bars." in several[page.status]
    assert several[page.roll]["n_bars"] == 8 and len(several[page.variations]["cards"]) == 2
    one = view.growing(session, Progress((begun,), (8,)), beside=True)
    assert "Composing: bar 3 of 8." in one[page.status] and page.variations not in one
    assert one[page.stop]["interactive"] and not one[page.compose]["interactive"]
    assert page.roll not in view.growing(session, Progress((None,), (8,)), beside=True)


def test_what_was_composed_or_stopped_is_told(
    view: View, session: Session, page: Page, composed: StudioPiece
) -> None:
    updates = view.settled(Session(), Progress((None,), (4,), is_over=True, is_stopped=True))
    assert "Stopped before the first bar was there." in updates[page.status]
    assert not updates[page.stop]["interactive"] and updates[page.compose]["interactive"]
    both = Progress((composed, composed), (2, 2), first_s=0.25, total_s=1.5, is_stopped=True)
    words = "Stopped: kept 2 variations, 4 bars in 1.5 s, the first after 0.25 s."
    assert words in view.settled(session, both)[page.status]


# The files of a piece


def test_each_file_is_what_its_name_says_and_what_is_heard_first_is_written_first(
    composed: StudioPiece, tmp_path: Path
) -> None:
    assert composed.clip is not None
    files = dict(save(composed, tmp_path))
    assert [*files] == ["mid", "json", "mp3", "wav", "musicxml", "svg", "zip"]
    assert {path.name for path in files.values()} == {f"emomusic-joy-3-0.{s}" for s in files}
    assert composed.clip.midi == files["mid"].read_bytes()
    assert parse_settings_file(files["json"].read_text()).request == composed.clip.request
    for suffix in ("mp3", "wav"):
        samples, rate = soundfile.read(files[suffix])
        assert len(samples) / rate == pytest.approx(composed.bars_s[-1] + 2.0, abs=4.0)
        assert abs(samples).max() > 0.1
    assert ElementTree.parse(files["musicxml"]).getroot().tag == "score-partwise"
    assert ElementTree.parse(files["svg"]).getroot().tag.endswith("svg")
    with zipfile.ZipFile(files["zip"]) as archive:
        held = {name.rpartition(".")[2]: archive.read(name) for name in archive.namelist()}
    others = [suffix for suffix in files if suffix != "zip"]
    assert held == {suffix: files[suffix].read_bytes() for suffix in others}


def test_what_was_brought_has_no_settings_over_ten_minutes_no_sound_and_names_are_plain(
    composed: StudioPiece, tmp_path: Path
) -> None:
    notes = score_of([(0, 1, 60, 64), (1_300, 1, 60, 64)], tempo=120.0)
    long = StudioPiece(notes, "C major", 120.0, name="../../tune.mid")
    files = dict(save(long, tmp_path))
    assert {*files} == {"mid", "musicxml", "svg", "zip"} and settings_text(long) == ""
    assert {(path.parent, path.stem) for path in files.values()} == {(tmp_path, "emomusic-brought")}
    assert composed.clip is not None
    for name, stem in (
        ("nostalgia:0.7 hope:0.3", "emomusic-nostalgia-0-7-hope-0-3-3-0"),
        ("../../etc/passwd", "emomusic-etc-passwd-3-0"),
        ("x" * 500, f"emomusic-{'x' * 48}-3-0"),
        (None, "emomusic-q1-3-0"),
    ):
        request = replace(composed.clip.request, emotion=Emotion(0.5, 0.5, name))
        assert stem_of(replace(composed, clip=replace(composed.clip, request=request))) == stem


def show(view: View, session: Session) -> Generator[Updates, None, None]:
    """Show the chosen piece, then write its files, as the page does."""
    yield view.present(session)
    yield from view.write(session)


def held(session: Session) -> list[Path]:
    return [path for path in session.folder.rglob("*") if path.is_file()]


def shown(updates: list[Updates]) -> list[object]:
    """Return what is changed on the page, skips left out."""
    return [value for one in updates for value in one.values() if value != gr.skip()]


def has_files(updates: Updates, page: Page) -> bool:
    return bool(updates.get(page.downloads["zip"], {}).get("interactive"))


def test_notes_that_sound_come_first_then_files_which_are_written_once(
    view: View, session: Session, page: Page
) -> None:
    updates = [*show(view, session)]
    assert page.result in updates[0] and updates[0][page.roll]["until"]
    assert not any(page.roll in one for one in updates[1:])
    assert has_files(updates[-1], page)
    assert updates[-1][page.sheet].lstrip().startswith("<")
    files = {path: path.stat().st_mtime_ns for path in held(session)}
    again = [*show(view, session)]
    assert again[0][page.roll]["until"] and has_files(again[-1], page)
    assert {path: path.stat().st_mtime_ns for path in held(session)} == files


def test_of_pieces_shown_at_once_the_latest_is_there_in_the_end_with_one_set_of_files(
    view: View, session: Session
) -> None:
    overtaken = show(view, session)
    next(overtaken), next(overtaken)
    session.selected = 1
    three = [show(view, session) for _ in range(3)]
    for _ in range(2):
        for one in three:
            next(one, None)
    assert not shown([*overtaken])
    assert [bool(shown([*one])) for one in three] == [True, False, False]
    assert len(session.files) == len({path.parent for path in held(session)}) == 1


def test_who_leaves_or_finds_the_disk_full_leaves_no_files(
    view: View, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    going = show(view, session)
    next(going), next(going)
    assert held(session)
    going.close()
    assert not held(session) and session.files == {}
    with monkeypatch.context() as patch:
        patch.setattr(own, "write_atomically", full)
        words = refused(show(view, session))
    assert words == "The files cannot be written: No space left on device."
    assert not held(session)
    assert [*show(view, session)] and held(session)
