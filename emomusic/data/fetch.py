"""Fetch the data from its public homes: resumed, checked, and unpacked with care."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

from emomusic.files import write_text

RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""Passing failures of a server, by RFC 9110 and RFC 6585."""
WANTED_SUFFIXES = frozenset({".mid", ".midi", ".mxl", ".csv", ".json"})
CHUNK = 1 << 20
MAX_ARCHIVE_BYTES = 4 << 30
"""The largest archive has about 1 GB; this only keeps a wrong address from filling the disk."""
MAX_MEMBER_BYTES, MAX_TOTAL_BYTES, MAX_MEMBERS = 64 << 20, 2 << 30, 100_000
"""Far above what the sources hold (the largest label file has 4 MB)."""


_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error)


class ArchiveError(Exception):
    """Say in one line why an archive is not unpacked."""


class DownloadError(Exception):
    """Say in one line why a source could not be fetched."""


@dataclass(frozen=True)
class Source:
    """Describe one source of data: where it lives, on which terms, and what to take from it.

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

    def __post_init__(self) -> None:
        """Check what a typing mistake in the recipe would break."""
        if not self.url.startswith(("https://", "http://127.0.0.1:")):
            raise ValueError(f"url of {self.name} must start with https://, got {self.url}")
        for kind, length in (("sha256", 64), ("md5", 32)):
            digest = getattr(self, kind)
            if digest is not None and len(digest) != length:
                raise ValueError(f"{kind} of {self.name} must have {length} digits, got {digest}")


@dataclass(frozen=True)
class Fetched:
    """Report what became of one source: files unpacked, files left out with reasons, digest."""

    folder: Path
    n_files: int
    skipped: Mapping[str, int]
    sha256: str
    first_seen: bool


def read_sources(path: Path) -> dict[str, Source]:
    """Read the recipe of the data, by name.

    Raises:
        DownloadError: If the file cannot be read or is not a recipe.
    """
    known = {field.name for field in fields(Source)}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["sources"]
        for row in rows:
            if unknown := row.keys() - known:
                raise ValueError(f"unknown keys {sorted(unknown)}, known are {sorted(known)}")
        sources = [Source(**row | {"keep": tuple(row["keep"])}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DownloadError(f"cannot read the recipe {path}: {error}") from error
    return {source.name: source for source in sources}


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
    checksums_path = out_dir / "checksums.json"
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            download(source.url, archive, attempts=attempts, wait_s=wait_s)
        recorded = _read_checksums(checksums_path)
        digest = _verify(archive, source, recorded)
        folder = archive.with_suffix("")
        n_files, skipped = unpack(archive, folder, keep=source.keep)
        if source.url not in recorded:  # only now: a damaged archive is no reference for later
            content = json.dumps(recorded | {source.url: digest}, indent=2, sort_keys=True)
            write_text(checksums_path, content + "\n")
    except _DAMAGE as error:
        archive.unlink()
        raise DownloadError(f"{source.name}: not a whole zip archive: {error}") from error
    except (OSError, ArchiveError) as error:
        raise DownloadError(f"{source.name}: {error}") from error
    first_seen = source.sha256 is None and source.url not in recorded
    return Fetched(folder, n_files, skipped, digest, first_seen)


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
        except (OSError, http.client.HTTPException) as error:
            refused = isinstance(error, urllib.error.HTTPError) and (
                error.code not in RETRIED_STATUS
            )
            if refused or attempt == attempts:
                n_tries = "1 attempt" if attempt == 1 else f"{attempt} attempts"
                raise DownloadError(f"cannot fetch {url} after {n_tries}: {error}") from error
            time.sleep(wait_s * 2 ** (attempt - 1))
        else:
            part.replace(path)
            return


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
        with part.open("ab" if continued else "wb") as file:
            while block := response.read(CHUNK):
                file.write(block)
                if file.tell() > MAX_ARCHIVE_BYTES:
                    raise DownloadError(f"the file is larger than {MAX_ARCHIVE_BYTES >> 30} GiB")
    got = part.stat().st_size
    expected = (int(length) if length.isdigit() else 0) + (have if continued else 0)
    if got < expected:
        raise ConnectionError(f"the connection broke at {got} of {expected} bytes")


def _verify(archive: Path, source: Source, recorded: Mapping[str, str]) -> str:
    """Check an archive; a wrong one is removed, so that the next run fetches it again."""
    found = {}
    for kind in ("sha256", "md5"):
        with archive.open("rb") as file:
            found[kind] = hashlib.file_digest(file, kind).hexdigest()
    wanted = {"sha256": source.sha256 or recorded.get(source.url), "md5": source.md5}
    for kind, want in wanted.items():
        if want is not None and want.lower() != (got := found[kind]):
            archive.unlink()
            raise DownloadError(f"{source.name}: {kind} must be {want}, got {got}; file removed")
    return found["sha256"]


def _read_checksums(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
        ArchiveError: If a member would leave the folder, the archive needs a password, exceeds
            the limits of this module, or holds nothing to keep.
    """
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members, skipped = _chosen(opened, keep)
            _extract(opened, members, part)
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    except (RuntimeError, NotImplementedError) as error:  # a password, an unknown compression
        raise ArchiveError(f"the archive cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(members), dict(skipped)


def _chosen(
    opened: zipfile.ZipFile, keep: tuple[str, ...]
) -> tuple[list[zipfile.ZipInfo], Counter[str]]:
    members, skipped = [], Counter[str]()
    for member in opened.infolist():
        path = _safe_path(member.filename)
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
        raise ArchiveError(f"no file in the archive matches {', '.join(keep)}")
    if len(members) > MAX_MEMBERS:
        raise ArchiveError(f"the archive holds more than {MAX_MEMBERS} files to keep")
    return members, skipped


def _safe_path(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name.split("/")[0]:
        raise ArchiveError(f"the archive names a file outside its folder: {name[:80]!r}")
    return path


def _extract(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> None:
    total = 0
    for member in members:
        target, n_bytes = folder / _safe_path(member.filename), 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as packed, target.open("wb") as file:
            while block := packed.read(CHUNK):  # what comes out counts, not what the header says
                n_bytes, total = n_bytes + len(block), total + len(block)
                if n_bytes > MAX_MEMBER_BYTES:
                    name, mib = member.filename[:80], MAX_MEMBER_BYTES >> 20
                    raise ArchiveError(f"{name!r} unpacks to over {mib} MiB")
                if total > MAX_TOTAL_BYTES:
                    raise ArchiveError(f"the archive unpacks to over {MAX_TOTAL_BYTES >> 30} GiB")
                file.write(block)
