"""A person's pieces, from the first click until they leave the page."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from symusic.core import ScoreTick

from emomusic.compose.clip import Clip
from emomusic.compose.request import Request
from emomusic.music.notes import FloatColumn, IntColumn, Notes, hands_of
from emomusic.music.score import grid_of, notes_of, seconds_at
from emomusic.verify.verifier import Verdict

MAX_TAKES = 8
MAX_VERSIONS = 32
"""So many steps back are kept of each take."""


@dataclass(frozen=True, eq=False)
class StudioPiece:
    """Hold music that was composed or brought.

    Attributes:
        score: The music.
        key: Such as `D minor`.
        tempo: Quarter notes a minute.
        verdict: What the verifier hears; None while it is being written.
        clip: Where it was composed here.
        name: Where it was brought: its file's name, as text.
    """

    score: ScoreTick
    key: str
    tempo: float
    verdict: Verdict | None = None
    clip: Clip | None = None
    name: str = ""

    @classmethod
    def of(cls, clip: Clip) -> StudioPiece:
        """Return the piece that a clip is."""
        return cls(clip.score, clip.sounding_key, clip.tempo, clip.verdict, clip)

    @property
    def feeling(self) -> str:
        """Return what was asked for, such as `joy`, `Q3` or `free`; or the name of its file."""
        if self.clip is None:
            return self.name
        emotion = self.clip.request.emotion
        return "free" if emotion is None else emotion.name or emotion.quadrant

    @cached_property
    def notes(self) -> Notes:
        """Return its notes."""
        return notes_of(self.score)

    @cached_property
    def hands(self) -> IntColumn:
        """Return the hand of each note, 0 left, 1 right."""
        return hands_of(self.notes)

    @cached_property
    def bars_s(self) -> FloatColumn:
        """Return where each bar begins, in seconds, and where the last one ends."""
        lines, _ = grid_of(self.score, float(self.notes.onset.max()) + 1e-6)
        ticks = np.rint(lines * self.score.ticks_per_quarter).astype(np.int64)
        return seconds_at(self.score, ticks)

    @property
    def n_bars(self) -> int:
        """Count its bars."""
        return len(self.bars_s) - 1


@dataclass(eq=False)
class Take:
    """Hold one card: a piece, and what it was before.

    Attributes:
        title: Short.
        versions: The last one is shown; those before are what undo goes back to.
        is_favourite: Whether it stays when others are composed.
    """

    title: str
    versions: list[StudioPiece]
    is_favourite: bool = False

    @property
    def piece(self) -> StudioPiece:
        """Return the piece as it is now."""
        return self.versions[-1]


class Session:
    """Hold what one person has; nobody else's listeners see it.

    Attributes:
        takes: The cards, at most eight.
        selected: The chosen one.
        run: Counts changes of the cards, so that the page tells new ones from old ones.
        n_titled: Counts the titles that were given.
        stopping: Set by the person's stop button.
        lock: Held by whoever composes for this person.
        files: Of each piece, by ending.
        last: What the page asked for last: request, seed, number of variations.
        writing: The piece whose files are being written.
        sounding: The piece of which the roll has the sound.
        told: What is said of what was composed last, and when that began, until its sound is there.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.takes: list[Take] = []
        self.selected = self.run = self.n_titled = 0
        self.stopping, self.lock = threading.Event(), threading.Lock()
        self.files: dict[StudioPiece, dict[str, str]] = {}
        self.writing: StudioPiece | None = None
        self.sounding: StudioPiece | None = None
        self.told: tuple[str, float] | None = None
        self.last: tuple[Request, int, int] | None = None
        self._folder: Path | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        """Return a new session: each visitor of the page begins with a copy of an empty one."""
        return Session()

    @property
    def folder(self) -> Path:
        """Return the folder for this person's files; made when it is first asked for.

        It goes with the session, or with the program, if nobody closes the session.
        """
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="emomusic_"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def close(self) -> None:
        """Stop what is being composed, and remove the files."""
        self.stopping.set()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def take(self) -> Take | None:
        """Return the chosen take, or None where there is none."""
        return self.takes[self.selected] if self.takes else None

    def shows(self, piece: StudioPiece) -> bool:
        """Tell whether a piece is the chosen one, and nothing is being composed."""
        return not self.lock.locked() and self.take is not None and self.take.piece is piece

    @property
    def n_free(self) -> int:
        """Return for how many new takes there is room beside the favourites."""
        return MAX_TAKES - sum(take.is_favourite for take in self.takes)

    def tidy(self) -> None:
        """Remove the files of pieces that are gone."""
        here = {piece for take in self.takes for piece in take.versions}
        for piece in [piece for piece in self.files if piece not in here]:
            for path in self.files.pop(piece).values():
                shutil.rmtree(Path(path).parent, ignore_errors=True)

    def replace_others(self, pieces: Sequence[StudioPiece]) -> None:
        """Keep favourites, put cards of new pieces after them, and choose the first of these."""
        kept = [take for take in self.takes if take.is_favourite]
        self.takes = [*kept, *map(self._titled, pieces)][:MAX_TAKES]
        self.selected = min(len(kept), max(len(self.takes) - 1, 0))
        self.run += 1

    def add(self, piece: StudioPiece) -> None:
        """Put one card at the end and choose it; the oldest that is no favourite makes room.

        Raises:
            ValueError: If all others are favourites.
        """
        takes = [*self.takes]
        if len(takes) >= MAX_TAKES:
            free = [take for take in takes if not take.is_favourite and take is not self.take]
            if not free:
                raise ValueError(f"all {MAX_TAKES} cards are favourites: let one go first")
            takes.remove(free[0])
        self.takes = [*takes, self._titled(piece)]
        self.selected = len(self.takes) - 1
        self.run += 1

    def change(self, take: Take, piece: StudioPiece) -> None:
        """Put a new version of a card on top."""
        take.versions = [*take.versions, piece][-MAX_VERSIONS:]
        self.run += 1

    def undo(self, take: Take) -> bool:
        """Go back to the version of a card before; tell whether there was one."""
        has_before = len(take.versions) > 1
        if has_before:
            take.versions = take.versions[:-1]
            self.run += 1
        return has_before

    def _titled(self, piece: StudioPiece) -> Take:
        self.n_titled += 1
        return Take(str(self.n_titled), [piece])
