"""What people do on the page, one after another, without a browser."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from emomusic.compose.composer import Composer
from emomusic.compose.parse import ClipSpec
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion
from emomusic.studio.callbacks import Callbacks, suggested
from emomusic.studio.page import Page
from emomusic.studio.session import Session
from emomusic.studio.view import Stream

JOY = find_emotion("joy")


@pytest.fixture(scope="module")
def do(tiny_composer: Composer) -> Callbacks:
    with gr.Blocks(analytics_enabled=False):
        return Callbacks(tiny_composer, Page(suggested(tiny_composer.mapper, JOY)))


def compose(do: Callbacks, session: Session, **form: Any) -> Stream:
    asked = {"feeling": JOY, "n_variations": 3, "seed": 5, "length": 2}
    return do.compose(session, **{**asked, **form})


def refused(stream: Stream) -> str:
    with pytest.raises(gr.Error) as error:
        list(stream)
    return str(error.value.message)


def test_cards_make_way_but_for_favourites_until_there_are_eight_of_these(do: Callbacks) -> None:
    session = Session()
    first, *_ = compose(do, session)
    again, *_ = compose(do, session)  # without a change: with another seed
    assert first[do.page.seed] == 5 != again[do.page.seed] and len(session.takes) == 3
    for n_variations, n_cards in ((4, 7), (8, 8)):
        for take in session.takes:
            take.is_favourite = True
        [*compose(do, session, n_variations=n_variations)]
        assert len(session.takes) == n_cards
    session.takes[-1].is_favourite = True
    assert "are favourites: let one go first." in refused(compose(do, session, seed=9))
    assert "are favourites: let one go first." in refused(do.vary(session))


def test_one_thing_is_composed_for_a_person_at_a_time(do: Callbacks) -> None:
    session = Session()
    growing = compose(do, session, length=64)
    next(growing), next(growing)
    assert "composed already: stop it first." in refused(compose(do, session))
    growing.close()
    assert [*compose(do, session)]


@pytest.mark.parametrize("asked", [{"n_bars": 257}, {"seconds": 257.0}, {"best_of": 17}])
def test_a_link_brings_back_what_may_be_asked_for_here(do: Callbacks, asked: Any) -> None:
    session = Session()
    assert "more on the command line." in refused(
        do.open_link(session, ClipSpec(Request(JOY, **asked)).to_json())
    )
    [*do.open_link(session, ClipSpec(Request(JOY, n_bars=2), 7, 2).to_json())]
    clip = session.takes[0].piece.clip
    assert clip is not None and (clip.seed, clip.index) == (7, 2)
