from __future__ import annotations

import numpy as np
import pytest
from synthetic import make_score

from emomusic.compose.steering import hearing
from emomusic.compose.steering.hearing import Heard
from emomusic.music.attributes import ATTRIBUTE_NAMES, measure
from emomusic.music.key import key_correlations
from emomusic.music.passage import Passage, passage_of
from emomusic.music.score import notes_of

MAJOR = [60, 64, 67, 65, 69, 72, 67, 71, 74, 67, 64, 60]
MINOR = [60, 63, 67, 65, 68, 72, 67, 70, 74, 67, 63, 60]


def passage(pitches: list[int], *, shift: int = 0) -> Passage:
    return passage_of(notes_of(make_score([p + shift for p in pitches])), tempo=120.0)


def hear(passage: Passage) -> Heard:
    return hearing.hear(passage, ATTRIBUTE_NAMES)


def mode_of(heard: Heard) -> float:
    return float(heard.values[ATTRIBUTE_NAMES.index("mode")])


def test_only_what_is_asked_for_is_heard_in_that_order() -> None:
    found = hearing.hear(passage(MAJOR), ("register", "tempo")).values
    assert found.tolist() == [measure(passage(MAJOR))["register"], 120.0]


def test_every_attribute_but_the_mode_is_heard_as_it_is_measured() -> None:
    for shift in (0, 5):
        heard, measured = hear(passage(MAJOR, shift=shift)), measure(passage(MAJOR, shift=shift))
        assert heard.values.shape == (len(ATTRIBUTE_NAMES),) and np.isfinite(heard.values).all()
        for name, value in zip(ATTRIBUTE_NAMES, heard.values, strict=True):
            assert name == "mode" or value == measured[name]


def test_major_and_minor_on_c_are_heard_as_they_are_measured() -> None:
    for pitches, sign in ((MAJOR, 1), (MINOR, -1)):
        heard = mode_of(hear(passage(pitches)))
        assert heard == pytest.approx(measure(passage(pitches))["mode"]) and sign * heard > 0


def test_the_mode_counts_on_c_whatever_key_is_found() -> None:
    relative = passage(MINOR, shift=-3)  # a minor, on the notes of C major
    assert measure(relative)["mode"] < 0 < mode_of(hear(relative))


@pytest.mark.parametrize(("pitches", "is_major"), [(MAJOR, True), (MINOR, False)])
def test_music_in_its_key_is_at_home_and_nowhere_else(pitches: list[int], is_major: bool) -> None:
    assert hear(passage(pitches)).at_home(is_major=is_major) > 0
    assert hear(passage(pitches)).at_home(is_major=not is_major) < 0
    for shift in range(1, 12):
        assert hear(passage(pitches, shift=shift)).at_home(is_major=is_major) < 0


def test_at_home_is_the_margin_over_the_best_other_key() -> None:
    fits = np.full((2, 12), 0.1)
    fits[0, 0], fits[1, 9], fits[1, 0] = 0.8, 0.6, 0.3
    heard = Heard(np.zeros(len(ATTRIBUTE_NAMES)), fits, np.zeros(12))
    assert heard.at_home(is_major=True) == pytest.approx(0.2)
    assert heard.at_home(is_major=False) == pytest.approx(-0.5)
    assert fits[0, 0] == 0.8


def test_the_fits_are_those_of_all_keys() -> None:
    np.testing.assert_array_equal(hear(passage(MAJOR)).fits, key_correlations(passage(MAJOR).notes))


def test_all_keys_alike_is_neither_major_nor_at_home() -> None:
    heard = hear(passage(list(range(60, 72))))
    assert mode_of(heard) == 0 and heard.at_home(is_major=True) == 0


def test_the_last_notes_are_counted_by_pitch_class() -> None:
    early, late = [60] * 40, [67, 67, 67, 67, 67, 67, 64, 76, 79, 55, 67, 67]
    lately = hear(passage([*early, *late])).lately
    assert lately.shape == (12,) and (lately >= 0).all()
    assert lately[7] == lately.max() and lately[0] == 0 < lately[4]
    assert lately.sum() == pytest.approx(1.0)


def test_few_notes_crowd_nothing() -> None:
    lately = hear(passage([60])).lately
    assert 0 < lately[0] < 0.5 and lately.sum() == lately[0]
