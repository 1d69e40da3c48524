"""A block as it is written: clip after clip, then all at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from emomusic.compose.clip import Clip
from emomusic.compose.jobs.job import Order, Output
from emomusic.compose.jobs.keeping.packs import PACKERS, pack_name
from emomusic.compose.jobs.keeping.store import HALF, Store, told
from emomusic.compose.output import line_of, stem_of, write_files
from emomusic.verify.verifier import Verifier

Line = dict[str, Any]


class BlockWriter:
    """Write one block of a job; where it is left before it is closed, it is to be done again."""

    def __init__(self, store: Store, block: int, output: Output) -> None:
        """Begin.

        Args:
            store: The job's folder.
            block: Number of the block.
            output: What is kept of each clip.
        """
        self.store, self.block, self.output = store, block, output
        self.lines: list[Line] = []
        with told(store.folder):
            self._folder = store.staging(block)

    def __enter__(self) -> BlockWriter:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Commit the block, or, where something went wrong, leave what is whole of it."""
        try:
            if kind is None:
                with told(self.store.folder):
                    self._commit()
            elif self.output.pack == "files" and self.lines:
                with suppress(OSError):
                    self._put_lines(HALF)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, order: Order, clip: Clip, *, explain_by: Verifier | None = None) -> Line:
        """Write the files of a clip, and return its line; one that fails gets a line that says so.

        Raises:
            OutputError: If the files cannot be written.
        """
        stem, formats = stem_of(order.number), self.output.formats
        with told(self.store.folder):
            try:
                line = line_of(clip, stem, formats, explain_by=explain_by) | order.told
                write_files(clip, self._folder, stem, formats)
            except ValueError as error:
                return self.fail(order, str(error))
            return self._keep(line)

    def take(self, line: Mapping[str, Any], files: Mapping[str, bytes]) -> Line:
        """Write what was composed elsewhere.

        Args:
            line: As `write` or `fail` returns it.
            files: By name; none where it failed.

        Raises:
            OutputError: If the files cannot be written.
        """
        with told(self.store.folder):
            for name, data in files.items():
                (self._folder / name).write_bytes(data)
            return self._keep(dict(line)) if "file" in line else self._note(dict(line))

    def fail(self, order: Order, reason: str) -> Line:
        """Note that a clip could not be composed, and return its line."""
        own = {"number": order.number, "seed": order.settings.seed, "index": order.settings.index}
        return self._note({**own, **order.told, "reason": " ".join(reason.split())})

    def _keep(self, line: Line) -> Line:
        if self.output.pack == "files":
            for name in line["files"]:
                (self._folder / name).replace(self.store.folder / name)
        else:
            line["pack"] = pack_name(self.block, self.output.pack)
        return self._note(line)

    def _note(self, line: Line) -> Line:
        self.lines.append(line)
        return line

    def _commit(self) -> None:
        whole = [line for line in self.lines if "file" in line]
        if self.output.pack != "files" and whole:
            name = pack_name(self.block, self.output.pack)
            PACKERS[self.output.pack](self._folder / name, whole, self._folder)
            (self._folder / name).replace(self.store.folder / name)
        self._put_lines()
        self.store.lines_path(self.block, HALF).unlink(missing_ok=True)

    def _put_lines(self, *suffix: str) -> None:
        path = self._folder / "lines"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in self.lines), encoding="utf-8")
        path.replace(self.store.lines_path(self.block, *suffix))
