"""The command line: parse, call, show."""

from __future__ import annotations

import os
import re
import sys
from os.path import expanduser
from typing import Annotated

import typer

import emomusic
from emomusic.commands.generate import generate, quadrants, studio
from emomusic.commands.listen import attributes, emotions, perform, verify
from emomusic.commands.research import check_verifier, evaluate, fit, prepare, train
from emomusic.extras import missing_extra
from emomusic.terminal import ExitStatus, one_line

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Compose piano music for an emotion, and show that the emotion is in it.",
)


def main() -> None:
    """Run the command line; a mistake in it is one line on stderr and exit status 2."""
    # Clips share the cores; numpy's threads would wait for each other in small products.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Shells leave ~ as it is where it is quoted, or follows an =.
    options = (re.fullmatch(r"(--[\w-]+=)?(.*)", text, re.DOTALL) for text in sys.argv[1:])
    arguments = [(own[1] or "") + expanduser(own[2]) for own in options if own]  # noqa: PTH111
    try:
        status = app(args=arguments or ["--help"], standalone_mode=False)
    except BrokenPipeError:
        sys.stderr.close()
        status = ExitStatus.FAILED
    except typer.Abort:
        status = ExitStatus.STOPPED
    except ImportError as error:
        found = missing_extra(error)
        if found is None:
            raise
        typer.echo(f"Error: {found}", err=True)
        status = ExitStatus.USAGE
    except Exception as error:
        # Typer's own usage errors, which its versions define in different modules.
        if not hasattr(error, "format_message"):
            raise
        typer.echo(one_line(error.format_message()), err=True)
        status = ExitStatus.USAGE
    raise SystemExit(status or ExitStatus.DONE)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(emomusic.__version__)
        raise typer.Exit(ExitStatus.DONE)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Compose piano music for an emotion, and show that the emotion is in it."""


for command in (
    generate, quadrants, studio, verify, perform, attributes, emotions,
    prepare, train, fit, evaluate, check_verifier,
):  # fmt: skip
    app.command()(command)


if __name__ == "__main__":
    main()
