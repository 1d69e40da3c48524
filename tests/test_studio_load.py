"""Many people at once: each gets their own, and nothing piles up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from studio_server import Studio, Visitor, form, open_studio, texts

from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion
from emomusic.studio.callbacks import AT_ONCE
from emomusic.studio.launch import MAX_WAITING, N_FILES

N_CLIENTS, N_EACH, N_WARM = 8, 10, 20
MAX_GROWTH = 60 * 2**20
WAIT_S = 60.0
EMOTIONS = ("joy", "calm", "sadness", "anger", "nostalgia", "hope", "tension", "relief")
SOON = {"GRADIO_HEARTBEAT_INTERVAL": "1", "GRADIO_IS_E2E_TEST": "1"}
"""What people left is removed after a second, not after an hour."""


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = open_studio(tiny_checkpoint, tmp_path_factory.mktemp("load"), **SOON)
    yield studio
    studio.close()


def soon(holds: Callable[[], bool]) -> bool:
    """Wait until something holds; tell whether it does."""
    end = time.monotonic() + WAIT_S
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return holds()


def test_eight_programs_get_ten_clips_each_and_nobody_elses(
    studio: Studio, tiny_composer: Composer, tmp_path: Path
) -> None:
    memory: list[int] = []

    def ask(number: int) -> list[tuple[Request, int, bytes]]:
        folder, patient = str(tmp_path / str(number)), {"timeout": WAIT_S}
        client = Client(studio.url, httpx_kwargs=patient, verbose=False, download_files=folder)
        got = []
        for at in range(N_EACH):
            emotion, bars = EMOTIONS[(number + at) % len(EMOTIONS)], 1 + at % 3
            seed = 100 * number + at
            answer = client.predict(emotion=emotion, bars=bars, seed=seed, api_name="/compose")
            assert answer["card"]["emotion"] == emotion
            data = Path(str(answer["midi"])).read_bytes()
            got.append((Request(find_emotion(emotion), n_bars=bars), seed, data))
            memory.append(studio.memory)
        with pytest.raises(AppError, match=r"^bars must be in \[1, 128\], got 1000\.$"):
            client.predict(emotion="joy", bars=1_000, api_name="/compose")
        return got

    with ThreadPoolExecutor(N_CLIENTS) as pool:
        answers = [answer for got in pool.map(ask, range(N_CLIENTS)) for answer in got]

    for request, seed, data in answers:
        (clip,) = tiny_composer.compose(request, seed=seed)
        assert data == clip.midi, (request, seed)
    assert memory[-1] - memory[N_WARM - 1] < MAX_GROWTH
    (own,) = studio.folders
    assert len([*(studio.folder / own).rglob("*.mid")]) <= N_FILES


def test_eight_people_watch_their_own_piece_grow_and_one_stops_theirs(studio: Studio) -> None:
    visitors = [Visitor(studio.url) for _ in range(N_CLIENTS)]
    impatient = visitors[3]

    def watch(number: int) -> list[dict[str, Any]]:
        visitor, seen = visitors[number], list[dict[str, Any]]()
        n_bars = 200 if visitor is impatient else 4
        visitor.begin("compose.click", *form(length=n_bars, seed=number)).raise_for_status()
        for message in visitor.messages():
            seen.append(message)
            if visitor is impatient and message["msg"] == "process_generating":
                visitor.at_once("stop.click", None).raise_for_status()
            if message["msg"] == "process_completed":
                break
        return seen

    with ThreadPoolExecutor(N_CLIENTS) as pool:
        watched = [*pool.map(watch, range(N_CLIENTS))]

    for number, seen in enumerate(watched):
        assert seen[-1]["success"]
        told, is_stopped = [*texts(seen)], visitors[number] is impatient
        (settings,) = {words for words in told if words.startswith('{\n "format"')}
        assert json.loads(settings)["seed"] == number
        assert ("kept_bars" in settings) == is_stopped
        assert any("Stopped: kept" in words for words in told) == is_stopped


def test_who_leaves_half_way_can_begin_again(studio: Studio) -> None:
    visitor = Visitor(studio.url)
    visitor.begin("compose.click", *form(length=256, variations=8)).raise_for_status()
    growing = (m for m in visitor.messages() if m["msg"] == "process_generating")
    assert len([*islice(growing, 2)]) == 2
    growing.close()  # the connection, too
    assert soon(lambda: bool(visitor.ask("compose.click", *form(seed=1))[-1]["success"]))


def test_what_somebody_had_is_removed_after_they_left(studio: Studio) -> None:
    before = studio.folders
    visitor = Visitor(studio.url)
    here = httpx.stream("GET", f"{studio.url}/gradio_api/heartbeat/{visitor.session}")
    with here as beats:
        lines = beats.iter_lines()
        next(lines)
        visitor.compose(*form())
        (own,) = studio.folders - before
        time.sleep(2.5)  # as long as a person is there, so are the files
        assert own in studio.folders
    assert soon(lambda: own not in studio.folders)


def test_who_comes_when_the_queue_is_full_is_told_so(studio: Studio) -> None:
    visitor, answers = Visitor(studio.url), list[httpx.Response]()
    long = form(length=256, variations=8, best_of=16)
    for number in range(AT_ONCE + MAX_WAITING + 8):
        visitor.session = f"visitor{number}"
        answers.append(visitor.begin("compose.click", *long))
    full = [answer for answer in answers if not answer.is_success]
    assert 1 <= len(full) <= 8
    assert {answer.status_code for answer in full} == {503}
    assert all("Queue is full" in answer.text for answer in full)
    studio.process.kill()  # so this comes last
