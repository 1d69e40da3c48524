"""How much an evaluation measures, in full and quickly."""

from __future__ import annotations

from dataclasses import dataclass

from emomusic.evaluation.control.asking import FULL, Design
from emomusic.evaluation.judged.controls import N_SHUFFLES
from emomusic.evaluation.judged.grid import N_CLIPS, N_LEVELS
from emomusic.evaluation.loss import MAX_EVENTS
from emomusic.evaluation.moving.run import N_CURVES, N_PIECES


@dataclass(frozen=True)
class Extent:
    """Hold how much is measured; the defaults are those of a full run.

    Attributes:
        n_shuffles: Judges that learn from shuffled labels.
        n_candidates: First draws among which one judge chooses.
        best_of_share: One clip is chosen in place of so many first draws.
        n_levels: Values of valence and of arousal in the grid.
        n_clips: Clips of each cell of the grid.
        design: What is asked to see control.
        max_control_bars: Most bars of the clips that show control.
        max_events: Notes and bars of unseen songs that are foretold, at most.
        n_windows: Real windows for each clip that is held against the training songs.
        n_curves: Curves along which pieces are composed.
        n_taken_up: Pieces that are moved, varied and continued.
    """

    n_shuffles: int = N_SHUFFLES
    n_candidates: int = 8
    best_of_share: int = 4
    n_levels: int = N_LEVELS
    n_clips: int = N_CLIPS
    design: Design = FULL
    max_control_bars: int = 512
    max_events: int = MAX_EVENTS
    n_windows: int = 5
    n_curves: int = N_CURVES
    n_taken_up: int = N_PIECES


FULL_EXTENT = Extent()
QUICK_EXTENT = Extent(
    n_shuffles=2,
    best_of_share=8,
    n_levels=3,
    n_clips=2,
    design=Design(
        n_levels=4, n_each=1, n_bar_clips=3, n_sets=2, n_set_clips=8, n_bar_sets=2,
        n_bar_set_clips=4,
    ),
    max_control_bars=8,
    max_events=2_000,
    n_windows=2,
    n_curves=6,
    n_taken_up=4,
)  # fmt: skip
