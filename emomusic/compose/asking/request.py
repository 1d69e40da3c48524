"""What is asked for: an emotion, a length, and whatever of the music is to be fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emomusic.compose.asking.given import CONTINUE, MAX_TEMPO, MIN_TEMPO, Given
from emomusic.emotion import Emotion, EmotionCurve, find_emotion, parse_mix
from emomusic.model.sampling import check_guidance, check_sampling
from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES, attribute
from emomusic.music.chord_names import format_chords, parse_chords
from emomusic.music.key import TONIC_NAMES, parse_tonic
from emomusic.music.tokenizer import BEATS_PER_BAR

MAX_BARS = 512
MAX_SECONDS = 1_800.0
MAX_BEST_OF = 64
MAX_TAKE = 2**31 - 1
DEFAULT_BARS, CONTINUED_BARS = 16, 8
TOP_P, TOUCH_TOP_P = 0.9, 0.99
"""How much of the probability is kept of moments, pitches and chords, where the tail is wrong
notes; and of velocities and durations, where it is touch."""
FORMATS = ("mid", "wav", "flac", "mp3", "musicxml", "svg", "json")


@dataclass(frozen=True)
class Request:
    """Hold what a clip is to be.

    Attributes:
        emotion: What it is to carry; None asks for nothing but what is fixed here.
            With a curve, what stands for it as a whole.
        curve: How the emotion moves over the bars; None lets it stay.
        given: Music that is there already, to be continued or varied. Its metre holds, and its
            tempo and key where none is asked for; without an emotion, what it is like holds.
        n_bars: Bars to write, 1 to 512; None where seconds are given, or 16; or as many as a
            curve spans; or 8 to continue, and to vary as many as are given.
        seconds: Length in seconds, above 0, at most 1,800; the nearest number of bars is
            taken, and, unless a tempo is given, the tempo is bent to meet the length.
        tempo: Quarter notes a minute, 20 to 300; None lets the emotion decide.
        tonic: Pitch class, 0 to 11; None draws one.
        is_major: Mode; None lets the emotion decide.
        beats_per_bar: 3 or 4.
        chords: Names of chords, one for each bar, two of a bar with a comma between them, such as
            `Am F C,G7`; again and again to the end. None lets the network write its own.
        fixed: Attribute values that replace those of the emotion.
        per_bar: Attribute values of each bar, as many as `n_bars`; those of the bar attributes.
        temperature: Of sampling, in (0, 5].
        top_p: Of sampling moments, pitches and chords, in (0, 1].
        guidance: How strongly the controls are followed, in [1, 5]; 1 samples plainly.
        guided_bars: Bars at the beginning for which guidance holds, 0 to 512; what follows takes
            after them. It doubles the cost of a bar.
        steering: Whether what is heard so far corrects what is written next.
        two_hands: Whether nothing is struck that two hands cannot reach.
        best_of: Candidates a clip, 1 to 64; the verifier keeps one. 1 is the first draw.
        diversity: How far targets may be from a quadrant's mean, 0 to 1.
        take: Another number writes other notes for the same targets; 0 to 2**31 - 1.
        candidate: Number of the first candidate; what a clip of several becomes again is asked
            for by its own number, with `best_of` 1; 0 to 2**31 - 1.
        n_kept: Bars after which the writing stops, as by hand; None writes to the end.
    """

    emotion: Emotion | None
    curve: EmotionCurve | None = None
    given: Given | None = None
    n_bars: int | None = None
    seconds: float | None = None
    tempo: float | None = None
    tonic: int | None = None
    is_major: bool | None = None
    beats_per_bar: int = 4
    chords: str | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    per_bar: Mapping[str, Sequence[float]] = field(default_factory=dict)
    temperature: float = 1.0
    top_p: float = TOP_P
    guidance: float = 1.0
    guided_bars: int = 8
    steering: bool = True
    two_hands: bool = True
    best_of: int = 1
    diversity: float = 0.85
    take: int = 0
    candidate: int = 0
    n_kept: int | None = None

    def __post_init__(self) -> None:
        """Check the request.

        Raises:
            ValueError: If a value is out of range; the message names it.
        """
        if self.n_bars is not None and self.seconds is not None:
            raise ValueError("give bars or seconds, not both")
        wholes = (("bars", self.n_bars), ("best_of", self.best_of), ("take", self.take),
                  ("candidate", self.candidate),
                  ("guided_bars", self.guided_bars), ("kept_bars", self.n_kept))  # fmt: skip
        for name, whole in wholes:
            if whole is not None and not float(whole).is_integer():
                raise ValueError(f"{name} must be a whole number, got {whole}")
        _check("bars", self.n_bars, 1, MAX_BARS)
        _check("take", self.take, 0, MAX_TAKE)
        _check("candidate", self.candidate, 0, MAX_TAKE)
        _check("kept_bars", self.n_kept, 1, self.n_bars or MAX_BARS)
        _check("guided_bars", self.guided_bars, 0, MAX_BARS)
        _check("seconds", self.seconds, 0.5, MAX_SECONDS)
        _check("tempo", self.tempo, MIN_TEMPO, MAX_TEMPO)
        _check("tonic", self.tonic, 0, 11)
        _check("best_of", self.best_of, 1, MAX_BEST_OF)
        _check("diversity", self.diversity, 0, 1)
        if self.beats_per_bar not in BEATS_PER_BAR:
            raise ValueError(f"beats_per_bar must be one of 2, 3, 4, got {self.beats_per_bar}")
        check_sampling(self.temperature, self.top_p)
        check_guidance(self.guidance)
        if self.chords is not None:
            object.__setattr__(self, "chords", format_chords(parse_chords(self.chords)))
        for name, value in self.fixed.items():
            check_attribute_value(name, value)
        if self.tempo is not None and "tempo" in self.fixed:
            raise ValueError("give the tempo once, not also as an attribute")
        _check("tempo", self.fixed.get("tempo"), MIN_TEMPO, MAX_TEMPO)
        self._check_bars()
        if self.emotion is None and self.best_of > 1:
            raise ValueError("best_of needs an emotion by which the best is found")
        if self.curve is not None and (self.emotion is None or self.per_bar):
            raise ValueError("a curve needs an emotion, and no attributes asked for bar by bar")

    @property
    def continues(self) -> bool:
        """Tell whether the clip goes on from given music."""
        return self.given is not None and self.given.use == CONTINUE

    @property
    def default_bars(self) -> int:
        """Return how many bars are written where nothing is said of the length."""
        if self.curve is not None and self.curve.moves:
            return self.curve.n_bars
        return CONTINUED_BARS if self.continues else DEFAULT_BARS

    def _check_bars(self) -> None:
        for name, values in self.per_bar.items():
            if name not in BAR_ATTRIBUTE_NAMES:
                raise ValueError(
                    f"{name} cannot be asked for bar by bar, only {', '.join(BAR_ATTRIBUTE_NAMES)}"
                )
            if len(values) != self.n_bars:
                raise ValueError(
                    f"{name} needs a value for each of the bars asked for, got {len(values)} "
                    f"for {self.n_bars}"
                )
            for value in values:
                check_attribute_value(name, value)


def _check(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must be in [{low:g}, {high:g}], got {value:g}")


def check_attribute_value(name: str, value: float) -> None:
    """Check that an attribute exists and a value for it is within reason.

    Raises:
        ValueError: If not; reason is the natural range and once its width on either side.
    """
    found = attribute(name)
    width = found.high - found.low
    low, high = found.low - width, found.high + width
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must be in [{low:g}, {high:g}] {found.unit}, got {value:g}")


def parse_key(text: str) -> tuple[int, bool | None]:
    """Return tonic and mode of a text such as `D`, `F# minor`, `Bbm` or `c major`.

    Returns:
        The pitch class, and True for major, False for minor, None where not said.

    Raises:
        ValueError: If the text is no key.
    """
    words = text.replace("_", " ").split()
    try:
        if len(words) == 2 and words[1].lower() in {"major", "minor", "maj", "min"}:
            return parse_tonic(words[0]), words[1].lower().startswith("maj")
        if len(words) == 1 and len(words[0]) > 1 and words[0].endswith("m"):
            return parse_tonic(words[0][:-1]), False
        if len(words) == 1:
            return parse_tonic(words[0]), None
    except ValueError:
        pass
    raise ValueError(
        f"key must be a note name, alone or with major or minor, such as D, {TONIC_NAMES[3]} "
        f"major or F# minor, got {text!r}"
    )


def make_emotion(
    name: str | None,
    valence: float | None,
    arousal: float | None,
    mixture: str | None = None,
    *,
    free: bool = False,
) -> Emotion | None:
    """Return the emotion that is named, mixed, or at a point, or None where there is to be none.

    Raises:
        ValueError: If not one of these is given, or a name is unknown, or the point outside.
    """
    ways = (name is not None, (valence, arousal) != (None, None), mixture is not None, free)
    if sum(ways) > 1:
        raise ValueError(
            "give one of --emotion, --valence with --arousal, --mix, --curve and --free"
        )
    if free:
        return None
    if mixture is not None:
        return parse_mix(mixture)
    if name is not None:
        return find_emotion(name)
    if valence is None or arousal is None:
        raise ValueError(
            "say what to feel: --emotion NAME, or --valence V and --arousal A, or --mix, or --curve"
        )
    return Emotion(valence, arousal)


def parse_settings(settings: Sequence[str]) -> dict[str, float]:
    """Return attribute values from texts of the form `name=value`.

    Raises:
        ValueError: If a text has another form, or an attribute comes twice.
    """
    fixed: dict[str, float] = {}
    for text in settings:
        name, equals, number = text.partition("=")
        name = name.strip().replace("-", "_")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise ValueError(f"--set takes ATTRIBUTE=VALUE with a number, got {text!r}")
        if name in fixed:
            raise ValueError(f"--set gives {name} twice")
        fixed[name] = value
    return fixed


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the file formats of a text such as `mid,mp3`, without repetition.

    Raises:
        ValueError: If one is unknown or none is given.
    """
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [part for part in wanted if part not in FORMATS]
    if unknown or not wanted:
        raise ValueError(f"format must be of {', '.join(FORMATS)}, got {text!r}")
    return tuple(dict.fromkeys(wanted))
