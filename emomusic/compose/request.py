"""What is asked for: an emotion, a length, and whatever of the music is to be fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from emomusic.compose.fields import Door, Field, Kind, described, make_plain, spec_field
from emomusic.emotion import Emotion, EmotionCurve
from emomusic.emotion.curve import MAX_BARS
from emomusic.emotion.space import refusal
from emomusic.model import MAX_GUIDANCE, MAX_TEMPERATURE

if TYPE_CHECKING:
    from emomusic.compose.primer import Primer

CONTINUE, VARY, INFILL = "continue", "vary", "infill"
MAX_TAKE = 2**31 - 1
MIN_TEMPO, MAX_TEMPO = 20.0, 300.0
DEFAULT_BARS, CONTINUED_BARS = 16, 8
TOUCH_TOP_P = 0.99
"""How much of the probability is kept of velocities and durations, where the tail is touch."""
METRES = ("4/4", "3/4", "2/4", "6/8", "9/8", "12/8")
"""Time signatures that can be asked for."""
AUTO, TRACKED = "auto", "tracked"
GRIDS = (AUTO, "file", TRACKED)
TRACKS = ("two", "one")
FORMATS: Mapping[str, str | None] = {
    "mid": None, "wav": "audio", "flac": "audio", "mp3": "audio", "musicxml": "notation",
    "svg": "notation", "json": None,
}  # fmt: skip
"""Endings of the files of a clip, with the extra that is needed to write each."""
NOWHERE = Door(0)
LISTENED = "How it is played: 0 as written, on the grid; 1 as pianists play."
SPEC = Door.COMMAND | Door.FILE
CALL = Door.COMMAND | Door.ENDPOINT
EVERYWHERE = Door.CLIP | Door.PAGE
KINDS: Mapping[str, tuple[type, str]] = {
    "emotion": (Emotion, "an Emotion or None, such as find_emotion('joy')"),
    "curve": (EmotionCurve, "an EmotionCurve or None, such as parse_curve('0:joy 8:calm')"),
    "fixed": (Mapping, "a dict of attributes with their values"),
    "per_bar": (Mapping, "a dict of attributes with lists of values"),
}
"""What a value that no field describes must be, and how that is said."""


@dataclass(frozen=True)
class Request:
    """Hold what a clip is to be.

    What a field is, how it is asked for and where, stands once: in its metadata.

    Attributes:
        emotion: What the clip is to carry; None asks for nothing but what is fixed here. With a
            curve, what stands for it as a whole.
        curve: How the emotion moves over the bars; None lets it stay.
        given: Music that is there already, to be continued or varied, or of which bars are to be
            written anew. Its metre holds, and its tempo and key where none is asked for; without
            an emotion, what it is like holds.
        n_kept: Bars after which the writing stops, as by hand; None writes to the end.
        tonic: Pitch class; None draws one.
        is_major: Mode; None lets the emotion decide.
        fixed: Attribute values that replace those of the emotion.
        per_bar: Attribute values of each bar, as many as `n_bars`; those of the bar attributes.
        candidate: Number of the first candidate; what a clip of several becomes again is asked
            for by its own number, with `best_of` 1.
    """

    # fmt: off
    emotion: Emotion | None = field(metadata={"spoken": (
        Field(Kind.TEXT, "A named emotion, or Q1 to Q4.", name="emotion", doors=Door.COMMAND),
        Field(Kind.TEXT, "A named emotion, Q1 to Q4, or a mixture as nostalgia:0.7 hope:0.3.",
              name="emotion", doors=Door.ENDPOINT),
        Field(Kind.NUMBER, "Unpleasant -1 to pleasant 1.", name="valence", bounds=(-1, 1),
              doors=CALL),
        Field(Kind.NUMBER, "Calm -1 to excited 1.", name="arousal", bounds=(-1, 1), doors=CALL),
        Field(Kind.TEXT, "A mixture of emotions.", name="mix", metavar='"NAME:WEIGHT …"',
              doors=Door.COMMAND),
        Field(Kind.FLAG, "No emotion: ask for what --set and others say alone.", name="free",
              default=False, flag="--free", doors=Door.COMMAND),
    )})
    curve: EmotionCurve | None = field(default=None, metadata={"spoken": (
        Field(Kind.TEXT, "An emotion that moves, from bar 0 on.", name="curve",
              metavar='"BAR:NAME …"', doors=CALL),
    )})
    given: Primer | None = field(default=None, metadata={"spoken": (
        Field(Kind.PATH, "MIDI to go on from.", name=CONTINUE, flag="--continue", metavar="FILE",
              doors=Door.COMMAND),
        Field(Kind.PATH, "MIDI to write a variation of.", name=VARY, metavar="FILE",
              doors=Door.COMMAND),
        Field(Kind.PATH, "MIDI of which bars (--at), or all but a part (--lock), are written anew.",
              name=INFILL, metavar="FILE", doors=Door.COMMAND),
        Field(Kind.TEXT, "Bars to write anew, such as 5-8 or 5-8,13, as the file counts them.",
              name="at", metavar="BARS", doors=Door.COMMAND),
        Field(Kind.TEXT, "What of them stays: melody, right, left, bass, chords, or several.",
              name="lock", metavar="PART,…", doors=Door.COMMAND),
        Field(Kind.CHOICE, "Beats of given MIDI: the file's, or tracked where it is played "
              "without a click.", name="grid", choices=GRIDS, doors=Door.COMMAND),
    )})
    n_bars: int | None = spec_field(
        None, Kind.WHOLE, "Length in bars; else 16, a curve's, or 8 to continue.", name="bars",
        bounds=(1, MAX_BARS), doors=CALL | Door.FILE, studio=(1, 128, 1))
    n_kept: int | None = spec_field(
        None, Kind.WHOLE, name="kept_bars", bounds=(1, MAX_BARS), doors=Door.FILE)
    seconds: float | None = spec_field(
        None, Kind.NUMBER, "Length in seconds, instead of bars.", bounds=(0.5, 1_800.0), doors=SPEC)
    tempo: float | None = spec_field(
        None, Kind.NUMBER, "Quarter notes a minute.", bounds=(MIN_TEMPO, MAX_TEMPO),
        doors=CALL | Door.FILE)
    tonic: int | None = spec_field(
        None, Kind.WHOLE, bounds=(0, 11), doors=NOWHERE,
        spoken=(Field(Kind.TEXT, "Such as D, 'F# minor' or Bbm.", name="key", doors=CALL),))
    is_major: bool | None = spec_field(None, Kind.FLAG, doors=NOWHERE)
    time_signature: str | None = spec_field(
        None, Kind.CHOICE, "Metre; else that of given music, or 4/4.", choices=METRES,
        doors=CALL | Door.FILE)
    fixed: Mapping[str, float] = field(default_factory=dict, metadata={"spoken": (
        Field(Kind.ATTRIBUTES, "Fix an attribute; repeatable.", name="set",
              metavar="ATTRIBUTE=VALUE", doors=Door.OPTION),
        Field(Kind.ATTRIBUTES, "Attributes to fix; each may be a column of its own, too.",
              name="set", doors=Door.ROW),
        Field(Kind.ATTRIBUTES, "Musical attributes to fix, such as register, with their values.",
              name="attributes", doors=Door.ROW | Door.ENDPOINT),
    )})
    per_bar: Mapping[str, Sequence[float]] = field(default_factory=dict)
    temperature: float = spec_field(
        1.0, Kind.NUMBER, "Of sampling, up to 5; higher surprises more.", open_low=True,
        bounds=(0, MAX_TEMPERATURE), doors=EVERYWHERE, studio=(0.1, 2.0, 0.05), label="Temperature")
    top_p: float = spec_field(
        0.9, Kind.NUMBER, open_low=True, bounds=(0, 1),
        help="Of sampling pitches and moments, up to 1; lower leaves the unlikely out.",
        doors=EVERYWHERE, studio=(0.1, 1.0, 0.01), label="Top-p")
    guidance: float = spec_field(
        1.0, Kind.NUMBER, "How strongly controls count, 1 to 5; 1 is fastest.",
        bounds=(1, MAX_GUIDANCE))
    guided_bars: int = spec_field(
        8, Kind.WHOLE, "Bars at the beginning that guidance holds for.", bounds=(0, MAX_BARS))
    steering: bool = spec_field(
        True, Kind.FLAG, "Whether what is heard so far corrects what is written next.")
    two_hands: bool = spec_field(
        True, Kind.FLAG, "Strike nothing that two hands cannot reach.",
        flag="--two-hands/--any-hands")
    chords: str | None = spec_field(
        None, Kind.TEXT, "A chord a bar, or two with a comma; else its own.",
        metavar='"Am F C,G7 …"', doors=SPEC)
    best_of: int = spec_field(
        1, Kind.WHOLE, "Candidates a clip, of which the verifier keeps one; 1 is the first draw.",
        bounds=(1, 64), doors=EVERYWHERE | Door.ENDPOINT, studio=(1, 16, 1), label="Candidates")
    diversity: float = spec_field(
        0.85, Kind.NUMBER, "Spread of the targets, 0 to 1.", bounds=(0, 1), doors=SPEC)
    tracks: str = spec_field(
        "two", Kind.CHOICE, "MIDI tracks, one a hand or one of both; what goes on has one.",
        choices=TRACKS)
    performance: float = spec_field(
        0.0, Kind.NUMBER, LISTENED, bounds=(0, 1),
        doors=Door.ROW | Door.FILE | Door.CARD | Door.ENDPOINT | Door.PAGE,
        studio=(0, 1, 0.05), label="Performance", spoken=(
            Field(Kind.NUMBER, f"{LISTENED[:-1]}; of the rows of a job 0, if not said.",
                  name="performance", bounds=(0, 1), default=1.0, doors=Door.OPTION),))
    take: int = spec_field(0, Kind.WHOLE, "Other notes for the same plan.", bounds=(0, MAX_TAKE))
    candidate: int = spec_field(0, Kind.WHOLE, bounds=(0, MAX_TAKE), doors=Door.FILE)
    # fmt: on

    def __post_init__(self) -> None:
        """Check the request, and make its values plain.

        Raises:
            ValueError: If a value is of another kind or out of range; the message names it.
        """
        from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES

        if self.n_bars is not None and self.seconds is not None:
            raise ValueError("give bars or seconds, not both")
        make_plain(self)
        self._check_kinds()
        if self.n_kept is not None and self.n_bars is not None:
            replace(VALUES["n_kept"], bounds=(1, self.n_bars)).read(self.n_kept)
        if self.chords is not None:
            from emomusic.music.chords import format_chords, parse_chords

            object.__setattr__(self, "chords", format_chords(parse_chords(self.chords)))
        fixed = {str(name): attribute_field(name).read(own) for name, own in self.fixed.items()}
        object.__setattr__(self, "fixed", fixed)
        if "tempo" in fixed:
            if self.tempo is not None:
                raise ValueError("give the tempo once, not also as an attribute")
            VALUES["tempo"].read(fixed["tempo"])
        bars = {}
        for name, values in self.per_bar.items():
            if name not in BAR_ATTRIBUTE_NAMES:
                raise ValueError(
                    f"{name} cannot be asked for bar by bar, only {', '.join(BAR_ATTRIBUTE_NAMES)}"
                )
            try:
                column = [*values]
            except TypeError:
                raise refusal(name, "a list of values, one for each bar", values) from None
            if len(column) != self.n_bars:
                raise ValueError(
                    f"{name} needs a value for each of the bars asked for, got {len(column)} "
                    f"for {self.n_bars}"
                )
            bars[str(name)] = tuple(map(attribute_field(name).read, column))
        object.__setattr__(self, "per_bar", bars)
        if self.emotion is None and self.best_of > 1:
            raise ValueError("best_of needs an emotion by which the best is found")
        if self.curve is not None and (self.emotion is None or self.per_bar):
            raise ValueError("a curve needs an emotion, and no attributes asked for bar by bar")

    def _check_kinds(self) -> None:
        """Refuse what is no emotion, curve, music or mapping, and say how one is made."""
        kinds = KINDS
        if self.given is not None:
            from emomusic.compose.primer import Primer  # it loads what reads music

            kinds = {**KINDS, "given": (Primer, "a Given, such as Given('x.mid', 'continue')")}
        for name, (kind, hint) in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind) and (value is not None or kind is Mapping):
                raise refusal(name, hint, value)

    @property
    def continues(self) -> bool:
        return self.given is not None and self.given.use == CONTINUE

    @property
    def fills(self) -> bool:
        return self.given is not None and self.given.use == INFILL

    @property
    def default_bars(self) -> int:
        """Return how many bars are written where nothing is said of the length."""
        if self.curve is not None and self.curve.moves:
            return self.curve.n_bars
        return CONTINUED_BARS if self.continues else DEFAULT_BARS


VALUES = described(Request)
"""What the values of a request are, by name."""
Request.__doc__ = f"{Request.__doc__}" + "".join(
    f"    {name}: {own.help}" + (f" In {own.range}." if own.bounds else "") + "\n    "
    for name, own in VALUES.items()
    if own.help
)


def attribute_field(name: str) -> Field:
    """Return what values of an attribute are: of its natural range, or its width beyond it.

    Raises:
        ValueError: If there is no such attribute.
    """
    from emomusic.music.attributes import attribute

    found = attribute(name)
    width = found.high - found.low
    bounds = (found.low - width, found.high + width)
    return Field(
        Kind.NUMBER, found.explanation, name=name, bounds=bounds, unit=found.unit, doors=Door.ROW
    )
