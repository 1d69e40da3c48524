"""Clips of the checkpoint through the composer, warm: from the request to verified MIDI.

Only what `emomusic.__all__` names is used, so that another version can be measured by it too.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import emomusic
from benchmarks.measure import Bench, Clock
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion.space import find_emotion

NEEDS: tuple[str, ...] = ()
QUADRANTS = ("Q1", "Q2", "Q3", "Q4")
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
            clip.save(Path(out) / f"{clip.index}.mid")
            clips.append(clip)
    return clips


def warm_composer(bench: Bench) -> Composer:
    """Return a composer that has composed."""
    composer = Composer.from_pretrained(bench.checkpoint, threads=bench.threads)
    compose(composer, 1, seed=99, n_bars=4)
    return composer


def n_notes_of(clips: list[Clip]) -> int:
    """Return how many notes clips have."""
    return sum(len(track.notes) for clip in clips for track in clip.score.tracks)


def measure_notes(bench: Bench) -> None:
    """Measure notes a second, clip after clip."""
    composer = warm_composer(bench)
    bench.remark(f"emomusic {emomusic.__version__}, {composer.engine.name}")
    end, seed = time.perf_counter() + bench.seconds, 0
    while seed < len(QUADRANTS) or time.perf_counter() < end:
        with Clock() as clock:
            clips = [clip for i in range(4) for clip in compose(composer, 1, seed=seed + i)]
        bench.sample("notes", "notes/s", n_notes_of(clips) / clock.seconds, clock)
        seed += 4
    bench.memory()


def measure(bench: Bench) -> None:
    """Measure one clip, and clips a second for more and more of them."""
    composer = warm_composer(bench)
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
    """Measure a clip of each length, and what a note of it costs."""
    composer = warm_composer(bench)
    a_note: dict[int, float] = {}
    last = 0.0
    for n_bars in QUICK_BARS if bench.quick else BARS:
        if 2 * last > PATIENCE * bench.seconds:
            bench.remark(f"{n_bars} bars and more left out: they take too long")
            break
        seconds, n_notes = 0.0, 0
        for seed in range(len(QUADRANTS) if n_bars <= BARS[2] else 1):
            with Clock() as clock:
                clips = compose(composer, 1, seed=seed, n_bars=n_bars)
            bench.sample(f"{n_bars} bars", "s", clock.seconds, clock)
            n_notes += n_notes_of(clips)
            seconds, last = seconds + clock.seconds, clock.seconds
        a_note[n_bars] = 1e3 * seconds / n_notes
        bench.sample(f"{n_bars} bars, a note", "ms", a_note[n_bars])
    longest = max(a_note)
    bench.sample(f"a note at {longest} bars against 16", "×", a_note[longest] / a_note[16])
    bench.memory()
