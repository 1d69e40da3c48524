"""Checkpoints on a model hub: fetched and checked by hash, saved as a hub has them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from emomusic.files import write_atomically, write_text
from emomusic.model.weights import CheckpointError

SUMS_NAME, CARD_NAME, CONFIG_NAME = "checksums.json", "README.md", "config.json"
FORMAT = "emomusic checksums 1"
NEEDED = (CONFIG_NAME, "mapper.json", "tables.json", "tokenizer.json", "verifier.safetensors")
MAY_BE_THERE = (*NEEDED, "steering.json", "realness.json")
WEIGHTS = re.compile(r"model-\d{2,4}-of-\d{2,4}\.safetensors")
MAX_SUMS_BYTES = 2**20
MAX_BYTES = 8 * 2**30
"""Of all files of a checkpoint together."""
Sums = dict[str, tuple[str, int]]
"""SHA-256 in hexadecimal, and bytes, of each file by its name."""


class HubError(CheckpointError):
    """Tell in one line why a checkpoint cannot be had from a hub."""


def fetch_checkpoint(
    repository: str,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: bool | str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Fetch a checkpoint from a model hub, or take it from the cache, and check each file.

    `checksums.json` comes first; of the rest only the files that it names are fetched, all of
    the same commit, and the model card. A checkpoint holds no code.

    Args:
        repository: `owner/name`.
        revision: Branch, tag or commit; None takes the main branch.
        cache_dir: Where files are kept; None takes the hub's own cache.
        local_files_only: Take what is in the cache.
        token: For what is not public; None takes the one that is stored, if there is one.
        endpoint: Address of the hub; None takes HF_ENDPOINT, or the one that the client knows.

    Returns:
        The folder in the cache; leave it as it is.

    Raises:
        HubError: If it cannot be had, is no checkpoint, or a file is not what its sum says.
    """
    from huggingface_hub import hf_hub_download

    told = repository if revision is None else f"{repository}@{revision}"
    offline = local_files_only or not _reached(told, repository, revision, endpoint, token)

    def fetch(name: str, commit: str | None) -> Path:
        path = hf_hub_download(
            repository,
            name,
            revision=commit,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            local_files_only=offline,
            token=token,
            endpoint=endpoint,
            library_name="emomusic",
        )
        return Path(path)

    folder = _fetched(told, endpoint, partial(fetch, SUMS_NAME, revision)).parent
    sums = read_sums(folder)
    for name in sums:
        _fetched(told, endpoint, partial(fetch, name, folder.name))
    with suppress(Exception):  # what people read beside the weights; nothing hangs on it
        fetch(CARD_NAME, folder.name)
    check_sums(folder, sums)
    return folder


def _reached(
    told: str, repository: str, revision: str | None, endpoint: str | None, token: bool | str | None
) -> bool:
    """Ask once whether the hub is there: fetching itself would try again for half a minute."""
    from huggingface_hub import HfApi, errors

    try:
        HfApi(endpoint=endpoint, token=token).model_info(repository, revision=revision, timeout=10)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise _told(told, endpoint, error) from error
    except Exception:  # what the client's transport raises differs between its versions
        return False
    return True


def _fetched(told: str, endpoint: str | None, fetch: Callable[[], Path]) -> Path:
    try:
        return fetch()
    except Exception as error:  # as above
        raise _told(told, endpoint, error) from error


def _told(told: str, endpoint: str | None, error: Exception) -> HubError:
    """Return what went wrong as a sentence."""
    from huggingface_hub import constants, errors

    hub = endpoint or constants.ENDPOINT
    if isinstance(error, errors.LocalEntryNotFoundError):
        return HubError(
            f"the checkpoint {told} is neither a folder here nor whole in the cache, and the hub "
            f"{hub} is not reached: connect once, or name a folder"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"the hub {hub} has no such revision: {told}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"the checkpoint {told} is neither a folder here nor open to you on the hub {hub}: "
            "check its name, or log in with hf auth login"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return HubError(
            f"{told} on the hub {hub} is no checkpoint that save_pretrained wrote: a file is not "
            f"there ({_one_line(error)})"
        )
    return HubError(f"cannot fetch the checkpoint {told} from {hub}: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def checked_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint that are loaded, in order of their names."""
    return sorted(p for p in folder.iterdir() if _is_known(p.name) and p.is_file())


def _is_known(name: str) -> bool:
    return name in MAY_BE_THERE or WEIGHTS.fullmatch(name) is not None


def sum_of(path: Path) -> tuple[str, int]:
    """Return SHA-256 in hexadecimal, and the bytes, of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def seal(folder: Path) -> Path:
    """Write `checksums.json`: SHA-256 and size of each file that is loaded.

    The model card is left out, so that it can be edited where it stands.

    Raises:
        CheckpointError: If the folder lacks a file of a checkpoint.
        OSError: If a file cannot be read or written.
    """
    sums = {path.name: sum_of(path) for path in checked_files(folder)}
    _check_names(folder, sums)
    files = {name: {"sha256": digest, "bytes": n} for name, (digest, n) in sums.items()}
    write_text(folder / SUMS_NAME, json.dumps({"format": FORMAT, "files": files}, indent=1) + "\n")
    return folder / SUMS_NAME


def _check_names(folder: Path, sums: Sums) -> None:
    lacking = [name for name in NEEDED if name not in sums]
    if not any(WEIGHTS.fullmatch(name) for name in sums):
        lacking.append("model-01-of-01.safetensors")
    if lacking:
        raise CheckpointError(f"{folder} is no whole checkpoint: it lacks {lacking[0]}")


def read_sums(folder: Path) -> Sums:
    """Read `checksums.json` of a checkpoint.

    Raises:
        HubError: If it is missing, damaged or names what no checkpoint has, or too much.
    """
    path = folder / SUMS_NAME
    try:
        if path.stat().st_size > MAX_SUMS_BYTES:
            raise ValueError(f"it is larger than {MAX_SUMS_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        sums = {str(name): _entry(name, entry) for name, entry in dict(values["files"]).items()}
        if sum(n_bytes for _, n_bytes in sums.values()) > MAX_BYTES:
            raise ValueError(f"its files are larger than {MAX_BYTES // 2**30} GiB together")
        _check_names(folder, sums)
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise HubError(f"{path} cannot be used: {_one_line(error)}") from error
    return sums


def _entry(name: str, entry: Any) -> tuple[str, int]:
    if not _is_known(name):
        raise ValueError(f"no checkpoint has a file {name[:80]!r}")
    digest, n_bytes = entry["sha256"], entry["bytes"]
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or type(n_bytes) is not int or n_bytes < 0:
        raise ValueError(f"{name} needs a sha256 in hexadecimal and a number of bytes")
    return digest, n_bytes


def check_sums(folder: Path, sums: Sums) -> None:
    """Check that each file is there and is what its sum says.

    Raises:
        HubError: If one is not.
    """
    for name, (digest, n_bytes) in sums.items():
        path = folder / name
        try:
            good = path.stat().st_size == n_bytes and sum_of(path)[0] == digest
        except OSError as error:
            raise HubError(f"cannot read {path}: {error.strerror or error}") from error
        if not good:
            raise HubError(
                f"{path} is not what {SUMS_NAME} says and is not used: delete "
                f"{path.resolve()} and fetch it again, or ask the checkpoint's owner"
            )


def save_checkpoint(source: Path, folder: Path) -> Path:
    """Copy a checkpoint into a folder that can be put on a hub, with its checksums.

    Args:
        source: A whole checkpoint.
        folder: Made if missing. What else it holds stays.

    Returns:
        The folder.

    Raises:
        CheckpointError: If there is a checkpoint in the folder already, or the source is not whole.
        OSError: If a file cannot be read or written; what was written is taken away then.
    """
    files = checked_files(source)
    _check_names(source, {path.name: ("", 0) for path in files})
    if folder.is_dir() and (held := checked_files(folder)):
        raise CheckpointError(
            f"{folder} holds {held[0].name} of a checkpoint already: name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if (source / CARD_NAME).is_file() and not (folder / CARD_NAME).exists():
        files.append(source / CARD_NAME)
    # The config last: without it nobody takes the folder for a checkpoint.
    files.sort(key=lambda path: path.name == CONFIG_NAME)
    written: list[Path] = []
    try:
        for path in files:
            written.append(folder / path.name)
            _copy(path, folder / path.name)
        seal(folder)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return folder


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as file:
        write_atomically(target, lambda out: shutil.copyfileobj(file, out))
