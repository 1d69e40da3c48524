"""A person's pieces, from the first click until they leave the page, and how they grow."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from symusic.core import ScoreTick

from emomusic.compose import derive
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer, PartialClip
from emomusic.compose.parse import ClipSpec
from emomusic.compose.primer import Primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.emotion import Emotion
from emomusic.music.bars import bar_lines
from emomusic.music.key import TONIC_NAMES, estimate_key
from emomusic.music.notes import FloatColumn, IntColumn, Notes, hands_of
from emomusic.music.score import (
    ScoreError,
    dump_score,
    notes_of,
    parse_score,
    read_bytes,
    seconds_at,
    tempo_of,
    unwrap,
)
from emomusic.verify.verifier import Verdict, Verifier

MAX_TAKES = 8
MAX_VERSIONS = 32
"""So many steps back are kept of each take."""
MAX_NOTES = 20_000
MAX_NAME = 60
MAX_S = 1_800.0
MAX_BARS = 2_000
MIN_BAR_S = 0.01
"""Shorter bars are no music, and cannot be told apart on the page."""
EVERY_S = 0.2
"""Seconds between two pictures of what is being written."""


@dataclass(frozen=True, eq=False)
class StudioPiece:
    """Hold music that was composed here, as a clip, or brought in a file of a name.

    The key is such as `D minor`, the tempo in quarter notes a minute; there is no verdict while
    it is being written. What was brought are the bytes of a file.
    """

    score: ScoreTick
    key: str
    tempo: float
    verdict: Verdict | None = None
    clip: Clip | None = None
    name: str = ""
    brought: bytes | None = None

    @classmethod
    def of(cls, clip: Clip) -> StudioPiece:
        """Return the piece that a clip is."""
        return cls(clip.score, clip.sounding_key, clip.tempo, clip.verdict, clip)

    @classmethod
    def read(cls, path: Path, verifier: Verifier) -> StudioPiece:
        """Read a MIDI file, which gives the piece its name, and hear it.

        Raises:
            ScoreError: If the file cannot be used, holds over 20,000 notes or 2,000 bars, or lasts
                over half an hour.
        """
        midi = unwrap(read_bytes(path))
        score = parse_score(midi)
        notes = notes_of(score)
        if len(notes) > MAX_NOTES:
            raise ScoreError(f"the file holds {len(notes)} notes, at most {MAX_NOTES} are taken")
        length_s = float((notes.onset_s + notes.duration_s).max())
        if length_s > MAX_S:
            raise ScoreError(f"the music lasts {length_s:.0f} seconds, at most {MAX_S:.0f}")
        name = "".join(c if c.isprintable() else "?" for c in path.name)[:MAX_NAME]
        piece = cls(score, estimate_key(notes).name, tempo_of(score), name=name, brought=midi)
        if piece.n_bars > MAX_BARS:
            raise ScoreError(f"the music has {piece.n_bars} bars, at most {MAX_BARS} are taken")
        shortest = float(np.diff(piece.bars_s).min())
        if shortest < MIN_BAR_S:
            raise ScoreError(f"a bar must last {MIN_BAR_S} s at least, one lasts {shortest:.2g} s")
        return replace(piece, verdict=verifier.verdict(notes))

    @property
    def midi(self) -> bytes:
        """Return the bytes of its MIDI file."""
        return self.clip.midi if self.clip else self.brought or dump_score(self.score)

    @property
    def sheet(self) -> ScoreTick:
        """Return it as it is written."""
        return self.score if self.clip is None else self.clip.sheet

    @property
    def feeling(self) -> str:
        """Return what was asked for, such as `joy`, `Q3` or `free`; or the name of its file."""
        if self.clip is None:
            return self.name
        emotion = self.clip.request.emotion
        return "free" if emotion is None else emotion.name or emotion.quadrant

    @property
    def label(self) -> str:
        """Return it in plain words, such as `nostalgia, 16 bars, D minor, 84 bpm`."""
        words = [self.feeling, f"{self.n_bars} bars", self.key, f"{self.tempo:.0f} bpm"]
        return ", ".join(word for word in words if word)

    @cached_property
    def notes(self) -> Notes:
        return notes_of(self.score)

    @cached_property
    def hands(self) -> IntColumn:
        """Return the hand of each note, 0 left, 1 right."""
        return hands_of(self.notes)

    @cached_property
    def bars_s(self) -> FloatColumn:
        """Return where each bar begins, in seconds, and where the last one ends."""
        notes = notes_of(self.sheet)
        lines = bar_lines(self.sheet, notes, float(notes.onset.max()) + 1e-6)
        ticks = np.rint(lines * self.score.ticks_per_quarter).astype(np.int64)
        return seconds_at(self.score, ticks)

    @property
    def n_bars(self) -> int:
        return len(self.bars_s) - 1

    def continued(self, n_bars: int, *, emotion: Emotion | None = None) -> Request:
        """Return what goes on by so many bars; without an emotion they carry what it carries."""
        if self.clip is not None:
            return derive.continue_clip(self.clip, n_bars, emotion=emotion)
        return Request(emotion, given=Primer(self.midi, CONTINUE), n_bars=n_bars)

    def varied(self, take: int) -> Request:
        """Return what takes it up with other notes; another take gives another variation."""
        if self.clip is not None:
            return derive.vary_clip(self.clip, take=take)
        return Request(None, given=Primer(self.midi, VARY), take=take)

    def moved(self, move: str) -> Request:
        """Return what takes it up in another mood, one of `MOVES`, from asked or else heard."""
        if self.clip is not None and self.clip.request.emotion is not None:
            return derive.shift_clip(self.clip, move)
        assert self.verdict is not None  # what is shown has been heard
        here = Emotion(self.verdict.valence, self.verdict.arousal)
        given = Primer(self.midi, VARY)
        return Request(derive.shift_emotion(here, move), given=given)


@dataclass(eq=False)
class Take:
    """Hold one card: a piece, what it was before, and whether it stays when others come."""

    title: str
    versions: list[StudioPiece]
    is_favourite: bool = False

    @property
    def piece(self) -> StudioPiece:
        return self.versions[-1]


class Session:
    """Hold what one person has; nobody else's listeners see it."""

    def __init__(self) -> None:
        self.takes: list[Take] = []
        self.selected = 0
        self.run = 0  # counts changes of the cards, so that the page tells new ones from old ones
        self.n_titled = 0
        self.stopping = threading.Event()  # set by the person's stop button
        self.lock = threading.Lock()  # held by whoever composes for this person
        self.files: dict[StudioPiece, dict[str, str]] = {}  # by ending
        self.writing: StudioPiece | None = None  # its files are being written
        # What the page asked for last: request, seed, number of variations.
        self.last: tuple[Request, int, int] | None = None
        self._folder: TemporaryDirectory[str] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        """Return a new session: each visitor of the page begins with a copy of an empty one."""
        return Session()

    @property
    def folder(self) -> Path:
        """Return the folder for this person's files; it goes with the session, or the program."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="emomusic_", ignore_cleanup_errors=True)
        return Path(self._folder.name)

    def close(self) -> None:
        """Stop what is being composed, and remove the files."""
        self.stopping.set()
        if self._folder is not None:
            self._folder.cleanup()
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
        return MAX_TAKES - sum(take.is_favourite for take in self.takes)

    def tidy(self) -> None:
        """Remove the files of pieces that are gone."""
        here = {piece for take in self.takes for piece in take.versions}
        for piece in self.files.keys() - here:
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
        if len(take.versions) == 1:
            return False
        take.versions.pop()
        self.run += 1
        return True

    def _titled(self, piece: StudioPiece) -> Take:
        self.n_titled += 1
        return Take(str(self.n_titled), [piece])


@dataclass(frozen=True)
class Progress:
    """Hold what is there of the clips that are being written.

    Each piece is as far as it is, None before its first bar, and will have `n_bars`; seconds go
    from the start to the first bar, and until now.
    """

    pieces: tuple[StudioPiece | None, ...]
    n_bars: tuple[int, ...]
    first_s: float | None = None
    total_s: float = 0.0
    is_over: bool = False
    is_stopped: bool = False

    @property
    def whole(self) -> list[StudioPiece]:
        """Return the pieces that have been heard: all, once it is over."""
        return [piece for piece in self.pieces if piece is not None and piece.verdict is not None]


def compose(composer: Composer, session: Session, spec: ClipSpec, n: int = 1) -> Iterator[Progress]:
    """Compose n clips, the first as it is specified, and show them as they grow.

    The session's `stopping` ends it: what is there by then is kept.

    Yields:
        What is there, a few times a second, and at last when it is over.

    Raises:
        ValueError: If the request cannot be met.
    """
    began, shown, first_s, is_stopped = time.perf_counter(), 0.0, None, False
    found = dict[int, Clip | PartialClip]()

    def picture(**ends: bool) -> Progress:
        looks = (_look(composer, found.get(at), spec.request) for at in range(n))
        pieces, n_bars = zip(*looks, strict=True)
        return Progress(pieces, n_bars, first_s, time.perf_counter() - began, **ends)

    requests, start, at_once = [spec.request] * n, spec.index, n * spec.request.best_of
    stream = composer.stream(requests, seed=spec.seed, start=start, batch_size=at_once)
    with closing(stream) as events:
        for event in events:
            now = time.perf_counter()
            first_s = now - began if first_s is None else first_s
            if isinstance(event, Clip):
                found[event.index - start] = event
            elif event.plan.candidate == event.plan.request.candidate:
                # The first of several is watched, whichever will be kept.
                found[event.plan.index - start] = event
            if is_stopped := session.stopping.is_set():
                break
            are_whole = all(isinstance(found.get(at), Clip) for at in range(n))
            if now - shown >= EVERY_S and not are_whole:
                shown = now
                yield picture()
    for at, event in found.items():
        if not isinstance(event, Clip):  # stopped: what there is of it is kept
            found[at] = composer.settle(event)
    yield picture(is_over=True, is_stopped=is_stopped)


def _look(
    composer: Composer, event: Clip | PartialClip | None, request: Request
) -> tuple[StudioPiece | None, int]:
    """Return what is there of a clip, and how many bars it will have."""
    if event is None:
        return None, request.n_bars or request.default_bars
    if isinstance(event, Clip):
        return StudioPiece.of(event), event.n_bars
    plan = event.plan
    key = f"{TONIC_NAMES[plan.tonic]} {'major' if plan.is_major else 'minor'}"
    n_given = plan.primer.n_bars if plan.primer is not None and request.continues else 0
    return StudioPiece(composer.score(event), key, plan.tempo), n_given + plan.n_bars
