from __future__ import annotations

from pathlib import Path

from emomusic.compose.composer import Composer
from emomusic.compose.quadrants import asked_and_heard, compose_quadrants


def test_quadrants_follow_each_other_and_each_clip_is_its_own(tiny_checkpoint: Path) -> None:
    composer = Composer(tiny_checkpoint)
    done: list[int] = []
    clips = compose_quadrants(composer, count=3, seed=4, n_bars=2, progress=done.append)
    assert [clip.request.emotion.quadrant for clip in clips] == [
        q for q in ("Q1", "Q2", "Q3", "Q4") for _ in range(3)
    ]
    assert [clip.index for clip in clips] == list(range(12))
    assert sum(done) == 12
    alone = next(composer.compose(clips[9].request, seed=4, start=9))
    assert alone.score.dumps_midi() == clips[9].score.dumps_midi()


def test_table_says_asked_and_heard(tiny_checkpoint: Path) -> None:
    clips = compose_quadrants(Composer(tiny_checkpoint), seed=4, n_bars=2)
    cards = [{"file": f"clip_{clip.index:05d}.mid", **clip.card()} for clip in clips]
    lines = asked_and_heard(cards).splitlines()
    assert len(lines) == 5
    for line, card in zip(lines[1:], cards, strict=True):
        assert line.split()[:3] == [card["file"], card["emotion"], card["verdict"]["quadrant"]]
        assert card["key"] in line
        assert f"{card['tempo']:g} bpm" in line
