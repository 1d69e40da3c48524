from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import symusic
from job_cases import order
from synthetic import make_score

from emomusic.compose.composer import Composer
from emomusic.compose.jobs.job import Order
from emomusic.compose.jobs.working.make import make
from emomusic.music.score import dump_score, write_score


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Return a file of music in 5/4, which cannot be varied."""
    score = make_score([60, 62, 64, 65, 67] * 2)
    score.time_signatures = [symusic.TimeSignature(0, 5, 4)]
    write_score(score, tmp_path / "odd.mid")
    return tmp_path / "odd.mid"


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize("bad", [{3}, {0}, {0, 1, 7}, set(range(8)), set()])
def test_what_cannot_be_composed_fails_alone(
    tiny_composer: Composer, odd: Path, bad: set[int], batch_size: int
) -> None:
    orders = [order(n, vary=odd, bars=None) if n in bad else order(n) for n in range(8)]
    plain = tiny_composer.compose_all(order(n).settings for n in range(8) if n not in bad)
    wanted = [dump_score(clip.score) for clip in plain]
    found = list(make(tiny_composer, orders, batch_size=batch_size))
    assert [made.order for made in found] == orders
    assert {made.order.number for made in found if made.clip is None} == bad
    assert [dump_score(made.clip.score) for made in found if made.clip is not None] == wanted
    for made in found:
        words = "with 5 quarter notes a bar cannot be taken up"
        assert (words in made.reason) if made.clip is None else made.reason == ""


def test_orders_are_taken_as_they_are_needed(tiny_composer: Composer) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Order]:
        for number in itertools.count():
            taken.append(number)
            yield order(number)

    with closing(make(tiny_composer, endless(), batch_size=2)) as made:
        first = [next(made).order.number for _ in range(3)]
    assert first == [0, 1, 2] and len(taken) < 20


def test_other_mistakes_are_not_hidden(tiny_composer: Composer) -> None:
    def broken() -> Iterator[Order]:
        yield order(0)
        raise OSError("the rows cannot be read")

    with pytest.raises(OSError, match="the rows cannot be read"):
        list(make(tiny_composer, broken()))
