"""Draw piano rolls of MIDI files into one PNG: draw_rolls.py OUT.png FILE [FILE ...]."""

from __future__ import annotations

import sys
from pathlib import Path

from emomusic.music.pianoroll import draw_piano_rolls
from emomusic.music.score import ScoreError, read_score


def main(arguments: list[str]) -> int:
    """Draw the files named after the picture's own name, with their names as titles."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    paths = [Path(argument) for argument in arguments[1:]]
    try:
        scores = [read_score(path) for path in paths]
        draw_piano_rolls(scores, Path(arguments[0]), titles=[path.stem for path in paths])
    except (OSError, ScoreError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
