"""What the page shows while pieces grow, and once they are there."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from emomusic.music.attributes import measure, passage_of
from emomusic.music.notes import FloatColumn
from emomusic.studio.components import refusal, sound_file
from emomusic.studio.exchange import BUNDLE, PLAYED, save, settings_text
from emomusic.studio.page import FORMATS, Page, status_line
from emomusic.studio.progress import Progress
from emomusic.studio.result import Asked, Result, result_page
from emomusic.studio.session import Session, StudioPiece, Take
from emomusic.verify.explain import explain_score
from emomusic.verify.verifier import Verifier

CARD_NOTES = 1_500
"""A card is small: of longer pieces it shows the beginning."""

Updates = dict[Any, Any]
Stream = Generator[Updates, None, None]


class View:
    """Turn a person's pieces into updates of the page's components."""

    def __init__(self, page: Page, verifier: Verifier) -> None:
        """Take the components, and what hears pieces."""
        self.page, self.verifier = page, verifier

    def nothing(self) -> Updates:
        """Return an update of nothing: a listener that yields none would empty the page."""
        return {self.page.status: gr.skip()}

    def say(self, words: str) -> Updates:
        """Write the status line."""
        return {self.page.status: status_line(words)}

    def growing(self, session: Session, progress: Progress, *, beside: bool) -> Updates:
        """Show on the roll the first piece that grows.

        Args:
            session: Of the person.
            progress: What is there.
            beside: Whether the cards stay as they are; else those that grow take their places.
        """
        page, pairs = self.page, list(zip(progress.pieces, progress.n_bars, strict=True))
        updates = self.say(_progress(progress)) | self._busy(is_busy=True)
        if not beside:
            updates[page.variations] = deck_of(session, growing=pairs)
        for piece, n_bars in pairs:
            if piece is not None:
                return updates | {page.roll: roll_of(piece, n_bars=n_bars)}
        return updates

    def settled(self, session: Session, progress: Progress) -> Updates:
        """Show the chosen piece, and tell what was composed."""
        words = "Stopped before the first bar was there."
        updates = {} if session.take is None else self.present(session)
        if progress.whole:
            words = _composed(progress)
            session.told = words, time.perf_counter() - progress.total_s
        return updates | self.say(words) | self._busy(is_busy=False)

    def _busy(self, *, is_busy: bool) -> Updates:
        return {
            self.page.stop: gr.update(interactive=is_busy),
            self.page.compose: gr.update(interactive=not is_busy),
        }

    def present(self, session: Session, *, keep_choice: bool = False) -> Updates:
        """Show the chosen piece, and what is there of its files; `write` brings the others."""
        take = chosen(session)
        piece, page = take.piece, self.page
        files = session.files.get(piece, {})
        session.told, session.sounding = None, piece if PLAYED in files else None
        updates: Updates = {
            page.roll: _tracked(roll_of(piece, audio=files.get(PLAYED))),
            page.result: result_page(explained(piece, self.verifier)),
            page.settings: settings_text(piece),
            page.undo: gr.update(interactive=len(take.versions) > 1),
        }
        for button in (page.vary, page.extend, *page.moves.values()):
            updates[button] = gr.update(interactive=True)
        if not keep_choice:
            updates[page.variations] = deck_of(session)
        if BUNDLE not in files:
            updates |= {button: gr.update(interactive=False) for button in page.downloads.values()}
            updates[page.sheet] = ""
        return updates

    def write(self, session: Session) -> Stream:
        """Write the chosen piece's files: its sound first; what is overtaken shows no more."""
        piece = None if session.take is None else session.take.piece
        # Whoever writes this piece already may have sent its sound before the piece was shown.
        session.sounding = None
        if piece is None or piece is session.writing:
            yield self.nothing()
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
                yield self.nothing()  # gradio ends by repeating the last update
                return
            if sound := self._sound(session, piece, files):
                yield sound
        session.files[piece] = files
        yield self._sound(session, piece, files) | self._files(files)
        if PLAYED not in files:
            yield self.say("Too long to be played here: take the MIDI file.")

    def _sound(self, session: Session, piece: StudioPiece, files: dict[str, str]) -> Updates:
        """Give the roll its sound, if it has none and the file is there."""
        if session.sounding is piece or PLAYED not in files:
            return {}
        session.sounding = piece
        updates: Updates = {self.page.roll: _tracked(roll_of(piece, audio=files[PLAYED]))}
        if session.told is not None:
            (words, began), session.told = session.told, None
            waited = time.perf_counter() - began
            updates |= self.say(f"{words[:-1]}, with sound after {waited:.1f} s.")
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
                reason = error.strerror or error
                raise refusal(f"The files cannot be written: {reason}") from error
            raise

    def _files(self, files: dict[str, str]) -> Updates:
        updates: Updates = {
            self.page.downloads[suffix]: gr.update(
                value=files.get(suffix), interactive=suffix in files
            )
            for suffix in FORMATS
        }
        sheet = files.get("svg")
        words = "This piece is too long for sheet music."
        updates[self.page.sheet] = Path(sheet).read_text("utf-8") if sheet else words
        return updates


def chosen(session: Session) -> Take:
    """Return the chosen take.

    Raises:
        gr.Error: If there is none.
    """
    if session.take is None:
        raise refusal("Compose something first, or bring a MIDI file")
    return session.take


def _progress(progress: Progress) -> str:
    """Return how far it is, such as `Composing: bar 5 of 16.`"""
    n_bars = [0 if piece is None else piece.n_bars for piece in progress.pieces]
    if len(n_bars) == 1:
        return f"Composing: bar {min(n_bars[0] + 1, progress.n_bars[0])} of {progress.n_bars[0]}."
    done, of = sum(n_bars), sum(progress.n_bars)
    return f"Composing {len(n_bars)} variations: {done} of {of} bars."


def _composed(progress: Progress) -> str:
    """Return what was composed, such as `16 bars in 0.4 s, the first after 0.1 s.`"""
    n, bars = len(progress.whole), sum(piece.n_bars for piece in progress.whole)
    what = f"{bars} bars" if n == 1 else f"{n} variations, {bars} bars"
    kept = "Stopped: kept " if progress.is_stopped else ""
    first_s = progress.first_s or 0
    return f"{kept}{what} in {progress.total_s:.1f} s, the first after {first_s:.2f} s."


def _tracked(roll: dict[str, Any]) -> Any:
    """Give sound as an update: else gradio loses track of the file, and never removes it."""
    return gr.update(value=roll) if roll["audio"] else roll


# Pieces as the components of the page take them


def roll_of(
    piece: StudioPiece, *, audio: str | None = None, n_bars: int | None = None
) -> dict[str, Any]:
    """Return what the piano roll shows of a piece.

    Args:
        piece: Whole, or being written.
        audio: Its sound file.
        n_bars: Bars that it will have, while it is being written; None says that it is whole.
    """
    notes = piece.notes
    packed = pack_notes(notes.onset_s, notes.duration_s, notes.pitch, notes.velocity, piece.hands)
    return {
        "notes": packed,
        "bars": piece.bars_s.round(3).tolist(),
        "n_bars": n_bars or piece.n_bars,
        "composing": n_bars is not None,
        "label": label_of(piece),
        "audio": sound_file(audio),
    }


def pack_notes(onset_s: FloatColumn, duration_s: FloatColumn, *others: Any) -> str:
    """Write notes as `onset,duration,pitch…;` with times in whole milliseconds.

    gradio walks and compares every number of a list at each update, but sends only the end of a
    string that grew: for 3000 notes 8 ms or 0.02 ms on the server, at each of three updates a
    second.
    """
    times = [np.rint(1000 * column) for column in (onset_s, duration_s)]
    rows = np.column_stack([*times, *others]).astype(np.int64).tolist()
    return "".join(",".join(map(str, row)) + ";" for row in rows)


def label_of(piece: StudioPiece) -> str:
    """Return a piece in plain words, such as `nostalgia, 16 bars, D minor, 84 bpm`."""
    words = [piece.feeling, f"{piece.n_bars} bars", piece.key, f"{piece.tempo:.0f} bpm"]
    return ", ".join(word for word in words if word)


def deck_of(
    session: Session, *, growing: Sequence[tuple[StudioPiece | None, int]] = ()
) -> dict[str, Any]:
    """Return the cards.

    Args:
        session: The person's takes; those that are not favourites are left out where others grow.
        growing: What is being written, and how many bars it will have; None has no bar yet.
    """
    takes = [take for take in session.takes if take.is_favourite or not growing]
    cards = [_card(take.title, take.piece, favourite=take.is_favourite) for take in takes]
    for number, (piece, n_bars) in enumerate(growing, session.n_titled + 1):
        cards.append(_card(str(number), piece, n_bars=n_bars))
    selected = len(takes) if growing else session.selected
    return {
        "take": f"{session.run}{'+' if growing else ''}",
        "selected": selected if cards else None,
        "cards": cards,
    }


def _card(
    title: str, piece: StudioPiece | None, *, n_bars: int = 0, favourite: bool | None = None
) -> dict[str, Any]:
    """Return a card; what is not heard yet will have `n_bars`.

    A favourite of None stays as the person set it in the browser.
    """
    card: dict[str, Any] = {
        "title": title, "notes": "", "length_s": 1.0, "quadrant": None, "probability": None,
        "valence": None, "arousal": None, "n_bars": n_bars, "tempo": None, "key": "",
        "favourite": favourite, "composing": True, "done": False,
    }  # fmt: skip
    if piece is None:
        return card
    notes, length_s = piece.notes, float(piece.bars_s[-1])
    first = slice(CARD_NOTES)
    card["notes"] = pack_notes(notes.onset_s[first], notes.duration_s[first], notes.pitch[first])
    verdict = piece.verdict
    if verdict is None:
        return {**card, "length_s": round(length_s * n_bars / max(piece.n_bars, 1), 3)}
    return {
        **card,
        "length_s": round(length_s, 3),
        "quadrant": verdict.quadrant,
        "probability": round(verdict.probabilities[verdict.quadrant], 3),
        "valence": round(verdict.valence, 3),
        "arousal": round(verdict.arousal, 3),
        "n_bars": piece.n_bars,
        "tempo": round(piece.tempo, 3),
        "key": piece.key,
        "composing": False,
        "done": True,
    }


def explained(piece: StudioPiece, verifier: Verifier) -> Result:
    """Return what is heard in a piece and why, and what was asked."""
    verdict, clip = piece.verdict, piece.clip
    assert verdict is not None  # what is presented has been heard
    explanation, course = explain_score(piece.score, verifier, notes=piece.notes, verdict=verdict)
    heard: dict[str, Any] = {"verdict": verdict, "explanation": explanation, "course": course}
    if clip is None:
        achieved = measure(passage_of(piece.notes, tempo=piece.tempo))
        return Result(**heard, achieved=achieved, file=piece.name)
    request = clip.request
    asked = None
    if request.emotion is not None:
        asked = Asked(request.emotion, request.curve, clip.n_given)
    alone = {"tempo": request.tempo is not None, "mode": request.is_major is not None}
    return Result(
        **heard,
        achieved=clip.achieved,
        asked=asked,
        targets=clip.targets,
        fixed=(*request.fixed, *(name for name, is_asked in alone.items() if is_asked)),
        best_of=request.best_of,
    )
