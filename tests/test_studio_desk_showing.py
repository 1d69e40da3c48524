"""What the page shows of a person's pieces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.composing import tune
from midi import score_of

from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.studio.desk.session import Session, StudioPiece, Take
from emomusic.studio.desk.showing import (
    CARD_NOTES,
    deck_of,
    fixed_of,
    label_of,
    roll_of,
    told,
)
from emomusic.verify.verifier import Verifier

REQUEST = Request(Emotion(0.8, 0.6, "joy"), n_bars=2, tonic=2, is_major=True, tempo=90.0)


@pytest.fixture(scope="module")
def composed(tiny_checkpoint: Path) -> StudioPiece:
    (clip,) = Composer(tiny_checkpoint).compose(REQUEST, seed=5)
    return StudioPiece.of(clip)


@pytest.fixture(scope="module")
def verifier(tiny_checkpoint: Path) -> Verifier:
    return Verifier.load(tiny_checkpoint)


@pytest.fixture(scope="module")
def brought(verifier: Verifier) -> StudioPiece:
    piece = StudioPiece(tune(4, tonic=2), "D major", 96.0, name="<b>tune.mid")
    return replace(piece, verdict=verifier.verdict(piece.notes))


def session_of(*pieces: StudioPiece) -> Session:
    session = Session()
    session.replace_others([Take(session.title(), [piece]) for piece in pieces])
    return session


def test_a_whole_piece_is_drawn_with_all_its_notes_and_its_sound(composed: StudioPiece) -> None:
    roll = roll_of(composed, audio="clip.flac")

    assert len(roll.notes) == len(composed.notes)
    assert (roll.n_bars, roll.composing, roll.audio) == (2, False, "clip.flac")
    assert len(roll.bars) == 3 and roll.bars == tuple(sorted(roll.bars))


def test_a_growing_piece_is_drawn_with_room_for_what_comes(composed: StudioPiece) -> None:
    roll = roll_of(composed, n_bars=16)

    assert (roll.n_bars, roll.composing, roll.audio) == (16, True, None)


def test_a_piece_is_told_in_plain_words(composed: StudioPiece, brought: StudioPiece) -> None:
    assert label_of(composed) == f"joy, 2 bars, {composed.key}, 90 bpm"
    assert label_of(brought) == "<b>tune.mid, 4 bars, D major, 96 bpm"


def test_a_clip_of_a_point_is_told_by_its_quadrant(composed: StudioPiece) -> None:
    assert composed.clip is not None
    point = replace(composed.clip, request=replace(REQUEST, emotion=Emotion(-0.5, -0.5)))
    free = replace(composed.clip, request=replace(REQUEST, emotion=None))

    assert label_of(replace(composed, clip=point)).startswith("Q3, ")
    assert label_of(replace(composed, clip=free)).startswith("free, ")


def test_cards_say_what_is_heard(composed: StudioPiece, brought: StudioPiece) -> None:
    session = session_of(composed, brought)
    session.takes[1].is_favourite = True

    deck = deck_of(session)

    assert [card.title for card in deck.cards] == ["1", "2"]
    assert [card.favourite for card in deck.cards] == [False, True]
    assert all(card.done and not card.composing for card in deck.cards)
    for card, piece in zip(deck.cards, (composed, brought), strict=True):
        assert piece.verdict is not None
        assert (card.quadrant, card.key) == (piece.verdict.quadrant, piece.key)
        assert (card.valence, card.arousal) == (piece.verdict.valence, piece.verdict.arousal)


def test_growing_cards_stand_behind_the_favourites(
    composed: StudioPiece, brought: StudioPiece
) -> None:
    session = session_of(composed, brought)
    session.takes[1].is_favourite = True
    begun = replace(composed, verdict=None)

    deck = deck_of(session, growing=[(None, 8), (begun, 8), (composed, 2)])

    assert [card.title for card in deck.cards] == ["2", "3", "4", "5"]
    assert [card.composing for card in deck.cards] == [False, True, True, False]
    assert deck.selected == 1
    assert deck.cards[2].length_s == pytest.approx(4 * composed.bars_s[-1])
    assert deck.take != deck_of(session).take


def test_an_empty_table_shows_no_cards() -> None:
    deck = deck_of(Session())

    assert deck.cards == () and deck.selected is None


def test_a_choice_is_kept_if_it_is_not_told(composed: StudioPiece) -> None:
    assert deck_of(session_of(composed), select=False).selected is None


def test_a_card_of_a_long_piece_shows_its_beginning(brought: StudioPiece) -> None:
    notes = [(at / 4, 0.25, 60, 64) for at in range(2 * CARD_NOTES)]
    long = replace(StudioPiece(score_of(notes), "C major", 120.0), verdict=brought.verdict)

    (card,) = deck_of(session_of(long)).cards

    assert len(card.notes) == CARD_NOTES
    assert np.isclose(card.length_s, long.bars_s[-1])


def test_a_clip_is_told_with_what_was_asked(composed: StudioPiece, verifier: Verifier) -> None:
    assert "joy" in told(composed, verifier)


def test_a_file_name_is_told_as_text(brought: StudioPiece, verifier: Verifier) -> None:
    page = told(brought, verifier)

    assert "&lt;b&gt;tune.mid" in page
    assert "<b>tune" not in page


def test_what_was_fixed_is_told_apart(composed: StudioPiece) -> None:
    assert composed.clip is not None
    plain = replace(REQUEST, tempo=None, is_major=None, fixed={"register": 60.0})

    assert set(fixed_of(composed.clip)) == {"tempo", "mode"}
    assert fixed_of(replace(composed.clip, request=plain)) == ("register",)
