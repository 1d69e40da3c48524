"""A report on MIDI files: attributes and, with a verifier, the verdict and its explanation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emomusic.files import walk_files
from emomusic.music.attributes import measure, passage_of
from emomusic.music.score import MIDI_SUFFIXES, ScoreError, notes_of, read_score, tempo_of
from emomusic.verify.explain import Explanation, Trajectory, explain_score
from emomusic.verify.verifier import Verdict, Verifier


@dataclass(frozen=True)
class FileReport:
    """What is in a MIDI file, or why it cannot be read.

    Attributes:
        attributes: Its musical attributes by name; none if it cannot be read.
        error: Why it cannot be read, in one line.
        verdict: Which emotion it carries, where a verifier was given.
        why: What moved the verdict, and where in the piece, where asked for.
        picture: The file in which that is drawn, where asked for.
    """

    path: Path
    attributes: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    verdict: Verdict | None = None
    why: tuple[Explanation, Trajectory] | None = None
    picture: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give all as plain values."""
        record: dict[str, Any] = {"file": str(self.path)}
        if self.error is not None:
            return {**record, "error": self.error}
        if self.verdict is not None:
            record["verdict"] = asdict(self.verdict)
        record["attributes"] = self.attributes
        if self.why is not None:
            record["explanation"], record["course"] = (own.to_dict() for own in self.why)
        if self.picture is not None:
            record["picture"] = str(self.picture)
        return record

    def __str__(self) -> str:
        """Write a line for people, and the explanation below it."""
        path = str(self.path)
        name = path if path.isprintable() else repr(path)[1:-1]
        if self.error is not None:
            return f"{name}: {self.error}"
        attributes = "  ".join(f"{name}={value:.4g}" for name, value in self.attributes.items())
        if (verdict := self.verdict) is None:
            return f"{name}  {attributes}"
        head = (
            f"{name}  {verdict.quadrant} p={verdict.probabilities[verdict.quadrant]:.2f}  "
            f"valence={verdict.valence:+.2f}±{verdict.valence_sd:.2f}  "
            f"arousal={verdict.arousal:+.2f}±{verdict.arousal_sd:.2f}"
        )
        if self.why is None:
            return f"{head}  {attributes}"
        lines = [head, *(f"  {own.sentence}" for own in self.why if own.sentence)]
        if self.picture is not None:
            lines.append(f"  picture: {self.picture}")
        return "\n".join(lines)


def find_midi_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Find the files named, and the MIDI files below the folders named, as `walk_files` does."""
    for path in paths:
        if path.is_dir():
            yield from (own for own in walk_files(path) if own.suffix.lower() in MIDI_SUFFIXES)
        else:
            yield path


def examine(
    path: Path,
    verifier: Verifier | None = None,
    *,
    explained: bool = False,
    pictures: Path | None = None,
) -> FileReport:
    """Read a MIDI file once, measure it, and judge it once.

    Args:
        verifier: None measures attributes only.
        explained: Explain what moved the verdict, and where in the piece.
        pictures: A folder for a picture of the explanation, named as the file; made if missing.

    Raises:
        ImportError: If a picture is wanted and matplotlib is not installed.
        OSError: If a picture cannot be written.
    """
    why = picture = verdict = None
    try:
        score = read_score(path)
        notes = notes_of(score)
        attributes = measure(passage_of(notes, tempo=tempo_of(score)))
        if verifier is not None:
            verdict = verifier.verdict(notes)
            if explained or pictures is not None:
                why = explain_score(score, verifier, notes=notes, verdict=verdict)
    except ScoreError as error:
        return FileReport(path, error=str(error))
    if why is not None and pictures is not None:
        from emomusic.verify.plots import plot_explanation

        pictures.mkdir(parents=True, exist_ok=True)
        picture, number = pictures / f"{path.stem}.png", 1
        while picture.exists():
            number += 1
            picture = pictures / f"{path.stem}_{number}.png"
        plot_explanation(picture, notes, explanation=why[0], trajectory=why[1])
    return FileReport(path, attributes, verdict=verdict, why=why, picture=picture)
