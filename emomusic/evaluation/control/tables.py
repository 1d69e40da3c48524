"""Control as Markdown tables."""

from __future__ import annotations

from emomusic.evaluation.control.report import AttributeControl, ControlReport

COLUMNS = ("ρ", "R² identity", "R² linear", "bin", "one bin", "ρ per bar", "bin per bar",
           "leakage", "leakage per bar", "consistency", "restrictiveness", "linearity")  # fmt: skip


def control_table(clip: ControlReport, bar: ControlReport) -> str:
    """Return one row for each attribute as a Markdown table."""
    bars = {own.name: own for own in bar.attributes}
    lines = [f"| attribute | {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) + 1)}"]
    for own in clip.attributes:
        beside = bars.get(own.name)
        cells = [*_following(own), *_bar_cells(beside), _number(own.leakage)]
        cells += [_number(None if beside is None else beside.leakage), *_fader_cells(own)]
        mark = " *" if own.is_given else ""
        lines.append(f"| `{own.name}`{mark} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary_table(clip: ControlReport, bar: ControlReport) -> str:
    """Return means and the worst, clip-wide and bar by bar, as a Markdown table."""
    lines = [
        "| asked | clips | attributes | mean ρ | worst ρ | leakage | by chance | beyond chance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for what, report in (("clip-wide", clip), ("bar by bar", bar)):
        own = report.summary()
        leakage = [_number(x) for x in (own.leakage, own.chance, own.beyond_chance)]
        lines.append(
            f"| {what} | {report.n_clips} | {own.n_counted} | {own.mean_rho:.2f} | "
            f"{own.worst_rho:.2f} (`{own.worst}`) | "
            f"{' | '.join(leakage if own.n_pairs else ['–'] * 3)} |"
        )
    return "\n".join(lines)


def control_section(clip: ControlReport, bar: ControlReport) -> str:
    """Return both tables with what their columns mean, as Markdown."""
    same = [" = ".join(group) for report in (clip, bar) for group in report.groups if group[1:]]
    return "\n\n".join(
        [
            summary_table(clip, bar),
            "Each attribute is asked for alone, all others free. Leakage: mean |ρ| between one "
            "attribute as asked and another as achieved, where three are asked for at independent "
            "values that real music shows together; by chance: the same with the clips exchanged; "
            "beyond chance: root mean square of those ρ less what chance adds. Nearly the same in "
            f"real music, so counted once: {', '.join(same) or 'none'}.",
            control_table(clip, bar),
            "ρ: Spearman's, with its 95 % bootstrap interval over clips. bin, one bin: share in "
            "the bin asked for, and in it or one beside. Consistency, restrictiveness, linearity: "
            "as FaderNets has them, in standard deviations of real music; what is free varies, so "
            "restrictiveness cannot come near 1. *: simply set, and not counted.",
        ]
    )


def _following(own: AttributeControl) -> list[str]:
    f = own.following
    shares = (f.r2_identity, f.r2_linear, f.bin_share, f.near_share)
    return [_interval(own), *map(_number, shares)]


def _bar_cells(own: AttributeControl | None) -> list[str]:
    return ["–", "–"] if own is None else [_interval(own), _number(own.following.bin_share)]


def _fader_cells(own: AttributeControl) -> list[str]:
    f = own.fader
    shares = (None,) * 3 if f is None else (f.consistency, f.restrictiveness, f.linearity)
    return [*map(_number, shares)]


def _interval(own: AttributeControl) -> str:
    f = own.following
    return f"{f.rho:.2f} ({f.low:.2f} to {f.high:.2f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
