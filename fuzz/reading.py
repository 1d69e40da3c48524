"""What is done with a MIDI file that somebody brings, up to its notes and a little further."""

from __future__ import annotations

import zlib

import numpy as np

from emomusic.compose.primer import Primer, read_primer
from emomusic.compose.request import CONTINUE, INFILL, VARY
from emomusic.music.attributes import measure, passage_of
from emomusic.music.bars import end_of_sound
from emomusic.music.key import estimate_key, signature_of
from emomusic.music.notes import Notes
from emomusic.music.score import ScoreError, grid_of, notes_of, parse_score, seconds_at, tempo_of
from emomusic.music.smf import MidiFile, continue_midi, infill_midi
from emomusic.music.tokenizer import HALVES, Tokenizer

TOKENIZER = Tokenizer()
KINDS = ("Position", "Pitch", "Velocity", "Duration")
NOTE = [int(TOKENIZER.vocabulary.kind_ids(kind)[0]) for kind in KINDS]
MEASURED_SHARE = 8
"""Of so many files one is measured: that takes longer than all the rest."""


def hear(data: bytes) -> bool:
    """Read a file as `verify` and `--continue` do; return whether its notes were reached."""
    try:
        score = parse_score(data)
        notes = notes_of(score)
    except ScoreError as error:
        assert "\n" not in str(error), "an error is told in one line"
        return False
    _check(notes)
    tempo = tempo_of(score)
    assert tempo > 0 and np.isfinite(tempo)
    lines, _ = grid_of(score, float((notes.onset + notes.duration).max()))
    assert (np.diff(lines) > 0).all()
    if zlib.crc32(data) % MEASURED_SHARE == 0:
        assert np.isfinite(list(measure(passage_of(notes, tempo=tempo)).values())).all()
    if (way := zlib.crc32(data) // MEASURED_SHARE % 3) < 2:
        _take_up(data, (CONTINUE, VARY)[way])
    else:
        _write_anew(data)
    return True


def _check(notes: Notes) -> None:
    assert notes.pitch.min() >= 0 and notes.pitch.max() <= 127
    assert notes.velocity.min() >= 1 and notes.velocity.max() <= 127
    assert notes.onset.min() >= 0 and notes.duration.min() > 0
    assert notes.onset_s.min() >= 0 and notes.duration_s.min() > 0
    assert np.isfinite(notes.duration_s).all() and (np.diff(notes.onset) >= 0).all()


def _take_up(data: bytes, use: str) -> None:
    """Read the bars of a file; continue it by one of its own, write it, and read it back."""
    try:
        given = Primer(data, use)
        theme = read_primer(given, TOKENIZER)
    except ScoreError as error:
        assert "\n" not in str(error), "an error is told in one line"
        return
    estimate_key(theme.like.notes)
    assert np.isfinite(theme.tempo) and theme.end > 0
    if use != CONTINUE:
        return
    sounds_until = end_of_sound(given.score, None)[0]
    assert theme.end > sounds_until - 1e-6, "what is new begins when all is over"
    bar = next((bar for bar in reversed(theme.bars) if len(bar) > len(HALVES)), NOTE)
    added = TOKENIZER.decode([TOKENIZER.vocabulary.id_of("Bar_None"), *bar])
    longer = continue_midi(
        data, added, at=theme.end, n_beats=theme.metre.quarters, signature=signature_of("C")
    )
    assert MidiFile.parse(longer).tracks[1:-1] == MidiFile.parse(data).tracks[1:]
    again = parse_score(longer)
    end = np.array([given.score.end()])
    assert np.isfinite(seconds_at(again, end)).all()


def _write_anew(data: bytes) -> None:
    """Leave a bar of a file out but for its melody, write a note into it, and read it back."""
    at = str(zlib.crc32(data) % 4)
    try:
        given = Primer(data, INFILL, at=at, lock="melody")
        theme = read_primer(given, TOKENIZER)
        lines = np.append(theme.gap[0], theme.gap[1, -1])
        assert (np.diff(lines) > 0).all()
        added = TOKENIZER.decode([TOKENIZER.vocabulary.id_of("Bar_None"), *NOTE])
        bars = np.linspace(0.0, (len(lines) - 1) * theme.metre.quarters, len(lines))
        signature = signature_of("C")
        filled = infill_midi(
            data, added, bars=bars, lines=lines, signature=signature, stay=theme.kept
        )
        parse_score(filled)
    except ScoreError as error:
        assert "\n" not in str(error), "an error is told in one line"
        return
    assert MidiFile.parse(filled).n_tracks == MidiFile.parse(data).n_tracks + 1
