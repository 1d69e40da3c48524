"""A block as it is written: clip after clip, then all at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from emomusic.compose.clip import Clip
from emomusic.compose.jobs.job import Order, Output
from emomusic.compose.jobs.keeping.packs import PACKERS, pack_name
from emomusic.compose.jobs.keeping.store import HALF, Store, told
from emomusic.compose.output import OutputError, line_of, stem_of, write_files
from emomusic.verify.verifier import Verifier

Line = dict[str, Any]


def put_clip(
    order: Order,
    clip: Clip,
    folder: Path,
    formats: Sequence[str],
    *,
    explain_by: Verifier | None = None,
) -> Line:
    """Write the files of a clip into a folder, and return its line, or one that says why not.

    Raises:
        OSError: If the files cannot be written.
    """
    stem = stem_of(order.number)
    try:
        line = line_of(clip, stem, formats, explain_by=explain_by) | order.told
        write_files(clip, folder, stem, formats)
    except ValueError as error:
        return failed(order, str(error))
    return line


def failed(order: Order, reason: str) -> Line:
    """Return the line of a clip that could not be composed."""
    own = {"number": order.number, "seed": order.settings.seed, "index": order.settings.index}
    return {**own, **order.told, "reason": " ".join(reason.split())}


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
        """Commit the block, or, where something went wrong, leave it."""
        if kind is None:
            self.commit()
        else:
            self.leave()

    def commit(self) -> None:
        """Keep the block: all of it is there.

        Raises:
            OutputError: If it cannot be kept.
        """
        try:
            with told(self.store.folder):
                self._commit()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def leave(self) -> None:
        """Leave the block to be done again, and tell what is whole of it."""
        if self.output.pack == "files" and self.lines:
            with suppress(OSError):
                self._put_lines(HALF)
        shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, order: Order, clip: Clip, *, explain_by: Verifier | None = None) -> Line:
        """Write the files of a clip, and return its line; one that fails gets a line that says so.

        Raises:
            OutputError: If the files cannot be written.
        """
        with told(self.store.folder):
            line = put_clip(order, clip, self._folder, self.output.formats, explain_by=explain_by)
            return self._take(line)

    def take(self, line: Mapping[str, Any], files: Mapping[str, bytes]) -> Line:
        """Write what was composed elsewhere.

        Args:
            line: As `put_clip` or `failed` returns it.
            files: By name; none where it failed.

        Raises:
            OutputError: If the files cannot be written, or are to be elsewhere.
        """
        for name in (*files, *line.get("files", ())):
            if Path(name).name != name:
                raise OutputError(f"a clip's file must have a plain name, got {name!r}")
        with told(self.store.folder):
            for name, data in files.items():
                (self._folder / name).write_bytes(data)
            return self._take(dict(line))

    def fail(self, order: Order, reason: str) -> Line:
        """Note that a clip could not be composed, and return its line."""
        return self._take(failed(order, reason))

    def _take(self, line: Line) -> Line:
        return self._keep(line) if "file" in line else self._note(line)

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
