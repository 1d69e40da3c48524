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


def run_without(names: set[str], tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where packages cannot be imported."""
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(names=names))
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", "from emomusic.cli import main; main()", *args],
        env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_composing_and_hearing_need_no_extra(tmp_path: Path) -> None:
    names = {package for packages in EXTRAS.values() for package in packages}
    out = tmp_path / "out"
    composed = run_without(names, tmp_path, "generate", "--emotion", "joy", "--bars", "2",
                           "--engine", "int8", "--out", str(out))  # fmt: skip
    assert composed.returncode == 0, composed.stderr
    for command in (["verify", "--explain"], ["attributes"]):
        heard = run_without(names, tmp_path, *command, str(out / "clip_00000.mid"))
        assert heard.returncode == 0 and heard.stdout, heard.stderr


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
    done = run_without({package}, tmp_path, *args, *more)
    assert done.returncode == 2
    told = f"Error: this needs the package {package}: pip install 'emomusic[{extra}]'\n"
    assert done.stderr == told


def test_an_extra_that_is_there_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    need("notation")
    monkeypatch.setitem(EXTRAS, "notation", ("verovio", "no_such_package"))
    with pytest.raises(MissingExtraError, match=r"no_such_package: pip install 'emomusic\[not"):
        need("notation")
    assert missing_extra(ImportError("", name="os.path")) is None


def test_the_extras_are_those_that_can_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {"sklearn": "scikit-learn"}
    for extra, packages in EXTRAS.items():
        wanted = " ".join(project["optional-dependencies"][extra])
        for package in packages:
            assert named.get(package, package) in wanted, (extra, package)
