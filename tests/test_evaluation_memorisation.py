from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from helpers.evaluation import row
from rows_cases import plain_rows
from symusic.core import NoteTickList, ScoreTick, TrackTick, TrackTickList

from emomusic.evaluation import memorisation as memory
from emomusic.evaluation.rows import Row
from emomusic.music.attributes import passage_of
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import Tokenizer
from emomusic.training.rows import Rows

N_BARS = 16
SOURCES = ("one", "other")
LineOf = Callable[[Notes], memory.Line]


TOKENIZER = Tokenizer()


def music(seed: int, *, n_bars: int = N_BARS) -> Notes:
    """Return a melody over chords, drawn at random, on the grid of half beats."""
    rng = np.random.default_rng(seed)
    onset = np.sort(rng.choice(n_bars * 8, n_bars * 5, replace=False)) / 2
    onset = np.union1d(onset, np.arange(0, n_bars * 4, 4))
    chords = np.arange(0, n_bars * 4, 2.0)
    low = rng.integers(36, 50, len(chords))
    return make_notes(
        np.concatenate([onset, chords, chords]),
        np.concatenate([np.full(len(onset), 0.5), np.full(2 * len(chords), 1.5)]),
        np.concatenate([rng.integers(60, 80, len(onset)), low, low + rng.integers(3, 9)]),
        np.full(len(onset) + 2 * len(chords), 63),
    )


def bars_of(notes: Notes) -> list[list[int]]:
    score, track = ScoreTick(12), TrackTick("piano", 0, False)
    columns = [np.rint(notes.onset * 12), np.rint(notes.duration * 12)]
    track.notes = NoteTickList.from_numpy(
        *(column.astype(np.int32) for column in columns),
        notes.pitch.astype(np.int8),
        notes.velocity.astype(np.int8),
    )
    score.tracks = TrackTickList([track])
    return TOKENIZER.encode(score)


def rows_of(songs: list[list[list[int]]], *, n_held_back: int) -> Rows:
    """Return packed rows of songs, each cut into two clips that share bars; the last held back."""
    n_songs, n_bars = len(songs), len(songs[0])
    lengths = [len(bar) for song in songs for bar in song]
    half = n_bars // 2
    return plain_rows(
        ids=np.array([i for song in songs for bar in song for i in bar], dtype=np.uint16),
        bar_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        clip_bar=np.array([s * n_bars + x for s in range(n_songs) for x in (0, half)], np.int32),
        clip_n_bars=np.array([half + 2, n_bars - half] * n_songs, dtype=np.int16),
        clip_is_end=np.tile([False, True], n_songs),
        clip_song=np.repeat(np.arange(n_songs), 2).astype(np.int32),
        song_source=(np.arange(n_songs) % 2).astype(np.int16),
        song_is_validation=np.arange(n_songs) >= n_songs - n_held_back,
        meta={
            "vocabulary": list(TOKENIZER.vocabulary.texts),
            "sources": list(SOURCES),
            "song_names": [f"songs/{i}.mid" for i in range(n_songs)],
        },
    )


@cache
def some_rows() -> Rows:
    return rows_of([bars_of(music(seed)) for seed in range(12)], n_held_back=6)


def decoded(notes: Notes) -> Notes:
    return notes_of(TOKENIZER.decode([i for bar in bars_of(notes) for i in bar]))


def moved(notes: Notes, *, semitones: int, tempo: float) -> Notes:
    return make_notes(
        notes.onset, notes.duration, notes.pitch + semitones, notes.velocity, tempo=tempo
    )


def held(
    clips: Sequence[Notes], rows: Rows | None = None, *, n_windows: int = 5
) -> list[Row | str]:
    return list(memory.memorisation(clips, rows or some_rows(), SOURCES, n_windows=n_windows))


@cache
def planted() -> list[Row | str]:
    """Hold four clips against the rows: new music, a song moved, the same shuffled, new music."""
    song = decoded(music(3))
    pitch = np.random.default_rng(1).permutation(song.pitch)
    shuffled = make_notes(song.onset, song.duration, pitch, song.velocity)
    clips = [music(101), moved(song, semitones=5, tempo=77.0), shuffled, music(102)]
    return held(clips, n_windows=3)


def matches(rows: list[Row | str], view: str) -> list[Row]:
    return [own for own in rows if isinstance(own, Row) and own.name == "longest match"
            and own.by["view"] == view]  # fmt: skip


def of(rows: list[Row | str], name: str, kind: str, *, view: str = "texture") -> float:
    return row(rows, name, view=view, of=kind).value


@pytest.mark.parametrize("line_of", [memory.melody_line, memory.texture_line])
def test_events_do_not_change_under_transposition_tempo_and_a_later_start(line_of: LineOf) -> None:
    notes = music(0)
    line, other = line_of(notes), line_of(moved(notes, semitones=-7, tempo=61.0))
    later = make_notes(notes.onset + 3, notes.duration, notes.pitch, notes.velocity)
    assert len(line.codes) > 30
    np.testing.assert_array_equal(line.codes, other.codes)
    np.testing.assert_array_equal(line.codes, line_of(later).codes)
    one = notes.where(slice(0, 1))  # no second onset
    assert len(line_of(one).codes) == len(line_of(one.where(slice(0, 0))).codes) == 0


def test_melody_events_are_intervals_and_gaps_of_the_skyline() -> None:
    onset, pitch = np.array([0, 0, 1, 1.5, 1.5, 3]), np.array([48, 60, 64, 40, 62, 60])
    line = memory.melody_line(make_notes(onset, np.full(6, 0.5), pitch, np.full(6, 63)))
    gaps, intervals = line.codes[:, 0] // 256, line.codes[:, 0].astype(int) % 256 - 128
    assert (gaps.tolist(), intervals.tolist()) == ([12, 6, 18], [4, -2, -2])
    assert line.step.tolist() == [0, 12, 18, 36] and line.beats(1, 2) == 2.0
    for seed in range(5):  # the melody is that of the attributes
        notes = decoded(music(seed))
        melody = passage_of(notes, tempo=120.0).melody
        intervals = memory.melody_line(notes).codes[:, 0].astype(int) % 256 - 128
        np.testing.assert_array_equal(intervals, np.diff(melody))


def test_texture_tells_chords_of_one_lowest_note_apart() -> None:
    def line(chord: list[int]) -> memory.Line:
        pitch = np.array([50, *chord])
        onset = np.array([0.0, *[1.0] * len(chord)])
        return memory.texture_line(
            make_notes(onset, np.ones(len(pitch)), pitch, np.full(len(pitch), 63))
        )

    chords = [[48, 52, 55], [48, 51, 55], [48, 55], [48, 52, 55, 112], [48, 52, 55, 113], [47, 52]]
    found = {tuple(line(chord).codes[0].tolist()) for chord in chords}
    assert len(found) == len(chords)


def test_each_bar_of_packed_rows_is_read_once_and_one_without_a_clip_parts_a_song() -> None:
    rows = some_rows()
    stretches = list(memory.stretches_of(rows))
    assert [stretch.song for stretch in stretches] == list(range(12))
    for seed, stretch in enumerate(stretches):
        assert len(stretch.lines) == N_BARS
        expected = memory.texture_line(decoded(music(seed)))
        np.testing.assert_array_equal(stretch.views["texture"].codes, expected.codes)
    n_bars = rows.clip_n_bars.copy()
    n_bars[0] = 5  # the second clip begins at bar 8
    first, second = list(memory.stretches_of(replace(rows, clip_n_bars=n_bars)))[:2]
    assert (first.song, first.bar, len(first.lines)) == (0, 0, 5)
    assert (second.song, second.bar, len(second.lines)) == (0, 8, 8)
    assert [second.bar_at(beat) for beat in (0.0, 3.9, 4.0, 31.0)] == [8, 8, 9, 15]


def line_from(symbols: list[int]) -> memory.Line:
    codes = np.array(symbols, dtype=np.uint64).reshape(-1, 1)
    return memory.Line(codes, np.arange(len(symbols) + 1))


def longest_by_hand(asked: list[int], known: list[list[int]]) -> int:
    """Return the most symbols with which `asked` begins that stand in a known line."""
    runs = (n for n in range(len(asked), 0, -1) for line in known for j in range(len(line) - n + 1)
            if line[j : j + n] == asked[:n])  # fmt: skip
    return next(runs, 0)


@pytest.mark.parametrize("n_symbols", [1, 2, 3, 8])
def test_longest_runs_are_those_found_by_hand(n_symbols: int) -> None:
    rng = np.random.default_rng(n_symbols)
    draw = [rng.integers(0, n_symbols, n).tolist() for n in (9, 0, 1, 30, 14, 25, 0, 7)]
    known, asked = draw[:4], [*draw[4:], draw[3], [99]]
    found = memory.longest_runs([line_from(s) for s in known], [line_from(s) for s in asked])
    with pytest.raises(ValueError, match="no known events"):
        memory.longest_runs([line_from([])], [line_from([1, 2])])
    for symbols, runs in zip(asked, found, strict=True):
        assert runs.length.tolist() == [
            longest_by_hand(symbols[i:], known) for i in range(len(symbols))
        ]
        for i, (n, line, at) in enumerate(zip(runs.length, runs.line, runs.at, strict=True)):
            if n:
                assert known[line][at : at + n] == symbols[i : i + n]


@pytest.mark.parametrize("view", ["melody", "texture"])
def test_a_copied_song_is_found_whole_though_transposed_and_slower_and_no_other(view: str) -> None:
    first = matches(planted(), view)[0]
    found = {key: first.by[key] for key in ("clip", "song", "bar", "beat")}
    assert found == {"clip": "1", "song": "songs/3.mid", "bar": "0", "beat": "0"}
    line = {"melody": memory.melody_line, "texture": memory.texture_line}[view](decoded(music(3)))
    assert first.value == len(line.codes)
    assert float(first.by["beats"]) == line.beats(0, len(line.codes))
    assert of(planted(), "share_32", "composed greatest", view=view) == 1.0
    # the same song shuffled, and new music
    longest = {own.by["clip"]: own.value for own in matches(planted(), view)}
    assert max(n for clip, n in longest.items() if clip != "1") < 8
    assert of(planted(), "longest_events", "real greatest", view=view) < 8


def test_a_quotation_is_found_where_it_stands() -> None:
    song, new = decoded(music(4)), music(103)
    quoted = song.where((song.onset >= 24) & (song.onset < 40))
    around = new.where((new.onset < 12) | (new.onset >= 28))
    columns = [
        np.concatenate([a, b])
        for a, b in zip(around.columns, moved(quoted, semitones=2, tempo=90.0).columns, strict=True)
    ]
    columns[0][len(around) :] -= 12
    clip = make_notes(columns[0], columns[1], columns[4], columns[5])
    found = matches(held([clip], n_windows=1), "texture")[0].by
    assert (found["song"], found["bar"]) == ("songs/4.mid", "6")
    assert 11.5 <= float(found["beat"]) <= 12.5
    assert 14 <= float(found["beats"]) <= 17


def test_copies_lift_composed_above_real_and_new_music_does_not() -> None:
    found = held([decoded(music(seed)) for seed in range(6)], n_windows=3)
    for name in ("melody longest_events", "texture longest_events", "texture share_16"):
        assert name in str(found[-1]).partition("Above real")[2]
    assert row(found, "measures above real music").value >= 3
    new = held([music(seed) for seed in range(200, 206)])
    assert "texture longest_events" not in str(new[-1]).partition("Above real")[2]


def test_windows_are_as_many_as_asked_of_the_sources_named_and_alike_of_one_seed() -> None:
    short = [music(seed, n_bars=4) for seed in (7, 8, 9)]
    found = held(short, n_windows=4)
    assert "3 clips and 12 windows of 6 held-back songs, 6 training songs" in str(found[-1])
    # songs 7 to 9 are held back, so nothing of them is known
    assert of(found, "longest_events", "composed greatest") < 8
    one, two = (
        list(memory.memorisation(short[:1], some_rows(), ["one"], n_windows=5, seed=3))
        for _ in range(2)
    )
    assert "of 3 held-back songs, 6 training songs" in str(one[-1]) and one == two


def test_a_duplicate_among_the_held_back_songs_leaves_the_strict_floor() -> None:
    songs = [bars_of(music(seed)) for seed in range(40)] + [bars_of(music(0))]
    clips = [music(seed) for seed in range(300, 310)]
    found = held(clips, rows_of(songs, n_held_back=35), n_windows=10)
    assert of(found, "longest_events", "real greatest") > 60
    excess, strict = (of(found, "longest_events", kind) for kind in ("excess", "excess, strict"))
    assert strict > excess


def test_what_cannot_be_compared_is_named_and_short_clips_are_left_out_of_a_measure() -> None:
    learnt = replace(some_rows(), song_is_validation=np.zeros(12, bool))
    for n, rows, words in ((0, some_rows(), "got 0, 6 and 6"), (1, learnt, "got 1, 12 and 0")):
        with pytest.raises(ValueError, match=words):
            held([music(101)] * n, rows)
    found = held([music(0).where(slice(0, 8))])
    names = {own.name for own in found if isinstance(own, Row)}
    assert "longest_events" in names and "share_32" not in names


def test_an_excess_beyond_chance_is_told_from_one_within_and_windows_of_a_song_are_one_draw() -> (
    None
):
    rng = np.random.default_rng(0)
    real, song = rng.normal(0, 1, 300), np.repeat(np.arange(60), 5)
    above = memory.excess_of(rng.normal(1, 1, 100), real, real_group=song)
    assert 0 < above.low < above.value < above.high
    assert memory.excess_of(rng.normal(-1, 1, 100), real, real_group=song).high < 0
    known = memory.excess_of(
        np.array([1.0, np.nan]), np.array([0.0, np.nan, 0.0]), real_group=song[:3]
    )
    assert known.value == 1.0
    real = np.repeat(rng.normal(0, 1, 10), 50)
    by_song = memory.excess_of(np.zeros(50), real, real_group=np.repeat(np.arange(10), 50))
    by_window = memory.excess_of(np.zeros(50), real, real_group=np.arange(500))
    assert by_song.high - by_song.low > 3 * (by_window.high - by_window.low)
