"""The compiled part under sanitizers, and the same numbers from every build of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
KERNEL = TESTS.parent / "emomusic" / "model" / "int8" / "kernel"
FLAGS = ("-g", "-O1", "-std=c11", "-ffp-contract=off", "-Wno-psabi", f"-I{KERNEL}")
ADDRESS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD = ("-fsanitize=thread",)
CROSS, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
BUILDS = {
    "gcc": ("gcc", ADDRESS),
    "gcc-threads": ("gcc", THREAD),
    "clang": ("clang", ("-O3",)),
    "arm": (CROSS, ("-static",)),
}
RUNS = {  # instructions, places, threads
    "gcc": [("plain", "3", "1"), ("avx2", "8", "1"), ("avx-vnni", "5", "1"),
            ("avx512-vnni", "64", "2")],
    "clang": [("plain", "5", "1"), ("avx2", "2", "2"), ("avx-vnni", "3", "1"),
              ("avx512-vnni", "1", "1")],
    "arm": [("neon-dotprod", "8", "1")],
}  # fmt: skip
N_ROWS, FEW_ROWS = 12, 3


def build(name: str, folder: Path) -> list[str]:
    compiler, flags = BUILDS[name]
    if shutil.which(compiler) is None or (name == "arm" and shutil.which(EMULATOR) is None):
        pytest.skip(f"there is no {compiler}")
    program = folder / name
    sources = [str(TESTS / "kernel_driver.c"), *map(str, sorted(KERNEL.glob("*.c")))]
    command = [compiler, *FLAGS, *flags, *sources, "-o", str(program), "-lm", "-lpthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find" in built.stderr:
        pytest.skip(f"{compiler} lacks a library: {built.stderr.splitlines()[0]}")
    assert built.returncode == 0, built.stderr
    return [EMULATOR, str(program)] if name == "arm" else [str(program)]


def numbers(command: list[str], run: tuple[str, str, str], n_rows: int = N_ROWS) -> str | None:
    done = subprocess.run(
        [*command, *run, str(n_rows)], capture_output=True, text=True, check=False
    )
    if done.returncode == 3:
        return None  # the processor lacks these instructions
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = numbers(build("gcc", tmp_path_factory.mktemp("plain")), ("plain", "1", "1"))
    assert found and len(set(found.split())) == 7
    return found


@pytest.mark.parametrize("name", RUNS)
def test_every_build_writes_the_same_and_no_sanitizer_complains(
    name: str, expected: str, tmp_path: Path
) -> None:
    command = build(name, tmp_path)
    for run in RUNS[name]:
        assert numbers(command, run) in {expected, None}


def test_threads_do_not_write_what_others_read(tmp_path: Path) -> None:
    command = build("gcc-threads", tmp_path)
    assert numbers(command, ("plain", "2", "2"), FEW_ROWS)
