"""The rules of the house that code can check: who imports whom, what is never used, sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "emomusic"
FILES = sorted(PACKAGE.rglob("*.py"))
EVERYWHERE = ("emomusic", "emomusic.extras", "emomusic.files")
BELOW_COMPOSE = "emotion music mapping verify model performance"
MAY_IMPORT = {
    "emotion": "",
    "music": "",
    "model": "",
    "performance": "emotion music",
    "mapping": "emotion music",
    "verify": "emotion music",
    "training": "model",
    "compose": BELOW_COMPOSE,
    "data": "music verify.labels training.rows",
    "fit": f"{BELOW_COMPOSE} compose data",
    "evaluation": f"{BELOW_COMPOSE} compose data training fit",
    "studio": f"{BELOW_COMPOSE} compose",
    "commands": f"{BELOW_COMPOSE} compose data training fit evaluation studio terminal",
}
BARE = ("torch", "numpy", "safetensors", "emomusic", *sys.stdlib_module_names)
HEAVY = ("torch", "gradio", "miditok", "music21", "sklearn", "symusic", "numpy")
LIGHT = ("__init__.py", "cli.py", "terminal.py")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 600, 60
BESIDE = ("scripts", "studies", "benchmarks", "fuzz")
FORBIDDEN_MODULES = ("pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)


def room_of(path: Path) -> str:
    below = path.relative_to(PACKAGE)
    return (
        below.parts[0] if len(below.parts) > 1 else below.stem if below.stem in MAY_IMPORT else ""
    )


def test_rooms_import_only_what_they_may_and_no_study() -> None:
    for path in FILES:
        room, names = room_of(path), {*imported(ast.walk(tree_of(path)))}
        assert "studies" not in {name.split(".")[0] for name in names}, path
        may = [f"emomusic.{name}" for name in (room, *MAY_IMPORT[room].split())] if room else []
        for name in names:
            if room and name.split(".")[0] == "emomusic" and name not in EVERYWHERE:
                assert any(f"{name}.".startswith(f"{own}.") for own in may), (path, name)


def test_what_trains_needs_few_libraries_and_the_front_door_is_light() -> None:
    for path in FILES:
        names = {name.split(".")[0] for name in imported(tree_of(path).body)}
        if room_of(path) in ("model", "training"):
            assert names <= {*BARE}, path
        if room_of(path) == "commands" or (path.parent == PACKAGE and path.name in LIGHT):
            assert not names & {*HEAVY}, path


def test_every_room_is_known() -> None:
    rooms = {room_of(path) for path in FILES} - {""}
    assert rooms <= set(MAY_IMPORT)
    assert not (PACKAGE / "utils").exists() and not (PACKAGE / "utils.py").exists()


@pytest.mark.parametrize(
    "code",
    [
        "import emomusic",
        "import emomusic.cli",
        "import sys\nsys.argv = ['emomusic', '--help']\nfrom emomusic.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code",
    ],
)
def test_nothing_heavy_is_loaded_for_help(code: str) -> None:
    shown = (
        f"{code}\nimport sys\nprint([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 0 and result.stderr.strip() == "[]", result.stderr


def test_nothing_is_unpickled() -> None:
    beside = [p for name in BESIDE for p in (ROOT / name).rglob("*.py")]
    for path in [*FILES, *beside, *ROOT.glob("*.py")]:
        tree = tree_of(path)
        for name in imported(ast.walk(tree)):
            assert name.split(".")[0] not in FORBIDDEN_MODULES, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, path


def test_functions_and_files_are_short() -> None:
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
                assert length <= MAX_FUNCTION_LINES, f"{path}: {node.name}"
        assert len(path.read_text("utf-8").splitlines()) <= MAX_FILE_LINES, path


def test_public_class_names_stand_once() -> None:
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
