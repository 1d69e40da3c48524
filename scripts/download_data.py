"""Fetch the training and evaluation data from its public homes.

    python scripts/download_data.py --source pop909 --out datasets/raw
    python scripts/download_data.py --source all --out mydata --yes --arrange

Archives are unpacked with care and arranged for `emomusic prepare`. The rules of the recipe follow
the file lists of the public repositories. No rule can say what nobody published: bar phases of
pop1k7, near-duplicates across sources and the choice of piano pieces in VGMIDI are left to the
reader; see datasets/README.md.

Exit status: 0 all done, 1 nothing done, 2 wrong usage, 3 partly done.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import stat
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from statistics import StatisticsError, fmean, median

from emomusic.emotion import quadrant_of
from emomusic.files import write_text
from emomusic.music.score import ScoreError, read_score

ROOT = Path(__file__).parent.parent

RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""Passing failures of a server, by RFC 9110 and RFC 6585."""
WANTED_SUFFIXES = frozenset({".mid", ".midi", ".mxl", ".csv", ".json"})
CHUNK = 1 << 20
MAX_ARCHIVE_BYTES = 4 << 30
"""The largest archive has about 1 GB; this only keeps a wrong address from filling the disk."""
MAX_MEMBER_BYTES, MAX_TOTAL_BYTES, MAX_MEMBERS = 64 << 20, 2 << 30, 100_000
"""Far above what the sources hold (the largest label file has 4 MB)."""
INDEX_COLUMNS = ("path", "source", "grid", "bpm", "note")
LABEL_COLUMNS = ("path", "source", "song", "quadrant", "split", "valence", "arousal")
VALIDATION_SHARE = 0.2  # of the songs, where a source has no official split in its archive


class DownloadError(Exception):
    """Say in one line why a source could not be fetched, unpacked or arranged."""


@dataclass(frozen=True)
class Rule:
    """Which files of a download go to the corpus, and what the index says of them.

    Attributes:
        files: A regular expression of the end of their path.
        folder: Where they go; empty is the source's name.
        source: What the index calls them; empty as well.
        grid: `bar`, `beat` or `none`: what of the metre the files know.
        note: A remark of the index.
        prefix: What a name begins with, before the groups of `files`.
        joiner: What stands between those.
    """

    files: str
    folder: str = ""
    source: str = ""
    grid: str = "bar"
    note: str = ""
    prefix: str = ""
    joiner: str = "_"

    def name(self, below: str) -> str | None:
        """Name a file of a download, given its path below that; None if it is none of these."""
        match = re.search(f"(?:^|/){self.files}$", below)
        return match and _plain(self.prefix + self.joiner.join(match.groups())) + ".mid"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


@dataclass(frozen=True)
class Source:
    """One source of data: where it lives, on which terms, and what to take from it.

    `keep` holds patterns of the files to unpack, matched from the right, as in
    `PurePosixPath.match`. `sha256` is None until somebody has fetched the file and recorded it.
    """

    name: str
    url: str
    home: str
    licence: str
    used_for: str
    processing: str
    unverified: str
    keep: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None
    corpus: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        """Check what a typing mistake in the recipe would break."""
        if not self.url.startswith(("https://", "http://127.0.0.1:")):
            raise ValueError(f"url of {self.name} must start with https://, got {self.url}")
        for kind, digest, length in (("sha256", self.sha256, 64), ("md5", self.md5, 32)):
            if digest is not None and len(digest) != length:
                raise ValueError(f"{kind} of {self.name} must have {length} digits, got {digest}")


def read_sources(path: Path) -> dict[str, Source]:
    """Read the recipe of the data, by name.

    Raises:
        DownloadError: If the file cannot be read or is not a recipe.
    """
    known = {entry.name for entry in fields(Source)}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["sources"]
        for row in rows:
            if unknown := row.keys() - known:
                raise ValueError(f"unknown keys {sorted(unknown)}, known are {sorted(known)}")
            row["keep"] = tuple(row["keep"])
            row["corpus"] = tuple(Rule(**rule) for rule in row.get("corpus", ()))
        return {row["name"]: Source(**row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DownloadError(f"cannot read the recipe {path}: {error}") from error


@dataclass(frozen=True)
class Fetched:
    """What became of one source: files unpacked, files left out with reasons, digest."""

    folder: Path
    n_files: int
    skipped: Mapping[str, int]
    sha256: str
    first_seen: bool


def fetch(source: Source, out_dir: Path, *, attempts: int = 4, wait_s: float = 2.0) -> Fetched:
    """Fetch one source into `out_dir/downloads/<name>/`.

    The archive stays in `out_dir/downloads/<name>.zip`, so that a later run fetches nothing; its
    digest is kept in `out_dir/checksums.json` once it is unpacked, and checked from then on.

    Args:
        source: What to fetch.
        out_dir: The data folder; made if it is not there.
        attempts: How often to try before giving up, at least 1.
        wait_s: Seconds before the second attempt; doubled before each further one.

    Raises:
        DownloadError: If the server does not deliver, a checksum differs, or the archive is
            damaged or unsafe.
    """
    archive = out_dir / "downloads" / f"{source.name}.zip"
    checksums_path, folder = out_dir / "checksums.json", archive.with_suffix("")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            download(source.url, archive, attempts=attempts, wait_s=wait_s)
        recorded = _read_checksums(checksums_path)
        digest = _check(archive, md5=source.md5, sha256=source.sha256 or recorded.get(source.url))
        n_files, skipped = unpack(archive, folder, keep=source.keep)
        is_new = source.url not in recorded
        if is_new:  # only now: a damaged archive is no reference for later
            content = json.dumps(recorded | {source.url: digest}, indent=2, sort_keys=True)
            write_text(checksums_path, content + "\n")
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        archive.unlink()
        raise DownloadError(f"{source.name}: not a whole zip archive: {error}") from error
    except (OSError, DownloadError) as error:
        raise DownloadError(f"{source.name}: {error}") from error
    return Fetched(folder, n_files, skipped, digest, is_new and source.sha256 is None)


def download(
    url: str, path: Path, *, attempts: int = 4, wait_s: float = 2.0, timeout_s: float = 60.0
) -> None:
    """Download a file; it appears under its name only when it is complete.

    What has arrived is kept in `<name>.part` and continued, in this run or a later one, where
    the server supports it.

    Raises:
        DownloadError: If the server refuses, keeps failing, or sends more than 4 GiB.
    """
    part = path.with_name(path.name + ".part")
    for attempt in range(1, attempts + 1):
        try:
            _receive(url, part, timeout_s=timeout_s)
            part.replace(path)
            return
        except (OSError, http.client.HTTPException) as error:
            status = error.code if isinstance(error, urllib.error.HTTPError) else 503
            if attempt == attempts or status not in RETRIED_STATUS:
                n_tries = "1 attempt" if attempt == 1 else f"{attempt} attempts"
                raise DownloadError(f"cannot fetch {url} after {n_tries}: {error}") from error
            time.sleep(wait_s * 2 ** (attempt - 1))


def _receive(url: str, part: Path, *, timeout_s: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "emomusic", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            part.unlink()  # what we hold is not the start of this file: begin again
            raise ConnectionError("the server cannot continue the download") from error
        raise
    with response:
        continued = response.status == 206
        if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink()
            raise ConnectionError("the server continued at the wrong place")
        length = str(response.headers.get("Content-Length"))
        expected = (int(length) if length.isdigit() else 0) + (have if continued else 0)
        with part.open("ab" if continued else "wb") as file:
            while block := response.read(CHUNK):
                file.write(block)
                if file.tell() > MAX_ARCHIVE_BYTES:
                    raise DownloadError(f"the file is larger than {MAX_ARCHIVE_BYTES >> 30} GiB")
            if file.tell() < expected:
                got = file.tell()
                raise ConnectionError(f"the connection broke at {got} of {expected} bytes")


def _check(archive: Path, **wanted: str | None) -> str:
    """Return the last of some digests; an archive of another is removed, to be fetched again."""
    digest = ""
    for kind, want in wanted.items():
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, kind).hexdigest()
        if want is not None and want.lower() != digest:
            archive.unlink()
            raise DownloadError(f"{kind} must be {want}, got {digest}; file removed")
    return digest


def _read_checksums(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise DownloadError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise DownloadError(f"{path} must map addresses to digests")
    return content


def unpack(
    archive: Path, folder: Path, *, keep: tuple[str, ...] = ("*",)
) -> tuple[int, dict[str, int]]:
    """Unpack the MIDI, score and label files of a zip archive, all or nothing.

    Args:
        archive: A zip file.
        folder: Where the files appear, once all are unpacked; what was there is replaced.
        keep: Patterns of the members to take, matched from the right.

    Returns:
        The number of files written, and how many members were left out for each reason.

    Raises:
        BadZipFile, EOFError, zlib.error: If the archive is not whole.
        DownloadError: If a member would leave the folder, the archive needs a password, exceeds
            the limits of this module, or holds nothing to keep.
    """
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    skipped: Counter[str] = Counter()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _chosen(opened, keep, skipped)
            _extract(opened, members, part)
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    except (RuntimeError, NotImplementedError) as error:  # a password, an unknown compression
        raise DownloadError(f"the archive cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(members), dict(skipped)


def _chosen(
    opened: zipfile.ZipFile, keep: tuple[str, ...], skipped: Counter[str]
) -> list[zipfile.ZipInfo]:
    members = []
    for member in opened.infolist():
        name, path = member.filename, PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name.split("/")[0]:
            raise DownloadError(f"the archive names a file outside its folder: {name[:80]!r}")
        if member.is_dir():
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            skipped["link"] += 1
        elif path.suffix.lower() not in WANTED_SUFFIXES:
            skipped["neither MIDI, score nor labels"] += 1
        elif not any(path.match(pattern) for pattern in keep):
            skipped["not part of the recipe"] += 1
        else:
            members.append(member)
    if not members:
        raise DownloadError(f"no file in the archive matches {', '.join(keep)}")
    if len(members) > MAX_MEMBERS:
        raise DownloadError(f"the archive holds more than {MAX_MEMBERS} files to keep")
    return members


def _extract(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> None:
    total = 0
    for member in members:
        target, n_bytes = folder / member.filename, 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as packed, target.open("wb") as file:
            while block := packed.read(CHUNK):  # what comes out counts, not what the header says
                n_bytes, total = n_bytes + len(block), total + len(block)
                if n_bytes > MAX_MEMBER_BYTES:
                    name, mib = member.filename[:80], MAX_MEMBER_BYTES >> 20
                    raise DownloadError(f"{name!r} unpacks to over {mib} MiB")
                if total > MAX_TOTAL_BYTES:
                    gib = MAX_TOTAL_BYTES >> 30
                    raise DownloadError(f"the archive unpacks to over {gib} GiB")
                file.write(block)


def arrange(data_dir: Path, sources: Iterable[Source]) -> tuple[Counter[str], Counter[str]]:
    """Build `corpus/` and `emotion/` with their tables from `downloads/`.

    Sources that were not downloaded are left out. MusicXML (.mxl) is converted with music21,
    where that is installed.

    Returns:
        How many files were arranged for each source, and left out for each reason.

    Raises:
        DownloadError: If a table exists already, or no file was found.
    """
    index_path, labels_path = data_dir / "corpus/index.csv", data_dir / "emotion/labels.csv"
    for path in (index_path, labels_path):
        if path.exists():
            raise DownloadError(f"{path} exists already: choose another folder, or remove it")
    skipped: Counter[str] = Counter()
    rules = [(source.name, rule) for source in sources for rule in source.corpus]
    index = [row for name, rule in rules for row in _corpus_rows(name, rule, data_dir, skipped)]
    labels = [*_emopia_rows(data_dir, skipped), *_vgmidi_rows(data_dir, skipped)]
    if not index and not labels:
        raise DownloadError(f"no file of a known source in {data_dir / 'downloads'}")
    for path, rows in (
        (index_path, [INDEX_COLUMNS, *index]),
        (labels_path, [LABEL_COLUMNS, *labels]),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows(rows)
        write_text(path, table.getvalue())
    return Counter(row[1] for row in (*index, *labels)), skipped


def _corpus_rows(
    download: str, rule: Rule, data_dir: Path, skipped: Counter[str]
) -> Iterator[tuple[str, ...]]:
    tempos = _original_tempos(data_dir) if download == "pop909" else {}
    folder, taken = rule.folder or download, set[str]()
    for below, origin in _found(data_dir, download):
        name = rule.name(below)
        if name in taken:
            skipped["name taken by another file"] += 1
        elif name and _place(origin, data_dir / "corpus" / folder / name, skipped):
            taken.add(name)
            bpm = tempos.get(origin.stem, "")
            yield f"{folder}/{name}", rule.source or download, rule.grid, bpm, rule.note


def _found(data_dir: Path, download: str, pattern: str = "*") -> list[tuple[str, Path]]:
    root = data_dir / "downloads" / download
    files = [path for path in sorted(root.rglob("*")) if path.match(pattern) and path.is_file()]
    return [(path.relative_to(root).as_posix(), path) for path in files]


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


def _emopia_rows(data_dir: Path, skipped: Counter[str]) -> Iterator[tuple[str, ...]]:
    for _, origin in _found(data_dir, "emopia", "midis/*.mid"):
        match = re.fullmatch(r"Q([1-4])_(.+)_\d+", origin.stem)
        if match is None:
            skipped["name without quadrant and song"] += 1
        elif _place(origin, data_dir / "emotion/emopia" / origin.name, skipped):
            quadrant, song = match.groups()
            yield f"emopia/{origin.name}", "emopia", song, f"Q{quadrant}", split_of(song), "", ""


def _vgmidi_rows(data_dir: Path, skipped: Counter[str]) -> Iterator[tuple[str, ...]]:
    values = _vgmidi_values(data_dir)
    for _, origin in _found(data_dir, "vgmidi", "labelled/midi/*.mid"):
        song = _plain(origin.stem)
        if origin.name not in values:
            skipped["labelled piece without annotation"] += 1
        elif _place(origin, data_dir / "emotion/vgmidi" / f"{song}.mid", skipped):
            valence, arousal = values[origin.name]
            quadrant = quadrant_of(valence, arousal)
            rated = f"{valence:.3f}", f"{arousal:.3f}"
            yield f"vgmidi/{song}.mid", "vgmidi", song, quadrant, split_of(song), *rated


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


def split_of(song: str) -> str:
    """Put a song on one side, "train" or "val", by its name alone: always the same side."""
    share = int.from_bytes(hashlib.sha256(song.encode()).digest()[:4], "big") / 2**32
    return "val" if share < VALIDATION_SHARE else "train"


def main(argv: list[str] | None = None) -> int:
    """Fetch what is asked for and return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        sources = read_sources(arguments.recipe)
    except DownloadError as error:
        parser.error(str(error))
    if arguments.source != "all" and arguments.source not in sources:
        known = ", ".join(sources)
        parser.error(f"--source must be all or one of {known}, got {arguments.source}")
    if not arguments.yes and not sys.stdin.isatty():
        parser.error("nobody is here to accept the licences: read them and pass --yes")
    chosen = sources.values() if arguments.source == "all" else [sources[arguments.source]]
    try:
        done = [_fetched(source, arguments) for source in chosen]
        if arguments.arrange and any(done):
            done.append(_arranged(arguments.out, sources.values()))
    except KeyboardInterrupt:
        print("stopped; the same command continues where it was", file=sys.stderr)
        return 1
    return 0 if all(done) else 3 if any(done) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fetch the data from its public homes.")
    parser.add_argument("--source", required=True, metavar="NAME", help="a source, or all")
    parser.add_argument("--out", type=Path, default=ROOT / "datasets" / "raw", metavar="DIR")
    parser.add_argument("--yes", action="store_true", help="accept the licences unasked")
    parser.add_argument(
        "--arrange", action="store_true", help="then build corpus/ and emotion/ from downloads/"
    )
    parser.add_argument(
        "--recipe", type=Path, default=ROOT / "datasets" / "sources.json", metavar="FILE"
    )
    return parser


def _fetched(source: Source, arguments: argparse.Namespace) -> bool:
    print(f"{source.name}: {source.home}\n  licence: {source.licence}\n  for: {source.used_for}")
    if not arguments.yes and input("  fetch it on these terms? [y/N] ").strip().lower() != "y":
        print("  not fetched")
        return False
    try:
        result = fetch(source, arguments.out)
    except DownloadError as error:
        print(f"download_data: {error}", file=sys.stderr)
        return False
    state = "recorded, not known before" if result.first_seen else "as recorded"
    print(f"  {result.n_files} files in {result.folder}\n  sha256 {result.sha256} ({state})")
    _print_skipped(result.skipped)
    return True


def _arranged(out_dir: Path, sources: Iterable[Source]) -> bool:
    try:
        n_files, skipped = arrange(out_dir, sources)
    except (DownloadError, OSError, ValueError, KeyError) as error:
        print(f"download_data: cannot arrange: {error}", file=sys.stderr)
        return False
    for source, count in sorted(n_files.items()):
        print(f"arranged {count} files of {source}")
    _print_skipped(skipped)
    return True


def _print_skipped(skipped: Mapping[str, int]) -> None:
    for reason, n_files in sorted(skipped.items()):
        print(f"  left out {n_files}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
