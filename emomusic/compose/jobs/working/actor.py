"""What composes on a node of a Ray cluster. It needs emomusic there, and no folder but its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import emomusic
from emomusic.compose.composer import Composer
from emomusic.compose.jobs.job import Order, Output
from emomusic.compose.jobs.keeping.writer import Line, failed, put_clip
from emomusic.compose.jobs.working.joining import ClusterError
from emomusic.compose.jobs.working.make import make

Files = Mapping[str, bytes]


class Actor:
    """Compose on a node, for a process that is elsewhere."""

    def open(
        self, files: Files, place: tuple[str, ...], *, version: str, engine: str, output: Output,
        batch_size: int,
    ) -> None:  # fmt: skip
        """Load the checkpoint, once for all blocks.

        Args:
            files: Of the checkpoint, by name.
            place: The last parts of its folder's path, which tell its name.
            version: Of emomusic, there.
            engine: Name of what writes.
            output: What is kept of each clip.
            batch_size: Candidates in hand at once.

        Raises:
            ValueError: If clips would differ from those composed there, or cannot be composed.
        """
        if emomusic.__version__ != version:
            raise ClusterError(
                f"a node of the cluster has emomusic {emomusic.__version__}, this machine "
                f"{version}: the clips may differ, install the same version on all"
            )
        if engine != "int8":
            import torch

            torch.set_num_threads(1)
        with TemporaryDirectory(prefix="emomusic-") as top:
            folder = Path(top, *place)
            folder.mkdir(parents=True)
            for name, data in files.items():
                (folder / name).write_bytes(data)
            self._composer = Composer(folder, engine=engine)
        self._output, self._batch_size = output, batch_size

    def begin(self, texts: list[str]) -> None:
        """Begin a block, of these orders."""
        self._clips = self._compose(map(Order.parse, texts))

    def more(self) -> tuple[Line, Files]:
        """Return the next clip of the block: its line, and its files by name."""
        return next(self._clips)

    def _compose(self, orders: Iterable[Order]) -> Iterator[tuple[Line, Files]]:
        explain_by = self._composer.verifier if self._output.explained else None
        for made in make(self._composer, orders, batch_size=self._batch_size):
            if made.clip is None:
                yield failed(made.order, made.reason), {}
                continue
            with TemporaryDirectory(prefix="emomusic-") as top:
                folder, formats = Path(top), self._output.formats
                line = put_clip(made.order, made.clip, folder, formats, explain_by=explain_by)
                files = {name: (folder / name).read_bytes() for name in line.get("files", ())}
            yield line, files
