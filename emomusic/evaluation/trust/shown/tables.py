"""The check of the verifier as Markdown, from its plain values alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.explaining.tables import explaining_markdown
from emomusic.evaluation.report.rendering import table
from emomusic.evaluation.trust.shown.demands import demands_table
from emomusic.evaluation.trust.shown.plots import PICTURES

Result = Mapping[str, Any]
KINDS = ("quadrant", "arousal", "valence")
AXES = ("valence", "arousal")
TITLES = {
    "crossed": "Songs left out",
    "transfer": "Another corpus",
    "ablation": "What each sense is worth",
    "learning": "Few labels",
    "robustness": "Changed clips",
    "course": "The emotion curve of a piece",
    "listeners": "How far people agree",
    "explanations": "Causes undone",
}
PICTURES_OF = {part: name for name, (part, _) in PICTURES.items()}
HOW = (
    "Arousal and valence are the signs of the quadrant said, so that all three come from one "
    "answer. Shares with the 95 % bootstrap interval over songs (clips of a song are not "
    "independent); ± is the standard deviation over seeds. ECE: expected calibration error in "
    "ten bins; `by chance` is what perfect probabilities would show on as many clips. r: "
    "correlation with listeners' means."
)


def check_markdown(check: Result, pictures: Mapping[str, str]) -> str:
    """Return the whole report.

    Args:
        check: As `Check.to_dict` gives it.
        pictures: File name of each picture that was drawn.
    """
    parts = check["parts"]
    text = ["# The verifier, measured", "\n".join(f"- {k}: {v}" for k, v in check["about"].items())]
    if parts:
        text += ["## Asked and measured", demands_table(parts), HOW]
    for name, title in TITLES.items():
        if name in parts:
            text += [f"## {title}", _MARKDOWN[name](parts[name])]
            if PICTURES_OF.get(name) in pictures:
                text.append(f"![{title}]({pictures[PICTURES_OF[name]]})")
    if check["trained"] is not None:
        text += ["## The trained verifier on other clips", trained_markdown(check["trained"])]
    text += ["## What others report", _published(check["published"])]
    if check["left_out"]:
        left = [f"- {name}: {why}" for name, why in sorted(check["left_out"].items())]
        text += ["## Left out", "\n".join(left)]
    return "\n\n".join(text) + "\n"


def _share(share: Result, *, n_runs: int = 1) -> str:
    low, high = share["songs"]
    spread = f" ± {share['sd']:.3f}" if n_runs > 1 else ""
    return f"{share['mean']:.3f}{spread} ({low:.3f}–{high:.3f})"


def _r(row: Result, axis: str) -> str:
    own = row["values"].get(axis)
    return "" if own is None else f"{own['r']:.2f} ({own['r_low']:.2f}–{own['r_high']:.2f})"


def _rows(rows: Iterable[Result]) -> str:
    heads = ("predictor", "learned from", "heard", "n", "4Q", "arousal", "valence", "macro F1",
             "ECE", "r valence", "r arousal")  # fmt: skip
    lines = []
    for row in rows:
        meant = row["calibration"]
        error = (
            ""
            if meant is None
            else f"{meant['error']:.3f} (by chance {meant['error_by_chance']:.3f})"
        )
        lines.append(
            (row["what"], row["learned"], row["source"], str(row["n"]),
             *(_share(row["shares"][kind], n_runs=row["n_runs"]) for kind in KINDS),
             f"{row['macro_f1']:.3f}", error, *(_r(row, axis) for axis in AXES))
        )  # fmt: skip
    return table(heads, lines)


def _crossed(found: Result) -> str:
    text = [_rows(found["rows"])]
    for row in found["rows"]:
        if row["what"] == "verifier" and row["learned"].startswith("all sources, by song"):
            text += [f"Verifier on {row['source']}:", confusion_table(row), calibration_text(row)]
            text += [reliability_table(row)]
    for what, chosen in found["chosen"].items():
        counts = ", ".join(f"ridge {r:g} width {w:g}: {n}" for r, w, n in chosen["counts"])
        text.append(f"Chosen within the folds, {what}: {counts}.")
    return "\n\n".join(text)


def confusion_table(row: Result) -> str:
    """Return labels against what was heard, mean over seeds."""
    heads = ("label", *(f"heard {quadrant}" for quadrant in QUADRANTS))
    lines = zip(QUADRANTS, row["confusion"], strict=True)
    return table(
        heads, [(quadrant, *(f"{round(x, 1):g}" for x in counts)) for quadrant, counts in lines]
    )


def reliability_table(row: Result) -> str:
    """Return the reliability diagram as a table."""
    heads = ("confidence", "n", "mean confidence", "right, with its Wilson interval")
    return table(
        heads,
        [
            (f"{b['low']:.1f}–{b['high']:.1f}", str(b["n"]), f"{b['confidence']:.3f}",
             f"{b['right']:.3f} ({b['right_low']:.3f}–{b['right_high']:.3f})")
            for b in row["calibration"]["bins"]
        ],
    )  # fmt: skip


def calibration_text(row: Result) -> str:
    """Tell log loss, Brier score, the Wilson interval and how wide the stated spreads are."""
    own = row["calibration"]
    low, high = row["shares"]["quadrant"]["wilson"]
    text = (
        f"4Q as if clips were independent: {low:.3f}–{high:.3f} (Wilson). Log loss "
        f"{own['log_loss']:.3f} (1.386 for equal shares), Brier {own['brier']:.3f} (0.75)."
    )
    for axis, values in row["values"].items():
        if values["spread"] is not None:
            text += (
                f" {axis.capitalize()}: error {values['error']:.3f}, stated "
                f"{values['spread']:.3f}; within 1 sd {values['within_1_sd']:.2f} (0.68), within "
                f"1.64 sd {values['within_1.64_sd']:.2f} (0.90)."
            )
    return text


def _transfer(found: Result) -> str:
    return _rows(found["rows"])


def _ablation(found: Result) -> str:
    text = "Fitted as shipped, not calibrated; trust is always measured with touch and dynamics."
    return f"{_rows(found['rows'])}\n\n{text}"


def _learning(found: Result) -> str:
    heads = ("songs labelled", "songs", "clips", "heard", "4Q", "arousal", "valence", "r valence",
             "r arousal")  # fmt: skip
    lines = [
        (row["what"], f"{row['n_songs_learned']:.0f}", f"{row['n_clips_learned']:.0f}",
         row["source"], *(_share(row["shares"][kind], n_runs=row["n_runs"]) for kind in KINDS),
         *(_r(row, axis) for axis in AXES))
        for row in found["rows"]
    ]  # fmt: skip
    text = (
        "Labels of a share of the songs, several draws, each quadrant at least once; the senses "
        "are projected by all songs, labelled or not. Music FaderNets (Tan and Herremans 2020) "
        "state that 1 % of labels suffice for arousal."
    )
    return f"{table(heads, lines)}\n\n{text}"


def _robustness(found: Result) -> str:
    heads = ("change", "heard", "n", "verdicts changed", "4Q", "arousal", "valence",
             "valence moved", "arousal moved", "trust")  # fmt: skip
    lines = []
    for row in found["rows"]:
        share, low, high = row["changed"]
        lines.append(
            (row["change"], row["source"], str(row["n"]), f"{share:.3f} ({low:.3f}–{high:.3f})",
             *(f"{row['right'][kind]:.3f}" for kind in KINDS),
             *(f"{row['moved'][axis]:.3f}" for axis in AXES), f"{row['trust']:.2f}")
        )  # fmt: skip
    text = (
        "Fitted as shipped on the other folds. `moved` is the mean distance on the scale of "
        "listeners. A misread tempo is faster or slower music and ought to be heard so; `beats "
        "unknown` keeps the seconds and states a tempo of 120."
    )
    return f"{table(heads, lines)}\n\n{text}"


def _course(found: Result) -> str:
    if not found["axes"]:
        return "No piece has enough windows."
    heads = ("axis", "r within a piece", "pieces with r > 0", "with the curve of another piece",
             "r over all windows", "sd of listeners within", "sd heard within")  # fmt: skip
    lines = []
    for axis, own in found["axes"].items():
        (r, low, high), other = own["within"]["r"], own["other_piece"]["r"]
        lines.append(
            (axis, f"{r:.2f} ({low:.2f}–{high:.2f})", f"{own['within']['above_0']:.2f}",
             f"{other[0]:.2f} ({other[1]:.2f}–{other[2]:.2f})", f"{own['over_all_windows']:.2f}",
             f"{own['listeners_sd_within']:.3f}", f"{own['heard_sd_within']:.3f}")
        )  # fmt: skip
    text = (
        f"{found['n_pieces']} pieces, {found['n_windows']} windows of four bars, by a verifier "
        "that did not learn the piece; mean over pieces, bootstrap interval over pieces."
    )
    return f"{table(heads, lines)}\n\n{text}"


def _listeners(found: Result) -> str:
    text = []
    if rated := found["rated"]:
        names = ("another_panel", "perfect_predictor", "one_listener")
        told = [name.replace("_", " ") for name in names]
        heads = ("axis", *(f"{what}, {name}" for what in ("r", "sign") for name in told))
        lines = [
            (axis, *(f"{own[name]:.2f}" for name in names),
             *(f"{rated['signs'][name][axis]:.3f}" for name in names))
            for axis, own in rated["axes"].items()
        ]  # fmt: skip
        shares = [f"{rated['signs'][name]['quadrant']:.3f}" for name in names]
        four = ", ".join(map(" ".join, zip(told, shares, strict=True)))
        signs = ", ".join(f"{a} {s:.3f}" for a, s in rated["label_has_sign_of_mean"].items())
        text += [
            table(heads, lines),
            f"From the spread of about {found['n_listeners']} listeners in {rated['n']} pieces; "
            "assumed: they differ normally and independently, a listener's deviation lasts "
            "through a piece (if not, people agree more than told), and the axes are independent. "
            f"Quadrant of the listeners' mean: {four}. The table's quadrant has the sign of the "
            f"mean in: {signs}.",
        ]
    if songs := found["songs"]:
        text.append(
            f"EMOPIA: of {songs['n_songs_of_several']} songs with several clips "
            f"{songs['songs_of_one_label']:.3f} have one label; a clip has the label of another of "
            f"its song in {songs['clips_as_another_of_the_song']:.3f}, and the commonest of its "
            f"song in {songs['clips_as_the_usual_of_the_song']:.3f} of the clips. How far "
            "annotators agreed on single clips is not published."
        )
    return "\n\n".join(text)


def trained_markdown(found: Result) -> str:
    """Return how the trained verifier did, from `Trained.to_dict`."""
    rows = [
        {"what": "trained verifier", "learned": found["checkpoint"], "source": name, **own}
        for name, own in found["scores"].items()
    ]
    known = [row for row in rows if row["n"]]
    text = [f"`{found['checkpoint']}` on `{found['data']}`: {found['n']} clips heard."]
    text += [_rows(known)] if known else []
    for row in rows:
        if row["n"]:
            text += [f"{row['source']}:", confusion_table(row), calibration_text(row)]
        else:
            told = ", ".join(f"r {axis} {_r(row, axis)}" for axis in row["values"])
            text += [f"{row['source']}: no quadrants told; {told}"]
    skipped = "; ".join(f"{n} × {why}" for why, n in found["skipped"].items())
    text += [
        f"Skipped: {skipped or 'none'}.",
        f"Speed: {found['clips_per_second']:.0f} clips a second, "
        f"{found['clips_per_second_with_reading']:.0f} with reading the files. Loads in "
        f"{found['load_s']:.3f} s (the first time {found['first_load_s']:.3f} s), "
        f"{found['size_bytes'] / 2**20:.2f} MiB.",
        "Songs that it learned from are no test.",
    ]
    return "\n\n".join(text)


def _published(rows: Iterable[Result]) -> str:
    heads = ("who", "corpus", "4Q", "arousal", "valence", "split", "songs on both sides", "remark")
    leaky = {True: "yes", False: "no", None: "not told"}
    return table(
        heads,
        [
            (row["who"], row["corpus"], f"{row['quadrant']:.3f}",
             *("" if row[axis] is None else f"{row[axis]:.2f}" for axis in ("arousal", "valence")),
             row["split"], leaky[row["leaky"]], row["remark"])
            for row in rows
        ],
    )  # fmt: skip


_MARKDOWN: dict[str, Callable[[Result], str]] = {
    "crossed": _crossed,
    "transfer": _transfer,
    "ablation": _ablation,
    "learning": _learning,
    "robustness": _robustness,
    "course": _course,
    "listeners": _listeners,
    "explanations": explaining_markdown,
}
