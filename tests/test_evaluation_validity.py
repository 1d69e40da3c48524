from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.composing import compose_quadrants
from helpers.evaluation import some_rows
from model_cases import int8
from synthetic import make_model, make_score

from emomusic.compose.clip import Clip, write_clips
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.evaluation.validity import (
    Losses,
    chords_found,
    held_back_losses,
    share_kept,
    whole_clips,
)
from emomusic.model.events import SLOTS, VELOCITY
from emomusic.model.int8.library import is_built
from emomusic.model.torch_engine import TorchEngine
from emomusic.music.notes import make_notes
from emomusic.training.batches import ClipBatches
from emomusic.training.loss import mean_loss


@pytest.fixture
def clips(tiny_checkpoint: Path, tmp_path: Path) -> list[Clip]:
    made = compose_quadrants(Composer(tiny_checkpoint), n_bars=3)
    write_clips(made, tmp_path)
    return made


def test_what_is_missing_or_rings_on_is_counted(clips: list[Clip], tmp_path: Path) -> None:
    """Counted are the share of whole clips; how many hold their notes, their bars, end on time."""

    def counted(clips: list[Clip]) -> list[float]:
        return [own.value for own in whole_clips(clips, tmp_path)]

    assert counted(clips) == [1.0, 4, 4, 4]
    whole = next(whole_clips(clips, tmp_path))
    assert whole.low is not None and whole.high == 1.0 and 0.4 < whole.low < 0.6
    (tmp_path / "clip_00000.mid").write_bytes(b"MThd")
    longer = [clips[0], replace(clips[1], n_bars=4), replace(clips[2], n_bars=2), clips[3]]
    assert counted(longer) == [0.25, 3, 1, 1]
    gap = make_score([60, 62], gap=8 * 480)  # onsets in bars 1 and 3, the last note two bars long
    made = replace(clips[0], score=gap)
    write_clips([made], tmp_path)
    assert counted([made]) == [0.0, 1, 0, 0]


@pytest.mark.parametrize(
    ("chords", "found"),
    [
        ("Am", (1.0, 1.0, 1.0)),
        ("A", (1.0, 0.0, 0.0)),
        ("Am7", (1.0, 1.0, 0.0)),
        ("Am C", (0.5, 0.5, 0.5)),
        ("Am,C", (0.5, 0.5, 0.5)),
        ("G", (0.0, 0.0, 0.0)),
    ],
)
def test_chords_are_found_by_root_third_and_quality(
    tiny_composer: Composer, chords: str, found: tuple[float, ...]
) -> None:
    """Two bars of broken A minor."""
    (clip,) = tiny_composer.compose(Request(None, n_bars=2), seed=0)
    score = make_score([57, 64, 69, 72] * 4, gap=240)
    request = replace(clip.request, chords=chords)
    assert chords_found(replace(clip, score=score, request=request)) == pytest.approx(found)


def test_kept_are_notes_with_their_onset_pitch_and_velocity() -> None:
    onset = np.arange(4.0)
    notes = make_notes(onset, onset * 0 + 1, np.array([60, 62, 64, 65]), np.array([50, 60, 70, 80]))
    longer = make_notes(onset, onset * 0 + 0.5, notes.pitch, np.array([50, 60, 70, 81]))
    assert share_kept(notes, notes) == 1.0
    assert share_kept(notes, longer.where(slice(1, 4))) == 0.5


def test_the_loss_is_that_of_training_and_what_is_not_learnt_costs_nothing() -> None:
    rows = some_rows()
    texts = tuple(rows.meta["vocabulary"])
    model = make_model(texts)
    batches = ClipBatches(
        rows, validation=True, batch_events=4_096, context=2_048, seed=1, augmentation=None
    )
    wanted = mean_loss(model, batches, max_events=10**9, precision="fp32")
    model.eval()
    found = held_back_losses(TorchEngine(model), rows)
    value, low, high = found.per_note()
    assert {"nats_per_note": value, **found.by_slot} == pytest.approx(wanted, 1e-4)
    assert low <= value <= high and len(found.n_notes) == len(batches.clips)
    assert set(found.song.tolist()) == set(np.flatnonzero(rows.song_is_validation).tolist())
    if is_built():
        rounded = held_back_losses(int8(model), rows)
        assert rounded.ratio_to(found) == pytest.approx((1.0, 1.0, 1.0), abs=0.02)
    flat = replace(rows, song_has_dynamics=np.zeros(len(rows.song_source), bool))
    found = held_back_losses(TorchEngine(model), flat, max_events=1)
    assert found.by_slot["velocity"] == 0.0 < found.by_slot["duration"]
    assert len(found.n_notes) == 1
    fewer = make_model(tuple(text for text in texts if not text.startswith("Control-")))
    with pytest.raises(ValueError, match="the rows are of another vocabulary"):
        held_back_losses(TorchEngine(fewer), rows)


def test_a_ratio_of_losses_comes_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    n_notes, song = np.full(50, 10), np.repeat(np.arange(25), 2)
    one = Losses(np.full((50, len(SLOTS)), 2.0), n_notes, song)
    assert one.per_note() == pytest.approx((1.2, 1.2, 1.2))
    noisy = Losses(rng.uniform(1, 3, one.nats.shape), n_notes, song)
    ratio, low, high = noisy.ratio_to(one)
    assert low < ratio < high and ratio == pytest.approx(noisy.nats.mean() / 2)
    assert noisy.by_slot[SLOTS[VELOCITY]] == pytest.approx(noisy.nats[:, VELOCITY].mean() / 10)
