"""Clips of the checkpoint through the composer, warm: from the request to verified MIDI."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Bench, Clock
from benchmarks.peers.emomusic_engine import network_folder
from benchmarks.writing import N_CLIP
from emomusic.compose.asking.request import Request
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.output import write_clips
from emomusic.compose.pretrained.find import find_checkpoint
from emomusic.emotion import QUADRANTS, find_emotion

NEEDS: tuple[str, ...] = ()
COUNTS, QUICK_COUNTS = (8, 32, 256), (8,)
BARS, QUICK_BARS = (8, 16, 32, 64, 128, 256, 512), (8, 16, 32)
PATIENCE = 15
"""What would take longer than this many times the case's seconds is left out, and said."""


def compose(composer: Composer, count: int, *, seed: int, n_bars: int = 16) -> list[Clip]:
    """Compose clips of all quadrants and write them into a folder that is thrown away."""
    requests = [
        Request(find_emotion(QUADRANTS[(seed + i) % len(QUADRANTS)]), n_bars=n_bars)
        for i in range(count)
    ]
    with tempfile.TemporaryDirectory() as out:
        clips = []
        for clip in composer.compose_each(requests, seed=seed):
            list(write_clips([clip], Path(out)))
            clips.append(clip)
    return clips


def warm_composer(folder: Path, threads: int) -> Composer:
    """Return a composer that has composed."""
    composer = Composer(folder, threads=threads)
    compose(composer, 1, seed=99, n_bars=4)
    return composer


def n_ids_of(composer: Composer, clips: list[Clip]) -> int:
    """Return how many ids write these clips, controls not counted."""
    return sum(len(bar) for clip in clips for bar in composer.tokenizer.encode(clip.score))


def base_checkpoint(bench: Bench) -> Path:
    """Return a checkpoint with the weights of the network compared and all else as it is."""
    folder = bench.scratch / "base"
    if not folder.is_dir():
        network = network_folder(bench)
        weights = shutil.ignore_patterns("model-*.safetensors", "run")
        shutil.copytree(find_checkpoint(bench.checkpoint), folder, ignore=weights)
        for path in network.iterdir():
            shutil.copy(path, folder / path.name)
    return folder


def measure_base(bench: Bench) -> None:
    """Measure clips of the network compared, all included, by their ids.

    Random weights write bars of other lengths than music has: what 16 of them take is told for
    as many ids as a clip of 16 bars of music has.
    """
    composer = warm_composer(base_checkpoint(bench), bench.threads)
    end, seed = time.perf_counter() + bench.seconds, 0
    while seed < len(QUADRANTS) or time.perf_counter() < end:
        with Clock() as clock:
            clips = compose(composer, 1, seed=seed)
        n_ids = n_ids_of(composer, clips)
        bench.sample(f"a clip of {N_CLIP} ids", "s", clock.seconds * N_CLIP / n_ids, clock)
        bench.sample("its own ids", "ids", n_ids)
        seed += 1
    bench.memory()


def measure(bench: Bench) -> None:
    """Measure one clip, and clips a second for more and more of them."""
    composer = warm_composer(find_checkpoint(bench.checkpoint), bench.threads)
    elapsed, seed = 0.0, 0
    while seed < len(QUADRANTS) or elapsed < bench.seconds:
        with Clock() as clock:
            compose(composer, 1, seed=seed)
        bench.sample("one clip", "s", clock.seconds, clock)
        elapsed, seed = elapsed + clock.seconds, seed + 1
    bench.memory()
    a_clip = elapsed / seed
    for count in QUICK_COUNTS if bench.quick else COUNTS:
        if count * a_clip > PATIENCE * bench.seconds and count > COUNTS[0]:
            bench.remark(f"{count} clips left out: they take too long")
            continue
        with Clock() as clock:
            compose(composer, count, seed=1)
        bench.sample(f"{count} clips", "clips/s", count / clock.seconds, clock)
        a_clip = clock.seconds / count


def measure_bars(bench: Bench) -> None:
    """Measure a clip of each length, and what an id of it costs."""
    composer = warm_composer(find_checkpoint(bench.checkpoint), bench.threads)
    an_id: dict[int, float] = {}
    last = 0.0
    for n_bars in QUICK_BARS if bench.quick else BARS:
        if 2 * last > PATIENCE * bench.seconds:
            bench.remark(f"{n_bars} bars and more left out: they take too long")
            break
        seconds, n_ids = 0.0, 0
        for seed in range(len(QUADRANTS) if n_bars <= BARS[2] else 1):
            with Clock() as clock:
                clips = compose(composer, 1, seed=seed, n_bars=n_bars)
            bench.sample(f"{n_bars} bars", "s", clock.seconds, clock)
            n_ids += n_ids_of(composer, clips)
            seconds, last = seconds + clock.seconds, clock.seconds
        an_id[n_bars] = 1e3 * seconds / n_ids
        bench.sample(f"{n_bars} bars, an id", "ms", an_id[n_bars])
    longest = max(an_id)
    bench.sample(f"an id at {longest} bars against 16", "×", an_id[longest] / an_id[16])
    bench.memory()
