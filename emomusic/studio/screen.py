"""What the page shows while pieces grow, and once they are there."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from emomusic.studio.desk.composing import Growing
from emomusic.studio.desk.saving import BUNDLE, PLAYED, save, settings_text
from emomusic.studio.desk.session import Session, StudioPiece, Take
from emomusic.studio.desk.showing import deck_of, roll_of, told
from emomusic.studio.page import FORMATS, Parts, said
from emomusic.verify.verifier import Verifier

Updates = dict[Any, Any]
Stream = Generator[Updates, None, None]


class Screen:
    """Turn a person's pieces into updates of the page's components."""

    def __init__(self, parts: Parts, verifier: Verifier) -> None:
        """Take the components, and what hears pieces."""
        self.parts, self.verifier = parts, verifier

    def growing(self, session: Session, growing: Growing) -> Updates:
        """Show cards that grow, and the first of them on the roll."""
        p, first = self.parts, growing.pieces[0]
        cards = list(zip(growing.pieces, growing.n_bars, strict=True))
        shown = first or next((piece for piece in growing.pieces if piece is not None), None)
        updates: Updates = {
            p.status: said(_progress(growing)),
            p.stop: gr.update(interactive=True),
            p.compose: gr.update(interactive=False),
            p.variations: deck_of(session, growing=cards),
        }
        if shown is not None:
            n_bars = growing.n_bars[growing.pieces.index(shown)]
            updates[p.roll] = roll_of(shown, n_bars=n_bars)
        return updates

    def settled(self, session: Session, growing: Growing) -> Updates:
        """Show the chosen piece, and tell what was composed."""
        words = "Stopped before the first bar was there."
        updates = {} if session.take is None else self.present(session)
        if growing.whole:
            words = _told(growing)
            session.told = words, time.perf_counter() - growing.total_s
        return updates | {
            self.parts.status: said(words),
            self.parts.stop: gr.update(interactive=False),
            self.parts.compose: gr.update(interactive=True),
        }

    def growing_alone(self, growing: Growing) -> Updates:
        """Show one piece that grows on the roll; the cards stay as they are."""
        p, piece = self.parts, growing.pieces[0]
        updates: Updates = {
            p.status: said(_progress(growing)),
            p.stop: gr.update(interactive=True),
            p.compose: gr.update(interactive=False),
        }
        if piece is not None:
            updates[p.roll] = roll_of(piece, n_bars=growing.n_bars[0])
        return updates

    def present(self, session: Session, *, keep_choice: bool = False) -> Updates:
        """Show the chosen piece, and what is there of its files; `write` brings the others."""
        take = chosen(session)
        piece, p = take.piece, self.parts
        files = session.files.get(piece, {})
        session.told, session.sounding = None, piece if PLAYED in files else None
        first: Updates = {
            p.roll: roll_of(piece, audio=files.get(PLAYED)),
            p.result: told(piece, self.verifier),
            p.settings: settings_text(piece),
            **self._doing(take),
        }
        if not keep_choice:
            first[p.variations] = deck_of(session)
        if BUNDLE not in files:
            first |= {button: gr.update(interactive=False) for button in p.downloads.values()}
            first[p.sheet] = ""
        return first

    def write(self, session: Session) -> Stream:
        """Write the chosen piece's files: its sound first; what is overtaken shows no more."""
        piece = None if session.take is None else session.take.piece
        # Whoever writes this piece already may have sent its sound before the piece was shown.
        session.sounding = None
        if piece is None or piece is session.writing:
            yield {self.parts.status: gr.skip()}
        elif BUNDLE in session.files.get(piece, {}):
            files = session.files[piece]
            yield self._sound(session, piece, files) | self._files(files)
        else:
            session.writing = piece
            try:
                yield from self._written(session, piece)
            finally:
                session.writing = None if session.writing is piece else session.writing
        session.tidy()

    def _written(self, session: Session, piece: StudioPiece) -> Stream:
        files: dict[str, str] = {}
        for suffix, path in self._saved(session, piece):
            files[suffix] = str(path)
            if not session.shows(piece):
                yield {self.parts.status: gr.skip()}  # gradio ends by repeating the last update
                return
            if sound := self._sound(session, piece, files):
                yield sound
        session.files[piece] = files
        yield self._sound(session, piece, files) | self._files(files)
        if PLAYED not in files:
            yield {self.parts.status: said("Too long to be played here: take the MIDI file.")}

    def _sound(self, session: Session, piece: StudioPiece, files: dict[str, str]) -> Updates:
        """Give the roll its sound, if it has none and the file is there."""
        if session.sounding is piece or PLAYED not in files:
            return {}
        session.sounding = piece
        updates: Updates = {self.parts.roll: roll_of(piece, audio=files[PLAYED])}
        if session.told is not None:
            (words, started), session.told = session.told, None
            waited = time.perf_counter() - started
            updates[self.parts.status] = said(f"{words[:-1]}, with sound after {waited:.1f} s.")
        return updates

    def _saved(self, session: Session, piece: StudioPiece) -> Iterator[tuple[str, Path]]:
        """Write the files of a piece; where it is left half-way, none of them stays."""
        folder = None
        try:
            folder = Path(tempfile.mkdtemp(dir=session.folder))
            yield from save(piece, folder)
        except BaseException as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                told = f"The files cannot be written: {error.strerror or error}."
                raise gr.Error(told, print_exception=False) from error
            raise

    def _files(self, files: dict[str, str]) -> Updates:
        updates: Updates = {
            self.parts.downloads[suffix]: gr.update(
                value=files.get(suffix), interactive=suffix in files
            )
            for suffix in FORMATS
        }
        sheet = files.get("svg")
        words = "This piece is too long for sheet music."
        updates[self.parts.sheet] = Path(sheet).read_text("utf-8") if sheet else words
        return updates

    def _doing(self, take: Take) -> Updates:
        p = self.parts
        updates: Updates = {
            button: gr.update(interactive=True) for button in (p.vary, p.extend, *p.moves.values())
        }
        updates[p.undo] = gr.update(interactive=len(take.versions) > 1)
        return updates


def chosen(session: Session) -> Take:
    """Return the chosen take.

    Raises:
        gr.Error: If there is none.
    """
    if session.take is None:
        raise gr.Error("Compose something first, or bring a MIDI file.", print_exception=False)
    return session.take


def _progress(growing: Growing) -> str:
    """Return how far it is, such as `Composing: bar 5 of 16.`"""
    n_bars = [0 if piece is None else piece.n_bars for piece in growing.pieces]
    if len(n_bars) == 1:
        return f"Composing: bar {min(n_bars[0] + 1, growing.n_bars[0])} of {growing.n_bars[0]}."
    done, of = sum(n_bars), sum(growing.n_bars)
    return f"Composing {len(n_bars)} variations: {done} of {of} bars."


def _told(growing: Growing) -> str:
    """Return what was composed, such as `16 bars in 0.4 s, the first after 0.1 s.`"""
    n, bars = len(growing.whole), sum(piece.n_bars for piece in growing.whole)
    what = f"{bars} bars" if n == 1 else f"{n} variations, {bars} bars"
    kept = "Stopped: kept " if growing.is_stopped else ""
    return f"{kept}{what} in {growing.total_s:.1f} s, the first after {growing.first_s or 0:.2f} s."
