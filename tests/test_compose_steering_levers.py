from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from emomusic.compose.steering.levers import (
    BASS_BELOW,
    IN_CHORD,
    LEVERS,
    ROOT_BELOW,
    Centre,
    Levers,
)
from emomusic.music.vocabulary import built_vocabulary

VOCABULARY = built_vocabulary()
MAJOR = Centre(pitch=62.0, velocity=64.0, length=0.75, is_major=True)
MINOR = Centre(pitch=62.0, velocity=64.0, length=0.75, is_major=False)
FIRST_HALF = 0
SINCE_POSITION = 1


def bias(
    *, centre: Centre = MAJOR, bar: int = 0, beats_per_bar: int = 4, **pulled: float
) -> NDArray[np.float32]:
    values = np.array([pulled.pop(name, 0.0) for name in LEVERS])
    assert not pulled
    return Levers(VOCABULARY, beats_per_bar=beats_per_bar).bias(values, centre, bar=bar)


def at(found: NDArray[np.float32], text: str, *, half: int = FIRST_HALF) -> float:
    return float(found[half, VOCABULARY.id_of(text)])


def kinds(found: NDArray[np.float32]) -> set[str]:
    """Return the kinds of ids that are leaned to or from."""
    touched = np.flatnonzero(found.any(axis=0))
    return {(*VOCABULARY.texts, "SAME")[i].split("_")[0] for i in touched}


def test_nothing_pulled_leaves_all_as_it_is() -> None:
    found = bias()
    assert found.shape == (2, len(VOCABULARY) + 1) and found.dtype == np.float32
    assert not found.any()


@pytest.mark.parametrize(
    ("lever", "kind"),
    [
        ("soon", {"Position", "Bar", "EOS"}),
        ("bar_ends", {"Bar", "EOS"}),
        *((name, {"Position"}) for name in ("on_eighths", "on_sixteenths", "on_triplets")),
        ("fuller", {"SAME"}),
        *((name, {"Pitch"}) for name in ("higher", "wider")),
        *(
            (name, {"Pitch", "ChordA", "ChordB"})
            for name in ("major", "clear", "at_home", "outside")
        ),
        ("major_chords", {"ChordA", "ChordB"}),
        ("louder", {"Velocity"}),
        ("swell", {"Velocity"}),
        ("longer", {"Duration"}),
        ("unequal", {"Duration"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pull", [-1.5, 1.5])
def test_a_lever_leans_to_its_own_kind_alone(lever: str, kind: set[str], pull: float) -> None:
    assert kinds(bias(**{lever: pull})) == kind


def test_every_lever_does_something() -> None:
    for name in LEVERS:
        assert bias(**{name: 1.0}).any() and np.isfinite(bias(**{name: 100.0})).all()


CASES = [
    ("bar_ends", MAJOR, ["Bar_None", "EOS_None"], ["Position_12", "Pitch_60"]),
    ("on_eighths", MAJOR, ["Position_6", "Position_42"], ["Position_0", "Position_3"]),
    ("on_sixteenths", MAJOR, ["Position_3", "Position_45"], ["Position_0", "Position_6"]),
    ("on_triplets", MAJOR, ["Position_4", "Position_20"], ["Position_0", "Position_6"]),
    ("on_triplets", MAJOR, ["Position_4", "Position_20"], ["Position_3", "Position_9"]),
    ("higher", MAJOR, ["Pitch_80", "Pitch_90"], ["Pitch_40", "Pitch_60"]),
    ("wider", MAJOR, ["Pitch_40", "Pitch_84"], ["Pitch_60", "Pitch_64"]),
    ("major", MAJOR, ["Pitch_64", "Pitch_76"], ["Pitch_63", "Pitch_75"]),
    ("major", MINOR, ["Pitch_64", "Pitch_69"], ["Pitch_63", "Pitch_68"]),
    ("clear", MAJOR, ["Pitch_60", "Pitch_64", "Pitch_67"], ["Pitch_61", "Pitch_63", "Pitch_65"]),
    ("clear", MINOR, ["Pitch_60", "Pitch_63", "Pitch_67"], ["Pitch_61", "Pitch_64", "Pitch_65"]),
    ("at_home", MAJOR, ["Pitch_60", "Pitch_67"], ["Pitch_69", "Pitch_57"]),
    ("at_home", MINOR, ["Pitch_60", "Pitch_72"], ["Pitch_70", "Pitch_58"]),
    ("outside", MAJOR, ["Pitch_61", "Pitch_63", "Pitch_66"], ["Pitch_60", "Pitch_64", "Pitch_71"]),
    ("outside", MINOR, ["Pitch_61", "Pitch_64", "Pitch_66"], ["Pitch_60", "Pitch_63", "Pitch_68"]),
    ("major", MAJOR, ["ChordA_0:maj", "ChordB_5:maj"], ["ChordA_0:min", "ChordB_5:min"]),
    ("at_home", MAJOR, ["ChordA_0:maj", "ChordB_0:maj"], ["ChordA_9:min", "ChordB_2:min"]),
    ("at_home", MINOR, ["ChordA_0:min", "ChordB_0:min"], ["ChordA_3:maj", "ChordB_10:maj"]),
    ("outside", MAJOR, ["ChordA_4:maj", "ChordB_5:min"], ["ChordA_0:maj", "ChordA_none"]),
    ("major_chords", MAJOR, ["ChordA_0:maj", "ChordB_5:maj7"], ["ChordA_9:min", "ChordB_2:min7"]),
    ("major_chords", MAJOR, ["ChordA_0:maj", "ChordB_5:maj"], ["ChordA_6:maj", "ChordA_none"]),
    ("major_chords", MINOR, ["ChordA_3:maj", "ChordB_8:maj"], ["ChordA_0:min", "ChordA_4:maj"]),
    ("louder", MAJOR, ["Velocity_95", "Velocity_111"], ["Velocity_31", "Velocity_63"]),
    ("longer", MAJOR, ["Duration_2.0.4", "Duration_4.0.2"], ["Duration_0.6.12", "Duration_1.0.12"]),
    ("unequal", MAJOR, ["Duration_0.3.12", "Duration_3.0.4"], ["Duration_0.9.12"]),
]


@pytest.mark.parametrize(("lever", "centre", "favoured", "others"), CASES)
def test_a_lever_favours_what_its_name_says(
    lever: str, centre: Centre, favoured: list[str], others: list[str]
) -> None:
    pulled, pushed = bias(centre=centre, **{lever: 1.0}), bias(centre=centre, **{lever: -1.0})
    assert min(at(pulled, text) for text in favoured) > max(at(pulled, text) for text in others)
    assert max(at(pushed, text) for text in favoured) < min(at(pushed, text) for text in others)


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
def test_soon_prefers_the_nearer_onset_and_any_onset_to_the_end(beats_per_bar: int) -> None:
    ids = [VOCABULARY.id_of(f"Position_{step}") for step in range(12 * beats_per_bar)]
    ends = [VOCABULARY.id_of(text) for text in ("Bar_None", "EOS_None")]
    found = bias(soon=1.0, beats_per_bar=beats_per_bar)[SINCE_POSITION]
    assert (np.diff(found[ids]) < 0).all()
    assert max(found[ends]) < found[ids].min()
    later = bias(soon=-1.0, beats_per_bar=beats_per_bar)[SINCE_POSITION]
    assert (np.diff(later[ids]) > 0).all() and min(later[ends]) > later[ids].max()


@pytest.mark.parametrize(
    ("lever", "kind"), [("higher", "Pitch"), ("louder", "Velocity"), ("longer", "Duration")]
)
def test_more_is_favoured_the_more_of_it_there_is(lever: str, kind: str) -> None:
    ids = VOCABULARY.kind_ids(kind)[BASS_BELOW - 21 if kind == "Pitch" else 0 :]
    assert (np.diff(bias(**{lever: 1.0})[0, ids]) > 0).all()


@pytest.mark.parametrize(
    ("lever", "moved", "low", "high"),
    [
        ("wider", Centre(80.0, 64.0, 0.75, True), "Pitch_60", "Pitch_80"),
        ("unequal", Centre(62.0, 64.0, 3.0, True), "Duration_0.9.12", "Duration_3.0.4"),
    ],
)
def test_what_is_far_is_counted_from_the_centre(
    lever: str, moved: Centre, low: str, high: str
) -> None:
    here, there = bias(**{lever: 1.0}), bias(centre=moved, **{lever: 1.0})
    assert at(here, low) < at(here, high) and at(there, low) > at(there, high)


@pytest.mark.parametrize("lever", ["higher", "wider"])
def test_the_bass_is_not_dragged_about(lever: str) -> None:
    for pull in (-1.0, 1.0):
        found = bias(**{lever: pull})
        assert len({at(found, f"Pitch_{pitch}") for pitch in range(21, BASS_BELOW + 1)}) == 1
        assert at(found, "Pitch_47") != at(found, "Pitch_46")


def test_a_chord_has_what_its_notes_have() -> None:
    found = bias(major=0.4, clear=-0.3, outside=0.2)
    for text, notes in (("0:maj", (60, 64, 67)), ("9:min7", (69, 60, 64, 67)), ("none", ())):
        wanted = sum(at(found, f"Pitch_{pitch}") for pitch in notes)
        assert at(found, f"ChordA_{text}") == pytest.approx(wanted, abs=1e-6)
        assert at(found, f"ChordB_{text}") == at(found, f"ChordA_{text}")


def test_fuller_leans_to_another_note_at_the_same_moment() -> None:
    found = bias(fuller=0.7)
    assert found[0, -1] == np.float32(0.7) and not found[:, :-1].any()


def test_dynamics_swell_over_four_bars() -> None:
    loud = [at(bias(swell=1.0, bar=bar), "Velocity_95") for bar in range(8)]
    soft = [at(bias(swell=1.0, bar=bar), "Velocity_31") for bar in range(8)]
    assert loud[:4] == sorted(loud[:4]) and loud[0] < 0 < loud[3]
    assert soft[:4] == sorted(soft[:4], reverse=True) and soft[3] < 0 < soft[0]
    assert loud[4:] == loud[:4] and soft[4:] == soft[:4]


def test_a_swell_pushed_back_flattens_all_bars_alike() -> None:
    first = bias(swell=-1.0)
    for bar in range(4):
        np.testing.assert_array_equal(bias(swell=-1.0, bar=bar), first)
    near, soft, loud = (at(first, f"Velocity_{v}") for v in (63, 31, 95))
    assert near > soft and near > loud


def test_a_crowded_pitch_class_is_held_back_in_all_octaves() -> None:
    levers, still = Levers(VOCABULARY, beats_per_bar=4), np.zeros(len(LEVERS))
    crowded = np.where(np.arange(12) == 7, 1.5, 0.0)
    found = levers.bias(still, MAJOR, bar=0, crowded=crowded)
    assert kinds(found) == {"Pitch"}
    for pitch in range(21, 109):
        assert at(found, f"Pitch_{pitch}") == (-1.5 if pitch % 12 == 7 else 0.0)


C_MAJOR, G_SEVEN, NONE = 0, 7 * 9 + 5, 108


def led(
    chords: tuple[int, int], after: int, *, at: int, beats_per_bar: int = 4
) -> dict[str, float]:
    """Return what each pitch and length has where the last position is `at`, by its text."""
    bias, (pairs, weights) = Levers(VOCABULARY, beats_per_bar=beats_per_bar).along(chords, after)
    assert pairs.dtype == np.int32 and weights.dtype == np.float32 and not bias[1].any()
    found = dict(zip(VOCABULARY.texts, bias[0].tolist(), strict=False))
    here = VOCABULARY.id_of(f"Position_{at}")
    for (first, second), weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        if first == here:
            found[VOCABULARY.texts[second]] += weight
    return found


def test_notes_are_led_along_the_chord_of_their_half_of_the_bar() -> None:
    early, late = (led((C_MAJOR, G_SEVEN), C_MAJOR, at=at) for at in (12, 36))
    for found, chord in ((early, {0, 4, 7}), (late, {7, 11, 2, 5})):
        for pitch in range(60, 84):
            assert found[f"Pitch_{pitch}"] == (IN_CHORD if pitch % 12 in chord else 0.0)


def test_the_root_is_led_to_below_where_a_half_bar_begins() -> None:
    for at, root in ((0, 48), (24, 43)):
        found = led((C_MAJOR, G_SEVEN), C_MAJOR, at=at)
        assert found[f"Pitch_{root}"] == IN_CHORD + ROOT_BELOW > found[f"Pitch_{root + 24}"]
        assert led((C_MAJOR, G_SEVEN), C_MAJOR, at=at + 6)[f"Pitch_{root}"] == IN_CHORD


def test_no_note_is_to_ring_on_when_the_chord_changes() -> None:
    half, whole, longer = "Duration_2.0.4", "Duration_4.0.2", "Duration_6.0.2"
    changes = led((C_MAJOR, G_SEVEN), C_MAJOR, at=0)
    assert changes[half] == 0 > changes[whole] == changes[longer]
    stays = led((C_MAJOR, C_MAJOR), G_SEVEN, at=0)
    assert stays[whole] == 0 > stays[longer]
    assert not any(led((C_MAJOR, C_MAJOR), C_MAJOR, at=0)[d] for d in (half, whole, longer))


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
def test_without_a_chord_nothing_is_led_to(beats_per_bar: int) -> None:
    for at in (0, 6 * beats_per_bar):
        found = led((NONE, NONE), NONE, at=at, beats_per_bar=beats_per_bar)
        assert not any(found.values())


def test_levers_add_up() -> None:
    pulled = {"higher": 0.5, "major": -0.3, "outside": 0.8, "louder": 0.2, "longer": -1.0,
              "soon": 0.4, "on_eighths": 0.7, "swell": 0.6}  # fmt: skip
    together = bias(centre=MINOR, bar=2, **pulled)
    alone = [bias(centre=MINOR, bar=2, **{name: pull}) for name, pull in pulled.items()]
    np.testing.assert_allclose(together, np.sum(alone, axis=0), atol=1e-5)


def test_twice_the_pull_is_twice_the_bias() -> None:
    for name in LEVERS:
        np.testing.assert_allclose(bias(**{name: 2.0}), 2 * bias(**{name: 1.0}), atol=1e-5)


def test_what_is_given_and_not_sampled_is_left_alone() -> None:
    found = bias(bar=3, **dict.fromkeys(LEVERS, 1.0))
    assert kinds(found) == {"Position", "Pitch", "Velocity", "Duration", "Bar", "EOS", "SAME",
                            "ChordA", "ChordB"}  # fmt: skip
