"""An attribute of your own: a pure function of a passage, measured on clips as they come.

    .venv/bin/python examples/custom_attribute.py

In the package itself an attribute is one such function and one line of `ATTRIBUTES` in
`emomusic/music/attributes.py`: from then on it is measured and shown everywhere. A checkpoint
can be asked for it once it was trained with it.
"""

from __future__ import annotations

import numpy as np

from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion.space import find_emotion
from emomusic.music.attributes import Attribute, Passage, passage_of
from emomusic.music.score import notes_of

MIDDLE_C = 60


def left_hand_share(passage: Passage) -> float:
    """Return the share of notes below middle C, in [0, 1]."""
    return float(np.mean(passage.notes.pitch < MIDDLE_C))


LEFT_HAND = Attribute(
    "left_hand_share", "share of notes", 0.2, 0.8, "this example",
    "How much of the music lies below middle C.", left_hand_share,
)  # fmt: skip


def main() -> None:
    """Compose a clip for two emotions, and measure it."""
    composer = Composer.from_pretrained()
    for name in ("tenderness", "anger"):
        clip = next(iter(composer.compose(Request(find_emotion(name), n_bars=8), seed=1)))
        notes = notes_of(clip.score)
        beats = clip.n_bars * clip.metre.quarters
        value = LEFT_HAND.measure(passage_of(notes, n_beats=beats, tempo=clip.tempo))
        print(f"{name}: {LEFT_HAND.name} {value:.2f} ({LEFT_HAND.unit})")


if __name__ == "__main__":
    main()
