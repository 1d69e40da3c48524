from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.evaluation.control.asking import Design
from emomusic.evaluation.control.real import RealMusic, real_music
from emomusic.evaluation.control.report import ControlReport
from emomusic.evaluation.control.run import evaluate_control
from emomusic.evaluation.control.tables import control_section, control_table, summary_table
from emomusic.music.attributes import ATTRIBUTES
from emomusic.music.key import TONIC_NAMES

DESIGN = Design(
    attributes=("tempo", "register", "mode", "leap_size"),
    bar_attributes=("register", "velocity_mean"),
    n_levels=5,
    n_each=4,
    n_bar_clips=8,
    n_sets=4,
    n_set_clips=60,
    n_bar_sets=1,
    n_bar_set_clips=30,
)
BAR_TICKS = 4 * 480


class MadeComposer:
    """Answer requests with clips made in code: as asked, or as if nothing had been asked."""

    def __init__(self, *, obeys: bool) -> None:
        self.obeys = obeys
        self.rng = np.random.default_rng(0)

    def compose_each(self, requests: Sequence[Request], *, seed: int) -> Iterator[Clip]:
        for index, request in enumerate(requests):
            drawn = {a.name: float(self.rng.uniform(a.low, a.high)) for a in ATTRIBUTES}
            achieved = {**drawn, **request.fixed} if self.obeys else drawn
            yield Clip(
                index=index, seed=seed, candidate=0, request=request, score=self.score(request),
                n_bars=request.n_bars or 0, n_given=0, tempo=120.0, targets=request.fixed,
                achieved=achieved, key=f"{TONIC_NAMES[index % 12]} minor",
                verdict=None, checkpoint="made", chords="",
            )  # fmt: skip

    def score(self, request: Request) -> Any:
        score: Any = symusic.Score(480)
        track: Any = symusic.Track("piano")
        for bar in range(request.n_bars or 0):
            asked = {
                "register": self.rng.uniform(40, 80),
                "velocity_mean": self.rng.uniform(30, 99),
            }
            if self.obeys:
                asked |= {name: values[bar] for name, values in request.per_bar.items()}
            pitch, velocity = round(asked["register"]), round(asked["velocity_mean"])
            track.notes.append(symusic.Note(bar * BAR_TICKS, 480, pitch, velocity))
        score.tracks.append(track)
        return score


@pytest.fixture(scope="module")
def real(tiny_checkpoint: Path) -> RealMusic:
    return real_music(tiny_checkpoint)


@pytest.fixture(scope="module")
def obeyed(real: RealMusic) -> tuple[ControlReport, ControlReport]:
    return evaluate_control(MadeComposer(obeys=True), real, design=DESIGN)


@pytest.fixture(scope="module")
def ignored(real: RealMusic) -> tuple[ControlReport, ControlReport]:
    return evaluate_control(MadeComposer(obeys=False), real, design=DESIGN)


def test_perfect_control_is_seen(obeyed: tuple[ControlReport, ControlReport]) -> None:
    clip, bar = obeyed
    assert [a.name for a in clip.attributes] == list(DESIGN.attributes)
    for own in clip.attributes:
        assert own.following.rho == pytest.approx(1)
        assert own.following.r2_identity == pytest.approx(1)
        assert own.following.bin_share == own.following.near_share == 1
        assert own.fader is not None and own.fader.consistency == pytest.approx(1)
        assert own.fader.linearity == pytest.approx(1)
    assert [a.name for a in bar.attributes] == list(DESIGN.bar_attributes)
    for own in bar.attributes:
        assert own.following.rho > 0.99 and own.following.near_share == 1  # pitches are whole
        assert own.fader is None
    for report in obeyed:
        assert report.summary().worst_rho > 0.99
        assert report.summary().leakage < 0.1 and report.summary().beyond_chance < 0.1


def test_indifference_is_seen(ignored: tuple[ControlReport, ControlReport]) -> None:
    for report in ignored:
        assert abs(report.summary().mean_rho) < 0.3
        assert report.summary().leakage == pytest.approx(report.summary().chance, abs=0.06)
        for own in report.attributes:
            assert own.following.low < 0.1 and own.following.bin_share < 0.5


def test_what_is_simply_set_does_not_count(
    obeyed: tuple[ControlReport, ControlReport], ignored: tuple[ControlReport, ControlReport]
) -> None:
    tempo = obeyed[0].attributes[0]
    assert tempo.is_given and tempo.to_dict()["given"] is True
    assert obeyed[0].summary().n_counted == 3
    assert ignored[0].summary().worst != "tempo"
    assert all(pair.moved != "tempo" for pair in obeyed[0].pairs)
    assert any(pair.asked == "tempo" for pair in obeyed[0].pairs)


def test_attributes_nearly_the_same_count_once(
    ignored: tuple[ControlReport, ControlReport],
) -> None:
    clip = ignored[0]
    rho = {a.name: a.following.rho for a in clip.attributes}
    group = replace(clip, groups=(("tempo",), ("register", "mode"), ("leap_size",)))
    mean = (rho["register"] + rho["mode"]) / 2
    assert group.summary().n_counted == 2
    assert group.summary().mean_rho == pytest.approx((mean + rho["leap_size"]) / 2)
    assert "register = mode" in control_section(group, ignored[1])


def test_progress_and_size(real: RealMusic) -> None:
    design = replace(DESIGN, n_each=1, n_bar_clips=1, n_sets=0, n_bar_sets=0)
    seen: list[tuple[int, int]] = []
    clip, bar = evaluate_control(
        MadeComposer(obeys=True), real, design=design,
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    assert seen == [(i + 1, 22) for i in range(22)] and (clip.n_clips, bar.n_clips) == (20, 2)
    assert clip.pairs == () and clip.attributes[0].leakage is None
    assert "| – | – | – |" in summary_table(clip, bar)


def test_tables_have_a_row_for_each_attribute(
    obeyed: tuple[ControlReport, ControlReport],
) -> None:
    lines = control_table(*obeyed).splitlines()
    assert len(lines) == 2 + len(DESIGN.attributes)
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| `tempo` * |") and lines[4].startswith("| `mode` | 1.00 (1.00 to")
    assert lines[3].count("–") < lines[4].count("–")  # the mode is not asked of bars


def test_reports_are_told_plainly(obeyed: tuple[ControlReport, ControlReport]) -> None:
    for report in obeyed:
        told = json.loads(json.dumps(report.to_dict()))
        assert told["n_clips"] == report.n_clips
        assert len(told["attributes"]) == len(report.attributes)
        assert told["summary"]["mean_rho"] == pytest.approx(report.summary().mean_rho, abs=1e-4)


def test_a_checkpoint_is_evaluated(tiny_checkpoint: Path, real: RealMusic) -> None:
    design = Design(
        attributes=("register", "mode", "note_density"), bar_attributes=("register",), n_levels=2,
        n_each=1, n_bar_clips=2, n_sets=1, n_set_clips=2, n_bar_sets=0,
    )  # fmt: skip
    made = [
        evaluate_control(Composer(tiny_checkpoint), real, design=design, n_bars=2, guidance=1.0)
        for _ in range(2)
    ]
    assert made[0][0].to_dict() == made[1][0].to_dict()
    clip, bar = made[0]
    assert (clip.n_clips, bar.n_clips) == (8, 2) and len(clip.pairs) == 6
