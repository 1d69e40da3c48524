"""How finely emotions are told apart as Markdown, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emomusic.evaluation.report.rendering import table, told_interval

Result = Mapping[str, Any]
N_CONFUSED = 6
"""Names of those an emotion is confused with."""


def granularity_markdown(found: Result) -> str:
    """Return the whole section.

    Args:
        found: As `Granularity.to_dict` gives it.
    """
    near, place = found["near"], found["same_place"]
    return "\n\n".join(
        [
            table(("what", "measured", "by chance", ""), _headline(found)),
            f"{found['n_clips']} first draws of each of {found['n_emotions']} emotions, heard by "
            f"the judges {_listed(found['judges'])}. Two emotions are told apart where relabelling "
            "their clips seldom parts them as well (Hotelling's T², permuted), with "
            f"{found['false_discoveries']:.0%} false discoveries among the pairs; the AUC is of "
            "Fisher's discriminant on clips that it was not fitted on. "
            f"At this size pairs are told apart from an AUC of about {found['auc_from']:.2f}. "
            "With 95 % intervals, over emotions where there are many.",
            table(("asked apart", "pairs", "told apart", "AUC"), _bins(found)),
            _ceiling(place),
            f"Tested by themselves, {near['n_apart_alone']} of the {near['n_pairs']} pairs asked "
            f"for within {near['within']:g} are told apart{_named(near['pairs'])}.",
            f"Heard as one ({len(found['groups'])} groups, in each of which no two are told "
            "apart; an emotion may also be confused with members of other groups):",
            _groups(found["groups"]),
            "Not told apart though asked for farthest from each other:",
            table(("pair", "asked apart", "AUC"), [_pair(own) for own in found["heard_as_one"]]),
            _emotions(found["emotions"]),
            "Asked and heard: valence, arousal. Nearest first.",
        ]
    )


def _headline(found: Result) -> list[tuple[str, str, str, str]]:
    views, control, near = found["views"], found["control"], found["near"]
    shuffled, known = control["shuffled_apart"], found["identification"]
    n_near = near["n_pairs"]
    rows = [
        ("pairs told apart", told_interval(views["both"]["apart"]), f"{shuffled:.2f}",
         f"{found['n_pairs']} pairs"),
        *((f"… by {name} alone", told_interval(own["apart"]), "", "")
          for name, own in views.items() if name != "both"),
        (f"near pairs told apart, by themselves (within {near['within']:g})",
         f"{near['n_apart_alone'] / max(n_near, 1):.2f}", f"{shuffled:.2f}", f"{n_near} pairs"),
        ("mean AUC of pairs", told_interval(views["both"]["auc"]), "0.50", ""),
        ("one emotion composed twice: p ≤ 0.05", told_interval(control["twins_below"]), "0.05",
         f"{control['n_twins']} emotions"),
        ("told apart, again by second sets", f"{control['again']:.2f}", "≤ 0.05",
         f"{control['n_again']} pairs"),
        ("near and told apart, again by second sets", f"{control['near_again']:.2f}", "≤ 0.05",
         f"{control['n_near_again']} pairs"),
        ("clips dealt out anew: p ≤ 0.05", f"{control['shuffled_below']:.3f}", "0.05",
         f"{control['n_shuffles']} times all pairs"),
        *((f"{found['distance']['told']:.0%} told apart from a distance of{_along(name)}",
           _reach(own["distance"]), "", f"{own['n']} pairs")
          for name, own in found["distance"]["reach"].items()),
        *((f"clips nearest to their own emotion, among the {top} nearest" if top > 1 else
           "clips nearest to their own emotion", told_interval(known[f"top_{top}"]),
           f"{known['chance'][f'top_{top}']:.2f}", f"of {known['n']}") for top in (1, 5)),
        ("median rank of the emotion asked", "{:g} ({:g}–{:g})".format(*known["median_rank"]),
         f"{known['chance']['median_rank']:.0f}", f"of {known['n']}"),
    ]  # fmt: skip
    for own in found["following"]:
        rows += [
            (f"{own['axis']} heard, {what}", told_interval(own[key]), "0.00", "")
            for key, what in (
                ("rho", "ρ with asked, over emotions"),
                ("rho_above", "ρ among emotions at 0 or above"),
                ("rho_below", "ρ among emotions below 0"),
                ("slope", "slope on asked"),
                ("explained", "share of variance between emotions"),
            )
            if own[key]
        ]
    return rows


def _along(name: str) -> str:
    return "" if name == "both" else f", along {name} alone"


def _reach(ends: Sequence[float | None]) -> str:
    value, low, high = ("none" if end is None else f"{end:.2f}" for end in ends)
    return f"{value} ({low}–{high})"


def _bins(found: Result) -> list[tuple[str, ...]]:
    return [
        (
            f"{own['low']:g} to {own['high']:g}",
            str(own["n"]),
            *map(_told, (own["apart"], own["auc"])),
        )
        for own in found["distance"]["bins"]
    ]


def _told(triple: Sequence[float]) -> str:
    return told_interval(triple) if triple else ""


def _ceiling(place: Result) -> str:
    named = "; ".join(", ".join(names) for names in place["places"]) or "none"
    return (
        f"The ceiling: those within {place['within']:g} of each other counted as one, there are "
        f"{place['n_places']} places. Asked for at one place: {named}. What differs between them "
        f"is chance; {place['n_apart']} of their {place['n_pairs']} pairs count as told apart."
    )


def _named(pairs: Sequence[Result]) -> str:
    if not pairs:
        return ""
    return ": " + "; ".join(" and ".join(own["pair"]) for own in pairs)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _groups(groups: Sequence[Result]) -> str:
    lines = []
    for own in groups:
        valence, arousal = own["heard"]
        where = f"heard at valence {valence:+.2f}, arousal {arousal:+.2f}"
        alone = "by itself" if len(own["members"]) == 1 else "heard as one"
        lines.append(f"- {', '.join(own['members'])}: {alone} ({where})")
    return "\n".join(lines)


def _pair(own: Result) -> tuple[str, str, str]:
    return " and ".join(own["pair"]), f"{own['distance']:.2f}", told_interval(own["auc"])


def _emotions(emotions: Sequence[Result]) -> str:
    heads = ("emotion", "asked", "heard", "told apart from", "nearest heard", "confused with")
    rows = []
    for own in emotions:
        confused = own["confused_with"]
        more = f" and {len(confused) - N_CONFUSED} more" if len(confused) > N_CONFUSED else ""
        rows.append(
            (
                own["name"],
                *(f"{valence:+.2f}, {arousal:+.2f}" for valence, arousal in
                  (own["asked"], own["heard"])),
                f"{own['n_apart']} of {len(emotions) - 1}",
                own["nearest"],
                f"{', '.join(confused[:N_CONFUSED])}{more}" or "none",
            )
        )  # fmt: skip
    return table(heads, rows)
