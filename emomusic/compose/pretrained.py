"""What a program starts with: a composer that is found, fetched or saved, and hearing a piece."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Self

from symusic.core import ScoreTick

from emomusic.compose import composer
from emomusic.compose.find import checkpoint_name, find_checkpoint
from emomusic.compose.hub import save_checkpoint
from emomusic.model.engines.engine import Engine
from emomusic.music.score import notes_of, read_score
from emomusic.verify.verifier import Verdict, Verifier


class Composer(composer.Composer):
    """Compose with one checkpoint, found by its name.

    Several threads may compose with one composer at a time.

    Attributes:
        folder: Where the checkpoint is.
    """

    def __init__(self, folder: Path, *, threads: int = 1, engine: str | Engine = "auto") -> None:
        """Load a checkpoint.

        Args:
            folder: The checkpoint.
            threads: Of the engine, on the CPU.
            engine: Its name (`auto`, `int8`, `torch`, `cuda`), or one that holds the weights.

        Raises:
            CheckpointError: If a part of it is missing or damaged, or does not fit the others.
            EngineError: If this machine does not have the engine.
        """
        super().__init__(folder, threads=threads, engine=engine)
        self.folder = folder
        self.name = checkpoint_name(folder)
        self._finisher = replace(self._finisher, checkpoint=self.name)

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        threads: int = 1,
        engine: str = "auto",
    ) -> Self:
        """Load a checkpoint from a folder, from a model hub, or the default one.

        Args:
            name_or_folder: A folder, or `owner/name` on a hub; None takes the one that the
                environment's EMOMUSIC_CHECKPOINT names, or that comes with the package.
            revision: Branch, tag or commit on the hub.
            cache_dir: Where files from the hub are kept; None takes the hub's own cache.
            local_files_only: Take what was fetched before.
            token: For what is not public; None takes the one that is stored, if there is one.
            threads: CPU cores that it may use.
            engine: `auto`, `int8`, `torch` or `cuda`.

        Raises:
            CheckpointError: If it cannot be had from the hub, a file is not what its checksum
                says, or it is damaged.
            EngineError: If this machine does not have the engine.
            ValueError: If there is no such folder.
        """
        folder = find_checkpoint(
            name_or_folder,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
        )
        return cls(folder, threads=threads, engine=engine)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the checkpoint into a folder, with checksums, as `from_pretrained` takes it.

        Args:
            folder: Made if missing; it must hold no checkpoint.

        Returns:
            The folder.

        Raises:
            CheckpointError: If there is a checkpoint in it already.
            OSError: If it cannot be written; what was written is taken away then.
        """
        return save_checkpoint(self.folder, Path(folder))


def hear(music: str | os.PathLike[str] | ScoreTick, *, verifier: Verifier | None = None) -> Verdict:
    """Hear which emotion a piece carries.

    Args:
        music: A MIDI file, or a score such as a clip's.
        verifier: None takes the default checkpoint's, which is loaded once.

    Raises:
        ScoreError: If the music cannot be read or holds no notes.
    """
    score = music if isinstance(music, ScoreTick) else read_score(music)
    notes = notes_of(score)
    return (verifier or _verifier(find_checkpoint(None).resolve())).verdict(notes)


@lru_cache(maxsize=4)
def _verifier(folder: Path) -> Verifier:
    return Verifier.load(folder)
