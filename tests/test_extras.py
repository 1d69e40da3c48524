"""What is not installed is told by the name of the extra that installs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from emomusic.extras import EXTRAS, MissingExtraError, missing_extra, need

ROOT = Path(__file__).resolve().parents[1]
BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
"""


def run_without(names: set[str], tmp_path: Path, *args: object) -> tuple[int, str]:
    """Run the command line where packages cannot be imported; return its status and errors."""
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(names=names))
    done = subprocess.run(
        [sys.executable, "-m", "emomusic", *map(str, args)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_composing_and_hearing_need_no_extra(tmp_path: Path) -> None:
    names, out = {name for packages in EXTRAS.values() for name in packages}, tmp_path / "out"
    for command in (
        ("generate", "--emotion", "joy", "--bars", 2, "--engine", "int8", "--out", out),
        ("verify", "--explain", out / "clip_00000.mid"),
        ("attributes", out / "clip_00000.mid"),
    ):
        status, said = run_without(names, tmp_path, *command)
        assert status == 0, said


@pytest.mark.parametrize(
    ("package", "extra", "args"),
    [
        ("gradio", "studio", ["studio"]),
        ("torch", "torch", ["generate", "--engine", "torch"]),
        ("music21", "notation", ["generate", "--format", "mid,svg"]),
        ("miditok", "train", ["prepare", "--source", str(ROOT / "docs")]),
        ("matplotlib", "pictures", ["verify", "no.mid", "--pictures", "pictures"]),
    ],
)
def test_a_missing_package_is_one_line(
    package: str, extra: str, args: list[str], tmp_path: Path
) -> None:
    more = ["--emotion", "joy", "--out", str(tmp_path / "out")] if "generate" in args else []
    status, said = run_without({package}, tmp_path, *args, *more)
    assert status == 2
    assert said == f"Error: this needs the package {package}: pip install 'emomusic[{extra}]'\n"


def test_the_extras_are_those_that_can_be_installed_and_one_that_is_there_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {"sklearn": "scikit-learn"}
    for extra, packages in EXTRAS.items():
        wanted = " ".join(project["optional-dependencies"][extra])
        assert all(named.get(package, package) in wanted for package in packages), extra
    need("notation")
    monkeypatch.setitem(EXTRAS, "notation", ("verovio", "no_such_package"))
    with pytest.raises(MissingExtraError, match=r"no_such_package: pip install 'emomusic\[not"):
        need("notation")
    assert missing_extra(ImportError("", name="os.path")) is None
