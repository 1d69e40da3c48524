"""Compare the engines on music that the model never saw: what does int8 lose?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from emomusic.evaluation.validity import MAX_EVENTS, held_back_losses
from emomusic.model.checkpoint import load_model
from emomusic.model.int8.engine import Int8Engine
from emomusic.model.torch_engine import TorchEngine
from emomusic.training.rows import Rows

MAX_LOSS = 1.005
"""The ratio that int8 may cost."""


def main(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the model.")],
    rows: Annotated[Path, typer.Option(help="Packed rows.")] = Path("datasets/packed/rows.npz"),
    max_events: Annotated[int, typer.Option(min=1, help="Events to look at.")] = MAX_EVENTS,
) -> None:
    """Print nats a note of float32 and int8 and their ratio, with intervals; fail above 1.005."""
    torch.set_num_threads(1)
    packed = Rows.load(rows)
    exact = held_back_losses(TorchEngine(load_model(checkpoint)), packed, max_events=max_events)
    typer.echo(f"{exact.n_notes.sum()} notes of {len(exact.n_notes)} clips held back")
    typer.echo("float32 {:.5f} nats a note ({:.5f} to {:.5f})".format(*exact.per_note()))
    rounded = held_back_losses(Int8Engine.load(checkpoint), packed, max_events=max_events)
    typer.echo("int8    {:.5f} nats a note ({:.5f} to {:.5f})".format(*rounded.per_note()))
    ratio, low, high = rounded.ratio_to(exact)
    typer.echo(f"ratio   {ratio:.5f} ({low:.5f} to {high:.5f})")
    if not ratio <= MAX_LOSS:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
