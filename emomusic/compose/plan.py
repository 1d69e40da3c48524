"""From a request to the plan of a clip: the emotion's targets, the length, form and chords."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from emomusic.compose.primer import PrimerContext
from emomusic.compose.request import MAX_TEMPO, MIN_TEMPO, Request
from emomusic.compose.token_plan import BarPlan, Controls, TokenPlan, transposition
from emomusic.emotion import Emotion
from emomusic.emotion.curve import MAX_BARS
from emomusic.mapping import Mapper
from emomusic.model.grammar import REACH
from emomusic.music.attributes import measure
from emomusic.music.chords import Chords, home_of, parse_chords, shift_chords
from emomusic.music.form import FORM_BARS, HARMONY_BARS, FormTable, bars_back
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH

TEMPO_BEND = 1.12
FORM_STREAM = 2**31
"""Number of the generator that draws forms: beyond all takes."""
FREE_ENDING = 2
"""Last bars of a clip that take up nothing: an ending is an ending."""
MODE_STRENGTH = 0.25
SAID_BY_CHORDS = (
    "mode", "chord_mode", "key_clarity", "chromaticism", "dissonance", "bass_change",
    "pitch_class_entropy",
)  # fmt: skip
"""Where chords are given these follow from them, whatever the emotion."""
HELD_BY_FORM = frozenset({
    *SAID_BY_CHORDS, "register", "pitch_range", "leap_size", "melodic_direction", "regularity",
    "syncopation",
})  # fmt: skip
"""Where one of these is asked for by itself no bar takes up another: it would hold on to what that
one misses."""
BarTargets = dict[str, tuple[float, ...]]
"""Targets that move over the bars: for each attribute a value a bar."""


@dataclass(frozen=True)
class ClipPlan:
    """Hold one candidate before it is written.

    Attributes:
        request: What was asked for.
        index: The clip's number in the run.
        candidate: The candidate's number among those of the clip.
        tempi: Quarter notes a minute, of each bar.
        tonic: Pitch class.
        targets: Attribute values asked for, over the whole clip; what is not among them is free.
        bar_targets: What is asked for bar by bar.
        form: Which earlier bar each bar takes up and how, see `bar_form`; 0 where it is free.
        harmony: How many bars back each bar's chords come from; 0 where they are free. A bar of
            given music that is gone on from may be meant, here and in the next two.
        copies: How many bars back the bar lies that each bar nearly copies; 0 where none does.
        figures: The same of the bar whose figure the left hand takes up.
        follows: Which given bar each bar is led along, None where there is none.
        chords: Numbers of the two chords of each bar, as they are to be heard; none where the
            network writes its own.
        primer: What is known of given music.
        rng: What its ids are drawn with.
    """

    request: Request
    index: int
    candidate: int
    tempi: tuple[float, ...]
    tonic: int
    targets: dict[str, float]
    bar_targets: BarTargets
    form: tuple[int, ...]
    harmony: tuple[int, ...]
    copies: tuple[int, ...]
    figures: tuple[int, ...]
    follows: tuple[int | None, ...]
    chords: Chords
    primer: PrimerContext | None
    rng: np.random.Generator

    @property
    def n_bars(self) -> int:
        """Return how many bars are to be written."""
        return len(self.tempi)

    @property
    def tempo(self) -> float:
        """Return the mean tempo, by which the clip lasts as long."""
        return self.tempo_until(self.n_bars)

    def tempo_until(self, n_bars: int) -> float:
        """Return the mean tempo of the first bars."""
        tempi = self.tempi[:n_bars]
        if len(set(tempi)) == 1:
            return tempi[0]
        return round(len(tempi) / math.fsum(1 / tempo for tempo in tempi), 2)

    @property
    def moves(self) -> bool:
        """Tell whether the emotion moves over the bars."""
        return self.request.curve is not None and self.request.curve.moves

    @property
    def shows_primer(self) -> bool:
        """Tell whether the model is to see given bars before it writes.

        It takes after what it sees: where the given music is heard in another quadrant than the
        one asked for, it sees none of it, and is only led along its bars.
        """
        return _goes_on(self.request, self.primer)

    @property
    def is_major(self) -> bool:
        """Tell whether the mode aimed at is major; a free one counts as major."""
        return self.targets.get("mode", 0.0) >= 0

    def is_major_at(self, bar: int) -> bool:
        """Tell the same of one bar."""
        return self.bar_targets["mode"][bar] >= 0 if "mode" in self.bar_targets else self.is_major

    def to_tokens(self, clip: Controls, bar: Controls) -> TokenPlan:
        """Return the plan in ids: the model writes in C, so the targets are moved there.

        Args:
            clip: The control ids of clip-wide attributes.
            bar: Those of the bars' attributes.
        """
        shift = transposition(self.tonic)
        chords = shift_chords(np.array(self.chords, np.int64), -shift).tolist()
        bars = [
            BarPlan(
                bar.ids(
                    {name: self.bar_targets[name][at] for name in self.bar_targets}, shift=shift
                ),
                form=self.form[at],
                chords=tuple(chords[at]) if chords else None,
            )
            for at in range(self.n_bars)
        ]
        return TokenPlan(
            controls=clip.ids(self.targets, shift=shift),
            bars=tuple(bars),
            beats_per_bar=self.request.beats_per_bar,
            lowest=max(LOWEST_PITCH, LOWEST_PITCH - shift),
            highest=min(HIGHEST_PITCH, HIGHEST_PITCH - shift),
            before=self.primer.bars if self.primer is not None and self.shows_primer else (),
            n_kept=self.request.n_kept,
            reach=REACH if self.request.two_hands else 0,
        )


def plan_clip(
    request: Request,
    mapper: Mapper,
    *,
    seed: int,
    index: int,
    candidate: int = 0,
    primer: PrimerContext | None = None,
    forms: FormTable | None = None,
) -> ClipPlan:
    """Draw targets and key of one candidate; the same numbers give the same plan.

    Args:
        request: What is asked for.
        mapper: Emotions to targets.
        seed: Of the run.
        index: The clip's number.
        candidate: The candidate's number among those of the clip.
        primer: What is known of the given music; None if none is given.
        forms: How real pieces go; None leaves all bars free.
    """

    def generator(*more: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([seed, index, candidate, *more]))

    if primer is not None:
        request = _after(request, primer)
    rng, n_bars = generator(), request.n_bars or request.default_bars
    if request.seconds is not None and request.curve is not None:
        n_bars = request.curve.n_bars
    bars = _wanted(request, mapper, rng, primer, n_bars=n_bars)
    tempo = _mean(bars).get("tempo", mapper.middle["tempo"])
    n_bars, tempo = _length(request, tempo)
    if len(bars) not in (1, n_bars):  # by the seconds it has other bars than were guessed
        rng = generator()
        bars = _wanted(request, mapper, rng, primer, n_bars=n_bars)
    drawn_tonic = int(rng.integers(12))
    targets = _mean(bars)
    asked = () if request.chords is None else parse_chords(request.chords)
    chords = tuple(asked[at % len(asked)] for at in range(n_bars)) if asked else ()
    tonic = drawn_tonic if request.tonic is None else request.tonic
    if request.tonic is None and chords:
        tonic = home_of(chords, is_major=targets["mode"] >= 0 if "mode" in targets else None)
    said = set(SAID_BY_CHORDS) - set(request.fixed) if chords else set()
    targets, *bars = ({n: v for n, v in own.items() if n not in said} for own in (targets, *bars))
    if "tempo" in targets or request.emotion is not None:
        targets["tempo"] = tempo
    tempi, course = _course(bars, n_bars, tempo)
    form, (harmony, copies, figures), follows = _form(
        request, n_bars, primer, forms, generator(FORM_STREAM)
    )
    if chords or "mode" in course:
        harmony = copies = (0,) * n_bars
    return ClipPlan(
        request=request,
        index=index,
        candidate=candidate,
        tempi=tempi,
        tonic=tonic,
        targets=targets,
        bar_targets=course | {name: tuple(own) for name, own in request.per_bar.items()},
        form=_of_one_harmony(form, course.get("mode"), chords),
        harmony=harmony,
        copies=copies,
        figures=figures,
        follows=follows,
        chords=chords,
        primer=primer,
        rng=generator(request.take) if request.take else rng,
    )


def _after(request: Request, primer: PrimerContext) -> Request:
    """Return the request with the theme's metre, and its key, tempo, bars where none are asked."""
    n_bars, n_kept, tempo = request.n_bars, request.n_kept, request.tempo
    has_tempo = tempo is not None or "tempo" in request.fixed
    if not has_tempo and (request.continues or request.emotion is None):
        tempo = primer.tempo
    if n_bars is None and request.seconds is None and not request.continues:
        n_bars = min(len(primer.bars), MAX_BARS)
        n_kept = None if n_kept is None else min(n_kept, n_bars)
    tonic = primer.tonic if request.tonic is None else request.tonic
    request = replace(request, n_bars=n_bars, n_kept=n_kept)
    return replace(request, beats_per_bar=primer.beats_per_bar, tonic=tonic, tempo=tempo)


def _wanted(
    request: Request,
    mapper: Mapper,
    rng: np.random.Generator,
    primer: PrimerContext | None,
    *,
    n_bars: int,
) -> list[dict[str, float]]:
    """Return the targets of each bar, or only one for all, with what is asked for by itself."""
    bars: list[dict[str, float]] = [{}]
    if request.emotion is not None:
        emotions: Sequence[Emotion] = [request.emotion]
        if request.curve is not None:
            emotions = request.curve.over(n_bars)
        bars = mapper.course(emotions, rng, diversity=request.diversity)
    elif primer is not None:
        bars = [measure(primer.like)]
    for targets in bars:
        targets |= request.fixed
        if request.is_major is not None:
            _set_mode(targets, is_major=request.is_major)
        if request.tempo is not None:
            targets["tempo"] = request.tempo
    return bars


def _mean(bars: Sequence[Mapping[str, float]]) -> dict[str, float]:
    if len(bars) == 1:
        return dict(bars[0])
    return {name: math.fsum(bar[name] for bar in bars) / len(bars) for name in bars[0]}


def _course(
    bars: Sequence[Mapping[str, float]], n_bars: int, tempo: float
) -> tuple[tuple[float, ...], BarTargets]:
    """Return the tempo of each bar, by which they last as at `tempo`, and what else moves."""
    moving = {name: tuple(bar[name] for bar in bars) for name in bars[0]}
    moving = {name: values for name, values in moving.items() if len(set(values)) > 1}
    if "tempo" not in moving:
        return (tempo,) * n_bars, moving
    own = np.clip(moving.pop("tempo"), MIN_TEMPO, MAX_TEMPO)
    own = np.clip(own * (tempo * (1 / own).mean()), MIN_TEMPO, MAX_TEMPO).round(2)
    return tuple(own.tolist()), moving


def _form(
    request: Request,
    n_bars: int,
    primer: PrimerContext | None,
    forms: FormTable | None,
    rng: np.random.Generator,
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[int | None, ...]]:
    """Return each bar's form, how far back its chords, copy and figure lie, and the given bar
    that it is led along."""
    n_before = 0 if primer is None else len(primer.bars)
    free, alone = (0,) * n_bars, (None,) * n_bars
    if n_before and not request.continues:  # a variation: each bar takes up that at its place
        return free, (free,) * 3, tuple(at if at < n_before else None for at in range(n_bars))
    is_said = request.per_bar or not HELD_BY_FORM.isdisjoint(request.fixed)
    if is_said or forms is None:  # what bars are to be is said, or nothing is known
        return free, (free,) * 3, alone
    form, *others = (codes[n_before:] for codes in forms.draw(n_before + n_bars, rng))
    form[-FREE_ENDING:] = [0] * len(form[-FREE_ENDING:])
    goes_on = _goes_on(request, primer)
    n_seen = n_before if goes_on else 0
    back = tuple(
        tuple(
            far[code - 1]
            if code and far[code - 1] <= n_seen + at < n_seen + n_bars - FREE_ENDING
            else 0
            for at, code in enumerate(codes)
        )
        for far, codes in zip((HARMONY_BARS, FORM_BARS, FORM_BARS), others, strict=True)
    )
    if goes_on:
        return tuple(form), back, alone
    place = [at - bars_back(code) if code else at for at, code in enumerate(form)]
    seen = (code if earlier >= 0 else 0 for code, earlier in zip(form, place, strict=True))
    return tuple(seen), back, tuple(n_before + at if at < 0 else None for at in place)


def _goes_on(request: Request, primer: PrimerContext | None) -> bool:
    """Tell whether the model is to see given bars before it writes, see `ClipPlan.shows_primer`."""
    if primer is None or not request.continues:
        return False
    emotion = request.emotion if request.curve is None else request.curve.at(0)
    return emotion is None or emotion.quadrant == primer.quadrant


def _of_one_harmony(
    form: tuple[int, ...], mode: Sequence[float] | None, chords: Chords
) -> tuple[int, ...]:
    """Return the form in which bars of another mode or of other chords take up the rhythm only."""

    def differs(bar: int, other: int) -> bool:
        turned = mode is not None and (mode[bar] >= 0) != (mode[other] >= 0)
        return turned or (bool(chords) and chords[bar] != chords[other])

    return tuple(
        code + len(FORM_BARS)
        if 0 < code <= len(FORM_BARS) and differs(at, max(at - bars_back(code), 0))
        else code
        for at, code in enumerate(form)
    )


def _set_mode(targets: dict[str, float], *, is_major: bool) -> None:
    sign = 1.0 if is_major else -1.0
    targets["mode"] = sign * max(abs(targets.get("mode", 0.0)), MODE_STRENGTH)
    if targets.get("chord_mode", 0.0) * sign < 0:
        targets["chord_mode"] = 0.0


def _length(request: Request, tempo: float) -> tuple[int, float]:
    tempo = min(max(tempo, MIN_TEMPO), MAX_TEMPO)
    if request.seconds is None:
        return request.n_bars or request.default_bars, round(tempo, 1)
    bar_s = 60.0 * request.beats_per_bar / tempo
    n_bars = min(max(round(request.seconds / bar_s), 1), MAX_BARS)
    if request.tempo is None and "tempo" not in request.fixed:
        met = 60.0 * request.beats_per_bar * n_bars / request.seconds
        tempo = min(max(met, tempo / TEMPO_BEND, MIN_TEMPO), tempo * TEMPO_BEND, MAX_TEMPO)
    return n_bars, round(tempo, 2)
