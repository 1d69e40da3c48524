"""The whole result of a piece: what is heard, why, where, and what was asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from emomusic.emotion import Emotion, nearest_names
from emomusic.studio.result.drawings import Asked, course, plane
from emomusic.studio.result.markup import escaped, percent, tag
from emomusic.studio.result.targets import targets
from emomusic.verify.explain import Explanation, Trajectory, name_bars
from emomusic.verify.verifier import Verdict

LOW_TRUST = 0.5
"""Below it the verifier hears more by the ears without touch and dynamics than by the others."""
MAX_NAMES = 5
"""A curve of more points than these is named by its ends."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Hold what is shown of a piece.

    Attributes:
        verdict: What is heard.
        explanation: Why.
        course: Where.
        achieved: The attributes as they were measured.
        asked: The emotion that it was to carry; None where none was asked for.
        targets: Attributes that were asked of the music.
        fixed: Names of those that were asked for by themselves.
        best_of: From how many draws it was picked; None where it was brought, not composed.
        file: Name of the file that was brought.
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


def result_page(result: Result) -> str:
    """Return the result as HTML; its classes begin with `emo-`, its looks are `result.css`."""
    asked, heard, windows = result.asked, result.verdict, result.course.windows
    table = targets(
        result.achieved, result.targets, fixed=result.fixed, explanation=result.explanation
    )
    title = "in the music" if result.best_of is None else "asked of the music"
    parts = [
        _head(result),
        _trust(heard),
        _figure("heard" if asked is None else "asked and heard", plane(asked, heard, windows)),
        _figure("over the piece", course(asked, windows), "emo-course"),
        _figure(title, table, "emo-attributes"),
        _draw(result),
    ]
    inside = tag("div", "".join(parts), class_="emo-parts")
    kind = f"emo-result emo-{heard.quadrant.lower()}"
    return tag("section", inside, class_=kind, aria_label="What is heard")


def _figure(title: str, inside: str, kind: str = "emo-plane") -> str:
    """Put what is there under its title."""
    caption = tag("figcaption", escaped(title), class_="emo-title")
    return tag("figure", caption + inside, class_=f"emo-figure {kind}") if inside else ""


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
    n_given = 0 if result.asked is None else round(result.asked.start)
    if n_given:
        words += f" Given, not composed: {name_bars(1, n_given)}."
    return tag("p", words, class_="emo-note emo-draw")
