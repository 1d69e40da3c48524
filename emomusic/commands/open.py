"""The command that opens the studio."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from emomusic.terminal import CheckpointOption, ExitStatus, ThreadsOption, stop, stop_on_error


def studio(
    host: Annotated[
        str | None,
        typer.Option(
            envvar="GRADIO_SERVER_NAME", help="Address to listen on; else this machine alone."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, envvar="GRADIO_SERVER_PORT", help="Port; else the first from 7860 on."
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    threads: ThreadsOption = 2,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Serve the endpoint as a tool for agents, too.")
    ] = False,
    browser: Annotated[
        bool | None, typer.Option(help="Whether the page is opened; where there is a display.")
    ] = None,
) -> None:
    """Open the studio: compose in the browser."""
    from emomusic.compose.checkpoint import find_checkpoint

    with stop_on_error(ExitStatus.USAGE):
        folder = find_checkpoint(checkpoint)
    from emomusic.studio.launch import LaunchError, open_studio

    opens = _has_display() if browser is None else browser
    try:
        open_studio(
            folder, host=host, port=port, threads=threads, mcp=mcp, browser=opens, tell=typer.echo
        )
    except LaunchError as error:
        stop(str(error), ExitStatus.USAGE)
    except ValueError as error:
        stop(str(error), ExitStatus.FAILED)


def _has_display() -> bool:
    return sys.platform != "linux" or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
