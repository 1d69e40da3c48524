"""The command line, run in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from emomusic.cli import main


@dataclass(frozen=True)
class Said:
    """Hold what a command said and its exit status."""

    status: int
    out: str
    err: str


class Shell:
    """Run commands in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def __call__(self, *arguments: object) -> Said:
        self.patch.setattr(sys, "argv", ["emomusic", *map(str, arguments)])
        self.capture.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = self.capture.readouterr()
        return Said(int(end.value.code or 0), said.out, said.err)

    def refused(self, *arguments: object, status: int = 2) -> str:
        """Run a command that must fail; return the one line that it says of it."""
        said = self(*arguments)
        assert said.status == status, said
        assert said.err.startswith("Error: ") and said.err.count("\n") == 1, said.err
        return said.err


def lines(text: str) -> list[dict[str, Any]]:
    """Return the objects of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]
