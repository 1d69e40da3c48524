"""What the page shows while pieces grow, and once they are there; the files to take away."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from emomusic.compose.clip import writers_of
from emomusic.compose.parse import ClipSpec
from emomusic.compose.request import FORMATS
from emomusic.files import write_atomically
from emomusic.music.notes import FloatColumn
from emomusic.music.score import ScoreError, dampers_s
from emomusic.studio.components import refusal
from emomusic.studio.page import DOWNLOADS, Page, status_line
from emomusic.studio.result import explained, result_page
from emomusic.studio.session import Progress, Session, StudioPiece, Take
from emomusic.verify.verifier import Verifier

CARD_NOTES = 1_500
"""A card is small: of longer pieces it shows the beginning."""
ON, OFF = gr.update(interactive=True), gr.update(interactive=False)
ORDER = sorted(FORMATS, key=lambda suffix: (FORMATS[suffix] or "", suffix != "mid", suffix))
"""What is there at once comes first, then sound, then notation."""
PACKED = frozenset({"mp3", "wav"})
"""Stored in the ZIP as they are: one is packed already, the other hardly gets smaller."""
BUNDLE = "zip"
MAX_STEM = 48
MAX_SOUND_S = 600.0
"""Longer sound fills the memory, and nobody else hears anything while it is made."""

Updates = dict[Any, Any]
Stream = Generator[Updates, None, None]


class View:
    """Turn a person's pieces into updates of the page's components."""

    def __init__(self, page: Page, verifier: Verifier) -> None:
        self.page, self.verifier = page, verifier

    def nothing(self) -> Updates:
        """Return an update of nothing: a listener that yields none would empty the page."""
        return {self.page.status: gr.skip()}

    def say(self, words: str) -> Updates:
        """Write the status line."""
        return {self.page.status: status_line(words)}

    def growing(self, session: Session, progress: Progress, *, beside: bool) -> Updates:
        """Show on the roll the first piece that grows.

        Where they grow beside the cards, these stay as they are; else they take their places.
        """
        page, pairs = self.page, list(zip(progress.pieces, progress.n_bars, strict=True))
        done, of = sum(piece.n_bars for piece, _ in pairs if piece), sum(progress.n_bars)
        words = f"Composing {len(pairs)} variations: {done} of {of} bars."
        if len(pairs) == 1:
            words = f"Composing: bar {min(done + 1, of)} of {of}."
        updates = self.say(words) | {page.stop: ON, page.compose: OFF}
        if not beside:
            updates[page.variations] = deck_of(session, growing=pairs)
        for piece, n_bars in pairs:
            if piece is not None:
                return updates | {page.roll: roll_of(piece, n_bars=n_bars)}
        return updates

    def settled(self, session: Session, progress: Progress) -> Updates:
        """Show the chosen piece, and tell what was composed."""
        words, whole = "Stopped before the first bar was there.", progress.whole
        updates = {} if session.take is None else self.present(session)
        if whole:
            words = "Stopped: kept " if progress.is_stopped else ""
            words += f"{len(whole)} variations, " if len(whole) > 1 else ""
            words += f"{sum(piece.n_bars for piece in whole)} bars in {progress.total_s:.1f} s, "
            words += f"the first after {progress.first_s or 0:.2f} s."
        return updates | self.say(words) | {self.page.stop: OFF, self.page.compose: ON}

    def present(self, session: Session, *, keep_choice: bool = False) -> Updates:
        """Show the chosen piece, and what is there of its files; `write` brings the others."""
        take = chosen(session)
        piece, page = take.piece, self.page
        files = session.files.get(piece, {})
        updates: Updates = {
            page.roll: roll_of(piece),
            page.result: result_page(explained(piece, self.verifier)),
            page.settings: settings_text(piece),
            page.undo: ON if len(take.versions) > 1 else OFF,
        }
        updates.update(dict.fromkeys((page.vary, page.extend, *page.moves.values()), ON))
        if not keep_choice:
            updates[page.variations] = deck_of(session)
        if BUNDLE not in files:
            updates[page.sheet] = ""
            updates.update(dict.fromkeys(page.downloads.values(), OFF))
        return updates

    def write(self, session: Session) -> Stream:
        """Write the chosen piece's files; what is overtaken shows no more."""
        piece = None if session.take is None else session.take.piece
        if piece is None or piece is session.writing:
            yield self.nothing()
        elif piece in session.files:
            yield self._files(session, piece)
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
            yield self.nothing()  # who leaves is noticed here
            if not session.shows(piece):
                return
        session.files[piece] = files
        yield self._files(session, piece)

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

    def _files(self, session: Session, piece: StudioPiece) -> Updates:
        """Give out the files of a piece."""
        files, updates = session.files[piece], Updates()
        for suffix in DOWNLOADS:
            there = gr.update(value=files.get(suffix), interactive=suffix in files)
            updates[self.page.downloads[suffix]] = there
        sheet = files.get("svg")
        words = "This piece is too long for sheet music."
        updates[self.page.sheet] = Path(sheet).read_text("utf-8") if sheet else words
        return updates


def chosen(session: Session) -> Take:
    """Return the chosen take; where there is none, a sentence says so."""
    if session.take is None:
        raise refusal("Compose something first, or bring a MIDI file")
    return session.take


# Pieces as the components of the page take them


def roll_of(piece: StudioPiece, *, n_bars: int | None = None) -> dict[str, Any]:
    """Return what the piano roll shows of a piece, and plays if it is whole.

    While it is being written it will have `n_bars`; None says that it is whole.
    """
    notes = piece.notes
    packed = pack_notes(notes.onset_s, notes.duration_s, notes.pitch, notes.velocity, piece.hands)
    until_ms = np.nan_to_num(np.rint(1000 * dampers_s(piece.score, notes)), posinf=-1)
    return {
        "notes": packed,
        "bars": piece.bars_s.round(3).tolist(),
        "n_bars": n_bars or piece.n_bars,
        "composing": n_bars is not None,
        "label": piece.label,
        "until": ",".join(map(str, until_ms.astype(int).tolist())) if n_bars is None else "",
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


def deck_of(
    session: Session, *, growing: Sequence[tuple[StudioPiece | None, int]] = ()
) -> dict[str, Any]:
    """Return the cards: the person's takes, of which only favourites stay where others grow.

    What grows is told with the bars that it will have; None has no bar yet.
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
    """Return a card; what is not heard yet has no quadrant, and will have `n_bars`.

    A favourite of None stays as the person set it in the browser.
    """
    card: dict[str, Any] = {"title": title, "favourite": favourite, "n_bars": n_bars}
    if piece is None:
        return {**card, "notes": "", "length_s": 1.0}
    notes, length_s, verdict = piece.notes, float(piece.bars_s[-1]), piece.verdict
    first = slice(CARD_NOTES)
    card["notes"] = pack_notes(notes.onset_s[first], notes.duration_s[first], notes.pitch[first])
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
    }


# Pieces as files


def settings_text(piece: StudioPiece) -> str:
    """Return the settings file of a piece; empty if it was not composed here."""
    return "" if piece.clip is None else ClipSpec.of(piece.clip).to_json()


def stem_of(piece: StudioPiece) -> str:
    """Return a file name for a piece, of plain letters, digits and hyphens."""
    if piece.clip is None:
        return "emomusic-brought"
    plain = re.sub(r"[^a-z0-9]+", "-", piece.feeling.lower()).strip("-")[:MAX_STEM].strip("-")
    return f"emomusic-{plain}-{piece.clip.seed}-{piece.clip.index}"


def save(piece: StudioPiece, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write a piece in all formats, and a ZIP of them, into a folder that is there for it alone.

    Yields:
        Ending and file, each as soon as it is written. A piece too long for notation has none,
        and one longer than ten minutes no sound.

    Raises:
        OSError: If a file cannot be written.
    """
    stem, written = stem_of(piece), dict[str, Path]()
    formats = [
        suffix
        for suffix in ORDER
        if suffix in DOWNLOADS
        and (suffix != "json" or piece.clip is not None)
        and (FORMATS[suffix] != "audio" or piece.bars_s[-1] <= MAX_SOUND_S)
    ]
    writers = writers_of(
        piece.score,
        formats,
        midi=piece.midi,
        sheet=piece.sheet,
        key=piece.key,
        settings=lambda: settings_text(piece),
    )
    try:
        for suffix, write in writers:
            path = folder / f"{stem}.{suffix}"
            write(path)
            written[suffix] = path
            yield suffix, path
    except ScoreError:
        pass  # the notation comes last, and all else is there
    bundle = folder / f"{stem}.{BUNDLE}"

    def pack(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for suffix, path in written.items():
                how = zipfile.ZIP_STORED if suffix in PACKED else zipfile.ZIP_DEFLATED
                archive.write(path, path.name, compress_type=how)

    write_atomically(bundle, pack)
    yield BUNDLE, bundle
