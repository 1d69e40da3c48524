"""Measure what levers do to a checkpoint's clips, so that it can be steered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.composer import TABLES_NAME, TOKENIZER_NAME, Composer
from emomusic.compose.controller import LEVER_REACH, measure_written
from emomusic.compose.directions import LEVERS, ControlDirections, Response, fit_response
from emomusic.compose.plan import ClipPlan
from emomusic.compose.request import Request
from emomusic.compose.steerer import Steerer, operating_point, targets_in_c
from emomusic.emotion import Emotion
from emomusic.model.engine import LogitBias, Steer
from emomusic.model.grammar import Script
from emomusic.model.weights import CONFIG_NAME, CheckpointError
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import Tokenizer

PULLED, SHARE = 1.3, 0.4
"""Levers are drawn with a spread of so many reaches, and so large a share of them is pulled."""
N_BARS = 12
Progress = Callable[[int], None]


class _Probe(Steerer):
    """Pull levers of each clip at random, and leave them there."""

    def __init__(self, tokenizer: Tokenizer, pulled: NDArray[np.float64]) -> None:
        super().__init__(tokenizer, None)
        self._pulled = pulled

    def steer(self, draft: ClipPlan, script: Script) -> Steer:
        levers: ControlDirections = self.levers(draft)
        pulled, centre = self._pulled[draft.index], operating_point(targets_in_c(draft))
        return lambda segments: LogitBias(levers.bias(pulled, centre, bar=len(segments)))


def has_model(checkpoint: Path) -> bool:
    """Tell whether a checkpoint holds what composing needs, a mapper and a verifier apart."""
    return all((checkpoint / name).is_file() for name in (CONFIG_NAME, TOKENIZER_NAME, TABLES_NAME))


def measure_response(
    checkpoint: Path,
    *,
    n_clips: int = 3000,
    seed: int = 1,
    threads: int = 2,
    progress: Progress = lambda n_done: None,
) -> Response:
    """Compose clips of random emotions under random levers, and fit what the levers do.

    Args:
        checkpoint: With a mapper; a steering that it has is not used.
        n_clips: Clips.
        seed: Of emotions, levers and clips.
        threads: CPU cores.
        progress: Called with 1 for each clip that is done.

    Raises:
        CheckpointError: If it cannot be used.
    """
    rng = np.random.default_rng(seed)
    pulled = rng.standard_normal((n_clips, len(LEVERS))) * [PULLED * LEVER_REACH[x] for x in LEVERS]
    pulled[rng.random(pulled.shape) >= SHARE] = 0.0
    try:
        pilot = _Probe(Tokenizer(checkpoint / TOKENIZER_NAME), pulled)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint {checkpoint} cannot be used: {error}") from error
    composer = Composer(checkpoint, threads=threads, steerer=pilot)
    requests = [
        Request(Emotion(*point), n_bars=N_BARS, tonic=0, guidance=1.0, diversity=1.0)
        for point in rng.uniform(-1, 1, (n_clips, 2)).tolist()
    ]
    names, asked, achieved = composer.mapper.attributes, [], []
    for clip in composer.compose_each(requests, seed=seed, progress=progress):
        asked.append([clip.targets[name] for name in names])
        passage = passage_of(notes_of(clip.score), n_beats=4.0 * N_BARS, tempo=clip.tempo)
        achieved.append(measure_written(passage, names).values)
    return fit_response(
        np.array(asked),
        pulled,
        np.array(achieved),
        scale=composer.mapper.spread(),
        attributes=names,
    )
