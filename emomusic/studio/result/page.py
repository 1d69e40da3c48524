"""The whole result of a clip: what is heard, why, where, and what was asked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from emomusic.emotion import Emotion, nearest_names
from emomusic.studio.result.course import course
from emomusic.studio.result.plane import plane
from emomusic.studio.result.reading import (
    LOW_TRUST,
    Asked,
    Heard,
    asked_of,
    heard_of,
    run_of,
)
from emomusic.studio.result.targets import targets
from emomusic.studio.result.words import escaped, figure, number, percent, section, tag
from emomusic.verify.timeline import name_bars

MAX_NAMES = 5
"""A curve of more points than these is named by its ends."""


def result_page(
    card: Mapping[str, Any],
    *,
    asked_course: Sequence[Mapping[str, float]] | None = None,
    fixed: Collection[str] = (),
) -> str:
    """Show what a clip was to be and what it is heard as.

    Args:
        card: Of a clip, as its manifest has it; without `explanation` and `course` their parts
            are left out.
        asked_course: The emotion asked for over the bars: up to 64 points with `bar` (0 where
            the composed bars begin, rising), `valence` and `arousal`, joined by straight lines;
            if None, the `curve` of the card, if it has one.
        fixed: Names of the attributes that were asked for by themselves.

    Returns:
        HTML whose looks are those of `style()`.

    Raises:
        ValueError: If the card lacks a verdict, or a value is out of its range.
    """
    asked, heard, run = asked_of(card, asked_course), heard_of(card), run_of(card)
    head = _head(_headline(heard), _asked_line(asked, heard), card)
    title = "heard" if asked is None else "asked and heard"
    figures = [figure(title, plane(asked, heard, run), "emo-plane")]
    over = course(asked, run)
    figures.append(figure("over the piece", over, "emo-course") if over else "")
    table = targets(card, fixed=fixed)
    figures.append(figure("asked of the music", table, "emo-attributes") if table else "")
    note = tag("p", escaped(_draw(card, asked)), class_="emo-note emo-draw")
    return _whole([head, _trust(heard), *figures, note], heard)


def heard_page(record: Mapping[str, Any]) -> str:
    """Show what is heard in a piece of which nothing was asked.

    Args:
        record: With `verdict`, and maybe `file`, `attributes`, `explanation` and `course`, as
            `emomusic verify --json --explain` writes it.

    Returns:
        HTML whose looks are those of `style()`.

    Raises:
        ValueError: If the record lacks a verdict, or a value is out of its range.
    """
    heard, run = heard_of(record), run_of(record)
    head = _head(_headline(heard), _file_line(record), record)
    figures = [figure("heard", plane(None, heard, run), "emo-plane")]
    over = course(None, run)
    figures.append(figure("over the piece", over, "emo-course") if over else "")
    table = targets(record)
    figures.append(figure("in the music", table, "emo-attributes") if table else "")
    return _whole([head, _trust(heard), *figures], heard)


def _whole(parts: list[str], heard: Heard) -> str:
    inside = tag("div", "".join(parts), class_="emo-parts")
    kind = f"emo-result emo-{heard.quadrant.lower()}"
    return tag("section", inside, class_=kind, aria_label="What is heard")


def _head(headline: str, beneath: str, card: Mapping[str, Any]) -> str:
    told = [_reasons(section(card, "explanation")), run_of(card).sentence]
    words = "".join(tag("p", escaped(text), class_="emo-why") for text in told if text)
    return tag("header", headline + beneath + words, class_="emo-head")


def _headline(heard: Heard) -> str:
    sure = f"Heard as {heard.quadrant}, {percent(heard.probabilities[heard.quadrant])} sure"
    word = tag("strong", escaped(heard.word), class_="emo-word") if heard.word else ""
    return tag("h3", f"{sure}: {word}" if word else sure, class_="emo-headline")


def _asked_line(asked: Asked | None, heard: Heard) -> str:
    words = "No emotion was asked for."
    if asked is not None and asked.curve is not None:
        names = [_name(point.emotion) for point in asked.curve.points]
        shown = names if len(names) <= MAX_NAMES else [names[0], "…", names[-1]]
        words = f"Asked to move: {' → '.join(shown)}."
    elif asked is not None and asked.emotion is not None:
        name, quadrant = asked.emotion.name, asked.emotion.quadrant
        place = quadrant if name in (None, quadrant) else f"{name}, in {quadrant}"
        same = quadrant == heard.quadrant
        words = f"Asked for {place}." if same else f"Asked for {place}: heard in another quadrant."
    return tag("p", escaped(words), class_="emo-asked-for")


def _name(emotion: Emotion) -> str:
    return emotion.name or f"near {nearest_names(emotion, 1)[0]}"


def _file_line(record: Mapping[str, Any]) -> str:
    name = re.split(r"[/\\]", str(record.get("file") or ""))[-1]
    return tag("p", escaped(name), class_="emo-asked-for emo-file") if name else ""


def _reasons(explanation: Mapping[str, Any]) -> str:
    """Return the explanation's sentence without what the headline says already."""
    told = str(explanation.get("sentence") or "")
    start, colon, rest = told.partition(" sure): ")
    repeats = colon and start.startswith(str(explanation.get("emotion")).capitalize())
    return rest[:1].upper() + rest[1:] if repeats else told


def _trust(heard: Heard) -> str:
    if heard.trust >= LOW_TRUST:
        return ""
    words = (
        f"Low trust ({heard.trust:.2f}): touch and dynamics are unlike the music that the verifier "
        "learned from, so it goes by the notes alone or nearly so."
    )
    return tag("p", escaped(words), class_="emo-note emo-trust")


def _draw(card: Mapping[str, Any], asked: Asked | None) -> str:
    n_draws = int(number(card.get("best_of", 1), "best_of"))
    told = (
        "First draw: nothing was picked."
        if n_draws == 1
        else f"Best of {n_draws} draws, picked by the verifier that is quoted here: on picked "
        "clips it is surer than it should be."
    )
    n_given = 0 if asked is None else round(asked.start)
    return f"{told} Given, not composed: {name_bars(1, n_given)}." if n_given else told
