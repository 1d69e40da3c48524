"""From a request to the plan of a clip: the emotion's targets, the length, form and chords."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emomusic.compose.primer import PrimerContext
from emomusic.compose.request import MAX_TEMPO, METRES, MIN_TEMPO, VARY, Request
from emomusic.compose.token_plan import BarPlan, Ids, Tables, TokenPlan, transposition
from emomusic.emotion.curve import MAX_BARS
from emomusic.mapping import Mapper
from emomusic.model.grammar import REACH, Segments
from emomusic.music.attributes import attribute, measure
from emomusic.music.bars import Metre
from emomusic.music.chords import Chords, home_of, parse_chords, shift_chords
from emomusic.music.form import FORM_BARS, HARMONY_BARS, FormTable, bars_back
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH

TEMPO_BEND = 1.12
FORM_STREAM = 2**31  # Number of the generator that draws forms: beyond all takes.
FREE_ENDING = 2  # Last bars of a clip that take up nothing: an ending is an ending.
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
Targets = dict[str, float]
"""Attribute values asked for; what is not among them is free."""


@dataclass(frozen=True)
class ClipPlan:
    """Hold one candidate before it is written."""

    request: Request  # what was asked for
    seed: int  # of the run
    index: int  # the clip's number in the run
    candidate: int  # the candidate's number among those of the clip
    metre: Metre  # of what is written
    tempi: tuple[float, ...]  # beats of the metre a minute, of each bar
    tonic: int  # pitch class
    targets: Targets  # what is asked for over the whole clip
    # what is asked for bar by bar: for each attribute a value a bar
    bar_targets: dict[str, tuple[float, ...]]
    # numbers of the two chords of each bar, as they are to be heard; none where the network
    # writes its own
    chords: Chords
    primer: PrimerContext | None  # what is known of given music
    rng: np.random.Generator  # what its ids are drawn with
    # which earlier bar each bar takes up and how, see `bar_form`; 0 where it is free
    form: tuple[int, ...]
    # how many bars back each bar's chords come from; 0 where they are free. A bar of given music
    # that is gone on from may be meant, here and in the next two.
    harmony: tuple[int, ...]
    # how many bars back the bar lies that each bar nearly copies; 0 where none does
    copies: tuple[int, ...]
    figures: tuple[int, ...]  # the same of the bar whose figure the left hand takes up
    # which given bar each bar is led along, None where there is none
    follows: tuple[int | None, ...]
    earlier: Segments  # bars written in gaps before this one
    earlier_chords: Chords  # theirs

    @property
    def n_bars(self) -> int:
        return len(self.tempi)

    @property
    def n_given(self) -> int:
        if self.primer is None or self.request.given is None or self.request.given.use == VARY:
            return 0
        return self.primer.n_bars - self.primer.gap.shape[1] - len(self.earlier)

    @property
    def tempo(self) -> float:
        """Return the mean tempo, by which the clip lasts as long."""
        return mean_tempo(self.tempi)

    @property
    def moves(self) -> bool:
        return self.request.curve is not None and self.request.curve.moves

    @property
    def shown(self) -> tuple[Ids, ...]:
        """Return the given bars that the model sees before it writes.

        It takes after what it sees: where the given music is heard in another quadrant than the
        one asked for, it sees none of it, and is only led along its bars.
        """
        sees = self.primer is not None and _goes_on(self.request, self.primer)
        return self.primer.bars if self.primer is not None and sees else ()

    @property
    def behind(self) -> tuple[Ids, ...]:
        """Return those that it sees of what follows."""
        sees = self.primer is not None and _goes_on(self.request, self.primer)
        return self.primer.behind if self.primer is not None and sees else ()

    @property
    def ends(self) -> bool:
        """Tell whether the last bar is that of the piece."""
        return _ends(self.primer)

    @property
    def is_major(self) -> bool:
        """Tell whether the mode aimed at is major; a free one counts as major."""
        return self.targets.get("mode", 0.0) >= 0

    def is_major_at(self, bar: int) -> bool:
        """Tell the same of one bar."""
        return self.bar_targets["mode"][bar] >= 0 if "mode" in self.bar_targets else self.is_major

    @property
    def changes_key(self) -> bool:
        """Tell whether another key is asked for than is heard in given music."""
        heard, is_major = self.primer, self.request.is_major
        return heard is not None and (
            self.tonic != heard.heard_tonic or is_major not in (None, heard.is_major)
        )

    @property
    def shift(self) -> int:
        """Return the semitones by which the music is moved after it was written in C."""
        return transposition(self.tonic)

    def in_c(self, targets: Mapping[str, float]) -> Targets:
        """Return attribute values as they are written."""
        return {n: v - self.shift * attribute(n).per_semitone for n, v in targets.items()}

    def targets_in(self, bar: int) -> Targets:
        """Return what is asked for bar by bar, of one bar."""
        return {name: values[bar] for name, values in self.bar_targets.items()}

    def chords_in_c(self) -> list[tuple[int, int]]:
        """Return the chords of each bar as they are written; none where none are given."""
        moved = shift_chords(np.array(self.chords, np.int64), -self.shift)
        return [(first, second) for first, second in moved.tolist()]

    def to_tokens(self, tables: Tables) -> TokenPlan:
        """Return the plan in the control ids of a checkpoint's tables, moved to C."""
        chords: Sequence[tuple[int, int] | None] = self.chords_in_c() or [None] * self.n_bars
        locked = self.primer.locked if self.request.fills and self.primer is not None else ()
        bars = (
            BarPlan(
                tables.bar.ids(self.in_c(self.targets_in(at))),
                form=form,
                chords=own,
                given=locked[at] if locked else (),
            )
            for at, (form, own) in enumerate(zip(self.form, chords, strict=True))
        )
        return TokenPlan(
            controls=tables.clip.ids(self.in_c(self.targets)),
            bars=tuple(bars),
            beats_per_bar=self.metre.beats,
            is_compound=self.metre.beat != 1,
            lowest=max(LOWEST_PITCH, LOWEST_PITCH - self.shift),
            highest=min(HIGHEST_PITCH, HIGHEST_PITCH - self.shift),
            before=self.shown,
            behind=self.behind,
            is_cut=not self.ends and (not self.behind or self.primer is None or self.primer.is_cut),
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
    earlier: Segments | None = None,
    earlier_chords: Chords = (),
) -> ClipPlan:
    """Draw targets and key of one candidate; the same numbers give the same plan.

    Without forms, which say how real pieces go, all bars are free.
    """

    def generator(*more: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([seed, index, candidate, *more]))

    metre = Metre.parse(request.time_signature or METRES[0])
    if primer is not None:
        metre, request = primer.metre, _after(request, primer)
    rng, n_bars = generator(), request.n_bars or request.default_bars
    if request.seconds is not None and request.curve is not None:
        n_bars = request.curve.n_bars
    bars = _wanted(request, mapper, rng, primer, n_bars=n_bars, metre=metre)
    n_bars, tempo = _length(request, _mean(bars).get("tempo", mapper.middle["tempo"]), metre)
    if len(bars) not in (1, n_bars):  # by the seconds it has other bars than were guessed
        rng = generator()
        bars = _wanted(request, mapper, rng, primer, n_bars=n_bars, metre=metre)
    tonic, targets = int(rng.integers(12)), _mean(bars)  # drawn whether or not it is asked for
    asked = () if request.chords is None else parse_chords(request.chords)
    at = len(earlier or [])  # a progression goes on from gap to gap
    chords = tuple(asked[bar % len(asked)] for bar in range(at, at + n_bars)) if asked else ()
    if request.fills and primer is not None and not asked:
        chords = primer.chords
    if request.tonic is not None:
        tonic = request.tonic
    elif chords:
        tonic = home_of(chords, is_major=targets["mode"] >= 0 if "mode" in targets else None)
    said = set(SAID_BY_CHORDS) - set(request.fixed) if chords else set()
    targets, *bars = ({n: v for n, v in own.items() if n not in said} for own in (targets, *bars))
    if "tempo" in targets or request.emotion is not None:
        targets["tempo"] = tempo
    tempi, course = _course(bars, n_bars, tempo)
    form = _form(request, n_bars, primer, forms, generator(FORM_STREAM))
    form["form"] = _of_one_harmony(form["form"], course.get("mode"), chords)
    if chords or "mode" in course:
        form["harmony"] = form["copies"] = (0,) * n_bars
    return ClipPlan(
        request=request,
        seed=seed,
        index=index,
        candidate=candidate,
        metre=metre,
        tempi=tempi,
        tonic=tonic,
        targets=targets,
        bar_targets=course | {name: tuple(own) for name, own in request.per_bar.items()},
        chords=chords,
        primer=primer,
        rng=generator(request.take) if request.take else rng,
        earlier=earlier or [],
        earlier_chords=earlier_chords,
        **form,
    )


def mean_tempo(tempi: Sequence[float]) -> float:
    """Return the tempo at which as many bars last as long as at these."""
    if len(set(tempi)) == 1:
        return tempi[0]
    return round(len(tempi) / math.fsum(1 / tempo for tempo in tempi), 2)


def _after(request: Request, primer: PrimerContext) -> Request:
    """Return the request with the theme's key, tempo and bars where none are asked."""
    n_bars, n_kept, tempo = request.n_bars, request.n_kept, request.tempo
    has_tempo = tempo is not None or "tempo" in request.fixed
    if not has_tempo and (request.continues or request.emotion is None):
        tempo = min(max(primer.tempo * primer.metre.beat, MIN_TEMPO), MAX_TEMPO)
    if request.fills:
        n_bars, tempo = primer.gap.shape[1], round(primer.tempo * primer.metre.beat, 2)
        tempo = min(max(tempo, MIN_TEMPO), MAX_TEMPO)  # in the range of what can be asked for
        asked = request.seconds, request.n_bars or n_bars, request.tempo or tempo
        if asked != (None, n_bars, tempo) or "tempo" in request.fixed:
            raise ValueError("bars that are written anew keep their number, tempo and metre")
    elif n_bars is None and request.seconds is None and not request.continues:
        n_bars = min(len(primer.bars), MAX_BARS)
        n_kept = None if n_kept is None else min(n_kept, n_bars)
    tonic = primer.tonic if request.tonic is None else request.tonic
    return replace(request, n_bars=n_bars, n_kept=n_kept, tonic=tonic, tempo=tempo)


def _wanted(
    request: Request,
    mapper: Mapper,
    rng: np.random.Generator,
    primer: PrimerContext | None,
    *,
    n_bars: int,
    metre: Metre,
) -> list[Targets]:
    """Return the targets of each bar, or only one for all, with what is asked for by itself."""
    bars: list[Targets] = [{}]
    if request.emotion is not None:
        curve = request.curve
        emotions = [request.emotion] if curve is None else curve.over(n_bars)
        bars = mapper.course(emotions, rng, diversity=request.diversity)
    elif primer is not None:
        bars = [measure(primer.like)]
    for targets in bars:
        targets |= request.fixed
        if request.is_major is not None:
            _set_mode(targets, is_major=request.is_major)
        if (tempo := request.fixed.get("tempo", request.tempo)) is not None:
            targets["tempo"] = tempo / metre.beat
    return bars


def _mean(bars: Sequence[Targets]) -> Targets:
    if len(bars) == 1:
        return dict(bars[0])
    return {name: math.fsum(bar[name] for bar in bars) / len(bars) for name in bars[0]}


def _course(
    bars: Sequence[Targets], n_bars: int, tempo: float
) -> tuple[tuple[float, ...], dict[str, tuple[float, ...]]]:
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
) -> dict[str, Any]:
    """Return `form`, `harmony`, `copies`, `figures` and `follows` of a plan."""
    n_before, bars = 0 if primer is None else len(primer.bars), range(n_bars)
    found: dict[str, Any] = dict.fromkeys(("form", "harmony", "copies", "figures"), (0,) * n_bars)
    found["follows"] = (None,) * n_bars
    if n_before and request.given is not None and request.given.use == VARY:
        # A variation: each bar takes up that at its place
        return found | {"follows": tuple(at if at < n_before else None for at in bars)}
    is_said = request.per_bar or not HELD_BY_FORM.isdisjoint(request.fixed)
    if is_said or forms is None:  # what bars are to be is said, or nothing is known
        return found
    goes_on = primer is not None and _goes_on(request, primer)
    n_free = FREE_ENDING if _ends(primer) else 0
    n_seen, n_led = n_before if goes_on else 0, max(n_bars - n_free, 0)
    form, *others = (codes[n_before:] for codes in forms.draw(n_before + n_bars, rng))
    form[n_led:] = [0] * (n_bars - n_led)
    distances = {"harmony": HARMONY_BARS, "copies": FORM_BARS, "figures": FORM_BARS}
    for (name, distance), codes in zip(distances.items(), others, strict=True):
        back = [distance[code - 1] if code else 0 for code in codes]
        found[name] = tuple(
            own if own <= n_seen + at < n_seen + n_led else 0 for at, own in enumerate(back)
        )
    if goes_on:
        return found | {"form": tuple(form)}
    place = [at - bars_back(code) if code else at for at, code in enumerate(form)]
    return found | {
        "form": tuple(code if place[at] >= 0 else 0 for at, code in enumerate(form)),
        "follows": tuple(n_before + at if at < 0 else None for at in place),
    }


def _ends(primer: PrimerContext | None) -> bool:
    """Tell whether nothing follows what is written, so that its last bars are those of a piece."""
    return primer is None or not (primer.behind or primer.is_cut)


def _goes_on(request: Request, primer: PrimerContext) -> bool:
    """Tell whether the model is to see given bars before it writes, see `ClipPlan.shown`."""
    emotion = request.emotion if request.curve is None else request.curve.at(0)
    is_beside = request.continues or request.fills
    return is_beside and (emotion is None or emotion.quadrant == primer.quadrant)


def _of_one_harmony(
    form: tuple[int, ...], mode: Sequence[float] | None, chords: Chords
) -> tuple[int, ...]:
    """Return the form in which bars of another mode or of other chords take up the rhythm only."""
    found = list(form)
    for at, code in enumerate(form):
        if 0 < code <= len(FORM_BARS):
            other = max(at - bars_back(code), 0)
            turned = mode is not None and (mode[at] >= 0) != (mode[other] >= 0)
            if turned or (chords and chords[at] != chords[other]):
                found[at] += len(FORM_BARS)
    return tuple(found)


def _set_mode(targets: Targets, *, is_major: bool) -> None:
    sign = 1.0 if is_major else -1.0
    targets["mode"] = sign * max(abs(targets.get("mode", 0.0)), MODE_STRENGTH)
    if targets.get("chord_mode", 0.0) * sign < 0:
        targets["chord_mode"] = 0.0


def _length(request: Request, tempo: float, metre: Metre) -> tuple[int, float]:
    """Return bars and tempo, from the tempo that would be taken, both in beats of the metre."""
    tempo = min(max(tempo, MIN_TEMPO), MAX_TEMPO)
    if request.seconds is None:
        return request.n_bars or request.default_bars, round(tempo, 1)
    bar_s = 60.0 * metre.beats / tempo
    n_bars = min(max(round(request.seconds / bar_s), 1), MAX_BARS)
    if request.tempo is None and "tempo" not in request.fixed:
        met = 60.0 * metre.beats * n_bars / request.seconds
        tempo = min(max(met, tempo / TEMPO_BEND, MIN_TEMPO), tempo * TEMPO_BEND, MAX_TEMPO)
    return n_bars, round(tempo, 2)
