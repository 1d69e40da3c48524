"""Conditional sampling: the same network, tuned to write after a bare quadrant token."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emomusic.compose.drafting.guide import Plan, clip_grammar, ids_of, script_of, transposition
from emomusic.compose.writer import MIN_CONTEXT, REPEATED_SHARE
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.baselines import quadrants_of
from emomusic.files import write_text
from emomusic.model.checkpoint import load_model, save_model
from emomusic.model.engines.choose import open_engine
from emomusic.model.engines.engine import Row, Uniforms
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH, Tokenizer
from emomusic.training.batches import IGNORED, Augmentation, ClipBatches
from emomusic.training.rows import Rows
from emomusic.training.train import loss_of
from emomusic.verify.labels import LabelledClip

Progress = Callable[[float], None]
BARE = Augmentation(drop_all=1.0, keep_all=0.0, bar_controls=0.0, octave=0.0, tempo=0.0)
"""No controls, and the music as it is."""
TOKEN_OF = "tempo"
"""The attribute whose first four control tokens mean Q1 to Q4 here."""
ABOUT_NAME = "conditional.json"
WARMUP_STEPS = 20


@dataclass(frozen=True)
class Tuning:
    """Hold how the network is tuned.

    Attributes:
        minutes: Time budget, above 0.
        max_steps: Most optimiser steps, at least 1.
        batch_ids: Most ids in a step.
        lr: Peak learning rate of AdamW.
        seed: Of the order of clips.
    """

    minutes: float = 10.0
    max_steps: int = 400
    batch_ids: int = 4096
    lr: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: If one is not above 0, or the seed below it.
        """
        for name in ("minutes", "max_steps", "batch_ids", "lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")


def song_quadrants(
    rows: Rows, clips: Sequence[LabelledClip], source_dir: Path
) -> NDArray[np.int64]:
    """Return the quadrant of each packed song, 0 to 3, and -1 where it is no labelled clip.

    Args:
        rows: Packed rows, whose songs are named by their paths below `source_dir`.
        clips: Labelled clips; those of the judges' half are passed over.
        source_dir: The folder that the rows were made from.

    Raises:
        ValueError: If a quadrant does not occur.
    """
    known = {
        clip.path.relative_to(source_dir).as_posix(): QUADRANTS.index(clip.quadrant)
        for clip in clips
        if clip.part == "mapper" and clip.path.is_relative_to(source_dir)
    }
    found = np.array([known.get(name, -1) for name in rows.meta.get("song_names", ())])
    missing = [name for i, name in enumerate(QUADRANTS) if not (found == i).any()]
    if missing:
        raise ValueError(f"the packed rows hold no labelled song of {', '.join(missing)}")
    return found.astype(np.int64)


class QuadrantBatches(ClipBatches):
    """Assemble batches of labelled clips, each after the token of its quadrant alone."""

    def __init__(
        self, rows: Rows, quadrant: NDArray[np.int64], *, batch_ids: int, context: int, seed: int
    ) -> None:
        """Choose the clips.

        Args:
            rows: Packed rows.
            quadrant: Of each song, 0 to 3, or -1 to leave it out; shape (n_songs,).
            batch_ids: Most ids in a batch.
            context: Longest sequence.
            seed: Of the order.
        """
        super().__init__(
            rows,
            validation=False,
            batch_ids=batch_ids,
            context=context,
            seed=seed,
            augmentation=BARE,
        )
        self.quadrant = quadrant[rows.clip_song]
        self.clips = np.flatnonzero(self.quadrant >= 0)
        self.weight = np.ones(len(self.clips))
        self.first_token = int(self.layout.control[self.tempo])

    def sequence(
        self, clip: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids of a clip after its quadrant's token, and what is to be learnt of it."""
        ids, goal = super().sequence(clip, rng)
        token = self.first_token + int(self.quadrant[clip])
        return np.insert(ids, 1, token), np.insert(goal, 1, IGNORED)


def tempos_of(rows: Rows, quadrant: NDArray[np.int64]) -> dict[str, list[float]]:
    """Return the tempos of each quadrant's clips, for tokens say none.

    Args:
        rows: Packed rows.
        quadrant: Of each song, 0 to 3, or -1; shape (n_songs,).
    """
    tempo = rows.clip_values[:, rows.meta["attributes"].index("tempo")]
    of_clip = quadrant[rows.clip_song]
    return {name: tempo[of_clip == i].tolist() for i, name in enumerate(QUADRANTS)}


def tune(
    checkpoint: Path,
    out_dir: Path,
    rows: Rows,
    quadrant: NDArray[np.int64],
    tuning: Tuning = Tuning(),
    *,
    progress: Progress = lambda share: None,
) -> dict[str, Any]:
    """Tune the network of a checkpoint on labelled clips, each after its quadrant's token.

    A folder that holds the same tuning already is left as it is.

    Args:
        checkpoint: Whose weights to begin with.
        out_dir: Where weights and tokenizer go.
        rows: Packed rows.
        quadrant: Of each song, 0 to 3, or -1 to leave it out; shape (n_songs,).
        tuning: Settings.
        progress: Called with the share of the budget that is spent.

    Returns:
        Steps, mean loss of the first and of the last tenth of them, minutes.

    Reference:
        The baseline of EMOPIA (Hung et al. 2021) and of EmoGen (Kang et al. 2023), there with a
        token of its own for each quadrant. Tempo is no token here: `compose_conditional`
        draws it from the quadrant's clips.
    """
    asked = {"checkpoint": checkpoint.resolve().name, **vars(tuning)}
    kept = out_dir / ABOUT_NAME
    if kept.is_file():
        about: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if about.get("asked") == asked:
            return about
    model = load_model(checkpoint).train()
    batches = QuadrantBatches(
        rows,
        quadrant,
        batch_ids=tuning.batch_ids,
        context=model.config.context,
        seed=tuning.seed,
    )
    started = time.monotonic()
    losses = _steps(model, batches, tuning, progress)
    tenth = max(len(losses) // 10, 1)
    about = {
        "asked": asked,
        "clips": len(batches.clips),
        "steps": len(losses),
        "loss": [round(float(np.mean(part)), 4) for part in (losses[:tenth], losses[-tenth:])],
        "minutes": round((time.monotonic() - started) / 60.0, 2),
    }
    save_model(out_dir, model, recipe={"conditional": asked})
    Tokenizer(checkpoint / "tokenizer.json").save(out_dir)
    write_text(kept, json.dumps(about, indent=1) + "\n")
    return about


def _steps(
    model: torch.nn.Module, batches: QuadrantBatches, tuning: Tuning, progress: Progress
) -> list[float]:
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.01)
    begun, epoch, losses, spent = time.monotonic(), 0, list[float](), 0.0
    while spent < 1.0:
        for index, clips in enumerate(batches.epoch(epoch)):
            inputs, targets = batches.batch(clips, epoch, index)
            warm = min((len(losses) + 1) / WARMUP_STEPS, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = tuning.lr * warm * (1.0 + math.cos(math.pi * spent)) / 2.0
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_of(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(float(loss.detach()))
            by_time = (time.monotonic() - begun) / (60.0 * tuning.minutes)
            spent = min(max(len(losses) / tuning.max_steps, by_time), 1.0)
            progress(spent)
            if spent >= 1.0:
                break
        epoch += 1
    return losses


def compose_conditional(
    folder: Path,
    tempos: Mapping[str, Sequence[float]],
    *,
    count: int,
    seed: int,
    n_bars: int = 16,
    threads: int = 1,
    progress: Callable[[int], None] = lambda n_done: None,
) -> list[Notes]:
    """Compose first draws of each quadrant after its token alone.

    Args:
        folder: What `tune` wrote.
        tempos: Of each quadrant's real clips; a clip takes one of them.
        count: Clips of each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
        threads: Of the engine, on the CPU.
        progress: Called with the number of clips just finished.
    """
    tokenizer, engine = Tokenizer(folder / "tokenizer.json"), open_engine(folder, threads=threads)
    vocabulary = tokenizer.vocabulary
    grammar, first = clip_grammar(vocabulary), int(vocabulary.control_ids((TOKEN_OF,))[0])
    context = engine.config.context
    max_repeated = min(context // REPEATED_SHARE, context - MIN_CONTEXT)
    rows, heard = [], []
    for index, quadrant in enumerate(quadrants_of(count)):
        rng = np.random.default_rng([seed, index])
        heard.append((float(rng.choice(tempos[quadrant])), transposition(int(rng.integers(12)))))
        plan = _plan(first + QUADRANTS.index(quadrant), n_bars, heard[-1][1])
        script = script_of(plan, vocabulary, grammar, max_repeated=max_repeated)
        rows.append(Row(script, Uniforms(rng), number=index))
    found: dict[int, Notes] = {}
    for at, segments in engine.write(rows, grammar):
        tempo, shift = heard[at]
        score = tokenizer.decode(
            ids_of(rows[at].script, segments), tempo=tempo, n_beats=4.0 * n_bars
        )
        found[at] = notes_of(score.shift_pitch(shift))
        progress(1)
    return [found[at] for at in range(len(rows))]


def _plan(token: int, n_bars: int, shift: int) -> Plan:
    return Plan(
        (token,),
        ((),) * n_bars,
        lowest=max(LOWEST_PITCH, LOWEST_PITCH - shift),
        highest=min(HIGHEST_PITCH, HIGHEST_PITCH - shift),
    )
