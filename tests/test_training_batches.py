from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic import N_BINS, ROW_ATTRIBUTES, make_rows

from emomusic.training.batches import IGNORED, Augmentation, ClipBatches
from emomusic.training.rows import Rows

ROWS = make_rows(n_songs=24)
TEXTS = ROWS.meta["vocabulary"]
STILL = Augmentation(drop_all=0, keep_all=1, bar_controls=0, octave=0, tempo=0)


def batches(rows: Rows = ROWS, **changes: Any) -> ClipBatches:
    settings: dict[str, Any] = {"validation": False, "batch_ids": 600, "context": 256, "seed": 1}
    return ClipBatches(rows, **{**settings, "augmentation": STILL, **changes})


def texts_of(made: ClipBatches, clip: int, seed: int = 0) -> tuple[list[str], list[int]]:
    ids, goal = made.sequence(clip, np.random.default_rng(seed))
    return [TEXTS[i] for i in ids], goal.tolist()


def controls(texts: list[str], kind: str = "Control-") -> list[str]:
    return [text for text in texts if text.startswith(kind)]


def is_flat(clip: int) -> bool:
    return not ROWS.song_has_dynamics[ROWS.clip_song[clip]]


FLAT = next(i for i in range(len(ROWS.clip_song)) if is_flat(i))
LIVELY = next(i for i in range(len(ROWS.clip_song)) if not is_flat(i))
ENDING = next(i for i in range(len(ROWS.clip_song)) if ROWS.clip_is_end[i] and not is_flat(i))


def test_a_clip_begins_with_its_controls_and_goes_on_with_its_bars() -> None:
    texts, _ = texts_of(batches(), LIVELY)
    assert texts[0] == "BOS_None"
    assert [text.split("_")[0] for text in texts[1:5]] == [
        f"Control-{name.replace('_', '-')}" for name in ROW_ATTRIBUTES
    ]
    assert texts[5:8] == ["Bar_None", "TimeSig_4/4", "Position_0"]
    assert texts.count("Bar_None") == ROWS.clip_n_bars[LIVELY]
    assert "EOS_None" not in texts and not controls(texts, "Ending_")


def test_the_last_clip_of_a_song_announces_its_end() -> None:
    texts, goal = texts_of(batches(), ENDING)
    assert controls(texts, "Ending_") == ["Ending_4", "Ending_3", "Ending_2", "Ending_1"]
    assert texts[-1] == "EOS_None" and goal[-1] == TEXTS.index("EOS_None")
    assert texts[texts.index("Ending_4") - 2 : texts.index("Ending_4")] == [
        "Bar_None",
        "TimeSig_4/4",
    ]


@pytest.mark.parametrize("clip", [FLAT, LIVELY, ENDING])
def test_what_is_given_is_not_learnt_and_all_else_is(clip: int) -> None:
    augmentation = replace(STILL, bar_controls=1)
    for seed in range(5):
        texts, goal = texts_of(batches(augmentation=augmentation), clip, seed)
        given = ("Control-", "BarControl-", "Ending_", "TimeSig_", "BOS_")
        unlearnt = (*given, "Velocity_") if is_flat(clip) else given
        for text, target in zip(texts, goal, strict=True):
            assert target == (IGNORED if text.startswith(unlearnt) else TEXTS.index(text))


def test_flat_songs_have_no_controls_of_dynamics() -> None:
    made = batches(augmentation=replace(STILL, bar_controls=1))
    for seed in range(20):
        flat, _ = texts_of(made, FLAT, seed)
        both = controls(flat) + controls(flat, "BarControl-")
        assert both and not any("velocity" in text for text in both)
    assert any("velocity" in text for text in controls(texts_of(made, LIVELY)[0]))


def test_controls_name_the_bin_of_the_value() -> None:
    rows = replace(ROWS, clip_shift=np.zeros_like(ROWS.clip_shift))
    value = dict(zip(ROW_ATTRIBUTES, rows.clip_values[LIVELY], strict=True))
    edges = dict(zip(ROW_ATTRIBUTES, rows.meta["edges"], strict=True))
    texts, _ = texts_of(batches(rows), LIVELY)
    for name, text in zip(ROW_ATTRIBUTES, controls(texts), strict=True):
        chosen = int(text.split("_")[1])
        inner = [-np.inf, *edges[name], np.inf]
        assert inner[chosen] <= value[name] < inner[chosen + 1]
        assert 0 <= chosen < N_BINS


def pitches(texts: list[str]) -> list[int]:
    return [int(text.split("_")[1]) for text in texts if text.startswith("Pitch_")]


def test_clips_are_moved_to_c_and_an_octave_with_their_register() -> None:
    values = ROWS.clip_values.copy()
    values[:, ROW_ATTRIBUTES.index("register")] = 57.0  # shifted by 12: across all inner edges
    rows = replace(ROWS, clip_shift=np.full_like(ROWS.clip_shift, 3), clip_values=values)
    plain = batches(replace(rows, clip_shift=np.zeros_like(rows.clip_shift)))
    start = np.array(pitches(texts_of(plain, LIVELY)[0]))
    expected = {3: "2", 15: "3", -9: "0"}  # 60, 72 and 48 among the edges 55, 60, 65
    seen = set()
    for seed in range(40):
        texts, _ = texts_of(batches(rows, augmentation=replace(STILL, octave=1)), LIVELY, seed)
        (shift,) = set((np.array(pitches(texts)) - start).tolist())
        seen.add(shift)
        assert controls(texts)[-1] == f"Control-register_{expected[shift]}"
    assert seen == {15, -9}
    texts, _ = texts_of(batches(rows), LIVELY)
    assert set((np.array(pitches(texts)) - start).tolist()) == {3}
    assert controls(texts)[-1] == "Control-register_2"


def test_the_register_of_a_bar_moves_too() -> None:
    bar_values = ROWS.bar_values.copy()
    bar_values[:, 2] = 57.0
    rows = replace(ROWS, clip_shift=np.full_like(ROWS.clip_shift, 3), bar_values=bar_values)
    made = batches(rows, augmentation=replace(STILL, bar_controls=1))
    found = {
        text
        for seed in range(30)
        for text in controls(texts_of(made, LIVELY, seed)[0], "BarControl-register")
    }
    assert found == {"BarControl-register_2"}


def test_pitches_stay_on_the_piano() -> None:
    rows = replace(ROWS, clip_shift=np.full_like(ROWS.clip_shift, 100))
    assert set(pitches(texts_of(batches(rows), LIVELY)[0])) == {108}


def test_chances_are_near_what_is_asked() -> None:
    made = batches(
        augmentation=Augmentation(drop_all=0.2, keep_all=0.5, bar_controls=0.3, octave=0.25)
    )
    n = 1500
    counts: Counter[str] = Counter()
    for seed in range(n):
        texts, _ = texts_of(made, LIVELY, seed)
        kept = len(controls(texts))
        counts["all"] += kept == len(ROW_ATTRIBUTES)
        counts["none"] += kept == 0
        counts["bars"] += bool(controls(texts, "BarControl-"))
        counts["up"] += pitches(texts)[0] - pitches(texts_of(batches(), LIVELY)[0])[0] == 12
    # Of the 0.3 between, a chance uniform in [0, 1] keeps all or none of four in a fifth each.
    assert counts["all"] / n == pytest.approx(0.5 + 0.3 / 5, abs=0.05)
    assert counts["none"] / n == pytest.approx(0.2 + 0.3 / 5, abs=0.05)
    assert counts["up"] / n == pytest.approx(0.125, abs=0.03)
    assert 0.15 < counts["bars"] / n <= 0.32


def test_tempo_moves_no_further_than_told() -> None:
    values = ROWS.clip_values.copy()
    values[:, 0] = 100.0 * 1.08 * 1.001  # the bins' edge lies just outside
    made = batches(replace(ROWS, clip_values=values), augmentation=replace(STILL, tempo=0.08))
    assert {controls(texts_of(made, LIVELY, s)[0])[0] for s in range(50)} == {"Control-tempo_2"}
    made = batches(replace(ROWS, clip_values=values), augmentation=replace(STILL, tempo=0.2))
    assert {controls(texts_of(made, LIVELY, s)[0])[0] for s in range(50)} == {
        "Control-tempo_1",
        "Control-tempo_2",
        "Control-tempo_3",
    }


def test_inputs_and_targets_are_one_apart_and_padded() -> None:
    made = batches()
    inputs, targets = made.batch(np.array([LIVELY, ENDING]), 0, 0)
    assert inputs.shape == targets.shape and inputs.shape[1] % 32 == 0
    rng = np.random.default_rng([1, 0, 1])
    for row, clip in enumerate((LIVELY, ENDING)):
        ids, goal = made.sequence(clip, rng)
        n = len(ids) - 1
        assert inputs[row, :n].tolist() == ids[:-1].tolist()
        assert targets[row, :n].tolist() == goal[1:].tolist()
        assert set(inputs[row, n:].tolist()) <= {TEXTS.index("PAD_None")}
        assert set(targets[row, n:].tolist()) <= {IGNORED}


def test_a_clip_longer_than_the_context_loses_its_end() -> None:
    made = batches(context=40)
    inputs, _ = made.batch(np.array([LIVELY]), 0, 0)
    assert inputs.shape == (1, 40)
    ids, _ = made.sequence(LIVELY, np.random.default_rng([1, 0, 1]))
    assert inputs[0].tolist() == ids[:40].tolist()


def test_same_seed_and_numbers_give_the_same_batch() -> None:
    lively = Augmentation()
    one, same = batches(augmentation=lively), batches(augmentation=lively)
    for a, b in zip(one.epoch(3), same.epoch(3), strict=True):
        np.testing.assert_array_equal(a, b)
    clips = one.epoch(3)[0]
    for part, again in zip(one.batch(clips, 3, 0), same.batch(clips, 3, 0), strict=True):
        assert part.equal(again)
    other = batches(augmentation=lively, seed=2)
    assert not one.batch(clips, 3, 0)[0].equal(other.batch(clips, 3, 0)[0])
    assert not one.batch(clips, 3, 0)[0].equal(one.batch(clips, 4, 0)[0])


@pytest.mark.parametrize("validation", [False, True])
def test_every_clip_of_its_part_comes_once_in_an_epoch(validation: bool) -> None:
    held_back = ROWS.song_is_validation[ROWS.clip_song]
    for epoch in range(2):
        came = np.concatenate(batches(validation=validation).epoch(epoch))
        assert sorted(came.tolist()) == np.flatnonzero(held_back == validation).tolist()


def test_epochs_differ_in_order() -> None:
    made = batches()
    first, second = (np.concatenate(made.epoch(e)).tolist() for e in (0, 1))
    assert first != second


def test_batches_keep_to_their_size() -> None:
    made = batches(batch_ids=600)
    assert any(len(clips) > 1 for clips in made.epoch(0))
    for index, clips in enumerate(made.epoch(0)):
        inputs, _ = made.batch(clips, 0, index)
        assert len(clips) == 1 or inputs.numel() <= 600 * 1.2  # endings are not counted in


def test_a_weight_says_how_often_a_source_comes() -> None:
    made = batches(source_weights={"even": 2.5, "odd": 0})
    source = ROWS.song_source[ROWS.clip_song]
    counts = Counter(np.concatenate([np.concatenate(made.epoch(e)) for e in range(200)]).tolist())
    assert all(source[clip] == 0 for clip in counts)
    clips = np.flatnonzero((source == 0) & ~ROWS.song_is_validation[ROWS.clip_song])
    assert set(counts) == set(clips.tolist())
    assert sum(counts.values()) / 200 / len(clips) == pytest.approx(2.5, abs=0.05)


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(ValueError, match="unknown source 'jazz'; known are even, odd"):
        batches(source_weights={"jazz": 2.0})


def test_rows_without_clips_are_refused() -> None:
    none = replace(ROWS, song_is_validation=np.zeros_like(ROWS.song_is_validation))
    with pytest.raises(ValueError, match="the rows hold no validation clips"):
        batches(none, validation=True)


def test_a_vocabulary_without_controls_is_refused() -> None:
    meta = {**ROWS.meta, "vocabulary": [t for t in TEXTS if not t.startswith("Control-tempo")]}
    with pytest.raises(ValueError, match="the rows' vocabulary has no token 'Control-tempo_0'"):
        batches(replace(ROWS, meta=meta))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"octave": 1.5}, r"octave must be in \[0, 1\], got 1.5"),
        ({"tempo": -0.1}, r"tempo must be in \[0, 1\], got -0.1"),
        ({"drop_all": float("nan")}, r"drop_all must be in \[0, 1\], got nan"),
        ({"drop_all": 0.7, "keep_all": 0.6}, "drop_all . keep_all must be at most 1, got 1.3"),
    ],
)
def test_chances_out_of_range_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Augmentation(**values)


def test_parts_hold_the_sequences_of_the_whole_batch() -> None:
    made = batches(augmentation=Augmentation(bar_controls=1))
    clips = made.epoch(0)[0]
    whole, _ = made.batch(clips, 0, 0)
    for n_parts in (2, 3, len(clips) + 1):
        for part in range(n_parts):
            inputs, targets = made.batch(clips, 0, 0, part=part, n_parts=n_parts)
            own = whole[part::n_parts]
            if len(own):
                length = min(own.shape[1], inputs.shape[1])
                assert inputs[:, :length].equal(own[:, :length])
                assert (own[:, length:] == 0).all() and (inputs[:, length:] == 0).all()
            else:
                assert len(inputs) == 1 and (targets == IGNORED).all()
