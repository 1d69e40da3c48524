"""Clips into a folder: files whole or not at all, and a manifest of what is there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from symusic.core import ScoreTick

from emomusic.compose.clip import Clip
from emomusic.files import write_text
from emomusic.music.score import write_score
from emomusic.verify.verifier import Verifier

MANIFEST_NAME = "manifest.jsonl"


class OutputError(ValueError):
    """Tell in one line why the clips cannot be written."""


@contextmanager
def raise_as_output_error(folder: Path) -> Iterator[None]:
    """Turn an OSError into an `OutputError` of one sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error


def check_folder(folder: Path) -> None:
    """Make the output folder and check that files can be made in it.

    Raises:
        OutputError: If not.
    """
    with raise_as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"emomusic")


def write_clips(
    clips: Iterable[Clip],
    folder: Path,
    *,
    formats: Sequence[str] = ("mid",),
    explain_by: Verifier | None = None,
) -> Iterator[dict[str, Any]]:
    """Write clips as they come, then the manifest of those that were written.

    Yields:
        The line of the manifest of each clip, after its files are there.

    Raises:
        OutputError: If a file cannot be written; the manifest then names the clips before.
    """
    lines: list[str] = []
    with raise_as_output_error(folder):
        try:
            for clip in clips:
                stem = stem_of(clip.index)
                card = line_of(clip, stem, formats, explain_by=explain_by)
                write_files(clip, folder, stem, formats)
                lines.append(f"{json.dumps(card)}\n")
                yield card
        finally:
            if lines:
                write_text(folder / MANIFEST_NAME, "".join(lines))


def stem_of(number: int) -> str:
    """Return how the files of a clip are called, without their endings."""
    return f"clip_{number:05d}"


def line_of(
    clip: Clip, stem: str, formats: Sequence[str], *, explain_by: Verifier | None = None
) -> dict[str, Any]:
    """Return the line of the manifest of a clip: its card, its files, why the verdict is so.

    Args:
        clip: Composed.
        stem: Of its files' names.
        formats: Their endings.
        explain_by: The verifier whose verdict is explained; None explains nothing.
    """
    files = [f"{stem}.{suffix}" for suffix in formats]
    line = {"file": files[0], **clip.card(), "files": files}
    if explain_by is not None:
        from emomusic.verify.explain import explain_score

        explanation, course = explain_score(clip.score, explain_by)
        line |= {"explanation": explanation.to_dict(), "course": course.to_dict()}
    return line


def write_files(clip: Clip, folder: Path, stem: str, formats: Sequence[str]) -> None:
    """Write the files of a clip, all of them or none.

    Raises:
        OSError: If one cannot be written.
        ScoreError: If the clip is too long for notation.
    """
    from emomusic.compose.parse import ClipSpec

    written: list[Path] = []
    writers = writers_of(
        clip.score, formats, key=clip.sounding_key, settings=lambda: ClipSpec.of(clip).to_json()
    )
    try:
        for suffix, write in writers:
            path = folder / f"{stem}.{suffix}"
            write(path)
            written.append(path)
    except (OSError, ValueError):
        for path in written:
            path.unlink(missing_ok=True)
        raise


def writers_of(
    score: ScoreTick,
    formats: Sequence[str],
    *,
    key: str | None = None,
    settings: Callable[[], str] | None = None,
) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Return for each format what writes a piece into a file of that ending.

    Args:
        score: The piece.
        formats: Of `FORMATS`; sound is rendered, and notation made, once for all that need it.
        key: For the notation, such as `D minor`; None lets it be found.
        settings: Returns the text of the settings file.

    Raises:
        ScoreError: If the piece is too long for notation.
    """
    if "mid" in formats:
        yield "mid", partial(write_score, score)
    if "json" in formats and settings is not None:
        yield "json", partial(write_text, text=settings())
    from emomusic.music.audio import SUFFIXES as SOUND_SUFFIXES
    from emomusic.music.audio import render_audio

    sounding = [suffix for suffix in formats if f".{suffix}" in SOUND_SUFFIXES]
    if sounding:
        audio = render_audio(score)
        yield from ((suffix, audio.write) for suffix in sounding)
    if "musicxml" in formats or "svg" in formats:
        from emomusic.music.notation import notate

        sheet = notate(score, key=key)
        known = {"musicxml": sheet.write_musicxml, "svg": sheet.write_svg}
        yield from ((suffix, known[suffix]) for suffix in formats if suffix in known)
