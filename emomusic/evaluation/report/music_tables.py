"""What the music is like, as Markdown: quality, memory, loss and shape, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emomusic.evaluation.quality.manifold import MEASURES
from emomusic.evaluation.report.rendering import table, told_interval

Result = Mapping[str, Any]
BESIDE = ("composed", "real", "difference")


def quality_markdown(found: Result) -> str:
    """Return manifold, diversity, statistics and overlap."""
    n = ", ".join(f"{count} windows of {name}" for name, count in found["n_real"].items())
    return "\n\n".join(
        [
            f"Beside {n}. Pop piano is as many windows of EMOPIA as of Pop1K7, of songs trained "
            "on or not; no two windows of a song share a bar.",
            "### Among real music",
            *_manifold(found["manifold"]),
            "### Diversity inside each quadrant",
            *_or_why(found["diversity"], _diversity),
            "### Statistics of each piece",
            *_or_why(found["statistics"], _statistics),
            "### Overlap of distributions with pop piano",
            *_or_why(found["overlap"], _overlap),
        ]
    )


def _or_why(found: Result, render: Any) -> Sequence[str]:
    return [f"Left out: {found['left_out']}."] if "left_out" in found else render(found)


def _manifold(found: Result) -> list[str]:
    rows = [
        (name, str(own["n"]), measure, *(told_interval(own[measure][key]) for key in BESIDE))
        for name, own in found.items()
        if "left_out" not in own
        for measure in MEASURES
    ]
    why = [f"{name} left out: {own['left_out']}." for name, own in found.items()
           if "left_out" in own]  # fmt: skip
    return [
        table(("among", "n", "measure", *BESIDE), rows),
        *why,
        "The real pieces are halved by songs: composed ones and the other half, as many, are held "
        "against the same half, in the space of the verifier's features, in seconds. Intervals "
        "draw the pieces again, whole songs at a time.",
    ]


def _diversity(found: Result) -> list[str]:
    rows = [
        (own["quadrant"], str(own["n_composed"]), str(own["n_real"]), f"{own['composed']:.2f}",
         f"{own['real']:.2f}", told_interval(own["ratio"]))
        for own in found["each"]
    ]  # fmt: skip
    heads = ("quadrant", "clips", "real", "distance", "of real", "ratio")
    return [
        table(heads, rows),
        f"Mean ratio {told_interval(found['mean'])}. Mean distance between two pieces of "
        "different songs, in standard deviations of real music; real: windows of EMOPIA.",
    ]


def _statistics(found: Result) -> list[str]:
    rows = [
        (
            f"`{own['name']}`",
            *(f"{own[kind][0]:.2f} ± {own[kind][1]:.2f}" for kind in ("composed", "real")),
            told_interval(own["shift"]),
            told_interval(own["spread"]),
        )
        for own in found["each"]
    ]
    return [
        table(("statistic", "composed", "real", "shift", "spread"), rows),
        f"Means and standard deviations of {found['n_composed']} clips and {found['n_real']} "
        "windows of pop piano; shift in standard deviations of the real, spread over theirs.",
    ]


def _overlap(found: Result) -> list[str]:
    kinds = ("pooled", "distances")
    rows = [
        (f"`{own['name']}`", *(told_interval(own[kind][key]) for kind in kinds
                               for key in BESIDE[:2]))
        for own in found["each"]
    ]  # fmt: skip
    means = found["mean"]
    rows.append(("mean", *(f"{means[kind][key]:.2f}" for kind in kinds for key in BESIDE[:2])))
    heads = [f"{kind}, {key}" for kind in kinds for key in BESIDE[:2]]
    return [
        table(("quantity", *heads), rows),
        f"Overlap area, 0 to 1, on shared grids, of {found['n']} pieces each; real: other real "
        "songs against the same ones. Distances: within real pieces against to them.",
    ]


def memory_markdown(found: Result) -> str:
    """Return the overlap with training songs, and the longest matches."""
    rows = [
        (
            view,
            name,
            *(f"{own[kind]['mean']:.3g} ({own[kind]['p95']:.3g}, {own[kind]['max']:.3g})"
              for kind in ("composed", "real")),
            f"{own['excess']['difference']:+.3f} ({own['excess']['low']:+.3f} to "
            f"{own['excess']['high']:+.3f})",
            f"{own['excess_trimmed']['difference']:+.3f}",
        )
        for view, views in found["views"].items()
        for name, own in views["measures"].items()
    ]  # fmt: skip
    longest = [
        (view, str(own["clip"]), f"{own['n_events']} ({own['n_distinct']})",
         f"{own['n_beats']:g}", own["song"], str(own["bar"]))
        for view, views in found["views"].items()
        for own in views["matches"][:3]
    ]  # fmt: skip
    above = ", ".join(found["above_real"]) or "none"
    sources = ", ".join(found["sources"]) or "all sources"
    return "\n\n".join(
        [
            table(("view", "measure", "composed", "real", "excess", "excess, strict"), rows),
            f"Mean (95 %, greatest) over {found['n_clips']} clips and {found['n_windows']} windows "
            f"of {found['n_held_back']} held-back songs ({sources}), held against "
            f"{found['n_training']} training songs, whatever the key and tempo. Strict: without "
            "the 2 % of real windows that match best, likely covers. Above real by more than "
            f"chance: {above}.",
            table(("view", "clip", "events (distinct)", "beats", "song", "bar"), longest),
        ]
    )


def loss_markdown(found: Result) -> str:
    """Return what it costs to foretell a note."""
    rows = [
        ("a note", told_interval(found["of_note"])),
        *((f"its {name}", f"{x:.2f}") for name, x in found["of_slot"].items()),
    ]
    return "\n\n".join(
        [
            table(("what", "nats"), rows),
            f"Negative log-likelihood of {found['n_notes']} notes on {found['n_clips']} clips of "
            f"{found['n_songs']} songs held back, all clip-wide controls given; intervals draw "
            "songs again. `advance` says whether another note is struck at the same moment, and "
            "else when the next one is, or that the bar or the clip ends. What is not learnt, such "
            "as the velocities of songs without dynamics, costs nothing.",
        ]
    )


def shape_markdown(found: Result) -> str:
    """Return which clips are whole and how their bars are filled."""
    own = found["whole"]
    rows = [
        (
            one["what"],
            *(str(one[key]) for key in ("n_clips", "n_empty", "n_overlong")),
            *(" / ".join(f"{x:g}" for x in one[key]) for key in ("bar", "last_bar", "last_length")),
        )
        for one in found["shapes"]
    ]
    heads = ("clips", "n", "empty bars", "overlong", "notes a bar", "in the last bar",
             "its longest note")  # fmt: skip
    return "\n\n".join(
        [
            f"Of {own['n_clips']} clips, read from their files, {own['n_read']} hold the notes "
            f"composed, {own['n_bars']} have the bars asked for, none empty, {own['n_ended']} end "
            f"on time: a note begins in the last bar and none sounds beyond it.",
            table(heads, rows),
            "Notes that begin in a bar and in the last bar, and the last bar's longest note in "
            "beats: quantiles 5 / 25 / 50 / 75 / 95 %.",
        ]
    )
