"""Clips as sequences: what stands where, what is drawn, what is learnt."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic import N_BINS, ROW_ATTRIBUTES, ROW_NOTES, make_rows
from training_cases import LIVELY, TEXTS

from emomusic.model.events import to_events
from emomusic.training.batches import STILL, Augmentation, ClipBatches
from emomusic.training.rows import Rows

ROWS = make_rows(n_songs=24, n_bars=16)
"""Clips of 8 bars, 1 + 2 * 8 + 6 * 8 events each."""
LENGTH = 65
KINDS = {
    "BOS": "B", "EOS": ".", "Control": "c", "BarControl": "b", "Bar": "|", "TimeSig": "t",
    "Compound": "o", "Ending": "e", "Join": "j", "Form": "f", "Given": "g", "Position": "p",
    "Pitch": "n", "Velocity": "v", "Duration": "d", "ChordA": "A", "ChordB": "C",
    "Behind": "<", "Here": ">",
}  # fmt: skip
BEHIND = r"\|to?e?f?b*(AC)?(p(nvd)+)*"
"""A bar behind a gap; no note of it is given, for all are there."""
BAR = r"\|to?j?e?f?b*(gpnv?d?)*(AC)?(p(nvd)+)*"
SEQUENCE = re.compile(rf"Bc*(<({BEHIND})+>)?({BAR})+\.?")


def batches(rows: Rows = ROWS, **changes: Any) -> ClipBatches:
    settings: dict[str, Any] = {"validation": False, "batch_events": 300, "context": 256, "seed": 1}
    return ClipBatches(rows, **{**settings, "augmentation": STILL, **changes})


def drawn(made: ClipBatches, clip: int, seed: int = 0) -> list[str]:
    return [TEXTS[i] for i in made.sequence(clip, np.random.default_rng(seed))[0]]


def letters_of(texts: list[str]) -> str:
    return "".join(KINDS[re.split("[-_]", text)[0]] for text in texts)


def only(texts: list[str], *kinds: str) -> list[str]:
    return [text for text in texts if text.startswith(kinds)]


def bars_of(texts: list[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Return the bars behind a gap, and the others."""
    parts: tuple[list[list[str]], list[list[str]]] = ([], [])
    is_behind = False
    for text in texts:
        is_behind = text == "Behind_None" or (is_behind and text != "Here_None")
        if text == "Bar_None":
            parts[not is_behind].append([])
        if parts[not is_behind] and text not in ("Behind_None", "Here_None"):
            parts[not is_behind][-1].append(text)
    return parts


DYNAMICS, DURATIONS = (
    has[ROWS.clip_song] for has in (ROWS.song_has_dynamics, ROWS.song_has_durations)
)
PLAIN, ENDING, FLAT, MADE_UP = (
    int(np.flatnonzero(wanted)[0])
    for wanted in (
        DYNAMICS & DURATIONS & ~ROWS.clip_is_end,
        DYNAMICS & DURATIONS & ROWS.clip_is_end,
        ~DYNAMICS,
        ~DURATIONS,
    )
)


def test_a_clip_is_its_controls_and_its_bars_that_count_down_to_an_end() -> None:
    texts = drawn(batches(), PLAIN)
    assert texts[0] == "BOS_None"
    assert [text.split("_")[0] for text in texts[1:5]] == [
        f"Control-{name.replace('_', '-')}" for name in ROW_ATTRIBUTES
    ]
    assert texts[5:8] == ["Bar_None", "TimeSig_4/4", "Position_0"]
    assert texts.count("Bar_None") == 8 and "EOS_None" not in texts
    assert not only(texts, "Ending", "Join", "Form", "Given", "Chord", "Behind", "BarControl")
    texts = drawn(batches(), ENDING)
    assert only(texts, "Ending") == ["Ending_4", "Ending_3", "Ending_2", "Ending_1"]
    assert texts[-1] == "EOS_None"
    assert texts[texts.index("Ending_1") - 2 :][:2] == ["Bar_None", "TimeSig_4/4"]


def test_whatever_is_drawn_stands_in_its_order() -> None:
    made, seen = batches(augmentation=LIVELY), set[str]()
    for clip in range(len(ROWS.clip_song)):
        for seed in range(8):
            letters = letters_of(drawn(made, clip, seed))
            assert SEQUENCE.fullmatch(letters), letters
            seen |= set(letters)
    assert seen == set(KINDS.values())


def test_a_batch_holds_the_events_of_its_clips_side_by_side() -> None:
    made = batches(augmentation=LIVELY)
    layout = made.layout
    for index, clips in enumerate(made.epoch(0)):
        batch, at, n_notes = made.batch(clips, 0, index), 0, 0
        for row, clip in enumerate(clips):
            ids, learnt = made.sequence(int(clip), np.random.default_rng([1, 0, 1 + index, row]))
            own = to_events(ids, layout.events, layout.kinds, learnt)
            first, part = row * batch.shape[1], slice(at, at + len(own.start))
            assert batch.place[part].tolist() == [*range(first, first + len(own.start))]
            np.testing.assert_array_equal(batch.chosen[part], own.chosen)
            np.testing.assert_array_equal(batch.learnt[part], own.learnt)
            begin = int(batch.start[at])
            assert batch.rows[begin : begin + len(own.rows)].tolist() == own.rows.tolist()
            assert (batch.start[part] - begin).tolist() == own.start.tolist()
            at, n_notes = part.stop, n_notes + int(own.is_note.sum())
        assert (at, n_notes) == (len(batch.place), batch.n_notes)


@pytest.mark.parametrize("clip", [PLAIN, ENDING, FLAT, MADE_UP])
def test_what_is_given_or_not_known_is_not_learnt_and_all_that_is_music_is(clip: int) -> None:
    made, known = batches(augmentation=replace(LIVELY, gap=0)), [True] * 4
    known += [bool(DYNAMICS[clip]), bool(DURATIONS[clip])]
    kinds = ("Bar_", "Position_", "Pitch_", "EOS_", "Velocity_", "Duration_")
    music = tuple(kind for kind, is_known in zip(kinds, known, strict=True) if is_known)
    for seed in range(10):
        ids, learnt = made.sequence(clip, np.random.default_rng(seed))
        texts = [TEXTS[i] for i in ids]
        given = {
            at for found in re.finditer("gpnv?d?", letters_of(texts)) for at in range(*found.span())
        }
        bar = ROWS.clip_bar[clip] - 1
        for at, text in enumerate(texts):
            bar += text == "Bar_None"
            if text.startswith("Chord"):
                expected = ROWS.bar_chords[bar]["AB".index(text[5])] >= 0
            else:
                expected = text.startswith(music) and at not in given
            assert learnt[at] == expected, text


def test_songs_have_no_controls_of_what_is_not_theirs() -> None:
    swap = {"tempo": "tempo", "note_density": "note_length", "register": "register"}
    meta = {**ROWS.meta}
    for name, kind in (("attributes", "Control-"), ("bar_attributes", "BarControl-")):
        meta[name] = [swap.get(own, own) for own in meta[name]]
        meta["vocabulary"] = [
            text.replace(f"{kind}note-density", f"{kind}note-length") for text in meta["vocabulary"]
        ]
    made = batches(replace(ROWS, meta=meta), augmentation=replace(STILL, bar_controls=1))
    for clip, odd in ((FLAT, "velocity"), (MADE_UP, "note-length")):
        for own in (clip, PLAIN):
            draws = [made.sequence(own, np.random.default_rng(seed))[0] for seed in range(20)]
            found = {meta["vocabulary"][i] for i in np.concatenate(draws)}
            assert any("Control" in text and odd in text for text in found) == (own == PLAIN)
            assert only(sorted(found), "BarControl-register")


def test_a_gap_is_between_what_is_behind_and_what_was_before() -> None:
    made, joins = batches(augmentation=replace(STILL, gap=1)), Counter[int]()
    # What is written and shown is the clip, the bars behind first.
    kept = ("Position", "Pitch", "Velocity", "Duration", "Ending")
    for clip in (PLAIN, ENDING):
        whole = [only(bar, *kept) for bar in bars_of(drawn(batches(), clip))[1]]
        for seed in range(40):
            texts = drawn(made, clip, seed)
            behind, others = bars_of(texts)
            assert behind and others
            assert [only(bar, *kept) for bar in [*others, *behind]] == whole
            assert texts[-1] == "EOS_None" and texts.count("EOS_None") == 1
            told = [only(bar, "Join") for bar in others]
            n = sum(map(bool, told))
            assert told == [[]] * (len(others) - n) + [[f"Join_{k}"] for k in range(n, 0, -1)]
            joins[n] += 1
            _, learnt = made.sequence(clip, np.random.default_rng(seed))
            here = texts.index("Here_None")
            assert not learnt[: here + 1].any() and learnt[here + 1 :].any() and learnt[-1]
    assert set(joins) == {1, 2, 4}


def test_form_points_into_the_sequence_alone_and_to_what_the_rows_say() -> None:
    distance = {text: int(text.split("_")[1]) for text in TEXTS if text.startswith("Form")}
    codes = list(distance)
    rows = replace(ROWS, bar_form=np.arange(len(ROWS.bar_form), dtype=np.int8) % 11)
    made, n_told = batches(rows, augmentation=replace(STILL, form=1, gap=0.5)), 0
    for clip in range(len(rows.clip_song)):
        for seed in range(6):
            behind, others = bars_of(drawn(made, clip, seed))
            for first, part in ((len(others), behind), (0, others)):
                for at, bar in enumerate(part):
                    for text in only(bar, "Form"):
                        assert distance[text] <= at
                        assert codes[rows.bar_form[rows.clip_bar[clip] + first + at] - 1] == text
                        n_told += 1
    assert n_told > 200


def test_given_notes_are_notes_of_their_bar_and_stand_before_it() -> None:
    parts, kinds = Counter[str](), set[str]()
    made = batches(augmentation=replace(STILL, given=1))
    for seed in range(60):
        texts, chosen = drawn(made, PLAIN, seed), set[tuple[int, int]]()
        kinds |= set(re.findall("gpnv?d?", letters_of(texts)))
        for bar in bars_of(texts)[1]:
            shown = re.findall(r"Given_None,Position_(\d),Pitch_(\d+)", ",".join(bar))
            notes = re.findall(r"Position_(\d)|Pitch_(\d+)", ",".join(bar))
            moment, written = "", []
            for position, pitch in notes[2 * len(shown) :]:
                moment = position or moment
                written += [(moment, pitch)] if pitch else []
            assert [own for own in written if own in shown] == shown
            chosen |= {own[:2] for own, n in zip(ROW_NOTES, written, strict=True) if n in shown}
        parts[str(sorted(chosen))] += 1
    melody, bass, right, left = (
        sorted({(at, away) for at, away, part in ROW_NOTES if (part & bit > 0) == is_set})
        for bit, is_set in ((2, True), (4, True), (1, True), (1, False))
    )
    for wanted in (melody, bass, right, left, sorted(melody + bass)):
        assert parts[str(wanted)]
    assert kinds == {"gpnvd", "gpnv", "gpnd", "gpn"}


def test_given_notes_never_carry_a_clip_beyond_the_context() -> None:
    for room in (2, 10, 60):
        made = batches(augmentation=replace(STILL, given=1), context=LENGTH + room)
        given = 0
        for seed in range(30):
            batch = made.batch(np.array([PLAIN]), seed, 0)
            assert len(batch.start) <= LENGTH + room and batch.shape[1] <= LENGTH + room
            given = max(given, len(batch.start) - LENGTH + 8)
        assert (given > 10) == (room > 10)


def test_chords_stand_where_they_are_known_and_move_with_the_music() -> None:
    rows = replace(ROWS, clip_shift=np.full_like(ROWS.clip_shift, -2))
    names = [text.removeprefix("ChordA_") for text in TEXTS if text.startswith("ChordA_")]
    made = batches(rows, augmentation=replace(STILL, chords=1, octave=0.5))
    own = rows.bar_chords[rows.clip_bar[PLAIN] :][:8].tolist()
    # root * 9 + quality, 108 for none and for what is not known
    moved = [[(c // 9 - 2) % 12 * 9 + c % 9 if 0 <= c < 108 else 108 for c in two] for two in own]
    seen = Counter[tuple[bool, ...]]()
    for seed in range(60):
        bars = [only(bar, "Chord") for bar in bars_of(drawn(made, PLAIN, seed))[1]]
        for told, expected in zip(bars, moved, strict=True):
            assert [names.index(text.split("_")[1]) for text in told] in ([], expected)
        seen[tuple(map(bool, bars))] += 1
    known = tuple(two != [-1, -1] for two in own)
    from_some_bar = {(False,) * at + known[at:] for at in range(9)}
    assert set(seen) <= from_some_bar and len(seen) > 4 and 0.5 < seen[known] / 60 < 0.95
    # Music that is brought may lack chords around a gap.
    made, around = batches(augmentation=replace(STILL, chords=1, gap=1)), set[tuple[bool, ...]]()
    for seed in range(60):
        behind, others = bars_of(drawn(made, PLAIN, seed))
        parts = behind, others[-1:]
        around.add(tuple(any(only(bar, "Chord") for bar in part) for part in parts))
    assert {(True, True), (False, True)} <= around


def test_controls_name_the_bin_of_the_value() -> None:
    rows = replace(ROWS, clip_shift=np.zeros_like(ROWS.clip_shift))
    told = only(drawn(batches(rows), PLAIN), "Control")
    for text, value, edges in zip(told, rows.clip_values[PLAIN], rows.meta["edges"], strict=True):
        chosen = int(text.split("_")[1])
        inner = [-np.inf, *edges, np.inf]
        assert inner[chosen] <= value < inner[chosen + 1] and 0 <= chosen < N_BINS


def pitches(texts: list[str]) -> list[int]:
    return [int(text.split("_")[1]) for text in only(texts, "Pitch_")]


def test_notes_and_their_register_move_together() -> None:
    clip_values, bar_values = ROWS.clip_values.copy(), ROWS.bar_values.copy()
    clip_values[:, ROW_ATTRIBUTES.index("register")] = bar_values[:, 2] = 57.0
    rows = replace(ROWS, clip_values=clip_values, bar_values=bar_values,
                   clip_shift=np.full_like(ROWS.clip_shift, 3))  # fmt: skip
    still = replace(rows, clip_shift=np.zeros_like(rows.clip_shift))
    start = np.array(pitches(drawn(batches(still), PLAIN)))
    lively = batches(rows, augmentation=replace(STILL, octave=0.7, bar_controls=1))
    seen = set()
    for seed in range(60):
        texts = drawn(lively, PLAIN, seed)
        (shift,) = set((np.array(pitches(texts)) - start).tolist())
        registers = only(texts, "Control-register", "BarControl-register")
        seen.add((shift, *{text[-1] for text in registers}))
    assert seen == {(3, "2"), (15, "3"), (-9, "0")}  # 60, 72 and 48 among the edges 55, 60, 65


def test_a_shift_that_leaves_the_piano_is_not_made() -> None:
    is_pitch = np.isin(ROWS.ids, [i for i, text in enumerate(TEXTS) if text.startswith("Pitch_")])
    lively = {"augmentation": replace(STILL, octave=1)}
    for lowest, moves in ((21, {0, 12}), (96, {0, -12})):
        ids = ROWS.ids.astype(np.int64)
        # All notes between A0 and A1, or between C7 and C8, each where another one was.
        ids[is_pitch] = TEXTS.index(f"Pitch_{lowest}") + ids[is_pitch] % 12
        still = np.zeros_like(ROWS.clip_shift)
        rows = replace(ROWS, ids=ids.astype(np.uint16), clip_shift=still)
        start, made = np.array(pitches(drawn(batches(rows), PLAIN))), batches(rows, **lively)
        found = {tuple(pitches(drawn(made, PLAIN, s)) - start) for s in range(30)}
        assert {shift for shifts in found for shift in shifts} == moves


def test_chances_are_near_what_is_asked() -> None:
    made = batches(augmentation=Augmentation(drop_all=0.2, keep_all=0.5, gap=0.3, octave=0.25))
    n, counts = 800, Counter[str]()
    for seed in range(n):
        texts = drawn(made, PLAIN, seed)
        for kind in ("BarControl-", "Chord", "Given", "Behind"):
            counts[kind] += bool(only(texts, kind))
        counts[f"{len(only(texts, 'Control'))} controls"] += 1
    # Of the 0.3 between, a chance uniform in [0, 1] keeps all or none of four in a fifth each.
    assert counts["4 controls"] / n == pytest.approx(0.5 + 0.3 / 5, abs=0.06)
    assert counts["0 controls"] / n == pytest.approx(0.2 + 0.3 / 5, abs=0.06)
    assert counts["Behind"] / n == pytest.approx(0.3, abs=0.05)
    assert 0.15 < counts["BarControl-"] / n < 0.32 and 0.15 < counts["Given"] / n < 0.25
    assert 0.4 < counts["Chord"] / n < 0.55


def test_tempo_moves_no_further_than_told() -> None:
    values = ROWS.clip_values.copy()
    values[:, 0] = 100.0 * 1.08 * 1.001  # the bins' edge lies just outside
    for tempo, bins in ((0.08, {2}), (0.2, {1, 2, 3})):
        made = batches(replace(ROWS, clip_values=values), augmentation=replace(STILL, tempo=tempo))
        assert {drawn(made, PLAIN, s)[1] for s in range(60)} == {f"Control-tempo_{b}" for b in bins}


def test_same_seed_and_numbers_give_the_same_batch() -> None:
    one, same, other = (batches(augmentation=LIVELY, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(one.epoch(3), same.epoch(3), strict=True):
        np.testing.assert_array_equal(a, b)
    clips = one.epoch(3)[0]
    batch, again = one.batch(clips, 3, 0), same.batch(clips, 3, 0)
    assert batch.rows.equal(again.rows) and batch.chosen.equal(again.chosen)
    for made, epoch, index in ((other, 3, 0), (one, 4, 0), (one, 3, 1)):
        assert not batch.rows.equal(made.batch(clips, epoch, index).rows)


def test_every_clip_of_its_part_comes_once_in_an_epoch() -> None:
    held_back = ROWS.song_is_validation[ROWS.clip_song]
    for validation in (False, True):
        came = [np.concatenate(batches(validation=validation).epoch(epoch)) for epoch in range(2)]
        for order in came:
            assert sorted(order.tolist()) == np.flatnonzero(held_back == validation).tolist()
        assert came[0].tolist() != came[1].tolist()


def test_a_weight_says_how_often_a_source_comes() -> None:
    for weight in (2.5, 0.25):
        made = batches(source_weights={"even": weight, "odd": 0})
        came = [clip for e in range(300) for clips in made.epoch(e) for clip in clips.tolist()]
        source = ROWS.song_source[ROWS.clip_song]
        clips = np.flatnonzero((source == 0) & ~ROWS.song_is_validation[ROWS.clip_song])
        assert set(came) == set(clips.tolist())
        assert len(came) / 300 / len(clips) == pytest.approx(weight, abs=0.05)


def test_batches_keep_to_their_size_and_hold_likes_together() -> None:
    made = batches(batch_events=300)
    sizes = [made.batch(clips, 0, i).shape for i, clips in enumerate(made.epoch(0))]
    assert max(n for n, _ in sizes) == 3
    assert all(n * width <= 300 and width % 16 == 0 for n, width in sizes)
    # Clips that do not fit into the context are left out.
    n_bars = ROWS.clip_n_bars.copy()
    n_bars[::2] = 4
    made = batches(replace(ROWS, clip_n_bars=n_bars), context=LENGTH + 1)
    assert set(np.concatenate(made.epoch(0)) % 2) == {0}
    words = rf"none of \d+ clips to train on fits a context of {LENGTH + 1} events"
    with pytest.raises(ValueError, match=words):
        batches(context=LENGTH + 1)
    assert len(batches(context=LENGTH + 2).clips)


def test_what_gives_no_batches_is_refused() -> None:
    for changes, words in (
        ({"source_weights": {"jazz": 2.0}}, "unknown source 'jazz'; known are even, odd"),
        ({"source_weights": {"even": 0, "odd": 0}}, "give a source a weight above 0"),
    ):
        with pytest.raises(ValueError, match=words):
            batches(**changes)
    for side, words in ((True, "nothing to train on"), (False, "nothing to validate with")):
        one_sided = replace(ROWS, song_is_validation=np.full(24, side))
        with pytest.raises(ValueError, match=f"^the rows hold {words}: prepare two songs or more"):
            batches(one_sided, validation=not side)
    for missing in ("Control-tempo_0", "Join_1", "Form-rhythm_16"):
        kept = [text for text in TEXTS if text != missing]
        with pytest.raises(ValueError, match=f"the rows' vocabulary has no token '{missing}'"):
            batches(replace(ROWS, meta={**ROWS.meta, "vocabulary": kept}))
