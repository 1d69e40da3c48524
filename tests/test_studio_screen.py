"""What the screen shows of a piece, one thing after another, and what it leaves behind."""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterator
from pathlib import Path

import gradio as gr
import pytest

import emomusic.studio.desk.saving as saving
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.studio.components.picker import point_feeling
from emomusic.studio.components.roll import Roll
from emomusic.studio.desk.session import Session, StudioPiece, Take
from emomusic.studio.listeners import suggested
from emomusic.studio.page import Parts, lay_out
from emomusic.studio.screen import Screen, Updates

JOY = Emotion(0.8, 0.6, "joy")


@pytest.fixture(scope="module")
def composer(tiny_checkpoint: Path) -> Composer:
    return Composer(tiny_checkpoint)


@pytest.fixture(scope="module")
def parts(composer: Composer) -> Parts:
    with gr.Blocks(analytics_enabled=False):
        return lay_out(suggested(composer.mapper, point_feeling(JOY)))


@pytest.fixture
def screen(composer: Composer, parts: Parts) -> Screen:
    return Screen(parts, composer.verifier)


@pytest.fixture
def session(composer: Composer) -> Iterator[Session]:
    session = Session()
    clips = composer.compose(Request(JOY, n_bars=1), seed=1, count=2)
    session.replace_others([Take(session.title(), [StudioPiece.of(clip)]) for clip in clips])
    yield session
    session.close()


def show(screen: Screen, session: Session) -> Generator[Updates, None, None]:
    """Show the chosen piece, then write its files, as the page does."""
    yield screen.present(session)
    yield from screen.write(session)


def held(session: Session) -> list[Path]:
    return [path for path in session.folder.rglob("*") if path.is_file()]


def shown(updates: list[Updates]) -> list[object]:
    """Return what is changed on the page, skips left out."""
    return [value for one in updates for value in one.values() if value != gr.skip()]


def has_sound(updates: Updates, parts: Parts) -> bool:
    roll = updates.get(parts.roll)
    return isinstance(roll, Roll) and roll.audio is not None


def test_notes_come_first_then_sound_then_files(
    screen: Screen, session: Session, parts: Parts
) -> None:
    updates = [*show(screen, session)]

    assert parts.result in updates[0] and not has_sound(updates[0], parts)
    assert [has_sound(one, parts) for one in updates[1:]].index(True) == 0
    assert updates[-1][parts.downloads["zip"]]["interactive"]
    assert updates[-1][parts.sheet].lstrip().startswith("<")


def test_files_are_written_once(screen: Screen, session: Session, parts: Parts) -> None:
    first = [*show(screen, session)]
    files = {path: path.stat().st_mtime_ns for path in held(session)}

    again = [*show(screen, session)]

    assert len(again) < len(first) and has_sound(again[0], parts)
    assert {path: path.stat().st_mtime_ns for path in held(session)} == files


def test_what_is_overtaken_shows_nothing_more_and_leaves_no_files(
    screen: Screen, session: Session
) -> None:
    overtaken = show(screen, session)
    next(overtaken), next(overtaken)
    session.selected = 1

    latest = [*show(screen, session)]
    rest = [*overtaken]

    assert not shown(rest)
    assert len(latest) > 2
    assert len({path.parent for path in held(session)}) == 1


def test_the_same_piece_shown_thrice_at_once_is_there_in_the_end(
    screen: Screen, session: Session
) -> None:
    three = [show(screen, session) for _ in range(3)]
    for _ in range(2):
        for one in three:
            next(one, None)

    rest = [[*one] for one in three]

    assert [bool(shown(updates)) for updates in rest] == [True, False, False]
    assert len(session.files) == 1
    assert len({path.parent for path in held(session)}) == 1


@pytest.mark.parametrize("is_over", [False, True], ids=["half-way", "at the end"])
def test_sound_that_comes_before_its_piece_is_shown_comes_again(
    screen: Screen, session: Session, parts: Parts, is_over: bool
) -> None:
    """The page's first event may write a piece that a person brings before it is shown."""
    early = screen.write(session)
    late_shown = screen.present(session)
    updates = [next(early)]
    if is_over:
        updates += early
    updates += [late_shown, *screen.write(session), *early]

    after = updates[updates.index(late_shown) + 1 :]
    assert any(has_sound(one, parts) for one in updates[:1]) and not has_sound(late_shown, parts)
    assert any(has_sound(one, parts) for one in after)
    assert any(one.get(parts.downloads["zip"], {}).get("interactive") for one in after)


def test_who_leaves_while_files_are_written_leaves_none(screen: Screen, session: Session) -> None:
    going = show(screen, session)
    next(going), next(going)
    assert held(session)

    going.close()

    assert not held(session)
    assert session.files == {}


def test_a_full_disk_is_told_in_a_sentence_and_leaves_no_files(
    screen: Screen, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "write_atomically", full)
        with pytest.raises(gr.Error, match=r"cannot be written: No space left on device\."):
            [*show(screen, session)]
    assert not held(session)

    assert [*show(screen, session)]
    assert held(session)
