from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged_cases import labelled
from synthetic import make_score

from emomusic.data.clean import clean_score
from emomusic.data.packing import pack
from emomusic.data.songs import prepare_clean
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.conditional import (
    QuadrantBatches,
    Tuning,
    compose_conditional,
    song_quadrants,
    tempos_of,
    tune,
)
from emomusic.training.batches import IGNORED
from emomusic.training.rows import Rows

CLIPS = labelled(2, "mapper")
SMALL = Tuning(minutes=5.0, max_steps=3, batch_ids=1024, lr=1e-3)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Return packed songs: the labelled clips, and one that nobody labelled."""
    rng = np.random.default_rng(0)
    names = [*(clip.path.relative_to("data").as_posix() for clip in CLIPS), "corpus/other.mid"]
    songs = [
        prepare_clean(
            clean_score(
                make_score((60 + rng.integers(0, 12, 32)).tolist(), tempo=80.0 + 5 * i),
                performed=False,
            ),
            name,
            "game",
        )
        for i, name in enumerate(names)
    ]
    return pack(songs, [])


def test_songs_are_known_by_their_paths(rows: Rows) -> None:
    found = song_quadrants(rows, CLIPS, Path("data"))
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, -1]
    judged = [replace(clip, part="judge") for clip in CLIPS[6:]]
    with pytest.raises(ValueError, match="no labelled song of Q4"):
        song_quadrants(rows, [*CLIPS[:6], *judged], Path("data"))


def test_a_clip_comes_after_its_quadrants_token_alone(rows: Rows) -> None:
    quadrant = song_quadrants(rows, CLIPS, Path("data"))
    batches = QuadrantBatches(rows, quadrant, batch_ids=4096, context=2048, seed=0)
    texts = rows.meta["vocabulary"]
    seen: list[int] = []
    for clips in batches.epoch(0):
        seen += clips.tolist()
        inputs, targets = batches.batch(clips, 0, 0)
        for clip, ids, goal in zip(clips, inputs.tolist(), targets.tolist(), strict=True):
            own = QUADRANTS[quadrant[rows.clip_song[clip]]]
            words = [texts[i] for i in ids]
            assert words[:3] == ["BOS_None", f"Control-tempo_{QUADRANTS.index(own)}", "Bar_None"]
            assert not any("Control-" in word for word in words[2:])
            assert goal[0] == IGNORED and goal[1] == ids[2]
    assert set(seen) == set(np.flatnonzero(rows.clip_song < 8).tolist())


def test_a_tuned_network_composes_after_the_tokens(
    rows: Rows, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    quadrant = song_quadrants(rows, CLIPS, Path("data"))
    spent: list[float] = []
    about = tune(tiny_checkpoint, tmp_path, rows, quadrant, SMALL, progress=spent.append)
    assert about["steps"] == len(spent) == 3 and spent[-1] == 1.0
    tempos = tempos_of(rows, quadrant)
    assert tempos["Q2"][0] == pytest.approx(90.0, abs=0.1)
    again = tune(tiny_checkpoint, tmp_path, rows, quadrant, SMALL, progress=spent.append)
    assert again == about and len(spent) == 3  # what is there is not tuned again
    found = compose_conditional(tmp_path, tempos, count=1, seed=3, n_bars=3)
    same = compose_conditional(tmp_path, tempos, count=1, seed=3, n_bars=3)
    assert len(found) == 4
    for notes, others, name in zip(found, same, QUADRANTS, strict=True):
        assert (notes.pitch == others.pitch).all() and notes.onset.max() < 12.0
        at = notes.onset > 0
        tempo = 60.0 * (notes.onset[at] / notes.onset_s[at]).mean()
        assert min(abs(tempo - own) for own in tempos[name]) < 0.5


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="minutes must be above 0, got 0"):
        Tuning(minutes=0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        Tuning(seed=-1)
