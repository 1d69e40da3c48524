"""From written ids to a clip: the score, what it measures, what is heard in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from symusic.core import ScoreTick, TempoTick, TempoTickList

from emomusic.compose.asking.given import joined
from emomusic.compose.clip import Clip
from emomusic.compose.drafting.draft import Draft
from emomusic.compose.drafting.guide import ids_of, transposition
from emomusic.model.grammar import Script, Segments
from emomusic.music.attributes import measure
from emomusic.music.chord_names import Chords, format_chords
from emomusic.music.chords import CHORD_NAMES, shift_chords
from emomusic.music.key import TONIC_NAMES, key_correlations
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT, Tokenizer
from emomusic.music.vocabulary import HALVES
from emomusic.verify.verifier import Verifier


@dataclass(frozen=True, eq=False)
class Sketch:
    """Hold a candidate of a clip while it is being written.

    Attributes:
        draft: What it is to become.
        script: What was given of it.
        segments: Sampled ids of each whole bar.
        seed: Of the run.
    """

    draft: Draft
    script: Script
    segments: Segments
    seed: int

    @property
    def n_written(self) -> int:
        """Return how many whole bars there are of it, those left out that were given."""
        return len(self.segments)

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is missing."""
        return len(self.segments) == len(self.script.bars)


@dataclass(frozen=True)
class Finisher:
    """Turn sketches into scores and clips.

    Attributes:
        tokenizer: Of the checkpoint.
        verifier: The same.
        checkpoint: Its name.
    """

    tokenizer: Tokenizer
    verifier: Verifier
    checkpoint: str

    def written(self, sketch: Sketch) -> ScoreTick:
        """Return the score of what is written so far, as it will sound."""
        draft = sketch.draft
        n_beats = float(sketch.n_written * draft.request.beats_per_bar)
        ids = ids_of(sketch.script, sketch.segments)
        score = self.tokenizer.decode(ids, tempo=draft.tempo, n_beats=n_beats)
        if len(set(draft.tempi)) > 1:
            score.tempos = _tempi(draft, sketch.n_written)
        return score.shift_pitch(transposition(draft.tonic))

    def score(self, sketch: Sketch) -> ScoreTick:
        """Return the score so far, the music that was to be continued before it."""
        draft, score = sketch.draft, self.written(sketch)
        if draft.theme is None or draft.request.given is None or not draft.request.continues:
            return score
        return joined(draft.request.given.score, score, at=draft.theme.end)

    def chords(self, sketch: Sketch) -> Chords:
        """Return the chords that each bar was written to, given ones or the network's own."""
        draft = sketch.draft
        if draft.chords:
            return draft.chords[: sketch.n_written]
        first = [
            self.tokenizer.vocabulary.id_of(f"Chord{half}_{CHORD_NAMES[0]}") for half in HALVES
        ]
        own = np.array([segment[:2] for segment in sketch.segments], np.int64) - first
        a, b = shift_chords(own, transposition(draft.tonic)).T.tolist()
        return tuple(zip(a, b, strict=True))

    def clip(self, sketch: Sketch) -> Clip:
        """Return the clip that a sketch is, even if it is not whole."""
        draft, n_written = sketch.draft, sketch.n_written
        written, whole = self.written(sketch), self.score(sketch)
        tempo = draft.tempo_until(n_written)
        n_beats = float(n_written * draft.request.beats_per_bar)
        achieved = measure(passage_of(notes_of(written), n_beats=n_beats, tempo=tempo))
        is_major = draft.is_major if "mode" in draft.targets else achieved["mode"] >= 0
        if draft.chords:
            major, minor = key_correlations(notes_of(written))[:, draft.tonic]
            is_major = bool(major >= minor)
        n_given = draft.theme.n_bars if draft.theme and draft.request.continues else 0
        request = draft.request
        if n_written < draft.n_bars and request.n_kept != n_written:
            # Stopped: of several candidates only this one is there.
            request = replace(request, n_kept=n_written, best_of=1, candidate=draft.candidate)
        return Clip(
            index=draft.index,
            seed=sketch.seed,
            candidate=draft.candidate,
            request=request,
            score=whole,
            n_bars=n_given + n_written,
            n_given=n_given,
            tempo=tempo,
            key=f"{TONIC_NAMES[draft.tonic]} {'major' if is_major else 'minor'}",
            chords=format_chords(self.chords(sketch)),
            targets=draft.targets,
            achieved=achieved,
            verdict=self.verifier.verdict(notes_of(whole)),
            checkpoint=self.checkpoint,
        )


def _tempi(draft: Draft, n_bars: int) -> TempoTickList:
    """Return the tempo of each bar where it is another than before."""
    tempi, ticks = draft.tempi[:n_bars], draft.request.beats_per_bar * STEPS_PER_BEAT
    return TempoTickList(
        [
            TempoTick(bar * ticks, tempo)
            for bar, tempo in enumerate(tempi)
            if bar == 0 or tempo != tempi[bar - 1]
        ]
    )
