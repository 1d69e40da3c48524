from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.composing import VOCABULARY
from numpy.typing import NDArray
from synthetic import make_response

from emomusic.compose.directions import (
    BASS_BELOW,
    IN_CHORD,
    LEVERS,
    ROOT_BELOW,
    ControlDirections,
    Response,
    fit_response,
)
from emomusic.music.attributes import ATTRIBUTE_NAMES

DIRECTIONS = ControlDirections(VOCABULARY)
MAJOR, MINOR = {"mode": 0.2}, {"mode": -0.2}


def bias(
    about: dict[str, float] = MAJOR, *, bar: int = 0, beats_per_bar: int = 4, **pulled: float
) -> NDArray[np.float32]:
    values = np.array([pulled.pop(name, 0.0) for name in LEVERS])
    assert not pulled
    return DIRECTIONS.bias(values, about, bar=bar, beats_per_bar=beats_per_bar)


def at(found: NDArray[np.float32], text: str) -> float:
    return float(found[0, VOCABULARY.id_of(text)])


def kinds(found: NDArray[np.float32]) -> set[str]:
    """Return the kinds of ids that are leaned to or from."""
    touched = np.flatnonzero(found.any(axis=0))
    return {(*VOCABULARY.texts, "SAME")[i].split("_")[0] for i in touched}


CHORDS, TONES = "ChordA ChordB", "Pitch ChordA ChordB"
OWN_KINDS = {
    "soon": "Position Bar EOS", "bar_ends": "Bar EOS", "on_eighths": "Position",
    "on_sixteenths": "Position", "on_triplets": "Position", "fuller": "SAME", "higher": "Pitch",
    "wider": "Pitch", "major": TONES, "clear": TONES, "at_home": TONES, "outside": TONES,
    "major_chords": CHORDS, "louder": "Velocity", "swell": "Velocity", "longer": "Duration",
    "unequal": "Duration",
}  # fmt: skip


@pytest.mark.parametrize("pull", [-1.5, 1.5])
def test_a_lever_leans_to_its_own_kind_alone(pull: float) -> None:
    assert tuple(OWN_KINDS) == LEVERS and bias().shape == (2, len(VOCABULARY) + 1)
    assert not bias().any() and bias().dtype == np.float32
    for lever, own in OWN_KINDS.items():
        assert kinds(bias(**{lever: pull})) == set(own.split()), lever
    every = kinds(bias(bar=3, **dict.fromkeys(LEVERS, pull)))
    assert every == set(" ".join(OWN_KINDS.values()).split())


CASES = [
    ("on_eighths", MAJOR, "Position_6 Position_42", "Position_0 Position_3"),
    ("on_sixteenths", MAJOR, "Position_3 Position_45", "Position_0 Position_6"),
    ("on_triplets", MAJOR, "Position_4 Position_20", "Position_0 Position_6 Position_3"),
    ("higher", MAJOR, "Pitch_80 Pitch_90", "Pitch_40 Pitch_60"),
    ("wider", {"register": 80.0}, "Pitch_60 Pitch_100", "Pitch_80"),
    ("major", MAJOR, "Pitch_64 Pitch_76", "Pitch_63 Pitch_75"),
    ("major", MINOR, "Pitch_64 Pitch_69", "Pitch_63 Pitch_68"),
    ("clear", MAJOR, "Pitch_60 Pitch_64 Pitch_67", "Pitch_61 Pitch_63 Pitch_65"),
    ("clear", MINOR, "Pitch_60 Pitch_63 Pitch_67", "Pitch_61 Pitch_64 Pitch_65"),
    ("clear", {"chord_mode": -0.2}, "Pitch_60 Pitch_63 Pitch_67", "Pitch_61 Pitch_64"),
    ("at_home", MAJOR, "Pitch_60 Pitch_67", "Pitch_69 Pitch_57"),
    ("outside", MINOR, "Pitch_61 Pitch_64 Pitch_66", "Pitch_60 Pitch_63 Pitch_68"),
    ("major", MAJOR, "ChordA_0:maj ChordB_5:maj", "ChordA_0:min ChordB_5:min"),
    ("at_home", MINOR, "ChordA_0:min ChordB_0:min", "ChordA_3:maj ChordB_10:maj"),
    ("outside", MAJOR, "ChordA_4:maj ChordB_5:min", "ChordA_0:maj ChordA_none"),
    ("major_chords", MAJOR, "ChordA_0:maj ChordB_5:maj", "ChordA_6:maj ChordA_none"),
    ("major_chords", MINOR, "ChordA_3:maj ChordB_8:maj", "ChordA_0:min ChordA_4:maj"),
    ("unequal", {"note_length": 1.0}, "Duration_0.3.12 Duration_3.0.4", "Duration_0.9.12"),
    ("unequal", {"note_length": 4.0}, "Duration_0.9.12 Duration_0.3.12", "Duration_3.0.4"),
]


@pytest.mark.parametrize(("lever", "about", "favoured", "others"), CASES)
def test_a_lever_favours_what_it_says(lever: str, about: Any, favoured: str, others: str) -> None:
    pulled, pushed = (bias(about, **{lever: pull}) for pull in (1.0, -1.0))
    more, less = favoured.split(), others.split()
    assert min(at(pulled, text) for text in more) > max(at(pulled, text) for text in less)
    assert max(at(pushed, text) for text in more) < min(at(pushed, text) for text in less)


@pytest.mark.parametrize(
    ("lever", "about", "text"),
    [
        ("higher", {}, "Pitch_62"),
        ("higher", {"register": 70.0}, "Pitch_70"),
        ("louder", {"velocity_mean": 95.0}, "Velocity_95"),
        ("longer", {"note_length": 2.0 / 0.75}, "Duration_2.0.4"),
    ],
)
def test_levers_turn_about_what_is_asked_for(lever: str, about: Any, text: str) -> None:
    ids = VOCABULARY.kind_ids(text.split("_")[0])
    found = bias(about, **{lever: 1.0})[0]
    assert found[VOCABULARY.id_of(text)] == pytest.approx(0, abs=1e-6)
    bass = BASS_BELOW - 21 if lever == "higher" else 0  # is not dragged about
    own = ids[bass:]
    assert (found[ids[: bass + 1]] == found[own[0]]).all()
    assert (np.diff(found[own]) > 0).all()  # the more of it, the more it is favoured
    assert np.isfinite(bias({"note_length": -5.0}, **dict.fromkeys(LEVERS, 1.0))).all()


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
def test_soon_prefers_the_nearer_onset_and_any_onset_to_the_end(beats_per_bar: int) -> None:
    ids = [VOCABULARY.id_of(f"Position_{step}") for step in range(12 * beats_per_bar)]
    ends = [VOCABULARY.id_of(text) for text in ("Bar_None", "EOS_None")]
    found = bias(soon=1.0, beats_per_bar=beats_per_bar)[1]
    assert (np.diff(found[ids]) < 0).all() and (found[ends] == -beats_per_bar).all()
    assert found[ids][12] == -1.0  # a nat a beat
    np.testing.assert_array_equal(bias(soon=-1.0, beats_per_bar=beats_per_bar)[1], -found)


def test_a_chord_has_what_its_notes_have() -> None:
    found = bias(major=0.4, clear=-0.3, outside=0.2)
    for text, notes in (("0:maj", (60, 64, 67)), ("9:min7", (69, 60, 64, 67)), ("none", ())):
        wanted = sum(at(found, f"Pitch_{pitch}") for pitch in notes)
        assert at(found, f"ChordA_{text}") == pytest.approx(wanted, abs=1e-6)
        assert at(found, f"ChordB_{text}") == at(found, f"ChordA_{text}")


def test_dynamics_swell_over_four_bars_and_are_flattened_where_that_is_pushed_back() -> None:
    loud, soft = (
        [at(bias(swell=1.0, bar=bar), f"Velocity_{v}") for bar in range(8)] for v in (95, 31)
    )
    assert loud[:4] == sorted(loud[:4]) and loud[0] < 0 < loud[3] and loud[4:] == loud[:4]
    assert soft[:4] == sorted(soft[:4], reverse=True) and soft[3] < 0 < soft[0]
    first = bias(swell=-1.0)
    for bar in range(4):
        np.testing.assert_array_equal(bias(swell=-1.0, bar=bar), first)
    assert at(first, "Velocity_63") > max(at(first, "Velocity_31"), at(first, "Velocity_95"))


def test_a_crowded_pitch_class_is_held_back_in_all_octaves() -> None:
    crowded = np.where(np.arange(12) == 7, 1.5, 0.0)
    found = DIRECTIONS.bias(np.zeros(len(LEVERS)), MAJOR, bar=0, crowded=crowded)
    assert kinds(found) == {"Pitch"}
    for pitch in range(21, 109):
        assert at(found, f"Pitch_{pitch}") == (-1.5 if pitch % 12 == 7 else 0.0)


def test_levers_add_up() -> None:
    pulled = {"higher": 0.5, "major": -0.3, "outside": 0.8, "louder": 0.2, "longer": -1.0,
              "soon": 0.4, "on_eighths": 0.7, "swell": 0.6, "fuller": 0.7}  # fmt: skip
    together = bias(MINOR, bar=2, **pulled)
    alone = [bias(MINOR, bar=2, **{name: pull}) for name, pull in pulled.items()]
    np.testing.assert_allclose(together, np.sum(alone, axis=0), atol=1e-5)
    assert together[0, -1] == np.float32(0.7)  # another note at the same moment


# chords that are given

C_MAJOR, G_SEVEN, NONE = 0, 7 * 9 + 5, 108


def led(
    chords: tuple[int, int], after: int, *, at: int, beats_per_bar: int = 4
) -> dict[str, float]:
    """Return what each pitch and length has where the last position is `at`, by its text."""
    bias, (pairs, weights) = DIRECTIONS.along(chords, after, beats_per_bar=beats_per_bar)
    assert pairs.dtype == np.int32 and weights.dtype == np.float32 and not bias[1].any()
    found = dict(zip(VOCABULARY.texts, bias[0].tolist(), strict=False))
    here = VOCABULARY.id_of(f"Position_{at}")
    for (first, second), weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        if first == here:
            found[VOCABULARY.texts[second]] += weight
    return found


@pytest.mark.parametrize(("half", "root", "tones"), [(0, 48, {0, 4, 7}), (24, 43, {7, 11, 2, 5})])
def test_notes_are_led_along_the_chord_of_their_half(half: int, root: int, tones: set[int]) -> None:
    begins, later = (led((C_MAJOR, G_SEVEN), C_MAJOR, at=half + step) for step in (0, 6))
    for pitch in range(60, 84):
        assert later[f"Pitch_{pitch}"] == (IN_CHORD if pitch % 12 in tones else 0.0)
    assert begins[f"Pitch_{root}"] == IN_CHORD + ROOT_BELOW
    assert begins[f"Pitch_{root + 24}"] == later[f"Pitch_{root}"] == IN_CHORD


def test_no_note_is_to_ring_on_when_the_chord_changes() -> None:
    half, whole, longer = "Duration_2.0.4", "Duration_4.0.2", "Duration_6.0.2"
    changes = led((C_MAJOR, G_SEVEN), C_MAJOR, at=0)
    assert changes[half] == 0 > changes[whole] == changes[longer]
    stays = led((C_MAJOR, C_MAJOR), G_SEVEN, at=0)
    assert stays[whole] == 0 > stays[longer]
    assert not any(led((C_MAJOR, C_MAJOR), C_MAJOR, at=0)[d] for d in (half, whole, longer))


@pytest.mark.parametrize("beats", [2, 3, 4])
def test_halves_are_those_of_the_metre_and_without_a_chord_nothing_is_led_to(beats: int) -> None:
    for step in (0, 6 * beats):
        assert not any(led((NONE, NONE), NONE, at=step, beats_per_bar=beats).values())
    early, late = (
        led((C_MAJOR, 7 * 9), C_MAJOR, at=6 * beats + step, beats_per_bar=beats)["Pitch_62"]
        for step in (-1, 0)
    )
    assert early == 0 < late


# what the levers do, measured

N, K = len(ATTRIBUTE_NAMES), len(LEVERS)
DENSITY, REGISTER, MODE = (ATTRIBUTE_NAMES.index(n) for n in ("note_density", "register", "mode"))
SOON, HIGHER = LEVERS.index("soon"), LEVERS.index("higher")


def test_a_saved_response_loads_equal(tmp_path: Path) -> None:
    assert Response.load(tmp_path) is None
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=shape).round(4) for shape in ((2,), (2,), (2, 2), (2, K))]
    own = Response(tables[0], np.array([1e-6, 9.25]), *tables[1:], ("mode", "tempo"))
    own.save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None and loaded.attributes == ("mode", "tempo")  # its own list
    for name in ("mean", "scale", "start", "asked", "pulled"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(own, name))
    before = (tmp_path / "steering.json").read_bytes()
    loaded.save(tmp_path)
    assert (tmp_path / "steering.json").read_bytes() == before


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "its format is not that of this version"),
        (lambda c: c["attributes"].__setitem__(0, "colour"), "unknown attribute 'colour'"),
        (lambda c: c["levers"].pop(), "its levers is not that of this version"),
        (lambda c: c.pop("start"), "start"),
        (lambda c: c["mean"].pop(), rf"mean must be \({N},\) finite numbers, got \({N - 1},\)"),
        (lambda c: c.update(pulled=c["asked"]), rf"pulled must be \({N}, {K}\) finite numbers"),
        (lambda c: c["asked"][3].__setitem__(0, float("nan")), "asked must be .* finite numbers"),
        (lambda c: c["start"].__setitem__(0, 10**400), ""),
        (lambda c: c["scale"].__setitem__(2, 0), "scale must be above 0"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    make_response().save(tmp_path)
    path = tmp_path / "steering.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"cannot read the steering .*steering\.json: ") as caught:
        Response.load(tmp_path)
    assert "\n" not in str(caught.value) and re.search(words, str(caught.value))


BY_ASKING = {(DENSITY, DENSITY): 0.9, (REGISTER, DENSITY): -0.4, (MODE, MODE): 0.6}
BY_PULLING = {(DENSITY, SOON): 0.7, (REGISTER, HIGHER): 1.1, (MODE, SOON): -0.3}


def trial(n_clips: int, *, noise: float = 0.5) -> tuple[Response, NDArray[np.float64]]:
    """Fit a response on clips that follow planted slopes about a middle, and lie 2 too high."""
    rng = np.random.default_rng(0)
    scale, middle = rng.uniform(0.1, 20, N), rng.uniform(-5, 60, N)
    asked, pulled = rng.normal(0.5, 1, (n_clips, N)), rng.normal(size=(n_clips, K))
    z = noise * rng.normal(size=(n_clips, N)) + 2.0 * (np.arange(N) == REGISTER)
    for planted, inputs in ((BY_ASKING, asked), (BY_PULLING, pulled)):
        for (row, column), slope in planted.items():
            z[:, row] += slope * inputs[:, column]
    tables = middle + scale * asked, pulled, middle + scale * z
    fitted = fit_response(*tables, scale=scale, attributes=ATTRIBUTE_NAMES)
    np.testing.assert_array_equal(fitted.scale, scale)
    np.testing.assert_allclose(fitted.mean, (middle + scale * z).mean(axis=0))
    return fitted, middle


def test_planted_slopes_are_found_and_noise_is_left_out() -> None:
    fitted, middle = trial(1500)
    for table, planted in ((fitted.asked, BY_ASKING), (fitted.pulled, BY_PULLING)):
        for place, slope in planted.items():
            assert table[place] == pytest.approx(slope, abs=0.1)
        others = [table[place] for place in np.ndindex(*table.shape) if place not in planted]
        assert np.mean(np.array(others) == 0) > 0.97 and max(map(abs, others)) < 0.15
    assert np.mean(trial(60, noise=3.0)[0].pulled == 0) > 0.9
    assert trial(4)[0].pulled.shape == (N, K)  # fewer clips than slopes are enough
    at_middle = (middle - fitted.mean) / fitted.scale
    still = fitted.start + fitted.asked @ at_middle - at_middle  # no lever, the middle asked for
    np.testing.assert_allclose(still, 2.0 * (np.arange(N) == REGISTER), atol=0.15)
