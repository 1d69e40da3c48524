from __future__ import annotations

from pathlib import Path

import numpy as np
from midi import score_of

from emomusic.data.forms import measure_forms
from emomusic.data.prepare import prepare
from emomusic.music.score import write_score
from emomusic.training.rows import Rows


def test_forms_are_those_of_the_songs_from_their_first_bar(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        phrase = [(beat / 2, 0.5, int(rng.integers(60, 80)), 60) for beat in range(32)]
        twice = [(16 * k + beat, *rest) for k in range(5) for beat, *rest in phrase]
        write_score(score_of(twice), tmp_path / f"{name}.mid")
    prepare(tmp_path, tmp_path / "rows.npz", workers=1)
    rows = Rows.load(tmp_path / "rows.npz")
    table = measure_forms(rows)
    assert table is not None and rows.meta["forms"] == list(table.forms)
    assert rows.meta["harmonies"] == list(table.harmonies)
    assert [len(own) for own in table.harmonies] == [20, 20]
    # Four bars of eighths that come five times: within the phrase their rhythm is one bar back,
    # later each is that of four bars back, note for note.
    assert set(table.forms) == {"0666" + "3333" * 4}
    assert len(table.forms) == 2  # one of three songs is held back


def test_short_songs_have_no_form(tmp_path: Path) -> None:
    for pitch in (60, 70):
        notes = [(float(beat), 1.0, pitch + beat % 5, 60) for beat in range(32)]
        write_score(score_of(notes), tmp_path / f"{pitch}.mid")
    prepare(tmp_path, tmp_path / "rows.npz", workers=1)
    rows = Rows.load(tmp_path / "rows.npz")
    assert measure_forms(rows) is None and "forms" not in rows.meta
