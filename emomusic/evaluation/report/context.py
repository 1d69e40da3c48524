"""What sections share: the checkpoint, its first draws, the judges, real music."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import emomusic
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.export import write_clips
from emomusic.compose.quadrants import compose_quadrants
from emomusic.compose.steerer import Steerer
from emomusic.evaluation.judged.hearing import Panel, make_panel
from emomusic.evaluation.judged.run import FirstDraws, evaluate_emotion
from emomusic.evaluation.quality.music import POP_PIANO, Piece, composed_pieces, real_pieces
from emomusic.evaluation.report.extent import FULL_EXTENT, QUICK_EXTENT, Extent
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.training.rows import Rows

FULL_COUNT, QUICK_COUNT = 25, 8
MAX_SEED = 2**63
ALL_WINDOWS = 10**6
LABELS = ("emotion/labels.csv", "labels.csv")
READ = (".json", ".safetensors")
"""Endings of the files of a checkpoint that change what it composes."""
Tell = Callable[[int, int | None], None]


class LeftOutError(ValueError):
    """Tell why a section is left out, though the others can be measured."""


@dataclass(frozen=True)
class Settings:
    """Hold what a run is asked for.

    Attributes:
        count: First draws of each quadrant.
        bars: Bars of each clip.
        seed: Of the run.
        quick: Whether little is measured, to see whether all works.
        steering: Whether clips are steered, where the checkpoint can be.
    """

    count: int = FULL_COUNT
    bars: int = 16
    seed: int = 0
    quick: bool = False
    steering: bool = True

    @property
    def extent(self) -> Extent:
        """Return how much is measured."""
        return QUICK_EXTENT if self.quick else FULL_EXTENT


class Context:
    """Hold what sections work on, each part made when it is first needed.

    Attributes:
        composer: The checkpoint, as the settings have it composing.
        checkpoint: Its folder.
        source: The folder with `emotion/labels.csv`.
        out: Where clips, sections and the report go.
        settings: What is asked for.
        tell: Called with what is done of a section, and how much there is, if that is known.
    """

    def __init__(
        self,
        composer: Composer,
        checkpoint: Path,
        source: Path,
        out: Path,
        *,
        rows_path: Path | None = None,
        settings: Settings = Settings(),
    ) -> None:
        """Take what there is.

        Args:
            composer: The checkpoint, loaded.
            checkpoint: Its folder.
            source: The folder with `emotion/labels.csv`, from which the rows were made.
            out: Where clips, sections and the report go.
            rows_path: Packed rows, or None.
            settings: What is asked for.

        Raises:
            CheckpointError: If the checkpoint cannot be loaded a second time, unsteered.
        """
        self.composer = composer
        if not settings.steering:
            unsteered = Steerer(composer.tokenizer, None)
            self.composer = Composer(checkpoint, engine=composer.engine, steerer=unsteered)
        self.checkpoint, self.source, self.out = checkpoint, source, out
        self.rows_path, self.settings = rows_path, settings
        self.tell: Tell = lambda done, total: None
        self._clips: list[Clip] | None = None

    @property
    def extent(self) -> Extent:
        """Return how much is measured."""
        return self.settings.extent

    @property
    def other_seed(self) -> int:
        """Return a seed whose clips are none of the first draws."""
        return (self.settings.seed + 1) % MAX_SEED

    def counted(self, total: int) -> Callable[[int], None]:
        """Return what is to be called with the number of clips just finished, of so many."""
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            self.tell(done, total)

        self.tell(0, total)
        return count

    @cached_property
    def panel(self) -> Panel:
        """Return the judges; fitting them takes seconds."""
        return make_panel(self.composer.mapper, self.source)

    @property
    def clips(self) -> list[Clip]:
        """Return the first draws, one quadrant after the other; they are written as composed."""
        if self._clips is None:
            s = self.settings
            progress = self.counted(4 * s.count)
            clips = compose_quadrants(
                self.composer, count=s.count, seed=s.seed, n_bars=s.bars, progress=progress
            )
            self._keep(clips)
        assert self._clips is not None
        return self._clips

    def first_draws(self) -> FirstDraws:
        """Compose the first draws and let the judges hear them; the clips are those of `clips`."""
        s = self.settings
        draws = evaluate_emotion(
            self.composer,
            self.panel,
            count=s.count,
            seed=s.seed,
            n_bars=s.bars,
            n_shuffles=self.extent.n_shuffles,
            progress=self.counted(4 * s.count),
        )
        self._keep(list(draws.clips))
        return draws

    def _keep(self, clips: list[Clip]) -> None:
        for _ in write_clips(clips, self.out):
            pass
        self._clips = clips

    @cached_property
    def notes(self) -> list[Notes]:
        """Return the notes of the first draws."""
        return [notes_of(clip.score) for clip in self.clips]

    @cached_property
    def pieces(self) -> list[Piece]:
        """Return the first draws as pieces to compare."""
        return composed_pieces(self.clips)

    @cached_property
    def rows(self) -> Rows:
        """Return the packed rows.

        Raises:
            ValueError: If there are none, or they cannot be read.
        """
        if self.rows_path is None:
            raise ValueError("packed rows are needed: name them with --rows")
        return Rows.load(self.rows_path)

    @cached_property
    def real(self) -> dict[str, list[Piece]]:
        """Return windows of real songs as long as the clips, trained on or not.

        `EMOPIA` are all of its windows; `pop piano` are as many windows of EMOPIA as of Pop1K7,
        as many as the smaller of the two has. No two of a song share a bar.

        Raises:
            LeftOutError: If the rows hold no pop piano.
            ValueError: If they are of another vocabulary.
        """
        missing = [name for name in POP_PIANO if name not in self.rows.meta["sources"]]
        if missing:
            raise LeftOutError(f"the packed rows hold no songs of {', '.join(missing)}")
        found = [
            real_pieces(
                self.rows,
                (source,),
                n_bars=self.settings.bars,
                n=ALL_WINDOWS,
                held_back=None,
                seed=self.settings.seed,
            )
            for source in POP_PIANO
        ]
        n = min(map(len, found))
        return {"pop piano": [piece for own in found for piece in own[:n]], "EMOPIA": found[0]}

    @cached_property
    def _files(self) -> dict[str, Any]:
        labels = next((self.source / n for n in LABELS if (self.source / n).is_file()), None)
        read = sorted(path for path in self.checkpoint.iterdir() if path.suffix in READ)
        return {
            "checkpoint": {path.name: _sha256(path) for path in read},
            "labels": None if labels is None else _sha256(labels),
            "rows": None if self.rows_path is None else _sha256(self.rows_path),
        }

    def made_with(self, uses: tuple[str, ...]) -> dict[str, Any]:
        """Return the fingerprint of a section: the checkpoint's files and what else it uses.

        Args:
            uses: Names of settings, and `labels` or `rows`, each once.

        Raises:
            ValueError: If a file cannot be read.
        """
        known = {**vars(self.settings), **self._files}
        return {
            "version": emomusic.__version__,
            "engine": self.composer.engine.name,
            **{name: known[name] for name in ("checkpoint", *uses)},
        }


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
