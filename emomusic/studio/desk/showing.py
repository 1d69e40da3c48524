"""What the page shows of a person's pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from emomusic.compose.clip import Clip
from emomusic.music.attributes import measure
from emomusic.music.passage import passage_of
from emomusic.studio.components.roll import NoteRows, Roll, note_rows
from emomusic.studio.components.variations import Card, Deck
from emomusic.studio.desk.session import Session, StudioPiece
from emomusic.studio.result import heard_page, result_page
from emomusic.verify.timeline import explain_score
from emomusic.verify.verifier import Verifier

CARD_NOTES = 1_500
"""A card is small: of longer pieces it shows the beginning."""


def roll_of(piece: StudioPiece, *, audio: str | None = None, n_bars: int | None = None) -> Roll:
    """Return the piano roll of a piece.

    Args:
        piece: Whole, or being written.
        audio: Its sound file.
        n_bars: Bars that it will have, while it is being written; None says that it is whole.
    """
    return Roll(
        notes=note_rows(piece.notes, piece.hands),
        bars=tuple(piece.bars_s.round(4).tolist()),
        n_bars=n_bars or piece.n_bars,
        composing=n_bars is not None,
        audio=audio,
        label=label_of(piece),
    )


def label_of(piece: StudioPiece) -> str:
    """Return a piece in plain words, such as `nostalgia, 16 bars, D minor, 84 bpm`."""
    name = piece.name
    if piece.clip is not None:
        emotion = piece.clip.request.emotion
        name = "free" if emotion is None else emotion.name or emotion.quadrant
    words = [name, f"{piece.n_bars} bars", piece.key, f"{piece.tempo:.0f} bpm"]
    return ", ".join(word for word in words if word)


def deck_of(
    session: Session, *, growing: Sequence[tuple[StudioPiece | None, int]] = (), select: bool = True
) -> Deck:
    """Return the cards.

    Args:
        session: The person's takes; those that are not favourites are left out where others grow.
        growing: What is being written, and how many bars it will have; None has no bar yet.
        select: Whether the choice is told; else the page keeps it.
    """
    takes = [take for take in session.takes if take.is_favourite or not growing]
    cards = [_card(take.title, take.piece, is_favourite=take.is_favourite) for take in takes]
    for number, (piece, n_bars) in enumerate(growing, 1):
        cards.append(_growing(f"{session.n_titled + number}", piece, n_bars))
    chosen = len(takes) if growing else session.selected
    return Deck(
        tuple(cards),
        selected=chosen if select and cards else None,
        take=f"{session.run}{'+' if growing else ''}",
    )


def _growing(title: str, piece: StudioPiece | None, n_bars: int) -> Card:
    if piece is None:
        return Card(title, n_bars=n_bars, composing=True)
    if piece.verdict is not None:
        return _card(title, piece)
    length = float(piece.bars_s[-1]) * n_bars / max(piece.n_bars, 1)
    return Card(title, _thin(piece), length_s=length, n_bars=n_bars, composing=True)


def _card(title: str, piece: StudioPiece, *, is_favourite: bool | None = None) -> Card:
    verdict = piece.verdict
    assert verdict is not None  # what is on the table has been heard
    return Card(
        title,
        _thin(piece),
        length_s=float(piece.bars_s[-1]),
        quadrant=verdict.quadrant,
        probability=verdict.probabilities[verdict.quadrant],
        valence=verdict.valence,
        arousal=verdict.arousal,
        n_bars=piece.n_bars,
        tempo=piece.tempo,
        key=piece.key,
        favourite=is_favourite,
        done=True,
    )


def _thin(piece: StudioPiece) -> NoteRows:
    notes = piece.notes
    columns = (notes.onset_s, notes.duration_s, notes.pitch)
    return np.column_stack(columns).astype(np.float64)[:CARD_NOTES]


def told(piece: StudioPiece, verifier: Verifier) -> str:
    """Return the page that tells what is heard in a piece, and what was asked."""
    explanation, course = explain_score(piece.score, verifier)
    explained: dict[str, Any] = {"explanation": explanation.to_dict(), "course": course.to_dict()}
    if piece.clip is None:
        return heard_page({**_heard(piece), **explained})
    return result_page({**piece.clip.card(), **explained}, fixed=fixed_of(piece.clip))


def fixed_of(clip: Clip) -> tuple[str, ...]:
    """Return the attributes that were asked for by themselves."""
    request = clip.request
    named = {"tempo": request.tempo is not None, "mode": request.is_major is not None}
    return (*request.fixed, *(name for name, is_asked in named.items() if is_asked))


def _heard(piece: StudioPiece) -> dict[str, Any]:
    verdict = piece.verdict
    assert verdict is not None  # what was brought has been heard
    attributes = measure(passage_of(piece.notes, tempo=piece.tempo))
    return {"file": piece.name, "verdict": asdict(verdict), "attributes": attributes}
