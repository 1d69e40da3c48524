from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from helpers.explanation import USUAL, Rules, clip

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.explaining.check import Explained, Trial, check_explanations
from emomusic.evaluation.explaining.edits import OTHER_EDITS
from emomusic.evaluation.explaining.plots import draw_explaining
from emomusic.evaluation.explaining.tables import explaining_markdown
from emomusic.evaluation.pictures import draw_all
from emomusic.music.notes import Notes
from emomusic.verify.counterfactuals import FACTORS
from emomusic.verify.verifier import Verdict

CLIPS = [
    clip(major=major, gap_s=gap_s, velocity=velocity, tonic=tonic)
    for major in (True, False)
    for gap_s, velocity, tonic in ((0.2, 100, 50), (1.0, 40, 75), (0.2, 40, 60))
]


def test_there_are_other_edits_for_every_cause() -> None:
    assert OTHER_EDITS.keys() == FACTORS.keys()


@pytest.mark.parametrize("cause", ["tempo", "loudness", "register", "density"])
@pytest.mark.parametrize("side", [1, -1])
def test_other_edits_move_their_cause_to_the_other_side(cause: str, side: int) -> None:
    notes = clip(velocity=90 if side > 0 else 40, tonic=64)
    before = FACTORS[cause].measure(notes)
    for edit in OTHER_EDITS[cause].values():
        after = FACTORS[cause].measure(edit(notes, side))
        assert before is not None and after is not None and (before - after) * side > 0


@pytest.mark.parametrize("major", [True, False])
def test_other_edits_turn_the_mode(major: bool) -> None:
    for edit in OTHER_EDITS["mode"].values():
        before, after = (
            FACTORS["mode"].measure(clip(major=major)),
            FACTORS["mode"].measure(edit(clip(major=major), 1)),
        )
        assert before is not None and after is not None
        assert (before - after) * (1 if major else -1) > 0


def test_explanations_of_a_plain_verifier_hold() -> None:
    found = check_explanations(Rules(), CLIPS, usual=USUAL)
    assert found.n_clips == found.n_named == len(CLIPS)
    first = found.shares[0]
    assert first.what == "first cause" and first.n == len(CLIPS)
    assert first.axis[0] == first.quadrant[0] == 1.0
    assert 0 < first.axis[1] < first.axis[2] <= 1.0
    assert {share.what.split(":")[0] for share in found.each} >= {"mode", "tempo"}


def test_control_of_a_verifier_that_does_not_hear_a_cause_moves_nothing() -> None:
    found = check_explanations(Rules(), CLIPS, usual=USUAL)
    registers = [trial for trial in found.trials if trial.cause == "register"]
    assert registers and not any(trial.role in ("for", "against") for trial in registers)
    assert max(abs(trial.moved) for trial in registers) < 1e-9


def test_a_verifier_of_chance_is_seen_through() -> None:
    class Chance(Rules):
        def verdict(self, notes: Notes) -> Verdict:
            seed = crc32(notes.onset_s.tobytes() + notes.pitch.tobytes() + notes.velocity.tobytes())
            drawn = np.random.default_rng(seed).dirichlet(np.ones(4)).tolist()
            shares = dict(zip(QUADRANTS, drawn, strict=True))
            return Verdict(max(shares, key=shares.__getitem__), shares, 0.0, 0.0, 0.2, 0.2, 1.0)

    clips = [replace(c, onset_s=c.onset_s * (1 + i / 100)) for i in range(8) for c in CLIPS]
    trials = check_explanations(Chance(), clips, usual=USUAL).trials
    named = [trial.moved > 0 for trial in trials if trial.role in ("for", "against")]
    assert len(named) > 50 and np.mean(named) < 0.9


def test_each_clip_counts_once() -> None:
    trials = [
        Trial(clip, "tempo", "for", 0, edit, moved, moved, flipped=False)
        for clip, moved in ((0, 1.0), (1, -1.0))
        for edit in ("quarter", "double", "onsets")
    ]
    (share,) = Explained(2, 2, tuple(trials)).shares
    assert share.n == 2 and share.axis[0] == 0.5
    assert [each.what for each in Explained(2, 2, tuple(trials)).each] == [
        "tempo: quarter",
        "tempo: double",
        "tempo: onsets",
    ]


def test_result_is_plain_told_and_drawn(tmp_path: Path) -> None:
    found = check_explanations(Rules(), CLIPS, usual=USUAL).to_dict()
    assert json.loads(json.dumps(found)) == found
    told = explaining_markdown(found)
    assert "| first cause | 6 | 1.00" in told and "6 of 6 clips" in told
    drawn = draw_all(
        [("causes", draw_explaining, found), ("none", draw_explaining, None)], tmp_path
    )
    assert drawn == {"causes": "causes.png"}
    assert (tmp_path / "causes.png").read_bytes().startswith(b"\x89PNG")
