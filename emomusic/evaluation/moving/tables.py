"""How music moves as it is asked to, as Markdown, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emomusic.evaluation.report.rendering import table, told_interval

Result = Mapping[str, Any]
AXES = ("valence", "arousal")


def moving_markdown(found: Result) -> str:
    """Return the whole section.

    Args:
        found: As `Moving.to_dict` gives it.
    """
    heard_by = " and ".join(f"`{name}`" for name in found["judges"])
    return "\n\n".join(
        [
            f"First draws, heard by the judges {heard_by}, which chose nothing; log odds of "
            "positive valence and arousal, the judges' mean. With 95 % intervals, drawing curves "
            "or pieces again.",
            f"Along {found['n_curves']} curves of two to four emotions "
            f"({found['n_composed']} pieces, {found['n_windows']} windows of four bars):",
            table(("what", *AXES), _following(found["following"])),
            "Chance: the curves of other pieces, with the range of 95 % of such exchanges. Real "
            "music: in each window a clip of the quadrant asked for there, which knows the "
            "quadrant alone and has no transitions: what these judges can follow, not a bound. A "
            "change counts where at least 0.2 is asked.",
            "The same piece in another mood, and an unrelated clip of the new emotion in the "
            "same key:",
            table(_MOVE_HEADS, _moves(found["moves"])),
            "Shift: log odds after less before, on the axis asked for and on the other one. "
            "Right: share that shifts as asked and, after `against`, the share of other takes of "
            "the same pieces that do, though nothing is asked of them; with room: the piece was "
            "not heard at 2 or more on that side already.",
            table(_LIKE_HEADS, _likeness(found)),
            "What bars at the same place share (twice what is common over what both have), minor "
            "and major degrees counted as the same, with the piece and, after `against`, for an "
            "unrelated clip of the same emotion and key. `four bars later`: the piece with "
            "itself.",
            "Continued by half its length, and an unrelated clip of the same emotion, key and "
            "tempo:",
            table(("what", *(own["what"] for own in found["gone_on"])), _gone_on(found)),
            "Distances are of features, in standard deviations over the pieces' last bars.",
        ]
    )


def _interval(triple: Sequence[float]) -> str:
    return told_interval(triple) if triple else ""


def _following(following: Sequence[Result]) -> list[tuple[str, ...]]:
    rows = (
        ("r of asked and heard, within pieces", "r"),
        ("… by chance", "chance"),
        ("… of real music glued by quadrant", "real"),
        ("windows asked farthest apart, heard in that order (chance 0.50)", "farthest"),
        ("… of real music", "farthest_real"),
        ("steepest change between neighbours, heard so (chance 0.50)", "steepest"),
        ("… of real music", "steepest_real"),
        ("log odds heard for 1 asked", "slope"),
        ("… as a share of that between pieces that stay", "reach"),
        ("wandering within a piece (SD, log odds)", "wander"),
        ("… of pieces asked to stay", "wander_still"),
        ("bars by which it is heard later", "lag"),
    )
    return [(what, *(_interval(own[key]) for own in following)) for what, key in rows]


_MOVE_HEADS = (
    "move",
    "asked",
    "shift",
    "shift, other axis",
    "right",
    "right, with room",
    "unrelated: shift",
    "unrelated: right",
)


def _moves(moves: Sequence[Result]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for own in moves:
        asked = [axis for axis in AXES if "right" in own["axes"][axis]]
        for axis in asked or AXES:
            there = own["axes"][axis]
            other = own["axes"][AXES[1 - AXES.index(axis)]]
            rows.append(
                (
                    own["move"] if asked else f"{own['move']}: {axis}",
                    f"{there['asked']:+.2f}" if asked else "",
                    _interval(there["shift"]),
                    _interval(other["shift"]) if asked else "",
                    _beside(there.get("right", ()), there.get("right_by_chance", ())),
                    _with_room(there),
                    _interval(there["fresh"]),
                    _interval(there.get("fresh_right", ())),
                )
            )
    return rows


def _with_room(there: Result) -> str:
    share = there.get("right_with_room", ())
    told = _beside(share, there.get("room_by_chance", ()))
    return f"{told}, {there['n_with_room']} pieces" if share else ""


def _beside(share: Sequence[float], other: Sequence[float]) -> str:
    """Return a share with its interval, and another that it is to be set beside."""
    return f"{_interval(share)} against {other[0]:.2f}" if share and other else _interval(share)


_LIKE_HEADS = ("piece and", "onset and pitch class", "onset alone", "pitch class alone")


def _likeness(found: Result) -> list[tuple[str, ...]]:
    rows = [
        (
            own["move"],
            *(_beside(view["source"], view["unrelated"]) for view in own["likeness"].values()),
        )
        for own in found["moves"]
    ]
    return [*rows, ("four bars later", *map(_interval, found["phrases"].values()))]


def _gone_on(found: Result) -> list[tuple[str, ...]]:
    rows = (
        ("quadrant asked, heard in the new bars", "right"),
        ("… in their second half", "late_right"),
        ("… in an unrelated clip", "fresh_right"),
        ("the given bars' own quadrant, heard in these", "given_right"),
        ("… in the new bars", "as_before"),
        ("distance to the given bars", "to_own"),
        ("… of an unrelated clip", "fresh_to_own"),
        ("… to the given bars of other pieces", "to_others"),
        ("nearer than the unrelated clip (chance 0.50)", "nearer_than_fresh"),
        ("own piece the nearest of all", "nearest"),
        ("… of an unrelated clip", "fresh_nearest"),
    )
    gone_on = found["gone_on"]
    told = [(what, *(_interval(own[key]) for own in gone_on)) for what, key in rows]
    sides = [
        (what.format(axis), *(_interval(own["axes"][axis][key]) for own in gone_on))
        for axis in AXES
        for what, key in (
            ("side of {} asked, heard in the new bars", "right"),
            ("… in an unrelated clip", "fresh_right"),
        )
    ]
    halves = _interval(found["halves"])
    return [
        ("pieces", *(str(own["n"]) for own in gone_on)),
        *told[:3],
        *sides,
        *told[3:],
        ("a piece's bars before its last ones, to these", *[halves] * len(gone_on)),
    ]
