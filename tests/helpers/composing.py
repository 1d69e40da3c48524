"""Music to go on from, and what is read of composed clips, for tests of composing."""

from __future__ import annotations

import numpy as np
import symusic
from midi import score_of
from symusic.core import ScoreTick

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.primer import Primer
from emomusic.compose.request import CONTINUE, Request
from emomusic.emotion import QUADRANTS, CurvePoint, Emotion, EmotionCurve, find_emotion
from emomusic.music.score import dump_score, notes_of, parse_score
from emomusic.music.tokenizer import Tokenizer

JOY = Emotion(0.8, 0.6, "joy")
TOKENIZER = Tokenizer()
VOCABULARY = TOKENIZER.vocabulary
SCALE = (0, 2, 4, 5, 7, 9, 11, 12)
CHORDS = ((0, 4, 7, 12), (2, 7, 11, 7), (0, 2, 4, 7), (9, 7, 4, 0))


def tune(
    n_bars: int, *, beats: int = 4, tonic: int = 0, is_minor: bool = False, tempo: float = 96.0
) -> ScoreTick:
    """Return quarter notes about the chords of a key, over its tonic."""
    notes = [(float(bar * beats), float(beats), 48 + tonic, 60) for bar in range(n_bars)]
    for bar in range(n_bars):
        for beat in range(beats):
            step = CHORDS[bar % 4][beat]
            step -= is_minor and step in (4, 9)
            notes.append((float(bar * beats + beat), 0.9, 60 + tonic + step, 50 + 7 * beat))
    return score_of(notes, signatures=((0, beats, 4),), tempo=tempo)


def band(per_beat: int = 96) -> ScoreTick:
    """Return two bars of 3/4 for a flute, a piano with pedal, and drums; the tempo changes."""
    score: ScoreTick = symusic.Score(per_beat)
    flute, piano = symusic.Track("Flute", 73, False), symusic.Track("Piano", 0, False)
    drums = symusic.Track("Drums", 0, True)
    for beat in range(6):
        start = beat * per_beat
        flute.notes.append(symusic.Note(start, per_beat - 1, 72 + SCALE[beat], 80))
        piano.notes.append(symusic.Note(start, 9 * per_beat, 48 + SCALE[beat], 55))
        drums.notes.append(symusic.Note(start, 5, 38, 100))
    piano.pedals.append(symusic.Pedal(0, 6 * per_beat))
    flute.controls.append(symusic.ControlChange(0, 7, 90))
    flute.pitch_bends.append(symusic.PitchBend(per_beat, 300))
    score.tracks = [flute, piano, drums]
    score.tempos = [symusic.Tempo(0, 80.0), symusic.Tempo(3 * per_beat, 100.0)]
    score.time_signatures = [symusic.TimeSignature(0, 3, 4)]
    return score


def ids(text: str) -> list[int]:
    """Return the ids of tokens, with spaces between their texts."""
    return [VOCABULARY.id_of(word) for word in text.split()]


def given(score: ScoreTick, use: str = CONTINUE) -> Primer:
    """Return a score as given music."""
    return Primer(dump_score(score), use)


def curve_of(*points: tuple[float, float, float]) -> EmotionCurve:
    """Return the curve through (bar, valence, arousal)."""
    return EmotionCurve(tuple(CurvePoint(bar, Emotion(v, a)) for bar, v, a in points))


def in_file(score: ScoreTick) -> ScoreTick:
    """Return a score as its file has it."""
    return parse_score(dump_score(score))


def struck(score: ScoreTick, start: float = 0.0, stop: float = np.inf) -> list[tuple[float, int]]:
    """Return onset after `start`, in beats, and pitch of the notes that begin before `stop`."""
    notes = notes_of(score)
    own = notes.where((notes.onset >= start - 1e-9) & (notes.onset < stop - 1e-9))
    return list(zip((own.onset - start).round(6).tolist(), own.pitch.tolist(), strict=True))


def bars_struck(score: ScoreTick, start: float, beats: int) -> set[int]:
    """Return the bars, counted from a beat on, in which notes begin."""
    return {int(onset / beats + 1e-9) for onset, _ in struck(score, start)}


def compose_quadrants(composer: Composer, *, seed: int = 0, n_bars: int = 16) -> list[Clip]:
    """Compose a clip of each quadrant."""
    requests = [Request(find_emotion(name), n_bars=n_bars) for name in QUADRANTS]
    return list(composer.compose_each(requests, seed=seed))
