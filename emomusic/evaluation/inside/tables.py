"""What was found inside the network, as Markdown, from its plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emomusic.evaluation.report.rendering import table, told_interval

Result = Mapping[str, Any]
AXES = ("valence", "arousal")
MEASURES = {
    "AUC": "AUC",
    "accuracy": "accuracy",
    "R2": "R²",
    "rho": "ρ",
    "r": "r",
}
WAYS = {
    "push": "push",
    "random": "a random direction, as long",
    "halves": "random halves of the songs, as long",
    "controls": "controls",
    "controls, tempo of free": "controls, at the tempo of free clips",
    "controls and feedback": "controls, with feedback",
}


def inside_markdown(found: Result) -> str:
    """Return probes by depth, where pushes were tried, and what they and controls did."""
    about = found["about"]
    attributes = [curve for curve in found["curves"] if curve["measure"] == "R2"]
    emotions = [curve for curve in found["curves"] if curve["measure"] not in ("R2", "rho")]
    return "\n\n".join(
        [
            f"Read from {about['n_excerpts']} labelled clips of {about['n_songs']} songs, at most "
            "16 bars each, without controls: mean states over what tells notes, linear (ridge) "
            "probes, folds between songs inside and out. The network learnt from "
            "most of these songs, never from their labels; the reporting judges heard none.",
            "### Emotion, depth by depth",
            _depth_table(emotions),
            "Depth 0 is the mean embedding, which a bag of tokens tells as well. Beside it a "
            "network of random weights and, at its depth of highest value, labels shuffled among "
            "songs (mean, least and greatest). The best depth is named after the fact: its "
            "interval does not count the choice. Listeners rated the clips of games.",
            "### Attributes, depth by depth",
            _best_table(attributes),
            "R² on songs that the probe did not learn from; a tempo is not among the ids.",
            "### Where it was pushed",
            _candidates(found["candidates"]),
            f"A dose of 1 is so many differences of means; at most so long that songs held back "
            f"cost a tenth more under two doses. Chosen by the checkpoint's verifier on "
            f"{about['choice_count']} clips of either end, seed {about['choice_seed']}.",
            "### What it moved",
            _spans(found["spans"]),
            "From the low end (a dose of -2, or asked by controls) to the high end, clip by clip, "
            "with 95 % bootstrap intervals over clips: axes in log odds by both reporting judges, "
            "attributes in deviations of real music. Random directions and halves are one draw "
            "each; halves of the songs differ along what varies most in music, and so may move an "
            "axis without the direction pushed (cosine). By controls an axis is asked for at -0.6 "
            "and 0.6, an attribute at the sixth from either end: two doses may go further "
            "than that, so compare what each moves beside what it costs. "
            "Feedback also takes up earlier bars.",
            _trials([trial for trial in found["trials"] if trial["what"] in AXES]),
            f"{about['count']} clips of {about['n_bars']} bars each, seed {about['seed']}; first "
            "draws, no controls but where named, against free clips of the same numbers. Log odds "
            "by both reporting judges, with 95 % bootstrap intervals over clips; shares with "
            "Wilson's. The grammar's mask holds under every push.",
            _attribute_trials([t for t in found["trials"] if t["what"] not in AXES]),
            "Mean rise in deviations of real music.",
        ]
    )


def _depth_table(curves: Sequence[Result]) -> str:
    n = len(curves[0]["trained"])
    heads = ("target", "measure", "clips", "chance", *(f"depth {i}" for i in range(n)))
    rows = []
    for curve in curves:
        named = (curve["target"], MEASURES[curve["measure"]], str(curve["n_clips"]))
        told = [f"{value:.2f}" for value, _, _ in curve["trained"]]
        rows.append((*named, f"{curve['chance']:.2f}", *told))
    beside = [
        (
            curve["target"], MEASURES[curve["measure"]], told_interval(curve["trained"][0]),
            *_at_best(curve),
        )
        for curve in curves
    ]  # fmt: skip
    return f"{table(heads, rows)}\n\n{table(_BESIDE, beside)}"


_BESIDE = (
    "target", "measure", "bag of tokens", "best depth", "there", "untrained at its best",
    "shuffled labels",
)  # fmt: skip


def _best_table(curves: Sequence[Result]) -> str:
    ordered = sorted(curves, key=lambda c: -max(value for value, _, _ in c["trained"]))
    rows = [
        (f"`{c['target']}`", MEASURES[c["measure"]], told_interval(c["trained"][0]), *_at_best(c))
        for c in ordered
    ]
    return table(_BESIDE, rows)


def _at_best(curve: Result) -> tuple[str, str, str, str]:
    best = _argmax(curve["trained"])
    return (
        str(best),
        told_interval(curve["trained"][best]),
        told_interval(curve["untrained"][_argmax(curve["untrained"])]),
        told_interval(curve["shuffled"][_argmax(curve["shuffled"])]),
    )


def _argmax(triples: Sequence[Sequence[float]]) -> int:
    return max(range(len(triples)), key=lambda i: triples[i][0])


def _candidates(candidates: Sequence[Result]) -> str:
    heads = (
        "what", "depth", "differences of means", "share of the states' length",
        "loss at two doses", "verifier (or attribute): end to end", "chosen",
    )  # fmt: skip
    rows = [
        (
            f"`{c['what']}`" if c["what"] not in AXES else c["what"], str(c["depth"]),
            f"{c['unit']:g}", f"{c['length']:.2f}", f"{c['loss']:.2f}", f"{c['moved']:+.2f}",
            "yes" if c["chosen"] else "",
        )
        for c in candidates
    ]  # fmt: skip
    return table(heads, rows)


def _spans(spans: Sequence[Result]) -> str:
    heads = ("what", "by", "cosine", "end to end", "the push's less this")
    rows = [
        (
            s["what"] if s["what"] in AXES else f"`{s['what']}`", WAYS[s["by"]],
            "–" if s["cosine"] is None else f"{s['cosine']:.2f}", _signed(s["rise"]),
            "–" if s["beyond"] is None else _signed(s["beyond"]),
        )
        for s in spans
    ]  # fmt: skip
    return table(heads, rows)


def _trials(trials: Sequence[Result]) -> str:
    heads = ("axis", "by", "dose", "log odds rise by", "heard on that side",
             "the other axis rises by", "notes a beat, ratio", "whole", "loss, ratio")  # fmt: skip
    rows = []
    for trial in trials:
        other = AXES[1 - AXES.index(trial["what"])]
        rows.append(
            (
                trial["what"], WAYS[trial["by"]], f"{trial['dose']:+g}", _signed(trial["shift"]),
                told_interval(trial["share"]), f"{trial['beside'][other][0]:+.2f}",
                f"{trial['density']:.2f}", f"{trial['whole']:.2f}", _loss(trial),
            )
        )  # fmt: skip
    return table(heads, rows)


def _attribute_trials(trials: Sequence[Result]) -> str:
    heads = ("attribute", "by", "dose", "rises by", "valence", "arousal", "whole", "loss, ratio")
    rows = [
        (
            f"`{t['what']}`", WAYS[t["by"]], f"{t['dose']:+g}", _signed(t["shift"]),
            f"{t['beside']['valence'][0]:+.2f}", f"{t['beside']['arousal'][0]:+.2f}",
            f"{t['whole']:.2f}", _loss(t),
        )
        for t in trials
    ]  # fmt: skip
    return table(heads, rows)


def _loss(trial: Result) -> str:
    return "–" if trial["loss"] is None else f"{trial['loss'][0]:.3f}"


def _signed(triple: Sequence[float]) -> str:
    value, low, high = triple
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
