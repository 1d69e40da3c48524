"""An evaluation of a checkpoint: what its sections share, each kept when it is done, the report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import emomusic
from emomusic.compose.clip import Clip, write_clips
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion
from emomusic.evaluation import accuracy, control, memorisation, quality, structure, validity
from emomusic.evaluation.accuracy import Panel, make_panel, quadrants_of
from emomusic.evaluation.control import Design
from emomusic.evaluation.quality import POP_PIANO, Piece, composed_pieces, real_pieces
from emomusic.evaluation.render import Report
from emomusic.evaluation.rows import Found, LeftOutError, Row, Section, with_goals
from emomusic.files import write_text
from emomusic.music.notes import Notes
from emomusic.training.rows import Rows

SECTIONS: tuple[Section, ...] = (
    accuracy.emotion, accuracy.grid, control.control, validity.given, quality.quality,
    structure.structure, memorisation.memory, validity.loss, accuracy.baselines, validity.shape,
)  # fmt: skip
"""In the order in which they are measured: the first draws are composed by the first."""
FULL_COUNT, QUICK_COUNT = 25, 8
LABELS = ("emotion/labels.csv", "labels.csv")
READ = (".json", ".safetensors")
"""Endings of the files of a checkpoint that change what it composes."""


class Extent(NamedTuple):
    """Hold how much is measured; the defaults are those of a full run."""

    n_levels: int = 7  # values of valence and of arousal in the grid
    n_clips: int = 8  # of each cell of the grid
    n_over_chords: int = 3  # clips of each quadrant over each progression
    design: Design = Design()
    max_control_bars: int = 512  # most bars of the clips that show control
    max_events: int = validity.MAX_EVENTS  # of unseen songs that are foretold
    n_windows: int = 5  # real ones for each clip that is held against the training songs


QUICK_EXTENT = Extent(3, 2, 1, Design(n_levels=4, n_each=1, n_bar_clips=3), 8, 2_000, 2)


@dataclass(frozen=True)
class Settings:
    """Hold what a run is asked for: first draws of each quadrant, bars of each clip, whether
    little is measured to see whether all works, whether clips are steered where they can be.
    """

    count: int = FULL_COUNT
    bars: int = 16
    seed: int = 0
    quick: bool = False
    steering: bool = True


@dataclass(eq=False)
class Context:
    """Hold what sections work on, each part made when it is first needed.

    `tell` is called with what is done of a section, and how much there is, if that is known.
    """

    composer: Composer
    checkpoint: Path
    source: Path  # folder with `emotion/labels.csv`
    out: Path  # where clips, sections and the report go
    rows_path: Path | None = None
    settings: Settings = Settings()
    tell: Callable[[int, int | None], None] = lambda done, total: None

    def __post_init__(self) -> None:
        self.extent = QUICK_EXTENT if self.settings.quick else Extent()

    def compose(self, requests: Sequence[Request], *, seed: int | None = None) -> list[Clip]:
        """Compose a clip for each request, of the run's seed or another, and tell of each."""
        if not self.settings.steering:
            requests = [replace(request, steering=False) for request in requests]
        self.tell(0, len(requests))
        clips = []
        own = self.settings.seed if seed is None else seed
        for clip in self.composer.compose_each(requests, seed=own):
            clips.append(clip)
            self.tell(len(clips), len(requests))
        return clips

    @cached_property
    def panel(self) -> Panel:
        """Return the judges; fitting them takes seconds."""
        return make_panel(self.composer.mapper, self.source)

    @cached_property
    def clips(self) -> list[Clip]:
        """Return the first draws, one quadrant after the other; they are written as composed."""
        s = self.settings
        asked = map(find_emotion, quadrants_of(s.count))
        clips = self.compose([Request(emotion, n_bars=s.bars) for emotion in asked])
        write_clips(clips, self.out)
        return clips

    @cached_property
    def pieces(self) -> list[Piece]:
        return composed_pieces(self.clips)

    @property
    def notes(self) -> list[Notes]:
        return [piece.notes for piece in self.pieces]

    @cached_property
    def rows(self) -> Rows:
        """Return the packed rows; a ValueError says that there are none, or unreadable ones."""
        if self.rows_path is None:
            raise ValueError("packed rows are needed: name them with --rows")
        return Rows.load(self.rows_path)

    @cached_property
    def real(self) -> dict[str, list[Piece]]:
        """Return windows of real songs as long as the clips, trained on or not.

        `EMOPIA` are all of its windows; `pop piano` are as many windows of EMOPIA as of Pop1K7,
        as many as the smaller of the two has. No two of a song share a bar.
        """
        missing = [name for name in POP_PIANO if name not in self.rows.meta["sources"]]
        if missing:
            raise LeftOutError(f"the packed rows hold no songs of {', '.join(missing)}")
        s = self.settings
        found = [real_pieces(self.rows, name, n_bars=s.bars, seed=s.seed) for name in POP_PIANO]
        n = min(map(len, found))
        return {"pop piano": [piece for own in found for piece in own[:n]], "EMOPIA": found[0]}

    @cached_property
    def _known(self) -> dict[str, Any]:
        labels = next((self.source / n for n in LABELS if (self.source / n).is_file()), None)
        read = sorted(path for path in self.checkpoint.iterdir() if path.suffix in READ)
        return {
            **vars(self.settings),
            "checkpoint": {path.name: _sha256(path) for path in read},
            "labels": None if labels is None else _sha256(labels),
            "rows": None if self.rows_path is None else _sha256(self.rows_path),
        }

    def made_with(self, uses: tuple[str, ...]) -> dict[str, Any]:
        """Return the fingerprint of a section: the checkpoint's files and what else it uses."""
        own = {name: self._known[name] for name in ("checkpoint", *uses)}
        return {"version": emomusic.__version__, "engine": self.composer.engine.name, **own}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error


def check_names(names: Sequence[str]) -> None:
    """Check that there are such sections, or raise a ValueError that lists those known."""
    known = [section.name for section in SECTIONS]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"unknown section {unknown[0]!r}; known are {', '.join(known)}")


def run_sections(
    context: Context,
    *,
    only: Sequence[str] = (),
    baselines: bool | None = None,
    progress: Callable[[str, int, int | None], None] = lambda name, done, total: None,
) -> Report:
    """Measure the sections asked for, or go on where an earlier run stopped.

    A section is kept with the sums of the checkpoint's files and the settings that it depends
    on; one that is kept and was made with the same is not made again. Of the sections not asked
    for, those kept are in the result too.

    Args:
        only: Names of sections; none means all.
        baselines: Whether simpler systems are heard; None hears them where they are asked for by
            name, and in all runs that are not quick.
        progress: Called with a section, what is done of it and how much there is, if known.
    """
    check_names(only)
    if baselines is None:
        baselines = not context.settings.quick or "baselines" in only
    sections: dict[Section, Found] = {}
    left_out: dict[str, str] = {}
    for section in SECTIONS:
        path = context.out / "sections" / f"{section.name}.json"
        wanted = context.made_with(section.uses)
        kept = _kept(section, path, wanted)
        if section.needs_rows and context.rows_path is None:
            left_out[section.name] = "it needs packed rows (--rows)"
        elif kept is not None:
            sections[section] = kept
            progress(section.name, 1, 1)
        elif only and section.name not in only:
            left_out[section.name] = "it was not asked for"
        elif section.name == "baselines" and not baselines:
            left_out[section.name] = "it was not asked for (--baselines)"
        else:
            context.tell = lambda done, total, name=section.name: progress(name, done, total)  # type: ignore[misc]
            context.tell(0, None)
            try:
                made = Found.of(section, context)
            except LeftOutError as error:
                left_out[section.name] = str(error)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps({"made_with": wanted, **made.to_dict()}, indent=1) + "\n")
            context.tell(1, 1)
            # As read again from the file: a run that went on reports what a whole one does.
            sections[section] = _kept(section, path, wanted) or made
    return Report(_about(context), sections, left_out)


def _kept(section: Section, path: Path, wanted: dict[str, Any]) -> Found | None:
    """Return the result kept in a file if it was made with what is wanted."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["made_with"] != wanted:
            return None
        plain = [{k: v for k, v in own.items() if k not in ("goal", "met")}
                 for own in content["rows"]]  # fmt: skip
        rows = with_goals(section.name, [Row(**own) for own in plain])
        return Found(rows, tuple(content["remarks"]), content["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _about(context: Context) -> dict[str, str]:
    s = context.settings
    about = {
        "checkpoint": context.composer.name,
        "clips": f"{s.count} first draws a quadrant, {s.bars} bars, seed {s.seed}",
        "judges": "fitted on the half of the labelled songs that the mapper never saw",
        "steering": "as the checkpoint has it" if s.steering else "off",
    }
    if s.quick:
        about["quick"] = "few clips, to see whether all works: no numbers to show"
    return about
