"""Fetch the data from its public homes: resumed, checked, and unpacked with care."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

from emomusic.data.fetch.unpack import CHUNK, ArchiveError, DamagedArchiveError, unpack

RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})  # passing, by RFC 9110 and RFC 6585
# The largest archive has about 1 GB; this only keeps a wrong address from filling the disk.
MAX_ARCHIVE_BYTES = 4 << 30


class DownloadError(Exception):
    """Tell in one line why a source could not be fetched."""


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
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            download(source.url, archive, attempts=attempts, wait_s=wait_s)
        return _check_and_unpack(source, archive, out_dir / "checksums.json")
    except (OSError, ArchiveError) as error:
        if isinstance(error, DamagedArchiveError):
            archive.unlink()
        raise DownloadError(f"{source.name}: {error}") from error


def _check_and_unpack(source: Source, archive: Path, checksums_path: Path) -> Fetched:
    recorded = _read_checksums(checksums_path)
    digest = _verify(archive, source, recorded)
    folder = archive.with_suffix("")
    n_files, skipped = unpack(archive, folder, keep=source.keep)
    if source.url not in recorded:  # only now: a damaged archive is no reference for later
        _write_checksums(checksums_path, recorded | {source.url: digest})
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
        continued = response.status == 206 and _starts_at(response.headers, have)
        if response.status == 206 and not continued:
            part.unlink()
            raise ConnectionError("the server continued at the wrong place")
        expected = _expected_size(response.headers, have if continued else 0)
        _append(response, part, mode="ab" if continued else "wb")
    if expected is not None and part.stat().st_size < expected:
        raise ConnectionError(f"the connection broke at {part.stat().st_size} of {expected} bytes")


def _starts_at(headers: Any, offset: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {offset}-")


def _expected_size(headers: Any, offset: int) -> int | None:
    length = headers.get("Content-Length")
    return offset + int(length) if length is not None and length.isdigit() else None


def _append(response: IO[bytes], part: Path, *, mode: str) -> None:
    with part.open(mode) as file:
        while block := response.read(CHUNK):
            file.write(block)
            if file.tell() > MAX_ARCHIVE_BYTES:
                raise DownloadError(f"the file is larger than {MAX_ARCHIVE_BYTES >> 30} GiB")


def _verify(archive: Path, source: Source, recorded: Mapping[str, str]) -> str:
    """Check an archive; a wrong one is removed, so that the next run fetches it again."""
    digest = _digest(archive, "sha256")
    expected = [("sha256", source.sha256 or recorded.get(source.url, digest), digest)]
    if source.md5 is not None:
        expected.append(("md5", source.md5, _digest(archive, "md5")))
    for kind, want, got in expected:
        if want.lower() != got:
            archive.unlink()
            raise DownloadError(f"{source.name}: {kind} must be {want}, got {got}; file removed")
    return digest


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


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


def _write_checksums(path: Path, content: dict[str, str]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)
