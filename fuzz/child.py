"""The process in which inputs are tried; it may die, and its parent tells of what."""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from fuzz.targets import TARGETS, Target
from fuzz.trial import MAX_INPUT, Ledger, Trial

MAX_POOL = 400
MAX_KEPT_BYTES = 3_000
WARMING_INPUTS = 200
NEW_SHARE = 0.5
"""Of guided inputs that begin at a seed: what reaches new branches is refused more often."""


def mutate_blindly(
    target: Target, trial: Trial, *, seed: int, n_inputs: int, seconds: float
) -> None:
    """Try inputs that are mutations of seeds, or of what came through before."""
    rng, pool, start = random.Random(seed), target.seeds(), time.monotonic()
    n_seeds = len(pool)
    for _ in range(n_inputs):
        if time.monotonic() - start > seconds:
            break
        data = target.mutated(rng.choice(pool), rng)
        if trial(data) and len(data) < MAX_KEPT_BYTES and rng.random() < 0.2:
            if len(pool) < MAX_POOL:
                pool.append(data)
            else:
                pool[rng.randrange(n_seeds, MAX_POOL)] = data


def mutate_guided(
    target: Target, trial: Trial, *, seed: int, n_inputs: int, seconds: float
) -> None:
    """Let atheris choose the inputs by the branches that they reach; does not return."""
    import atheris

    def mutator(data: bytes, max_size: int, chosen: int) -> bytes:
        rng = random.Random(chosen)
        anew = rng.random() < NEW_SHARE
        return target.mutated(rng.choice(made) if anew else data, rng)[:max_size]

    def one(data: bytes) -> None:
        trial(data)

    corpus = Path(tempfile.mkdtemp(prefix="emomusic-corpus-"))
    made = target.seeds()
    for number, seed_data in enumerate(made):
        (corpus / str(number)).write_bytes(seed_data)
    signals = [f"-handle_{name}=0" for name in ("segv", "bus", "abrt", "ill", "fpe")]
    options = [f"-max_total_time={max(int(seconds), 1)}", f"-runs={n_inputs}", f"-seed={seed}",
               f"-max_len={MAX_INPUT}", "-len_control=0", "-mutate_depth=1", "-rss_limit_mb=0",
               "-timeout=600", "-verbosity=0", "-print_final_stats=0", *signals]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutator)
    atheris.Fuzz()


def main() -> None:
    """Try inputs as the parent asks: way, target, ledger, folder, seed, inputs, seconds."""
    way, name, ledger, found, seed, n_inputs, seconds = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target = TARGETS[name]
    if way == "guided":
        import atheris

        with atheris.instrument_imports(include=["emomusic"]):
            run = target.load()
    else:
        run = target.load()
    trial = Trial(run, Ledger(Path(ledger)), Path(found))
    rng, made = random.Random(0), target.seeds()
    warming = [target.mutated(rng.choice(made), rng) for _ in range(WARMING_INPUTS)]
    trial.begin([*made, *warming] if way == "blind" else made)
    mutate = mutate_guided if way == "guided" else mutate_blindly
    mutate(target, trial, seed=int(seed), n_inputs=int(n_inputs), seconds=float(seconds))


if __name__ == "__main__":
    main()
