"""Write docs/cli.md from the commands themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from typer.main import get_command  # noqa: E402 - the repository's package goes first

from emomusic.cli import app  # noqa: E402

HEAD = """# The command line

`.venv/bin/emomusic COMMAND --help` says the same; `scripts/document_commands.py` writes this page.
A mistake is one line on stderr and exit status 2; 1 is a failure, 3 means that some of several
clips or files could not be done, 130 that it was stopped from the keyboard.
"""


def page() -> str:
    """Return the page."""
    group: Any = get_command(app)
    return HEAD + "".join(section(name, command) for name, command in group.commands.items())


def section(name: str, command: Any) -> str:
    """Return what is said of one command."""
    context = command.context_class(command, info_name=name)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    used = " ".join(["emomusic", name, *(p.metavar or p.name.upper() for p in arguments)])
    lines = [f"\n## {name}\n", f"`{used}`: {command.help.strip()}\n"]
    if options:
        lines += ["| option | | default |", "|---|---|---|"]
        lines += [f"| {names(p, context)} | {p.help or ''} | {default(p)} |" for p in options]
    return "\n".join(lines) + "\n"


def names(option: Any, context: Any) -> str:
    """Return an option as it is typed, with what it takes."""
    flags = "`, `".join([*option.opts, *option.secondary_opts])
    kind = option.metavar or option.display_type(context).strip("<>").upper()
    return f"`{flags}{'' if option.is_flag else f' {kind}'}`".replace("|", "\\|")


def default(option: Any) -> str:
    """Return its default, or that it is required."""
    if option.required:
        return "required"
    value = None if callable(option.default) else option.default
    return "" if value in (None, False, ()) else f"{value}"


if __name__ == "__main__":
    (ROOT / "docs" / "cli.md").write_text(page(), encoding="utf-8")
