"""Every case: its name, what it measures, and the function that its own process calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

OURS, BEFORE = "emomusic", "before"
CLIP, BATCH = "one clip", "32 clips"
N_BATCH = 32
ENGINES, PATH, VERSIONS = "engines", "the whole path", "another version"


@dataclass(frozen=True)
class Case:
    """Name one thing that is measured.

    A process of its own calls `function` of `module`, which is below `benchmarks` and whose
    `NEEDS` names the libraries that must be there, with a `Bench` and the settings. Peers (`before`
    is the other version, run by its own Python) are compared by the metric `headline` where they
    do the same `work`; without work nothing is compared. The table has a heading for each group.
    """

    name: str
    about: str
    module: str
    function: str = "measure"
    settings: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    group: str = ENGINES
    peer: str = OURS
    work: str = ""
    headline: str = "notes"
    quick: bool = False


PEERS = (
    (OURS, "auto", "the engine that emomusic composes with here"),
    ("avx2", "int8-avx2", "the compiled engine with AVX2"),
    ("plain", "int8-plain", "the compiled engine in plain C"),
    ("torch", "torch", "the engine that needs no compiler"),
)


def all_cases(threads: Sequence[int], *, against: bool = False) -> list[Case]:
    """Return every case, for each number of threads that matters to it.

    Args:
        threads: Numbers of threads.
        against: Whether another version is measured beside ours.

    Raises:
        ValueError: If a number of threads is below 1 or none is given.
    """
    if not threads or min(threads) < 1:
        raise ValueError(f"threads must be at least 1, got {list(threads)}")
    most = max(threads)
    found = [_engine_case(peer, n, CLIP, 1) for n in threads for peer in PEERS]
    found += [_engine_case(peer, most, BATCH, N_BATCH) for peer in PEERS[:2]]
    return [*found, *_path_cases(most), *(_version_cases() if against else [])]


def _engine_case(peer: tuple[str, str, str], threads: int, work: str, n_clips: int) -> Case:
    name, engine, about = peer
    return Case(
        f"{name}/{work.replace(' ', '-')}/{threads}t",
        about,
        "engine",
        settings={"engine": engine, "n_clips": n_clips},
        threads=threads,
        peer=name,
        work=work,
        quick=threads == 1 if n_clips == 1 else name == OURS,
    )


def _path_cases(most: int) -> list[Case]:
    def path(name: str, about: str, module: str, function: str = "measure", **more: Any) -> Case:
        threads = more.pop("threads", most)
        quick = more.pop("quick", True)
        return Case(name, about, f"path.{module}", function, more, threads, PATH, quick=quick)

    return [
        path("help", "`emomusic --help`", "command", "measure_help"),
        path("cold", "`generate --count 1 --bars 16`, whole process", "command"),
        path("further", "`generate --bars 16`, a further clip", "command", "measure_further"),
        path("clips", "clips of 16 bars, written and judged, warm", "clips"),
        path("bars", "one clip of more and more bars, warm", "clips", "measure_bars"),
        path("judging", "reading, measuring and judging a file", "judging", threads=1),
        path("prepare", "preparing MIDI files to train on", "training", "measure_prepare"),
        path("train/small", "training", "training", "measure_train", size="small"),
        path("train/base", "training", "training", "measure_train", size="base", quick=False),
    ]


def _version_cases() -> list[Case]:
    """Return what both versions do, each with its own checkpoint and on one thread."""
    found = []
    for work, about, module, function, headline in (
        ("cold start", "the first clip, whole process", "command", "measure", "whole process"),
        ("a further clip", "of `anger`", "command", "measure_further", "a further clip"),
        ("clip after clip", "through the composer, warm", "clips", "measure_notes", "notes"),
    ):
        ours = Case(
            f"version/{work.replace(' ', '-')}", about, f"path.{module}", function,
            group=VERSIONS, work=work, headline=headline, quick=True,
        )  # fmt: skip
        found += [ours, replace(ours, name=f"{ours.name}/{BEFORE}", peer=BEFORE)]
    return found
