from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import make_response

from emomusic.compose.directions import (
    BASS_BELOW,
    IN_CHORD,
    LEVERS,
    ROOT_BELOW,
    TABLES,
    ControlDirections,
    OperatingPoint,
    Response,
    fit_response,
)
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.tokenizer import built_vocabulary

VOCABULARY = built_vocabulary()
MAJOR = OperatingPoint(pitch=62.0, velocity=64.0, length=0.75, is_major=True)
MINOR = OperatingPoint(pitch=62.0, velocity=64.0, length=0.75, is_major=False)
FIRST_HALF = 0
SINCE_POSITION = 1


def bias(
    *, point: OperatingPoint = MAJOR, bar: int = 0, beats_per_bar: int = 4, **pulled: float
) -> NDArray[np.float32]:
    values = np.array([pulled.pop(name, 0.0) for name in LEVERS])
    assert not pulled
    return ControlDirections(VOCABULARY, beats_per_bar=beats_per_bar).bias(values, point, bar=bar)


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


@pytest.mark.parametrize(("lever", "point", "favoured", "others"), CASES)
def test_a_lever_favours_what_its_name_says(
    lever: str, point: OperatingPoint, favoured: list[str], others: list[str]
) -> None:
    pulled, pushed = bias(point=point, **{lever: 1.0}), bias(point=point, **{lever: -1.0})
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
        ("wider", OperatingPoint(80.0, 64.0, 0.75, True), "Pitch_60", "Pitch_80"),
        ("unequal", OperatingPoint(62.0, 64.0, 3.0, True), "Duration_0.9.12", "Duration_3.0.4"),
    ],
)
def test_what_is_far_is_counted_from_the_centre(
    lever: str, moved: OperatingPoint, low: str, high: str
) -> None:
    here, there = bias(**{lever: 1.0}), bias(point=moved, **{lever: 1.0})
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
    levers, still = ControlDirections(VOCABULARY, beats_per_bar=4), np.zeros(len(LEVERS))
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
    bias, (pairs, weights) = ControlDirections(VOCABULARY, beats_per_bar=beats_per_bar).along(
        chords, after
    )
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
    together = bias(point=MINOR, bar=2, **pulled)
    alone = [bias(point=MINOR, bar=2, **{name: pull}) for name, pull in pulled.items()]
    np.testing.assert_allclose(together, np.sum(alone, axis=0), atol=1e-5)


def test_what_is_given_and_not_sampled_is_left_alone() -> None:
    found = bias(bar=3, **dict.fromkeys(LEVERS, 1.0))
    assert kinds(found) == {"Position", "Pitch", "Velocity", "Duration", "Bar", "EOS", "SAME",
                            "ChordA", "ChordB"}  # fmt: skip


# what the levers do, measured


N, K = len(ATTRIBUTE_NAMES), len(LEVERS)
DENSITY, REGISTER, MODE = (ATTRIBUTE_NAMES.index(n) for n in ("note_density", "register", "mode"))
SOON, HIGHER = LEVERS.index("soon"), LEVERS.index("higher")


def path_in(folder: Path) -> Path:
    return folder / "steering.json"


def test_a_saved_response_loads_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tables = (rng.normal(size=shape).round(4) for shape in ((N,), (N,), (N, N), (N, K)))
    mean, start, asked, pulled = tables
    response = Response(
        mean, rng.uniform(0.1, 9, N).round(4), start, asked, pulled, ATTRIBUTE_NAMES
    )
    response.save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None
    assert loaded.attributes == response.attributes
    for name in TABLES:
        table = getattr(response, name)
        np.testing.assert_array_equal(getattr(loaded, name), table)
    before = path_in(tmp_path).read_bytes()
    loaded.save(tmp_path)
    assert path_in(tmp_path).read_bytes() == before


def test_a_checkpoint_without_one_has_none(tmp_path: Path) -> None:
    assert Response.load(tmp_path) is None


def test_a_response_of_attributes_that_hardly_spread_survives_saving(tmp_path: Path) -> None:
    replace(make_response(), scale=np.full(N, 1e-6)).save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None and (loaded.scale > 0).all()


def refused(folder: Path) -> str:
    with pytest.raises(ValueError, match=r"cannot read the steering .*steering\.json: ") as caught:
        Response.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [None, b"", b"{", b"{}", b"[]", b"3", b"null", b'"x"', b"[" * 100_000, b"\x00", b"\xff\xfe"],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, damage: bytes | None) -> None:
    if damage is None:
        make_response().save(tmp_path)
        half = path_in(tmp_path).read_bytes()[:1000]
    path_in(tmp_path).write_bytes(half if damage is None else damage)
    refused(tmp_path)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format="other"), "its format is not that of this version"),
        (lambda c: c["attributes"].pop(), "finite numbers"),
        (lambda c: c["attributes"].__setitem__(0, "colour"), "unknown attribute 'colour'"),
        (lambda c: c["levers"].pop(), "its levers is not that of this version"),
        (lambda c: c.pop("levers"), "levers"),
        (lambda c: c.pop("start"), "start"),
        (lambda c: c.update(colour=[1]), "colour"),
        (lambda c: c["mean"].pop(), rf"mean must be \({N},\) finite numbers, got \({N - 1},\)"),
        (lambda c: c.update(pulled=c["asked"]), rf"pulled must be \({N}, {K}\) finite numbers"),
        (lambda c: c["asked"][3].pop(), ""),
        (lambda c: c["asked"][3].__setitem__(0, float("nan")), "asked must be .* finite numbers"),
        (lambda c: c["start"].__setitem__(0, float("inf")), "start must be .* finite numbers"),
        (lambda c: c["start"].__setitem__(0, "much"), ""),
        (lambda c: c["start"].__setitem__(0, 10**400), ""),
        (lambda c: c.update(start=None), "start must be"),
        (lambda c: c["scale"].__setitem__(2, 0), "scale must be above 0"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    make_response().save(tmp_path)
    content = json.loads(path_in(tmp_path).read_text())
    change(content)
    path_in(tmp_path).write_text(json.dumps(content))
    assert re.search(words, refused(tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": np.zeros(3)}, rf"mean must be \({N},\) finite numbers, got \(3,\)"),
        ({"pulled": np.full((N, K), np.nan)}, "pulled must be .* finite numbers"),
        ({"scale": np.zeros(N)}, "scale must be above 0"),
        ({"scale": -np.ones(N)}, "scale must be above 0"),
    ],
)
def test_a_response_of_another_shape_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(make_response(), **changes)


def trial(
    n_clips: int = 1500, *, noise: float = 0.5, seed: int = 0
) -> tuple[Response, dict[tuple[int, int], float], dict[tuple[int, int], float]]:
    """Fit a response on clips that follow planted slopes."""
    by_asking = {(DENSITY, DENSITY): 0.9, (REGISTER, DENSITY): -0.4, (MODE, MODE): 0.6}
    by_pulling = {(DENSITY, SOON): 0.7, (REGISTER, HIGHER): 1.1, (MODE, SOON): -0.3}
    rng = np.random.default_rng(seed)
    scale, middle = rng.uniform(0.1, 20, N), rng.uniform(-5, 60, N)
    asked, pulled = rng.normal(0.5, 1, (n_clips, N)), rng.normal(size=(n_clips, K))
    z = noise * rng.normal(size=(n_clips, N))
    for (row, column), slope in by_asking.items():
        z[:, row] += slope * asked[:, column]
    for (row, column), slope in by_pulling.items():
        z[:, row] += slope * pulled[:, column]
    tables = middle + scale * asked, pulled, middle + scale * z
    fitted = fit_response(*tables, scale=scale, attributes=ATTRIBUTE_NAMES)
    np.testing.assert_array_equal(fitted.scale, scale)
    np.testing.assert_allclose(fitted.mean, (middle + scale * z).mean(axis=0))
    return fitted, by_asking, by_pulling


def test_planted_slopes_are_found() -> None:
    fitted, by_asking, by_pulling = trial()
    for table, planted in ((fitted.asked, by_asking), (fitted.pulled, by_pulling)):
        for place, slope in planted.items():
            assert table[place] == pytest.approx(slope, abs=0.1)


def test_noise_is_left_out() -> None:
    fitted, by_asking, by_pulling = trial()
    for table, planted in ((fitted.asked, by_asking), (fitted.pulled, by_pulling)):
        others = [place for place in np.ndindex(*table.shape) if place not in planted]
        assert np.mean([table[place] == 0 for place in others]) > 0.97
        assert max(abs(table[place]) for place in others) < 0.15


def test_few_clips_leave_all_but_the_surest_out() -> None:
    fitted, _, _ = trial(60, noise=3.0)
    assert np.mean(fitted.pulled == 0) > 0.9


def test_what_nothing_is_asked_for_gives_is_the_start() -> None:
    rng = np.random.default_rng(1)
    asked, pulled = rng.normal(size=(800, N)), rng.normal(size=(800, K))
    achieved = asked + 2.0 * (np.arange(N) == REGISTER)
    fitted = fit_response(asked, pulled, achieved, scale=np.ones(N), attributes=ATTRIBUTE_NAMES)
    at_mean = fitted.start + fitted.asked @ ((asked.mean(axis=0) - fitted.mean) / fitted.scale)
    np.testing.assert_allclose(at_mean, 0, atol=0.15)
    assert fitted.start[REGISTER] == pytest.approx(2.0, abs=0.2)


def test_fitting_needs_no_more_clips_than_there_are() -> None:
    rng = np.random.default_rng(2)
    tables = (rng.normal(size=(4, n)) for n in (N, K, N))
    asked, pulled, achieved = tables
    fitted = fit_response(asked, pulled, achieved, scale=np.ones(N), attributes=ATTRIBUTE_NAMES)
    assert fitted.pulled.shape == (N, K) and fitted.asked.shape == (N, N)


def test_a_response_owns_its_list_of_attributes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    tables = (rng.normal(size=(30, n)) for n in (2, K, 2))
    fitted = fit_response(*tables, scale=np.ones(2), attributes=("mode", "tempo"))
    fitted.save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None and loaded.attributes == ("mode", "tempo")
    assert loaded.columns(["tempo", "mode"]).tolist() == [1, 0]
    assert loaded.columns([]).shape == (0,)
