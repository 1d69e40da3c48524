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
BELOW_COMPOSE = ("emotion", "music", "mapping", "verify", "model")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "emotion": (),
    "music": (),
    "model": (),
    "mapping": ("emotion", "music"),
    "verify": ("emotion", "music"),
    "training": ("model",),
    "compose": BELOW_COMPOSE,
    "data": ("music", "verify.labels", "training.rows"),
    "fit": (*BELOW_COMPOSE, "compose", "data"),
    "evaluation": (*BELOW_COMPOSE, "compose", "data", "training", "fit"),
    "studio": (*BELOW_COMPOSE, "compose", "data", "training", "evaluation"),
    "commands": (
        *BELOW_COMPOSE,
        "compose",
        "data",
        "training",
        "fit",
        "evaluation",
        "studio",
        "terminal",
    ),
}
BARE = ("torch", "numpy", "safetensors", "emomusic", *sys.stdlib_module_names)
HEAVY = ("torch", "gradio", "miditok", "music21", "sklearn", "symusic", "numpy")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 600, 60
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_what_they_may(path: Path) -> None:
    room = room_of(path)
    if not room:
        return
    may = [f"emomusic.{name}" for name in (room, *MAY_IMPORT[room])]
    for name in imported(ast.walk(tree_of(path))):
        if name.split(".")[0] == "emomusic" and name not in EVERYWHERE:
            assert any(name == own or name.startswith(f"{own}.") for own in may), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_knows_of_no_study(path: Path) -> None:
    assert "studies" not in {name.split(".")[0] for name in imported(ast.walk(tree_of(path)))}


@pytest.mark.parametrize("room", ["model", "training"])
def test_what_trains_needs_few_libraries(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imported(tree_of(path).body):
            assert name.split(".")[0] in BARE, f"{path}: {name}"


def test_every_room_is_known() -> None:
    rooms = {room_of(path) for path in FILES} - {""}
    assert rooms <= set(MAY_IMPORT)
    assert not (PACKAGE / "utils").exists() and not (PACKAGE / "utils.py").exists()


@pytest.mark.parametrize("name", ["__init__.py", "cli.py", "commands", "terminal.py"])
def test_the_front_door_is_light(name: str) -> None:
    found = PACKAGE / name
    for path in sorted(found.glob("*.py")) if found.is_dir() else [found]:
        for module in imported(tree_of(path).body):
            assert module.split(".")[0] not in HEAVY


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


def everything() -> list[Path]:
    names = ("scripts", "studies", "benchmarks", "fuzz")
    beside = (p for name in names for p in (ROOT / name).rglob("*.py"))
    return [*FILES, *sorted(beside), *sorted(ROOT.glob("*.py"))]


@pytest.mark.parametrize("path", everything(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled(path: Path) -> None:
    tree = tree_of(path)
    for name in imported(ast.walk(tree)):
        assert name.split(".")[0] not in FORBIDDEN_MODULES
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef):
            last = node.end_lineno or node.lineno
            if last - node.body[0].lineno + 1 > MAX_FUNCTION_LINES:
                yield f"{path.relative_to(ROOT)}: {node.name}"


def test_functions_are_short() -> None:
    assert not [found for path in FILES for found in long_functions(path)]


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {str(path.relative_to(ROOT)) for path, n in lengths.items() if n > MAX_FILE_LINES}


def test_public_class_names_stand_once() -> None:
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
