"""Hear a piece with a checkpoint's verifier."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from symusic.core import ScoreTick

from emomusic.compose.pretrained.find import find_checkpoint
from emomusic.music.score import notes_of, read_score
from emomusic.verify.verifier import Verdict, Verifier


def hear(music: str | os.PathLike[str] | ScoreTick, *, verifier: Verifier | None = None) -> Verdict:
    """Hear which emotion a piece carries.

    Args:
        music: A MIDI file, or a score such as a clip's.
        verifier: None takes the default checkpoint's, which is loaded once.

    Raises:
        ScoreError: If the music cannot be read or holds no notes.
    """
    score = music if isinstance(music, ScoreTick) else read_score(music)
    notes = notes_of(score)
    return (verifier or _verifier(find_checkpoint(None).resolve())).verdict(notes)


@lru_cache(maxsize=4)
def _verifier(folder: Path) -> Verifier:
    return Verifier.load(folder)
