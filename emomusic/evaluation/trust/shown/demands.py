"""What is asked of the verifier, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emomusic.evaluation.report.rendering import table

Result = Mapping[str, Any]
Triple = tuple[float, float, float]
SHARES = {
    ("crossed", "all sources, by song", "emopia"): (0.74, 0.92, 0.80),
    ("transfer", "emopia, shipped parameters", "vgmidi"): (0.58, 0.82, 0.72),
}
KINDS = ("quadrant", "arousal", "valence")
CORRELATIONS = {"valence": 0.60, "arousal": 0.75}
WORST_CALIBRATION = 0.05
MOST_CHANGED = 0.02
WELL_EXPLAINED = 0.80
HARMLESS = ("transposed by +2", "transposed by -2", "ticks doubled")


def demands(parts: Mapping[str, Result]) -> Iterator[tuple[str, str, Triple, str]]:
    """Yield what was asked, at least or at most how much, and what was found with its interval.

    Args:
        parts: Results of the parts by name, as `Check.to_dict` gives them.
    """
    for (part, learned, source), least in SHARES.items():
        for row in _verifiers(parts, part, learned, source):
            for kind, bound in zip(KINDS, least, strict=True):
                own = row["shares"][kind]
                yield (
                    f"learned from {learned}, heard {source}: {kind}",
                    f"≥ {bound:.2f}",
                    (own["mean"], *own["songs"]),
                    _verdict(own["mean"] >= bound, own["songs"][1] >= bound),
                )
    for row in _verifiers(parts, "crossed", "all sources, by song", "vgmidi"):
        for axis, bound in CORRELATIONS.items():
            if own := row["values"].get(axis):
                ends = (own["r_low"], own["r_high"])
                told = _verdict(own["r"] >= bound, ends[1] >= bound)
                yield f"r with listeners' {axis}", f"≥ {bound:.2f}", (own["r"], *ends), told
    for source in ("emopia", "vgmidi"):
        for row in _verifiers(parts, "crossed", "all sources, by song", source):
            own = row["calibration"]
            met = own["error"] <= WORST_CALIBRATION
            within = own["error"] <= own["error_by_chance_high"]
            triple = (own["error"], own["error"] - own["error_sd"], own["error"] + own["error_sd"])
            told = _verdict(met, within)
            yield f"calibration error, {source} (± sd)", f"≤ {WORST_CALIBRATION}", triple, told
    for row in parts.get("explanations", {}).get("shares", ()):
        if row["what"] == "first cause":
            value, low, high = row["axis"]
            told = _verdict(value >= WELL_EXPLAINED, high >= WELL_EXPLAINED)
            what = f"first cause undone: the verdict moves as said ({row['n']} clips)"
            yield what, f"≥ {WELL_EXPLAINED:.2f}", (value, low, high), told
    for row in parts.get("robustness", {}).get("rows", ()):
        if row["change"] in HARMLESS:
            share, low, high = row["changed"]
            told = _verdict(share <= MOST_CHANGED, low <= MOST_CHANGED)
            what = f"verdicts changed, {row['change']}, {row['source']}"
            yield what, f"≤ {MOST_CHANGED}", (share, low, high), told


def _verifiers(
    parts: Mapping[str, Result], part: str, learned: str, source: str
) -> Iterator[Result]:
    for row in parts.get(part, {}).get("rows", ()):
        if (row["what"], row["learned"], row["source"]) == ("verifier", learned, source):
            yield row


def _verdict(met: bool, within: bool) -> str:
    return "yes" if met else "within chance" if within else "no"


def demands_table(parts: Mapping[str, Result]) -> str:
    """Return all as a Markdown table."""
    return table(
        ("what", "asked", "measured", "met"),
        [
            (what, asked, f"{value:.3f} ({low:.3f}–{high:.3f})", met)
            for what, asked, (value, low, high), met in demands(parts)
        ],
    )
