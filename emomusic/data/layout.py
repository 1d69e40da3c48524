"""Arrange unpacked downloads as the data folder that `emomusic prepare` reads.

The folder rules follow the file lists of the public repositories. No rule can say what nobody
published: bar phases of pop1k7, near-duplicates across sources and the choice of piano pieces
in VGMIDI are left to the reader; see datasets/README.md.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import StatisticsError, fmean, median

from emomusic.files import write_text
from emomusic.music.score import ScoreError, read_score

INDEX_COLUMNS = ("path", "source", "grid", "bpm", "note")
LABEL_COLUMNS = ("path", "source", "song", "quadrant", "split", "valence", "arousal")
VALIDATION_SHARE = 0.2  # of the songs, where a source has no official split in its archive


class LayoutError(Exception):
    """Tell in one line why the data folder cannot be arranged."""


@dataclass(frozen=True)
class Rule:
    """Say which files of a download belong to a source, and how they are named.

    `pattern` is matched from the right. A file is named by the parts of its path between
    `first` and `last`, counted without the top folder of the archive, joined by `joiner`.
    """

    source: str
    download: str
    pattern: str
    folder: str
    grid: str
    note: str = ""
    first: int = -1
    last: int | None = None
    joiner: str = "_"
    prefix: str = ""


_UNSURE = "bar phase uncertain"
_CHORDS = "tempo in the file is a placeholder: use bpm; track 2 holds chords"
_DUMMY = "transcription at a dummy 120 bpm, no beat grid"

RULES = (
    Rule("pop1k7", "pop1k7", "midi_synchronized/*/*.mid", "pop1k7", "beat", _UNSURE, first=1),
    Rule("pop909", "pop909", "POP909-24-bin-midi/*.mid", "pop909", "bar", _CHORDS),
    Rule(
        "openscore_lieder", "openscore_lieder", "scores/*/*/*/*.mxl", "lieder", "bar",
        "voice and piano", first=1, joiner="__",
    ),
    Rule("pianocore", "pianocore", "*.mid", "pianocore", "bar"),
    Rule("piano_midi_de", "piano_midi_de", "midis/*/*.mid", "piano_midi_de", "bar"),
    Rule("asap", "asap", "midi_score.mid", "asap", "bar", first=0, last=-1),
    Rule("game_piano", "game_piano", "midi_songs/*.mid", "game_piano", "bar"),
    Rule(
        "vgmidi_unlabelled", "vgmidi", "unlabelled/midi/*.mid", "game_piano", "bar",
        prefix="vgmidi_",
    ),
    Rule("musetrainer", "musetrainer", "scores/*.mxl", "musetrainer", "bar"),
    Rule("pianist8", "pianist8", "*.mid", "pianist8", "none", _DUMMY),
    Rule(
        "pijama", "pijama", "midi_kong/*/*/*/*.midi", "pijama", "none", _DUMMY, first=3,
        joiner="__",
    ),
    Rule("piano_rolls", "piano_rolls", "midi/exp/*.mid", "piano_rolls", "none", _DUMMY),
    Rule("anime_aome", "anime_aome", "songs/*.mid", "anime_aome", "none"),
    Rule("anime_snow", "anime_snow", "midi_files/*.mid", "anime_snow", "none"),
    Rule("pop_shadow", "pop_shadow", "media/*.mid", "pop_shadow", "bar"),
    Rule("pop_jpweb", "pop_jpweb", "assets/songs/*.mid", "pop_jpweb", "bar"),
)  # fmt: skip

# By the signs of valence and arousal; zero counts as positive, as everywhere. Written out here
# because this room does not import the room of emotion.
_QUADRANTS = {(True, True): "Q1", (False, True): "Q2", (False, False): "Q3", (True, False): "Q4"}
_EMOPIA_NAME = re.compile(r"Q([1-4])_(.+)_\d+")


@dataclass(frozen=True)
class Arranged:
    """Report how many files were arranged for each source, and what was left out and why."""

    n_files: Mapping[str, int]
    skipped: Mapping[str, int]


def arrange(data_dir: Path) -> Arranged:
    """Build `corpus/` and `emotion/` with their tables from `downloads/`.

    Sources that were not downloaded are left out. MusicXML (.mxl) is converted with music21,
    where that is installed.

    Raises:
        LayoutError: If a table exists already, or no file was found.
    """
    index_path, labels_path = data_dir / "corpus/index.csv", data_dir / "emotion/labels.csv"
    for path in (index_path, labels_path):
        if path.exists():
            raise LayoutError(f"{path} exists already: choose another folder, or remove it")
    skipped: Counter[str] = Counter()
    index = [row for rule in RULES for row in _corpus_rows(rule, data_dir, skipped)]
    labels = [*_emopia_rows(data_dir, skipped), *_vgmidi_rows(data_dir, skipped)]
    if not index and not labels:
        raise LayoutError(f"no file of a known source in {data_dir / 'downloads'}")
    _write_table(index_path, INDEX_COLUMNS, index)
    _write_table(labels_path, LABEL_COLUMNS, labels)
    return Arranged(Counter(row["source"] for row in [*index, *labels]), dict(skipped))


def name_of(rule: Rule, path: Path) -> str:
    """Name a file of a download, given its path below the download, as the index names it."""
    parts = path.with_suffix("").parts
    below_top = parts[1:] if len(parts) > 1 else parts
    name = rule.prefix + rule.joiner.join(below_top[rule.first : rule.last])
    return re.sub(r"[^A-Za-z0-9._-]", "_", name) + ".mid"


def _corpus_rows(rule: Rule, data_dir: Path, skipped: Counter[str]) -> Iterator[dict[str, str]]:
    tempos = _original_tempos(data_dir) if rule.source == "pop909" else {}
    taken: set[str] = set()
    for below, origin in _found(data_dir, rule.download, rule.pattern):
        path = f"{rule.folder}/{name_of(rule, below)}"
        if path in taken:
            skipped["name taken by another file"] += 1
        elif _place(origin, data_dir / "corpus" / path, skipped):
            taken.add(path)
            bpm = tempos.get(origin.stem, "")
            yield dict(
                zip(INDEX_COLUMNS, (path, rule.source, rule.grid, bpm, rule.note), strict=True)
            )


def _found(data_dir: Path, download: str, pattern: str) -> list[tuple[Path, Path]]:
    root = data_dir / "downloads" / download
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return [(path.relative_to(root), path) for path in files if path.match(pattern)]


def _place(origin: Path, target: Path, skipped: Counter[str]) -> bool:
    """Put a score at its place as MIDI; count why not where that fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if origin.suffix == ".mxl":
            _convert(origin, target)
        else:
            shutil.copyfile(origin, target)
        read_score(target)
    except (ScoreError, ImportError) as error:
        skipped[str(error)] += 1
        target.unlink(missing_ok=True)
        return False
    return True


def _convert(origin: Path, target: Path) -> None:
    try:
        from music21 import converter
    except ImportError as error:
        raise ImportError(".mxl needs music21 to be converted: pip install music21") from error
    try:
        score = converter.parse(origin)
        score.write("midi", fp=target)  # type: ignore[no-untyped-call]  # music21 has no types
    except Exception as error:  # music21 raises many kinds on odd notation
        raise ScoreError(f"music21 cannot convert it ({type(error).__name__})") from error


def _original_tempos(data_dir: Path) -> dict[str, str]:
    """Read the median tempo of each original POP909 file; POP909-CL holds a placeholder."""
    tempos = {}
    for _, path in _found(data_dir, "pop909_original", "POP909/*/*.mid"):
        with suppress(ScoreError, StatisticsError):  # damaged, or no tempo: bpm stays unknown
            tempos[path.stem] = f"{median(event.qpm for event in read_score(path).tempos):.1f}"
    return tempos


def _emopia_rows(data_dir: Path, skipped: Counter[str]) -> Iterator[dict[str, str]]:
    for _, origin in _found(data_dir, "emopia", "midis/*.mid"):
        match = _EMOPIA_NAME.fullmatch(origin.stem)
        if match is None:
            skipped["name without quadrant and song"] += 1
        elif _place(origin, data_dir / "emotion/emopia" / origin.name, skipped):
            path = f"emopia/{origin.name}"
            yield _label(path, "emopia", match[2], "Q" + match[1])


def _vgmidi_rows(data_dir: Path, skipped: Counter[str]) -> Iterator[dict[str, str]]:
    values = _vgmidi_values(data_dir)
    for _, origin in _found(data_dir, "vgmidi", "labelled/midi/*.mid"):
        name = re.sub(r"[^A-Za-z0-9._-]", "_", origin.stem)
        if origin.name not in values:
            skipped["labelled piece without annotation"] += 1
        elif _place(origin, data_dir / "emotion/vgmidi" / f"{name}.mid", skipped):
            valence, arousal = values[origin.name]
            row = _label(
                f"vgmidi/{name}.mid", "vgmidi", name, _QUADRANTS[valence >= 0, arousal >= 0]
            )
            yield row | {"valence": f"{valence:.3f}", "arousal": f"{arousal:.3f}"}


def _vgmidi_values(data_dir: Path) -> dict[str, tuple[float, float]]:
    """Read the listeners' curves: the mean over a piece of the median over listeners."""
    values = {}
    for _, path in _found(data_dir, "vgmidi", "annotations/vgmidi_raw_*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        curves: dict[str, list[dict[str, list[float]]]] = defaultdict(list)
        for key, curve in content["annotations"].items():
            curves[key.rpartition("_")[0]].append(curve)
        for piece, about in content["pieces"].items():
            if curves[piece]:
                valence, arousal = (
                    fmean(map(median, zip(*(c[axis] for c in curves[piece]), strict=False)))
                    for axis in ("valence", "arousal")
                )
                values[about["midi"]] = (valence, arousal)
    return values


def _label(path: str, source: str, song: str, quadrant: str) -> dict[str, str]:
    values = (path, source, song, quadrant, split_of(song), "", "")
    return dict(zip(LABEL_COLUMNS, values, strict=True))


def split_of(song: str) -> str:
    """Put a song on one side, "train" or "val", by its name alone: always the same side."""
    share = int.from_bytes(hashlib.sha256(song.encode()).digest()[:4], "big") / 2**32
    return "val" if share < VALIDATION_SHARE else "train"


def _write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, table.getvalue())
