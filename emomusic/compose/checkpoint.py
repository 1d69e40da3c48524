"""A checkpoint's folder: where it is, here or on a hub, what belongs to it, its checksums."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symusic.core import ScoreTick

import emomusic
from emomusic.files import write_atomically, write_text
from emomusic.model.checkpoint import CheckpointError
from emomusic.music.score import notes_of, parse_score
from emomusic.verify.verifier import Verdict, Verifier

if TYPE_CHECKING:
    from emomusic.compose.primer import Music

NAME = "emomusic-12m"
VARIABLE = "EMOMUSIC_CHECKPOINT"
CHECKSUMS_NAME, CARD_NAME, CONFIG_NAME = "checksums.json", "README.md", "config.json"
FORMAT = "emomusic checksums 1"
NEEDED = (CONFIG_NAME, "mapper.json", "tables.json", "tokenizer.json", "verifier.safetensors")
KNOWN = (*NEEDED, "steering.json", "realness.json")
WEIGHTS = re.compile(r"model-\d{2,4}-of-\d{2,4}\.safetensors")
MAX_CHECKSUMS_BYTES = 2**20
MAX_BYTES = 8 * 2**30
"""Of all files of a checkpoint together."""
_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}"
_ON_A_HUB = re.compile(rf"(?P<repository>{_PART}/{_PART})(@(?P<revision>[A-Za-z0-9][\w./-]*))?")
Checksums = dict[str, tuple[str, int]]
"""SHA-256 in hexadecimal, and bytes, of each file by its name."""


def find_checkpoint(
    named: str | os.PathLike[str] | None, *, revision: str | None = None, **of_hub: Any
) -> Path:
    """Return the folder of a checkpoint.

    Args:
        named: A folder, or `owner/name` or `owner/name@revision` of one on a model hub; what is
            there as a folder is a folder, and so is what would lie in one. None looks into the
            environment's EMOMUSIC_CHECKPOINT, which says either, then for
            `checkpoints/emomusic-12m` below the current folder, beside the package and in it.
        revision: Branch, tag or commit on the hub; the rest as `fetch_checkpoint` takes it.

    Raises:
        ValueError: If there is none; `CheckpointError` if it cannot be had from the hub.
    """
    if named is None and not (named := os.environ.get(VARIABLE)):
        package = Path(emomusic.__file__).resolve().parent
        for root in (Path(), package.parent, package):
            if (root / "checkpoints" / NAME).is_dir():
                return root / "checkpoints" / NAME
        raise ValueError(
            f"no checkpoint found; name one with --checkpoint or the variable {VARIABLE}"
        )
    folder = Path(named)
    if folder.is_dir():
        return folder
    on_a_hub = _ON_A_HUB.fullmatch(folder.as_posix())
    if on_a_hub is None or folder.parent.is_dir():
        raise ValueError(f"no such checkpoint folder: {folder}")
    revision = revision or on_a_hub["revision"]
    return fetch_checkpoint(on_a_hub["repository"], revision=revision, **of_hub)


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
    the same commit, and the model card. A checkpoint holds no code. Leave the folder as it is.

    Args:
        repository: `owner/name`; the rest as of `Composer.from_pretrained`.
        endpoint: Address of the hub; None takes HF_ENDPOINT, or the one that the client knows.

    Raises:
        CheckpointError: If it cannot be had, is no checkpoint, or a file is not what its checksum
            says.
    """
    from huggingface_hub import HfApi, constants, errors, hf_hub_download

    offline = local_files_only
    how: dict[str, Any] = {"token": token, "endpoint": endpoint, "library_name": "emomusic"}
    how["cache_dir"] = None if cache_dir is None else Path(cache_dir)

    def fetch(name: str, commit: str | None) -> Path:
        how["local_files_only"] = offline
        return Path(hf_hub_download(repository, name, revision=commit, **how))

    try:
        if not offline:  # ask once: fetching itself would try again for half a minute
            try:
                api = HfApi(endpoint=endpoint, token=token)
                api.model_info(repository, revision=revision, timeout=10)
            except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
                raise
            except Exception:  # what the client's transport raises differs between its versions
                offline = True
        folder = fetch(CHECKSUMS_NAME, revision).parent
        checksums = read_checksums(folder)
        for name in checksums:
            fetch(name, folder.name)
    except CheckpointError:
        raise
    except Exception as error:  # as above
        wanted = repository if revision is None else f"{repository}@{revision}"
        raise CheckpointError(_explain(error, wanted, endpoint or constants.ENDPOINT)) from error
    with suppress(Exception):  # what people read beside the weights; nothing hangs on it
        fetch(CARD_NAME, folder.name)
    check_files(folder, checksums)
    return folder


def _explain(error: Exception, name: str, hub: str) -> str:
    from huggingface_hub import errors

    reason = " ".join(str(error).split())[:300] or type(error).__name__
    here = f"the checkpoint {name} is neither a folder here nor"
    told: dict[type[Exception], str] = {
        errors.LocalEntryNotFoundError: f"{here} whole in the cache, and the hub {hub} is not "
        "reached: connect once, or name a folder",
        errors.RevisionNotFoundError: f"the hub {hub} has no such revision: {name}",
        errors.RepositoryNotFoundError: f"{here} open to you on the hub {hub}: check its name, or "
        "log in with hf auth login",
        errors.EntryNotFoundError: f"{name} on the hub {hub} is no checkpoint that save_pretrained "
        f"wrote: a file is not there ({reason})",
        Exception: f"cannot fetch the checkpoint {name} from {hub}: {reason}",
    }
    return next(words for kind, words in told.items() if isinstance(error, kind))


def checkpoint_name(folder: Path) -> str:
    """Return what a checkpoint is called: `owner/name` in a hub's cache, else its folder's name."""
    whole = folder.resolve()
    kind, *parts = whole.parent.parent.name.split("--")
    if whole.parent.name == "snapshots" and kind == "models" and len(parts) == 2:
        return "/".join(parts)
    return whole.name


def hear(music: Music, *, verifier: Verifier | None = None) -> Verdict:
    """Hear which emotion a piece carries.

    Args:
        music: The path of a MIDI file, its bytes, or a score of any unit, such as a clip's.
        verifier: None takes the default checkpoint's, which is loaded once.

    Raises:
        ScoreError: If the music cannot be read or holds no notes.
        ValueError: If it is of another type.
    """
    from emomusic.compose.primer import midi_bytes

    score = music if isinstance(music, ScoreTick) else parse_score(midi_bytes(music))
    notes = notes_of(score)
    return (verifier or _load_verifier(find_checkpoint(None).resolve())).verdict(notes)


_load_verifier = lru_cache(maxsize=4)(Verifier.load)


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint that are loaded, in order of their names."""
    return sorted(path for path in folder.iterdir() if _is_known(path.name) and path.is_file())


def _is_known(name: str) -> bool:
    return name in KNOWN or WEIGHTS.fullmatch(name) is not None


def file_checksum(path: Path) -> tuple[str, int]:
    """Return SHA-256 in hexadecimal, and the bytes, of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def seal(folder: Path) -> Path:
    """Write `checksums.json`: SHA-256 and size of each file that is loaded; the model card is not.

    Raises:
        CheckpointError: If the folder lacks a file of a checkpoint.
    """
    checksums = {path.name: file_checksum(path) for path in checkpoint_files(folder)}
    _check_complete(folder, set(checksums))
    files = {name: {"sha256": digest, "bytes": n} for name, (digest, n) in checksums.items()}
    text = json.dumps({"format": FORMAT, "files": files}, indent=1) + "\n"
    write_text(folder / CHECKSUMS_NAME, text)
    return folder / CHECKSUMS_NAME


def _check_complete(folder: Path, names: set[str]) -> None:
    lacking = [name for name in NEEDED if name not in names]
    if not any(WEIGHTS.fullmatch(name) for name in names):
        lacking.append("model-01-of-01.safetensors")
    if lacking:
        raise CheckpointError(f"{folder} is no whole checkpoint: it lacks {lacking[0]}")


def read_checksums(folder: Path) -> Checksums:
    """Read `checksums.json` of a checkpoint.

    Raises:
        CheckpointError: If it is missing, damaged or names what no checkpoint has, or too much.
    """
    path = folder / CHECKSUMS_NAME
    try:
        if path.stat().st_size > MAX_CHECKSUMS_BYTES:
            raise ValueError(f"it is larger than {MAX_CHECKSUMS_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        checksums = {}
        for name, entry in dict(values["files"]).items():
            if not _is_known(name):
                raise ValueError(f"no checkpoint has a file {name[:80]!r}")
            digest, n = entry["sha256"], entry["bytes"]
            if not re.fullmatch(r"[0-9a-f]{64}", digest) or type(n) is not int or n < 0:
                raise ValueError(f"{name} needs a sha256 in hexadecimal and a number of bytes")
            checksums[name] = (digest, n)
        if sum(n_bytes for _, n_bytes in checksums.values()) > MAX_BYTES:
            raise ValueError(f"its files are larger than {MAX_BYTES // 2**30} GiB together")
        _check_complete(folder, set(checksums))
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(f"{path} cannot be used: {reason}") from error
    return checksums


def check_files(folder: Path, checksums: Checksums) -> None:
    """Check that each file is there and is what its checksum says, or raise a `CheckpointError`."""
    for name, (digest, n_bytes) in checksums.items():
        path = folder / name
        try:
            is_good = path.stat().st_size == n_bytes and file_checksum(path)[0] == digest
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
        if not is_good:
            raise CheckpointError(
                f"{path} is not what {CHECKSUMS_NAME} says and is not used: delete "
                f"{path.resolve()} and fetch it again, or ask the checkpoint's owner"
            )


def save_checkpoint(source: Path, folder: Path) -> Path:
    """Copy a whole checkpoint into a folder that can be put on a hub, with its checksums.

    The folder is made if missing; what else it holds stays, and all of it where copying fails.

    Raises:
        CheckpointError: If there is a checkpoint in the folder already, or the source is not whole.
        OSError: If a file cannot be read or written.
    """
    files = checkpoint_files(source)
    _check_complete(source, {path.name for path in files})
    if folder.is_dir() and (held := checkpoint_files(folder)):
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
            with path.open("rb") as file:
                write_atomically(written[-1], partial(shutil.copyfileobj, file))
        seal(folder)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return folder
