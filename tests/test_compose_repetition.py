from __future__ import annotations

import numpy as np
import pytest

from emomusic.compose.directions import Pairs
from emomusic.compose.steerer import RepetitionBias
from emomusic.compose.token_plan import clip_grammar
from emomusic.model.events import ADVANCE
from emomusic.model.grammar import BarScript, Script, Walk
from emomusic.music.tokenizer import built_vocabulary

VOCABULARY = built_vocabulary()
GRAMMAR = clip_grammar(VOCABULARY)
ECHOES = RepetitionBias(VOCABULARY)
END = VOCABULARY.id_of("Bar_None")
LAYOUT = GRAMMAR.layout
SAME = len(VOCABULARY)


def ids(text: str) -> list[int]:
    return [VOCABULARY.id_of(word) for word in text.split()]


def note(pitch: int, velocity: str = "Velocity_63", duration: str = "Duration_1.0.12") -> str:
    return f"Pitch_{pitch} {velocity} {duration}"


BAR = ids(
    f"Position_0 {note(48)} {note(64, 'Velocity_95', 'Duration_0.6.12')} Position_12 {note(65)} "
    f"Position_24 {note(48, duration='Duration_2.0.4')} Position_36 {note(67, 'Velocity_79')}"
)
OTHER = ids(f"Position_6 {note(70, 'Velocity_95', 'Duration_0.6.12')}")


def start() -> Walk:
    head = tuple(ids("Bar_None TimeSig_4/4"))
    (position, n_positions), (pitch, n_pitches) = LAYOUT.position, LAYOUT.pitch
    script = Script(
        prompt=(LAYOUT.bos,),
        bars=(BarScript(head),),
        max_notes=100,
        positions=(position, position + n_positions - 1),
        pitches=(pitch, pitch + n_pitches - 1),
    )
    return Walk(GRAMMAR, script)


def push(walk: Walk, tokens: list[int]) -> None:
    """Take note of ids, the one for a note at the same moment where it stands between them."""
    for token in tokens:
        slot = walk.grammar.slot_ids[walk.slot].tolist()
        if token not in slot:
            walk.push(0)
            slot = walk.grammar.slot_ids[walk.slot].tolist()
        walk.push(slot.index(token))


def leaning(walk: Walk, pairs: Pairs) -> dict[int, float]:
    """Return by how much the ids that may be written now are led to, or away from."""
    bias = np.zeros((2, len(VOCABULARY) + 1), np.float32)
    found, allowed = walk.leaning(bias, *pairs), walk.allowed()
    own = walk.grammar.slot_ids[walk.slot].tolist()
    return {own[at]: float(found[at]) for at in np.flatnonzero((found != 0) & allowed)}


def led(walk: Walk, bar: list[int]) -> set[int]:
    """Return the ids that may be written now and that are led to along the notes of a bar."""
    found = leaning(walk, ECHOES.notes(bar))
    assert all(weight > 0 for weight in found.values())
    return set(found)


def test_every_id_of_the_bar_is_led_to_in_its_turn() -> None:
    walk = start()
    for token in [*BAR, END]:
        if walk.slot == ADVANCE and token not in GRAMMAR.slot_ids[ADVANCE]:
            assert SAME in led(walk, BAR)
            walk.push(0)
        assert token in led(walk, BAR)
        push(walk, [token])
    assert walk.done


def test_nothing_is_led_to_but_what_the_bar_has() -> None:
    walk = start()
    for token in BAR:
        assert led(walk, BAR) <= {*BAR, END, SAME}
        push(walk, [token])


def test_the_first_onset_is_the_only_one_at_the_beginning() -> None:
    assert led(start(), BAR) == {BAR[0]}


def test_a_note_leads_to_those_struck_with_it_and_to_the_next_onset() -> None:
    walk = start()
    push(walk, ids(f"Position_0 {note(48)}"))
    assert led(walk, BAR) == {SAME, *ids("Position_12")}
    walk.push(0)
    assert led(walk, BAR) == set(ids("Pitch_64"))


def test_a_pitch_leads_to_its_own_velocities_and_lengths() -> None:
    walk = start()
    push(walk, ids("Position_36 Pitch_67"))
    assert led(walk, BAR) == set(ids("Velocity_79"))
    push(walk, ids("Velocity_63"))
    assert led(walk, BAR) == set(ids("Duration_1.0.12"))


def test_notes_struck_together_keep_their_own_velocities_and_lengths() -> None:
    walk = start()
    push(walk, ids("Position_0 Pitch_64"))
    assert led(walk, BAR) == set(ids("Velocity_95"))
    push(walk, ids("Velocity_95"))
    assert led(walk, BAR) == set(ids("Duration_0.6.12"))


def test_a_bar_that_left_may_come_back() -> None:
    walk = start()
    push(walk, OTHER)
    assert led(walk, BAR) == set(ids("Position_12"))
    push(walk, ids("Position_12"))
    assert led(walk, BAR) == set(ids("Pitch_65"))


def test_the_end_is_led_to_after_the_last_onset_alone() -> None:
    walk = start()
    last = BAR.index(VOCABULARY.id_of("Position_36"))
    for token in BAR[:last]:
        push(walk, [token])
        assert END not in led(walk, BAR)
    push(walk, BAR[last:])
    assert END in led(walk, BAR)


@pytest.mark.parametrize("bar", [BAR, OTHER, BAR[:4], []])
def test_pairs_are_what_an_engine_takes(bar: list[int]) -> None:
    pairs, weights = ECHOES.notes(bar)
    assert pairs.dtype == np.int32 and weights.dtype == np.float32
    assert pairs.shape == (len(weights), 2) and len(weights) >= 1
    assert (pairs[:, 0] >= -1).all() and (pairs[:, 1] >= 0).all()
    assert (pairs <= SAME).all() and (weights > 0).all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)


def test_a_rhythm_leads_to_onsets_and_about_as_many_notes_about_as_high() -> None:
    walk = start()
    assert set(leaning(walk, ECHOES.rhythm(BAR))) == set(ids("Position_0"))
    push(walk, ids("Position_0"))
    near = {*range(48 - 5, 48 + 6), *range(64 - 5, 64 + 6)}
    assert set(leaning(walk, ECHOES.rhythm(BAR))) == set(ids(" ".join(f"Pitch_{p}" for p in near)))
    push(walk, ids(note(50)))
    assert set(leaning(walk, ECHOES.rhythm(BAR))) == set(ids("Position_12"))  # of two 0, see below


@pytest.mark.parametrize(("n_notes", "more"), [(1, -1.0), (2, 0.0), (3, 0.5), (4, 1.0), (5, 1.0)])
def test_a_rhythm_thins_out_single_notes_and_fills_chords(n_notes: int, more: float) -> None:
    chord = ids(" ".join(["Position_0", *(note(60 + 3 * at) for at in range(n_notes))]))
    walk = start()
    push(walk, ids(f"Position_0 {note(60)}"))
    assert leaning(walk, ECHOES.rhythm(chord)).get(SAME, 0.0) == more


def test_no_onset_of_the_left_hand_is_passed_by_and_the_right_hand_is_free() -> None:
    figure = ECHOES.left_hand(np.array([0, 24]), np.array([48, 55]))
    walk = start()
    away = leaning(walk, figure)
    assert set(away) == set(ids(" ".join(f"Position_{step}" for step in range(1, 48))))
    assert set(away.values()) == {-2.0}
    push(walk, ids("Position_0"))
    assert leaning(walk, figure) == dict.fromkeys(
        ids(" ".join(f"Pitch_{p}" for p in range(41, 56))), 1.0
    )
    push(walk, ids(note(50)))
    away = leaning(walk, figure)
    assert set(away) == {END, *ids(" ".join(f"Position_{step}" for step in range(25, 48)))}
    push(walk, ids(f"Position_24 {note(50)}"))
    assert not leaning(walk, figure)  # nothing of it is left


def texts(bar: list[int]) -> list[str]:
    return [VOCABULARY.texts[token] for token in bar if token != SAME]


def along(bar: list[int], *, to_major: bool | None) -> set[str]:
    """Return the pitches that a bar is led along."""
    pairs, _ = ECHOES.notes(bar, to_major=to_major)
    return {text for text in texts(pairs[:, 1].tolist()) if text.startswith("Pitch_")}


MAJOR = {60, 62, 64, 65, 67, 69, 71}
MINOR = {60, 62, 63, 65, 67, 68, 70}


@pytest.mark.parametrize("octave", [-36, -12, 0, 24, 36])
def test_in_the_other_mode_third_sixth_and_seventh_are_altered(octave: int) -> None:
    def bar(pitches: set[int]) -> list[int]:
        return ids(" ".join(["Position_0", *(note(p + octave) for p in sorted(pitches))]))

    def named(pitches: set[int]) -> set[str]:
        return {f"Pitch_{p + octave}" for p in pitches}

    assert along(bar(MAJOR), to_major=False) == named(MINOR)
    assert along(bar(MINOR), to_major=True) == named(MAJOR)
    for pitches, is_major in ((MAJOR, True), (MINOR, False)):
        assert along(bar(pitches), to_major=is_major) == named(pitches)
        assert along(bar(pitches), to_major=None) == named(pitches)


def test_chords_of_the_bar_lead_to_nothing() -> None:
    for own, other in zip(ECHOES.notes(BAR), ECHOES.notes([*ids("ChordA_0:maj ChordB_none"), *BAR]),
                          strict=True):  # fmt: skip
        np.testing.assert_array_equal(own, other)


def test_the_other_mode_alters_pitches_alone() -> None:
    plain, plain_weights = ECHOES.notes(BAR)
    minor, weights = ECHOES.notes(BAR, to_major=False)
    to = dict(zip(ids("Pitch_64"), ids("Pitch_63"), strict=True))
    moved = [[to.get(first, first), to.get(second, second)] for first, second in plain.tolist()]
    assert minor.tolist() == moved and weights.tolist() == plain_weights.tolist()
    assert texts(BAR)[0] == "Position_0"  # the bar itself stays


def test_pitches_at_the_ends_of_the_piano_stay_on_it() -> None:
    for pitch in (21, 22, 23, 107, 108):
        for to_major in (True, False):
            (found,) = along(ids(f"Position_0 {note(pitch)}"), to_major=to_major)
            assert 21 <= int(found.removeprefix("Pitch_")) <= 108
