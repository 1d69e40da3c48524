"""What README and docs say can be done as it stands there."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from emomusic.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "studies").rglob("*.md")),
]
COMMAND = re.compile(r"^\.venv/bin/emomusic ([^#\n]*)", re.MULTILINE)


def test_commands_and_links_of_the_pages_are_good() -> None:
    group, n_commands = get_command(app), 0
    for page in PAGES:
        text = page.read_text("utf-8")
        for line in COMMAND.findall(text):
            name, *arguments = shlex.split(line)
            command = group.commands[name]  # type: ignore[attr-defined]
            command.make_context(name, [argument for argument in arguments if argument != "…"])
            n_commands += 1
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / target).exists(), (page, target)
    assert n_commands > 8


@pytest.mark.parametrize(("name", "page"), [("attributes", "attributes"), ("commands", "cli")])
def test_pages_that_a_script_writes_are_as_it_writes_them(name: str, page: str) -> None:
    write = runpy.run_path(str(ROOT / "scripts" / f"document_{name}.py"))["page"]
    assert (ROOT / "docs" / f"{page}.md").read_text("utf-8") == write()


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make ([a-z-]+)$", PAGES[0].read_text("utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
