"""The package as it is installed: what is in a wheel, and that it is enough."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from emomusic.model.int8.library import is_built

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "checkpoints" / "emomusic-12m"
INSIDE = "emomusic/checkpoints/emomusic-12m/"
READ_AT_RUN_TIME = (".py", ".json", ".toml", ".html", ".css", ".js", ".safetensors", ".md",
                    ".typed", ".ogg", ".so", ".pyd")  # fmt: skip
NO_NETWORK = """
import socket
def refuse(*arguments, **settings):
    raise OSError("there is no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
"""


def ran(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean.pop("EMOMUSIC_CHECKPOINT", None)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def copied_source(folder: Path) -> Path:
    """Copy what an sdist is made of, so that nothing is built in the repository."""
    shutil.copytree(
        ROOT / "emomusic", folder / "emomusic", ignore=shutil.ignore_patterns("__pycache__", "*.so")
    )
    shutil.copytree(SHIPPED, folder / "checkpoints" / SHIPPED.name)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    return folder


def built_wheel(folder: Path) -> Path:
    """Build an sdist of the repository, and a wheel of what is in the sdist."""
    source = copied_source(folder / "source")
    hook = "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])('..')"
    ran(sys.executable, "-c", hook, "build_sdist", cwd=source)
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    stale = unpacked / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    (stale / "emomusic").mkdir(parents=True)
    (stale / "emomusic" / "gone.py").write_text("", encoding="utf-8")
    ran(sys.executable, "-c", hook, "build_wheel", cwd=unpacked)
    (wheel,) = (folder / "unpacked").glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        for path in SHIPPED.iterdir():
            if path.is_file() and path.suffix != ".toml":
                assert archive.read(INSIDE + path.name) == path.read_bytes()
        told = archive.read(next(n for n in archive.namelist() if n.endswith("/METADATA"))).decode()
    assert {Path(name).suffix for name in names} <= set(READ_AT_RUN_TIME)
    assert any("_kernel" in name for name in names) == is_built()
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "emomusic").rglob("*")
        if path.suffix in {*READ_AT_RUN_TIME} - {".so", ".pyd"}
    }
    assert package == {n for n in names if not n.startswith(INSIDE) and "_kernel" not in n}
    assert "License-Expression: MIT AND LicenseRef-emomusic-weights AND CC-BY-3.0" in told


def installed(wheel: Path, folder: Path) -> Path:
    """Install the wheel, alone, where this environment's other packages can be imported."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    own = {"base": str(folder), "platbase": str(folder)}
    scripts, site = (Path(sysconfig.get_path(n, "venv", own)) for n in ("scripts", "purelib"))
    python = scripts / Path(sys.executable).name
    python = python if python.exists() else scripts / "python"
    ran(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("--no-deps", "--no-index", "--disable-pip-version-check", wheel),
        cwd=folder,
    )
    (site / "no_network.py").write_text(NO_NETWORK, encoding="utf-8")
    # Named by its path, that folder's own .pth files are not read: no editable install is found.
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "others.pth").write_text("\n".join([*others, "import no_network"]), encoding="utf-8")
    return scripts


def test_a_wheel_of_the_sdist_composes_and_verifies_with_no_repository_and_no_network(
    tmp_path: Path,
) -> None:
    wheel = built_wheel(tmp_path)
    check_contents(wheel)
    shutil.rmtree(tmp_path / "unpacked" / wheel.name.split("-")[0], ignore_errors=True)
    scripts = installed(wheel, tmp_path / "venv")
    here = tmp_path / "empty"
    here.mkdir()
    asked = "import emomusic, sys; print(emomusic.__file__, [*filter(None, map(str, sys.path))])"
    told = ran(scripts / "python", "-c", asked, cwd=here)
    assert told.startswith(str(tmp_path / "venv")) and f"{ROOT}'" not in told
    reach = "import urllib.request as r; r.urlopen('http://127.0.0.1:9')"
    with pytest.raises(AssertionError, match="there is no network here"):
        ran(scripts / "python", "-c", reach, cwd=here)
    generate = ("generate", "--emotion", "calm", "--bars", "4", "--out", "out")
    assert "clip_00000.mid  asked calm" in ran(scripts / "emomusic", *generate, cwd=here)
    assert "out/clip_00000.mid  Q" in ran(scripts / "emomusic", "verify", "out", cwd=here)
    assert {path.name for path in here.iterdir()} == {"out"}


def test_pins_are_within_their_ranges_and_the_version_is_the_same_everywhere() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    import emomusic

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    for text in project["dependencies"]:
        asked = Requirement(text)
        assert pinned[canonicalize_name(asked.name)] in asked.specifier, text
    assert project["version"] == emomusic.__version__
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {emomusic.__version__}\n" in cited
    assert emomusic.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
