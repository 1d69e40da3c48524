"""Joining a Ray cluster, and leaving it."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMED = ("auto", "local")
HOST_AND_PORT = re.compile(r"(ray://)?([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}")
ANSWERS_S = 10.0
MISSING = "--engine ray needs ray: install it with pip install 'emomusic[ray]'"


class ClusterError(ValueError):
    """Tell in one line why the cluster cannot compose the job."""


def check_ray(address: str | None = None) -> str:
    """Check that ray is installed, keep it quiet, and return the address that is meant.

    Args:
        address: As `joined` takes it.

    Raises:
        ClusterError: If it is not, or the address is none.
    """
    # Else ray shows the log of each node that dies, on stdout, between the lines of our clips.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ClusterError(MISSING) from error
    meant = address or os.environ.get("RAY_ADDRESS") or "local"
    if meant not in NAMED and not HOST_AND_PORT.fullmatch(meant):
        raise ClusterError(
            f"the address of a cluster must be auto, HOST:PORT or ray://HOST:PORT, got {meant!r}"
        )
    return meant


@contextmanager
def joined(address: str | None, *, workers: int | None) -> Iterator[None]:
    """Join a cluster, and leave it at the end; one that is joined already is left as it is.

    Args:
        address: `auto`, `ray://HOST:PORT` or `HOST:PORT`; None takes what `RAY_ADDRESS` says, or
            starts a cluster on this machine.
        workers: CPUs of one that is started; None takes all.

    Raises:
        ClusterError: If there is none, or no ray.
    """
    meant = check_ray(address)
    import ray

    if ray.is_initialized():
        yield
        return
    _check_answer(meant)
    try:
        _join(meant, workers)
        yield
    finally:
        ray.shutdown()


def _check_answer(address: str) -> None:
    """Check that something answers there: ray itself waits for minutes, or ends the process."""
    if address in NAMED:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from error


def _join(address: str, workers: int | None) -> None:
    import ray
    from ray.exceptions import RayError

    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": workers, "include_dashboard": False}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    on_end = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ClusterError(f"cannot join the Ray cluster at {address}: {reason}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_end)  # ray takes it to end the process at once
