"""The pilot: what steers each clip of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

from emomusic.compose.draft import Draft, transposition
from emomusic.compose.guide import ids_of
from emomusic.compose.steering.hearing import Segments
from emomusic.compose.steering.helm import Helm
from emomusic.compose.steering.levers import Centre, Levers
from emomusic.compose.steering.response import Response
from emomusic.model.engines.engine import Steer
from emomusic.model.engines.grammar import Script
from emomusic.music.attributes import attribute
from emomusic.music.passage import Passage, passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import BEATS_PER_BAR, Tokenizer

MIDDLE_PITCH, MIDDLE_VELOCITY, MIDDLE_LENGTH = 62.0, 64.0, 0.7
SHORTER, SHORTEST = 0.75, 0.1
"""Most notes are shorter than the mean, in beats."""


class Pilot:
    """Make the helm of each clip."""

    def __init__(self, tokenizer: Tokenizer, response: Response | None) -> None:
        """Take what was measured on a checkpoint; None steers nothing."""
        self.tokenizer, self.response = tokenizer, response
        self._levers = {
            beats: Levers(tokenizer.vocabulary, beats_per_bar=beats) for beats in BEATS_PER_BAR
        }

    def levers(self, draft: Draft) -> Levers:
        """Return the levers for a clip's metre."""
        return self._levers[draft.request.beats_per_bar]

    def steer(self, draft: Draft, script: Script) -> Steer | None:
        """Return what steers a clip, or None."""
        if self.response is None or not draft.request.steering:
            return None
        targets = written(draft)
        return Helm(
            targets,
            self.response,
            self.levers(draft),
            lambda segments: self.passage(draft, script, segments),
            centre=centre_of(targets),
            n_bars=draft.n_bars,
        )

    def passage(self, draft: Draft, script: Script, segments: Segments) -> Passage:
        """Return the bars so far, as they are written, in C."""
        n_beats = float(len(segments) * draft.request.beats_per_bar)
        score = self.tokenizer.decode(ids_of(script, segments), tempo=draft.tempo, n_beats=n_beats)
        return passage_of(notes_of(score), n_beats=n_beats, tempo=draft.tempo)


def centre_of(targets: Mapping[str, float]) -> Centre:
    """Return what levers turn about, from the targets as they are written in C."""
    return Centre(
        pitch=targets.get("register", MIDDLE_PITCH),
        velocity=targets.get("velocity_mean", MIDDLE_VELOCITY),
        length=max(targets.get("note_length", MIDDLE_LENGTH) * SHORTER, SHORTEST),
        is_major=targets.get("mode", 0.0) >= 0,
    )


def written(draft: Draft) -> dict[str, float]:
    """Return a clip's targets, moved to C, where it is written."""
    shift = transposition(draft.tonic)
    return {
        name: value - shift * attribute(name).per_semitone for name, value in draft.targets.items()
    }
