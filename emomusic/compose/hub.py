"""Checkpoints on a model hub: fetched with the hub's own client, and checked by hash."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from huggingface_hub import HfApi, constants, errors, hf_hub_download

from emomusic.compose.checkpoint import CARD_NAME, CHECKSUMS_NAME, check_files, read_checksums
from emomusic.model.checkpoint import CheckpointError


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
        CheckpointError: If it cannot be had, is no checkpoint, or a file is not what its checksum
            says.
    """
    name = repository if revision is None else f"{repository}@{revision}"
    hub = endpoint or constants.ENDPOINT
    offline = local_files_only

    def fetch(file: str, commit: str | None) -> Path:
        return Path(
            hf_hub_download(
                repository,
                file,
                revision=commit,
                cache_dir=None if cache_dir is None else Path(cache_dir),
                local_files_only=offline,
                token=token,
                endpoint=endpoint,
                library_name="emomusic",
            )
        )

    try:
        offline = offline or not _reaches(
            HfApi(endpoint=endpoint, token=token), repository, revision
        )
        folder = fetch(CHECKSUMS_NAME, revision).parent
        checksums = read_checksums(folder)
        for file in checksums:
            fetch(file, folder.name)
    except CheckpointError:
        raise
    except Exception as error:  # what the client's transport raises differs between its versions
        raise CheckpointError(_explain(error, name, hub)) from error
    with suppress(Exception):  # what people read beside the weights; nothing hangs on it
        fetch(CARD_NAME, folder.name)
    check_files(folder, checksums)
    return folder


def _reaches(api: HfApi, repository: str, revision: str | None) -> bool:
    """Ask once whether the hub is there: fetching itself would try again for half a minute."""
    try:
        api.model_info(repository, revision=revision, timeout=10)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise
    except Exception:  # as above
        return False
    return True


def _explain(error: Exception, name: str, hub: str) -> str:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"the checkpoint {name} is neither a folder here nor whole in the cache, and the hub "
            f"{hub} is not reached: connect once, or name a folder"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the hub {hub} has no such revision: {name}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the checkpoint {name} is neither a folder here nor open to you on the hub {hub}: "
            "check its name, or log in with hf auth login"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return (
            f"{name} on the hub {hub} is no checkpoint that save_pretrained wrote: a file is not "
            f"there ({reason})"
        )
    return f"cannot fetch the checkpoint {name} from {hub}: {reason}"
