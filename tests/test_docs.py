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


def commands() -> list[tuple[str, str]]:
    return [(p.name, line) for p in PAGES for line in COMMAND.findall(p.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_on_the_pages_parse(page: str, line: str) -> None:
    name, *arguments = shlex.split(line)
    group = get_command(app)
    command = group.commands[name]  # type: ignore[attr-defined]
    command.make_context(name, [argument for argument in arguments if argument != "…"])


def test_there_are_commands_on_the_pages() -> None:
    assert len(commands()) > 8


@pytest.mark.parametrize("name", ["attributes", "commands"])
def test_pages_that_a_script_writes_are_as_it_writes_them(name: str) -> None:
    page = runpy.run_path(str(ROOT / "scripts" / f"document_{name}.py"))["page"]
    path = ROOT / "docs" / {"commands": "cli.md"}.get(name, f"{name}.md")
    assert path.read_text("utf-8") == page()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make ([a-z-]+)$", PAGES[0].read_text("utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
