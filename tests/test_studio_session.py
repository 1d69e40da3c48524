"""What one person has: cards, versions, files."""

from __future__ import annotations

import gc
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from helpers.composing import tune
from midi import score_of

from emomusic.studio.session import MAX_TAKES, MAX_VERSIONS, Session, StudioPiece


def piece(n_bars: int = 1) -> StudioPiece:
    return StudioPiece(tune(n_bars), "C major", 96.0)


def session_of(n_pieces: int, *, favourites: tuple[int, ...] = ()) -> Session:
    session = Session()
    session.replace_others([piece() for _ in range(n_pieces)])
    for at in favourites:
        session.takes[at].is_favourite = True
    return session


def titles(session: Session) -> list[str]:
    return [take.title for take in session.takes]


def written(session: Session, own: StudioPiece) -> Path:
    folder = session.folder / str(len(session.files))
    folder.mkdir()
    (folder / "clip.mid").write_bytes(b"music")
    session.files[own] = {"mid": str(folder / "clip.mid")}
    return folder


def test_bars_of_a_piece_begin_where_its_tempo_and_metre_say() -> None:
    score = score_of([(0, 1, 60, 64), (6, 1, 62, 64)], signatures=((0, 3, 4),), tempo=60.0)
    own = StudioPiece(score, "C major", 60.0)
    assert own.n_bars == 3
    assert np.allclose(own.bars_s, [0, 3, 6, 9])


def test_undo_goes_back_one_version_after_another() -> None:
    session, second = session_of(1), piece(2)
    (take,), first = session.takes, session.takes[0].piece
    session.change(take, second)
    assert take.piece is second
    assert session.undo(take) and take.piece is first
    assert not session.undo(take) and take.piece is first
    assert session.run == 3  # so that the page tells the cards from those before
    for _ in range(MAX_VERSIONS + 5):
        session.change(take, piece())
    assert len(take.versions) == MAX_VERSIONS


def test_favourites_stay_when_others_come() -> None:
    session = session_of(3, favourites=(1,))
    session.replace_others([piece()])
    assert (titles(session), session.selected) == (["2", "4"], 1)
    assert session.n_free == MAX_TAKES - 1


def test_the_oldest_that_is_no_favourite_and_not_chosen_makes_room() -> None:
    session = session_of(MAX_TAKES, favourites=(1,))  # and 0 is chosen
    session.add(piece())
    assert titles(session) == ["1", "2", "4", "5", "6", "7", "8", "9"]
    assert session.take is session.takes[-1]


def test_where_all_are_favourites_none_is_added() -> None:
    session = session_of(MAX_TAKES, favourites=tuple(range(MAX_TAKES)))
    with pytest.raises(ValueError, match="all 8 cards are favourites"):
        session.add(piece())
    assert session.n_free == 0 and len(session.takes) == MAX_TAKES


def test_each_visitor_begins_with_nothing() -> None:
    session = session_of(2)
    another = deepcopy(session)
    assert another.take is None
    assert another.lock is not session.lock and another.stopping is not session.stopping
    assert another.folder != session.folder


def test_files_go_with_the_pieces_that_cannot_come_back() -> None:
    session = session_of(2)
    kept, gone = (written(session, take.piece) for take in session.takes)
    session.takes.pop()
    session.change(session.takes[0], piece())  # undo brings the version before it back
    session.tidy()
    assert kept.exists() and not gone.exists()
    assert len(session.files) == 1


def test_closing_removes_all_files_and_stops_what_is_composed() -> None:
    session = Session()
    folder = session.folder
    session.close()
    session.close()
    assert not folder.exists() and session.stopping.is_set()


def test_files_of_a_forgotten_session_are_removed() -> None:
    session = Session()
    folder = session.folder
    del session
    gc.collect()
    assert not folder.exists()
