"""What one person has: what they bring, pieces that grow, cards, versions, files."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.composing import curve_of, given, tune
from midi import score_of

import emomusic.studio.session as own
from emomusic.compose import derive
from emomusic.compose.composer import Composer
from emomusic.compose.parse import ClipSpec
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.emotion import Emotion, find_emotion
from emomusic.music.score import ScoreError, dump_score
from emomusic.studio.page import read_form, show_form
from emomusic.studio.session import MAX_TAKES, MAX_VERSIONS, Session, StudioPiece, compose
from emomusic.verify.verifier import Verifier
from fuzz.midi import END, Event, File, dumped, meta, quantity

JOY, FEAR = find_emotion("joy"), find_emotion("fear")
BEAT = 480
CURVE = curve_of((0, -0.5, 0.5), (4, 0.9, -0.9))


@pytest.fixture(autouse=True)
def every_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "EVERY_S", 0.0)


@pytest.fixture(scope="module")
def verifier(tiny_composer: Composer) -> Verifier:
    return tiny_composer.verifier


def piece(n_bars: int = 1) -> StudioPiece:
    return StudioPiece(tune(n_bars), "C major", 96.0)


def session_of(n_pieces: int, *, favourites: tuple[int, ...] = ()) -> Session:
    session = Session()
    session.replace_others([piece() for _ in range(n_pieces)])
    for at in favourites:
        session.takes[at].is_favourite = True
    return session


def titles(session: Session) -> list[str]:
    return [take.title for take in session.takes]


# From the page's controls to requests, and back


@pytest.mark.parametrize(
    "request_",
    [
        Request(JOY, n_bars=5, time_signature="3/4", fixed={"register": 60.0}),
        Request(JOY, seconds=20.0, fixed={"tempo": 90.0}, best_of=4, temperature=0.8, top_p=0.9),
        Request(CURVE.mean(8), curve=CURVE, n_bars=8, tonic=0, is_major=True),
        Request(None, n_bars=3),
    ],
)
def test_what_the_controls_show_of_a_request_asks_for_it_again(request_: Request) -> None:
    feeling = request_.curve or request_.emotion
    assert read_form(feeling, show_form(request_)) == request_
    assert read_form(JOY, {}) == Request(JOY, n_bars=16)  # what is not said takes its default
    shown = show_form(Request(JOY, tempo=90.0))  # a tempo stands on its fader
    assert (shown["fixed"], shown["length"]) == ({"tempo": 90.0}, 16)


# Pieces, and what follows from them


def test_a_piece_is_told_in_plain_words_and_its_bars_begin_where_they_sound(
    composed: StudioPiece, brought: StudioPiece
) -> None:
    assert composed.clip is not None
    assert composed.label == f"joy, 2 bars, {composed.key}, 90 bpm"
    assert brought.label == "<b>tune.mid, 4 bars, D major, 96 bpm"
    for emotion, words in ((Emotion(-0.5, -0.5), "Q3, "), (None, "free, ")):
        request = replace(composed.clip.request, emotion=emotion, best_of=1)
        other = replace(composed, clip=replace(composed.clip, request=request))
        assert other.label.startswith(words)
    score = score_of([(0, 1, 60, 64), (6, 1, 62, 64)], signatures=((0, 3, 4),), tempo=60.0)
    assert np.allclose(StudioPiece(score, "C major", 60.0).bars_s, [0, 3, 6, 9])


def test_what_follows_from_a_piece_is_derived_from_it_and_can_be_composed(
    tiny_composer: Composer, composed: StudioPiece, brought: StudioPiece
) -> None:
    clip, verdict = composed.clip, brought.verdict
    assert clip is not None and verdict is not None
    assert composed.continued(8) == derive.continue_clip(clip, 8)
    assert composed.varied(2) == derive.vary_clip(clip, take=2)
    assert composed.moved("sadder") == derive.shift_clip(clip, "sadder")
    more, other = brought.continued(2), brought.varied(5)
    assert more.given is not None and more.given.use == CONTINUE
    assert other.given is not None and (other.given.use, other.take) == (VARY, 5)
    assert (more.emotion, more.n_bars) == (None, 2)
    for move in derive.MOVES:  # from where it is heard
        there = derive.shift_emotion(Emotion(verdict.valence, verdict.arousal), move)
        assert brought.moved(move).emotion == there
    for piece in (composed, brought):
        assert piece.continued(8, emotion=FEAR).emotion == FEAR
        for request in (piece.continued(1), piece.varied(1), piece.moved("calmer")):
            (clip,) = tiny_composer.compose(request, seed=3)
            assert clip.n_bars >= 1


# What is brought


def file(*events: Event, form: int = 0, division: int = BEAT) -> bytes:
    return dumped(File(form, division, [[*events, (0, END)]]))


def note(ticks: int = BEAT, pitch: int = 60) -> list[Event]:
    return [(0, bytes([0x90, pitch, 64])), (ticks, bytes([0x80, pitch, 0]))]


def tempo(microseconds: int) -> Event:
    return 0, meta(0x51, microseconds.to_bytes(3, "big"))


def signature(beats: int, power: int, *, after: int = 0) -> Event:
    return after, meta(0x58, bytes([beats, power, 24, 8]))


NOTES = [event for at in range(64) for event in note(pitch=60 + at % 12)]
TURNS = [signature(3 + at % 2, 2, after=1) for at in range(3_000)]
CUT_SHORT = (0, b"\xff\x01" + quantity(2**28 - 1))
BOMBS = {
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(1_000), "not a MIDI file"),
    "20,001 notes": (file(*note(1) * 20_001), "holds 20001 notes, at most 20000"),
    "a microsecond a beat": (file(tempo(1), *NOTES), "a bar must last 0.01 s at least"),
    "an hour": (file(tempo(2**24 - 1), *NOTES * 4), "lasts 4295 seconds, at most 1800"),
    "a tick a beat": (file(*NOTES, division=1), "lasts 15360 seconds"),
    "bars of 1/128": (file(signature(1, 7), *NOTES), "has 2017 bars, at most 2000"),
    "a metre a tick": (file(*TURNS, *NOTES), "bars, at most 2000"),
    "a text of 256 MiB": (file(CUT_SHORT, *NOTES), "damaged MIDI file"),
    "notes that never end": (file(*[(1, b"\x90\x3c\x40")] * 5_000), "holds no notes"),
}
ODD = (
    *(file(signature(*own), *NOTES) for own in ((255, 255), (1, 255), (0, 0))),
    file(tempo(2**24 - 1), *NOTES),  # the slowest
    file(*NOTES, form=2),
    file(*note(1)),
    file(*note(1, 0), *note(1, 127)),
    file((0, meta(1, bytes(2**20))), *NOTES),  # a long text
)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_with_a_sentence(bomb: str, tmp_path: Path, verifier: Verifier) -> None:
    data, words = BOMBS[bomb]
    path = tmp_path / "bomb.mid"
    path.write_bytes(data)
    with pytest.raises(ScoreError, match=words) as refusal:
        StudioPiece.read(path, verifier)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 250


def test_an_odd_file_is_heard_all_the_same(tmp_path: Path, verifier: Verifier) -> None:
    path = tmp_path / "odd.mid"
    for data in ODD:
        path.write_bytes(data)
        piece = StudioPiece.read(path, verifier)
        assert piece.verdict is not None and piece.n_bars >= 1


def test_a_piece_is_heard_and_measured(tmp_path: Path, verifier: Verifier) -> None:
    path = tmp_path / ("line\nbreak\x1b" + "x" * 200 + ".mid")
    path.write_bytes(dump_score(tune(4, tonic=2, tempo=96.0)))
    piece = StudioPiece.read(path, verifier)
    assert piece.name.startswith("line?break?xxx") and len(piece.name) == 60
    assert (piece.key, piece.n_bars, piece.clip) == ("D major", 4, None)
    assert piece.tempo == pytest.approx(96.0, rel=1e-3)
    assert piece.verdict == verifier.verdict(piece.notes)


# Cards, versions, files


def test_undo_goes_back_one_version_after_another() -> None:
    session, second = session_of(1), piece(2)
    (take,), first = session.takes, session.takes[0].piece
    session.change(take, second)
    assert take.piece is second
    assert session.undo(take) and take.piece is first
    assert not session.undo(take) and take.piece is first
    assert session.run == 3  # so that the page tells the cards from those before
    for _ in range(MAX_VERSIONS + 5):
        session.change(take, piece())
    assert len(take.versions) == MAX_VERSIONS


def test_favourites_stay_and_the_oldest_of_the_others_that_is_not_chosen_makes_room() -> None:
    session = session_of(3, favourites=(1,))
    session.replace_others([piece()])
    assert (titles(session), session.selected) == (["2", "4"], 1)
    assert session.n_free == MAX_TAKES - 1
    session = session_of(MAX_TAKES, favourites=(1,))  # and 0 is chosen
    session.add(piece())
    assert titles(session) == ["1", "2", "4", "5", "6", "7", "8", "9"]
    assert session.take is session.takes[-1]
    session = session_of(MAX_TAKES, favourites=tuple(range(MAX_TAKES)))
    with pytest.raises(ValueError, match="all 8 cards are favourites"):
        session.add(piece())
    assert session.n_free == 0 and len(session.takes) == MAX_TAKES


def test_files_go_with_the_pieces_that_cannot_come_back() -> None:
    def written(at: int) -> Path:
        path = session.folder / str(at) / "clip.mid"
        path.parent.mkdir()
        path.write_bytes(b"music")
        session.files[session.takes[at].piece] = {"mid": str(path)}
        return path

    session = session_of(2)
    kept, gone = written(0), written(1)
    session.takes.pop()
    session.change(session.takes[0], piece())  # undo brings the version before it back
    session.tidy()
    assert kept.exists() and not gone.exists()
    assert len(session.files) == 1


def test_files_of_a_session_that_is_closed_or_forgotten_are_removed() -> None:
    session, forgotten = Session(), Session()
    folders = session.folder, forgotten.folder
    session.close()
    session.close()
    del forgotten
    gc.collect()
    assert not any(folder.exists() for folder in folders) and session.stopping.is_set()


# Pieces that grow


def test_a_piece_grows_bar_by_bar_into_the_clip_of_its_seed(tiny_composer: Composer) -> None:
    request = Request(JOY, n_bars=20)
    grown = [*compose(tiny_composer, Session(), ClipSpec(request, 9, 3))]
    heights = [piece.n_bars for progress in grown for piece in progress.pieces if piece is not None]
    (clip,) = tiny_composer.compose(request, seed=9, start=3)
    (last,) = grown[-1].whole
    assert heights == sorted(heights) and heights[0] < heights[-1] == 20
    assert [progress.is_over for progress in grown] == [False] * (len(grown) - 1) + [True]
    assert not grown[-1].is_stopped and dump_score(last.score) == dump_score(clip.score)


def test_variations_are_those_of_the_seed_and_are_heard_once_they_are_whole(
    tiny_composer: Composer,
) -> None:
    request = Request(JOY, n_bars=2, best_of=2)
    *growing, last = compose(tiny_composer, Session(), ClipSpec(request, 1), 3)
    clips = tiny_composer.compose(request, seed=1, count=3)
    assert [dump_score(p.score) for p in last.whole] == [dump_score(c.score) for c in clips]
    for progress in growing:
        assert all(piece.n_bars == 2 for piece in progress.whole) and len(progress.whole) < 3


@pytest.mark.parametrize("candidate", [0, 3])  # a later one alone is watched, too
def test_who_stops_keeps_what_is_there_and_stops_nobody_else(
    tiny_composer: Composer, candidate: int
) -> None:
    mine, yours, long = Session(), Session(), Request(JOY, n_bars=200, candidate=candidate)
    here = compose(tiny_composer, mine, ClipSpec(long, 2))
    there = compose(tiny_composer, yours, ClipSpec(Request(JOY, n_bars=12), 3))
    first, _ = next(here), next(there)
    mine.stopping.set()
    (*_, my_last), (*_, your_last) = here, there
    (piece,) = my_last.whole
    assert first.n_bars == (200,) and first.pieces[0] is not None
    assert my_last.is_over and my_last.is_stopped and 1 <= piece.n_bars < 200
    assert piece.clip is not None and piece.verdict == piece.clip.verdict
    assert not your_last.is_stopped and your_last.whole[0].n_bars == 12


@pytest.mark.parametrize(
    ("request_", "n_bars"),
    [
        (Request(None, given=given(tune(3)), n_bars=2), 5),
        (Request(JOY, given=given(tune(3), VARY)), 3),
    ],
    ids=["goes on", "taken up"],
)
def test_bars_that_are_there_already_are_shown_where_a_piece_goes_on(
    tiny_composer: Composer, request_: Request, n_bars: int
) -> None:
    for progress in compose(tiny_composer, Session(), ClipSpec(request_, 1)):
        assert progress.n_bars in ((n_bars,), (request_.n_bars,))
    assert progress.n_bars == (n_bars,)


def test_who_leaves_stops_the_engine(
    tiny_composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, stream = [], tiny_composer.stream

    def watched(*arguments: object, **named: object) -> Iterator[object]:
        try:
            yield from stream(*arguments, **named)  # type: ignore[arg-type]
        finally:
            ended.append(True)

    monkeypatch.setattr(tiny_composer, "stream", watched)
    growing = compose(tiny_composer, Session(), ClipSpec(Request(JOY, n_bars=30), 2))
    next(growing)
    assert not ended
    growing.close()  # type: ignore[attr-defined]
    assert ended
