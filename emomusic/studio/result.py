"""What was asked of a piece against what is heard, why and where: as HTML and SVG text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emomusic.emotion import Emotion, nearest_names
from emomusic.music.attributes import ATTRIBUTES, Attribute, measure, passage_of
from emomusic.studio.drawings import Asked, course, escaped, legend, percent, plane, tag
from emomusic.studio.session import StudioPiece
from emomusic.verify.explain import AGAINST, FOR, Explanation, Trajectory, explain_score, name_bars
from emomusic.verify.verifier import Verdict, Verifier

LOW_TRUST = 0.5
"""Below it the verifier hears more by the ears without touch and dynamics than by the others."""
MAX_NAMES = 5
"""A curve of more points than these is named by its ends."""
CAUSED: Mapping[str, str] = {
    "mode": "mode",
    "tempo": "tempo",
    "loudness": "velocity_mean",
    "register": "register",
    "density": "note_density",
}
"""The attribute that stands for each cause of an explanation."""
N_SHOWN = 8
CLOSE, FAR = 0.1, 0.25
"""Shares of an attribute's range up to which it counts as met, and from which as missed."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Hold what is shown of a piece: what is heard, why and where, and what was asked.

    Of the attributes those are `fixed` that were asked for by themselves; `best_of` is None of a
    piece that was brought in a file.
    """

    verdict: Verdict
    explanation: Explanation
    course: Trajectory
    achieved: Mapping[str, float]
    asked: Asked | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    fixed: Collection[str] = ()
    best_of: int | None = None
    file: str = ""


def explained(piece: StudioPiece, verifier: Verifier) -> Result:
    """Return what is heard in a piece and why, and what was asked."""
    verdict, clip = piece.verdict, piece.clip
    assert verdict is not None  # what is presented has been heard
    explanation, course = explain_score(piece.score, verifier, notes=piece.notes, verdict=verdict)
    heard: dict[str, Any] = {"verdict": verdict, "explanation": explanation, "course": course}
    if clip is None:
        achieved = measure(passage_of(piece.notes, tempo=piece.tempo))
        return Result(**heard, achieved=achieved, file=piece.name)
    request = clip.request
    asked = Asked(request.emotion, request.curve, clip.n_given) if request.emotion else None
    alone = {"tempo": request.tempo is not None, "mode": request.is_major is not None}
    return Result(
        **heard,
        achieved=clip.achieved,
        asked=asked,
        targets=clip.targets,
        fixed=(*request.fixed, *(name for name, is_asked in alone.items() if is_asked)),
        best_of=request.best_of,
    )


def result_page(result: Result) -> str:
    """Return the result as HTML; its classes begin with `emo-`, its looks are `result.css`."""
    asked, heard, windows = result.asked, result.verdict, result.course.windows
    title = "in the music" if result.best_of is None else "asked of the music"
    parts = [
        _head(result),
        _trust(heard),
        _figure("heard" if asked is None else "asked and heard", plane(asked, heard, windows)),
        _figure("over the piece", course(asked, windows), "emo-course"),
        _figure(title, _attributes(result), "emo-attributes"),
        _draw(result),
    ]
    inside = tag("div", "".join(parts), class_="emo-parts")
    kind = f"emo-result emo-{heard.quadrant.lower()}"
    return tag("section", inside, class_=kind, aria_label="What is heard")


def _figure(title: str, inside: str, kind: str = "emo-plane") -> str:
    """Put what is there under its title."""
    caption = tag("figcaption", title, class_="emo-title")
    return tag("figure", caption + inside, class_=f"emo-figure {kind}") if inside else ""


# In words


def _head(result: Result) -> str:
    heard, word = result.verdict, result.explanation.emotion
    sure = f"Heard as {heard.quadrant}, {percent(heard.probabilities[heard.quadrant])} sure"
    named = tag("strong", escaped(word), class_="emo-word")
    parts = [tag("h3", f"{sure}: {named}", class_="emo-headline")]
    if result.best_of is not None:
        parts.append(tag("p", escaped(_asked(result)), class_="emo-asked-for"))
    elif result.file:
        parts.append(tag("p", escaped(result.file), class_="emo-asked-for emo-file"))
    # The explanation without what the headline says already.
    reasons = result.explanation.sentence.partition(" sure): ")[2]
    told = [reasons[:1].upper() + reasons[1:], result.course.sentence]
    parts += [tag("p", escaped(words), class_="emo-why") for words in told if words]
    return tag("header", "".join(parts), class_="emo-head")


def _asked(result: Result) -> str:
    asked = result.asked
    if asked is None:
        return "No emotion was asked for."
    if asked.curve is not None:
        names = [_name(point.emotion) for point in asked.curve.points]
        shown = names if len(names) <= MAX_NAMES else [names[0], "…", names[-1]]
        return f"Asked to move: {' → '.join(shown)}."
    name, quadrant = asked.emotion.name, asked.emotion.quadrant
    place = quadrant if name in (None, quadrant) else f"{name}, in {quadrant}"
    same = quadrant == result.verdict.quadrant
    return f"Asked for {place}." if same else f"Asked for {place}: heard in another quadrant."


def _name(emotion: Emotion) -> str:
    return emotion.name or f"near {nearest_names(emotion, 1)[0]}"


def _trust(heard: Verdict) -> str:
    if heard.trust >= LOW_TRUST:
        return ""
    words = (
        f"Low trust ({heard.trust:.2f}): touch and dynamics are unlike the music that the verifier "
        "learned from, so it goes by the notes alone or nearly so."
    )
    return tag("p", words, class_="emo-note emo-trust")


def _draw(result: Result) -> str:
    """Tell from how many draws a clip was picked, and which bars were given."""
    if result.best_of is None:
        return ""
    words = "First draw: nothing was picked."
    if result.best_of > 1:
        words = (
            f"Best of {result.best_of} draws, picked by the verifier that is quoted here: on "
            "picked clips it is surer than it should be."
        )
    if n_given := round(result.asked.start) if result.asked else 0:
        words += f" Given, not composed: {name_bars(1, n_given)}."
    return tag("p", words, class_="emo-note emo-draw")


# Each attribute, asked against achieved


def _attributes(result: Result) -> str:
    """Write asked against achieved in one table, or in two, the second folded.

    Eight stand open: those that were fixed, those that the explanation names, those that stand
    for its other causes, then in the order of the registry; more only if more were fixed or
    named. An empty text if nothing was measured.
    """
    rows = [own for own in ATTRIBUTES if own.name in result.achieved]
    if not rows:
        return ""
    effects = result.explanation.effects
    named = {CAUSED.get(e.cause) for e in effects if e.role in (FOR, AGAINST)} | {*result.fixed}
    there = [own.name for own in rows]
    must = [name for name in there if name in named]
    rest = [name for name in (*CAUSED.values(), *there) if name in there and name not in must]
    is_open = {*must, *list(dict.fromkeys(rest))[: max(0, N_SHOWN - len(must))]}
    folded = [own for own in rows if own.name not in is_open]
    shown = [own for own in rows if own.name in is_open]
    parts = [_table(result, shown, "the attributes that matter most")]
    if folded:
        summary = tag("summary", f"{len(folded)} more attributes")
        table = _table(result, folded, "the other attributes")
        parts.append(tag("details", summary + table, class_="emo-more"))
    if result.targets:
        off, far = f"{percent(CLOSE)} of its range off", f"{percent(FAR)} or more"
        dots = {"emo-close": "achieved", "emo-off": off, "emo-far": far}
        keys = [(f"emo-key-dot {kind}", words) for kind, words in dots.items()]
        parts.append(legend([("emo-key-tick", "asked"), *keys]))
    return "".join(parts)


def _table(result: Result, rows: Sequence[Attribute], words: str) -> str:
    kind = "Asked and achieved: " if result.targets else "Measured: "
    caption = tag("caption", kind + words, class_="emo-sr")
    values = ("asked", "achieved") if result.targets else ("measured",)
    titles = [tag("th", tag("span", "attribute", class_="emo-sr"), scope="col")]
    titles.append(tag("td", class_="emo-bar-cell", aria_hidden="true"))
    titles.extend(tag("th", title, scope="col", class_="emo-num") for title in values)
    head = tag("thead", tag("tr", "".join(titles)))
    body = tag("tbody", "".join(_row(result, own) for own in rows))
    return tag("table", caption + head + body, class_="emo-targets")


def _row(result: Result, own: Attribute) -> str:
    achieved, asked = result.achieved[own.name], result.targets.get(own.name)
    apart = 0.0 if asked is None else (achieved - asked) / (own.high - own.low)
    closeness = "close" if abs(apart) <= CLOSE else "off" if abs(apart) < FAR else "far"
    name = escaped(own.name.replace("_", " "))
    name += tag("span", " fixed", class_="emo-fixed") if own.name in result.fixed else ""
    name += tag("span", f" {escaped(own.unit)}", class_="emo-unit")
    cells = [
        tag("th", name, scope="row", title=own.explanation),
        tag("td", _bar(own, achieved, asked), class_="emo-bar-cell", aria_hidden="true"),
    ]
    if asked is not None:
        cells.append(tag("td", rounded(asked, own), class_="emo-num"))
    elif result.targets:
        cells.append(tag("td", "free", class_="emo-num emo-dim"))
    value = rounded(achieved, own)
    if closeness != "close":  # told to those who see no colour
        side = "above" if apart > 0 else "below"
        value += tag("span", f", {percent(abs(apart))} of the range {side}", class_="emo-sr")
    cells.append(tag("td", value, class_="emo-num emo-value"))
    kind = f"emo-row emo-{'free' if asked is None else closeness}"
    return tag("tr", "".join(cells), class_=kind, data_attribute=own.name)


def rounded(value: float, own: Attribute) -> str:
    """Write an attribute's value with as many decimals as the width of its range calls for."""
    width = own.high - own.low
    decimals = 0 if width >= 50 else 1 if width >= 5 else 2
    return f"{value:z.{decimals}f}".replace("-", "−")


def _bar(own: Attribute, achieved: float, asked: float | None) -> str:
    """Draw the range as a line, what was asked as a tick, what came out as a dot."""

    def x(value: float) -> str:
        share = (value - own.low) / (own.high - own.low)
        return f"{100 * min(1.0, max(0.0, share)):.1f}%"

    here = x(achieved)
    parts = [tag("line", class_="emo-range", x1="0%", x2="100%", y1=8, y2=8)]
    if asked is not None:
        parts.append(tag("line", class_="emo-miss", x1=x(asked), x2=here, y1=8, y2=8))
    if own.low <= achieved <= own.high:
        parts.append(tag("circle", class_="emo-dot", cx=here, cy=8, r=4))
    else:  # an arrowhead at the end beyond which it lies
        side = 1 if achieved > own.high else -1
        outline = f"M{-3 * side} -4.5L{5 * side} 0L{-3 * side} 4.5Z"
        head = tag("path", class_="emo-dot emo-beyond", d=outline)
        parts.append(tag("svg", head, x="100%" if side > 0 else "0%", y=8))
    if asked is not None:
        parts.append(tag("line", class_="emo-tick", x1=x(asked), x2=x(asked), y1=2, y2=14))
    return tag("svg", "".join(parts), class_="emo-bar", focusable="false")
