"""Compare the engines on music that the model never saw: what does int8 lose?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from emomusic.evaluation.loss import held_back_losses
from emomusic.model.checkpoint import load_model
from emomusic.model.engines.engine import Engine
from emomusic.model.int8.engine import Int8Engine
from emomusic.model.lockstep.engine import TorchEngine
from emomusic.training.rows import Rows


def main(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the model.")],
    rows: Annotated[Path, typer.Option(help="Packed rows.")] = Path("datasets/packed/rows.npz"),
    max_ids: Annotated[int, typer.Option(min=1, help="Ids to look at.")] = 40_000,
) -> None:
    """Print the mean loss of float32, bfloat16 and int8, and their ratios with intervals."""
    torch.set_num_threads(1)
    model, packed = load_model(checkpoint), Rows.load(rows)
    engines: dict[str, Engine] = {
        "float32": TorchEngine(model, bfloat16=False),
        "bfloat16": TorchEngine(model, bfloat16=True),
        "int8": Int8Engine.load(checkpoint),
    }
    found = {n: held_back_losses(e, packed, max_ids=max_ids) for n, e in engines.items()}
    base = found["bfloat16"]
    typer.echo(f"{len(base.nats)} ids of {int(base.sequence.max()) + 1} clips held back")
    for name, losses in found.items():
        ratio, low, high = losses.ratio_to(base)
        typer.echo(f"{name:<9} {losses.mean:.5f} nats an id, {ratio:.5f} of bfloat16's "
                   f"({low:.5f} to {high:.5f})")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
