"""Compose clips: emotion, targets, ids, score, card."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import repeat
from pathlib import Path
from typing import Self

from symusic.core import ScoreTick

from emomusic.compose.best_of import Candidates, Realness
from emomusic.compose.checkpoint import checkpoint_name, find_checkpoint, save_checkpoint
from emomusic.compose.clip import Clip as Clip
from emomusic.compose.directions import Response
from emomusic.compose.generate import ClipBuilder, ClipGenerator, PartialClip
from emomusic.compose.parse import ClipSpec, number_specs
from emomusic.compose.primer import PrimerCache
from emomusic.compose.request import Request
from emomusic.compose.steerer import Steerer, attribute_weights
from emomusic.compose.token_plan import TABLES_NAME as TABLES_NAME
from emomusic.compose.token_plan import read_tables
from emomusic.mapping import Mapper
from emomusic.model.checkpoint import CheckpointError
from emomusic.model.engine import Engine, open_engine
from emomusic.music.tokenizer import Tokenizer
from emomusic.verify.verifier import Verifier

TOKENIZER_NAME = "tokenizer.json"
BATCH = 32
"""Clips in hand at once, where nothing is said."""
Progress = Callable[[int], None]


class Composer:
    """Compose with one checkpoint.

    Attributes:
        folder: The checkpoint.
        name: Its name.
        engine: What writes ids.
        tokenizer: Ids to scores.
        mapper: Emotions to targets.
        verifier: Scores to verdicts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        engine: str | Engine = "auto",
        steerer: Steerer | None = None,
    ) -> None:
        """Load a checkpoint.

        Args:
            folder: The checkpoint.
            threads: Of the engine, on the CPU.
            engine: Its name (`auto`, `int8`, `torch`, `cuda`), or one that holds the weights.
            steerer: What steers; None takes the checkpoint's.

        Raises:
            CheckpointError: If a part of it is missing or damaged, or does not fit the others.
            EngineError: If this machine does not have the engine.
        """
        self.folder, self.name = folder, checkpoint_name(folder)
        self.engine: Engine = (
            open_engine(folder, engine, threads=threads) if isinstance(engine, str) else engine
        )
        try:
            self.tokenizer = Tokenizer(folder / TOKENIZER_NAME)
            self.mapper = Mapper.load(folder)
            self.verifier = Verifier.load(folder)
            self._realness = Realness.load(folder)
            self._builder = ClipBuilder(self.tokenizer, self.verifier, self.name)
            self._generator = ClipGenerator(
                engine=self.engine,
                tokenizer=self.tokenizer,
                mapper=self.mapper,
                tables=read_tables(folder / TABLES_NAME, self.tokenizer.vocabulary),
                steerer=steerer or self._load_steerer(),
                primers=PrimerCache(self.tokenizer, lambda n: self.verifier.verdict(n).quadrant),
            )
        except ValueError as error:
            raise CheckpointError(f"the checkpoint {folder} cannot be used: {error}") from error

    def _load_steerer(self) -> Steerer:
        weights = attribute_weights(self.mapper.telling())
        return Steerer(self.tokenizer, Response.load(self.folder), weights=weights)

    def compose(
        self,
        request: Request,
        *,
        seed: int,
        count: int = 1,
        start: int = 0,
        batch_size: int = BATCH,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose clips, in order, each as soon as it and those before it are done.

        Clip `i` of a seed is the same, byte for byte, whatever `start`, `count` and
        `batch_size` are.

        Args:
            request: What each clip is to be.
            seed: Of the run, at least 0.
            count: Clips.
            start: Number of the first one.
            batch_size: Candidates in hand at once.
            progress: Called with 1 for each clip that is done.

        Raises:
            ValueError: If seed, count, start or batch_size is out of range.
        """
        _check_run(count=count)
        each = repeat(request, count)
        return self.compose_each(
            each, seed=seed, start=start, batch_size=batch_size, progress=progress
        )

    def compose_each(
        self,
        requests: Iterable[Request],
        *,
        seed: int,
        start: int = 0,
        batch_size: int = BATCH,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose one clip for each request, which are taken as they are needed.

        Clip `i` is the same as `compose` makes it for its request; the other arguments are its,
        too, and so are the errors.
        """
        _check_run(seed=seed, start=start, batch_size=batch_size)
        specs = number_specs(requests, seed, start)
        return self.compose_all(specs, batch_size=batch_size, progress=progress)

    def compose_all(
        self,
        settings: Iterable[ClipSpec],
        *,
        batch_size: int = BATCH,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose one clip for each settings, of whatever runs they are, as `compose_each`."""
        candidates: dict[int, Candidates] = {}
        done: dict[int, Clip] = {}
        wanted = 0
        with closing(self._generator.generate(settings, batch_size=batch_size)) as written:
            for order, partial in written:
                for clip in self._chosen(order, partial, candidates):
                    done[order] = clip
                    progress(1)
                while wanted in done:
                    yield done.pop(wanted)
                    wanted += 1

    def stream(
        self, requests: Iterable[Request], *, seed: int, start: int = 0, batch_size: int = BATCH
    ) -> Generator[PartialClip | Clip, None, None]:
        """Compose the clips of `compose_each`, and tell of each bar as it is written.

        Close it to stop.

        Yields:
            A partial each time one has more bars, and each clip as soon as it is done.
        """
        _check_run(seed=seed, start=start, batch_size=batch_size)
        return self._stream(number_specs(requests, seed, start), batch_size)

    def _stream(
        self, asked: Iterable[ClipSpec], batch_size: int
    ) -> Generator[PartialClip | Clip, None, None]:
        candidates: dict[int, Candidates] = {}
        with closing(
            self._generator.generate(asked, batch_size=batch_size, by_segment=True)
        ) as written:
            for order, partial in written:
                yield partial
                if partial.is_whole:
                    yield from self._chosen(order, partial, candidates)

    def settle(self, partial: PartialClip) -> Clip:
        """Return a clip of what is there of a partial that was stopped, of at least one bar."""
        return self._builder.clip(partial)

    def score(self, partial: PartialClip) -> ScoreTick:
        """Return the score of what is there of a partial, of at least one bar."""
        return self._builder.score(partial)

    def _chosen(
        self, order: int, partial: PartialClip, candidates: dict[int, Candidates]
    ) -> Iterator[Clip]:
        """Yield the best candidate of a clip once the last of them is whole."""
        plan = partial.plan
        own = candidates.setdefault(order, Candidates(plan.request.best_of))
        own.found[plan.candidate] = self._builder.clip(partial)
        if own.complete:
            yield candidates.pop(order).best(self.verifier, self._realness)

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


def _check_run(**values: int) -> None:
    for name, value in values.items():
        low = 1 if name in {"count", "batch_size"} else 0
        if not low <= value < 2**63:
            raise ValueError(f"{name} must be at least {low} and below 2**63, got {value}")
