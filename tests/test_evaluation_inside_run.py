from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from inside_cases import some_rows, write_labels
from judged_cases import PitchJudge, SureJudge

from emomusic.evaluation.inside.plots import PICTURES
from emomusic.evaluation.inside.run import Inside, measure_inside
from emomusic.evaluation.inside.steering import CONTROLS, DOSES, PUSH, WAYS
from emomusic.evaluation.inside.tables import WAYS as TOLD_WAYS
from emomusic.evaluation.inside.tables import inside_markdown
from emomusic.evaluation.report.plots import draw_pictures

TOLD: list[tuple[int, int]] = []


@pytest.fixture(scope="module")
def found(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Inside:
    source = write_labels(tmp_path_factory.mktemp("labelled"))
    return measure_inside(
        tiny_checkpoint,
        source,
        some_rows(),
        judges={"pitch": PitchJudge(), "sure": SureJudge()},
        count=1,
        n_bars=2,
        depths=(1,),
        n_choice=1,
        n_shuffles=1,
        max_ids=100,
        progress=lambda done, total: TOLD.append((done, total)),
    )


@pytest.fixture(scope="module")
def plain(found: Inside) -> dict[str, Any]:
    return dict(json.loads(json.dumps(found.to_dict())))


def test_every_way_is_tried_on_either_side(found: Inside) -> None:
    tried = {(t.what, t.by, t.dose) for t in found.trials}
    assert len(tried) == len(found.trials)
    for axis in ("valence", "arousal"):
        assert {dose for what, by, dose in tried if (what, by) == (axis, PUSH)} == set(DOSES)
        for by in WAYS:
            assert len({dose > 0 for what, own, dose in tried if (what, own) == (axis, by)}) == 2
    assert {by for what, by, _ in tried if what == "register"} >= {PUSH, CONTROLS}
    assert set(WAYS) == set(TOLD_WAYS)


def test_the_ends_of_each_way_are_set_against_the_push(found: Inside) -> None:
    assert {(s.what, s.by) for s in found.spans} == {(t.what, t.by) for t in found.trials}
    for span in found.spans:
        assert (span.beyond is None) == (span.by == PUSH)
        assert span.by != PUSH or span.cosine == pytest.approx(1.0)
        ends = [t for t in found.trials if (t.what, t.by) == (span.what, span.by)]
        high, low = max(ends, key=lambda t: t.dose), min(ends, key=lambda t: t.dose)
        assert span.rise[0] == pytest.approx(high.shift[0] - low.shift[0])


def test_pushes_are_chosen_on_other_clips_than_those_reported(found: Inside) -> None:
    assert found.about["choice_seed"] != found.about["seed"]
    for what in ("valence", "arousal", "note_density", "register"):
        assert sum(c.chosen for c in found.candidates if c.what == what) == 1


def test_progress_ends_with_all_there_is_to_do(found: Inside) -> None:
    assert TOLD[0][0] == 0 and TOLD[-1][0] == TOLD[-1][1]


def test_numbers_are_finite(found: Inside) -> None:
    for trial in found.trials:
        assert all(map(math.isfinite, trial.shift))
        assert trial.loss is None or math.isfinite(trial.loss[0])


def test_what_was_found_is_told_in_tables(plain: dict[str, Any]) -> None:
    told = inside_markdown(plain)
    assert "| valence | push | -2 |" in told and "| `register` |" in told
    assert " nan" not in told and "(nan" not in told


def test_pictures_are_drawn_from_plain_values(plain: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = draw_pictures({"inside": plain}, tmp_path)
    assert set(drawn) == set(PICTURES)
    for name in drawn.values():
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_what_is_not_there_is_not_drawn(plain: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = draw_pictures({"inside": {**plain, "trials": []}}, tmp_path)
    assert set(drawn) == {"inside_depth", "inside_attributes"}
