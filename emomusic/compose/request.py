"""What is asked for: an emotion, a length, and whatever of the music is to be fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emomusic.emotion import Emotion, find_emotion
from emomusic.model.settings import check_guidance, check_sampling
from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES, attribute
from emomusic.music.key import TONIC_NAMES, parse_tonic
from emomusic.music.tokenizer import BEATS_PER_BAR

MAX_BARS = 512
MAX_SECONDS = 1_800.0
MIN_TEMPO, MAX_TEMPO = 20.0, 300.0
MAX_BEST_OF = 64
DEFAULT_BARS = 16
FORMATS = ("mid", "wav", "mp3")


@dataclass(frozen=True)
class Request:
    """Hold what a clip is to be.

    Attributes:
        emotion: What it is to carry; None asks for nothing but what is fixed here.
        n_bars: Bars, 1 to 512; None where seconds are given, or 16.
        seconds: Length in seconds, above 0, at most 1,800; the nearest number of bars is
            taken, and, unless a tempo is given, the tempo is bent to meet the length.
        tempo: Quarter notes a minute, 20 to 300; None lets the emotion decide.
        tonic: Pitch class, 0 to 11; None draws one.
        is_major: Mode; None lets the emotion decide.
        beats_per_bar: 3 or 4.
        fixed: Attribute values that replace those of the emotion.
        per_bar: Attribute values of each bar, as many as `n_bars`; those of the bar attributes.
        temperature: Of sampling, in (0, 5].
        top_p: Of sampling, in (0, 1].
        guidance: How strongly the controls are followed, in [1, 5]; 1 samples plainly.
        guided_bars: Bars at the beginning for which guidance holds, 0 to 512; what follows takes
            after them. It doubles the cost of a bar.
        steering: Whether what is heard so far corrects what is written next.
        best_of: Candidates a clip, 1 to 64; the verifier keeps one. 1 is the first draw.
        diversity: How far targets may be from a quadrant's mean, 0 to 1.
    """

    emotion: Emotion | None
    n_bars: int | None = None
    seconds: float | None = None
    tempo: float | None = None
    tonic: int | None = None
    is_major: bool | None = None
    beats_per_bar: int = 4
    fixed: Mapping[str, float] = field(default_factory=dict)
    per_bar: Mapping[str, Sequence[float]] = field(default_factory=dict)
    temperature: float = 1.0
    top_p: float = 0.99
    guidance: float = 1.0
    guided_bars: int = 8
    steering: bool = True
    best_of: int = 1
    diversity: float = 0.85

    def __post_init__(self) -> None:
        """Check the request.

        Raises:
            ValueError: If a value is out of range; the message names it.
        """
        if self.n_bars is not None and self.seconds is not None:
            raise ValueError("give bars or seconds, not both")
        wholes = (("bars", self.n_bars), ("best_of", self.best_of),
                  ("guided_bars", self.guided_bars))  # fmt: skip
        for name, whole in wholes:
            if whole is not None and not float(whole).is_integer():
                raise ValueError(f"{name} must be a whole number, got {whole}")
        _check("bars", self.n_bars, 1, MAX_BARS)
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
        for name, value in self.fixed.items():
            check_attribute_value(name, value)
        if self.tempo is not None and "tempo" in self.fixed:
            raise ValueError("give the tempo once, not also as an attribute")
        _check("tempo", self.fixed.get("tempo"), MIN_TEMPO, MAX_TEMPO)
        self._check_bars()
        if self.emotion is None and self.best_of > 1:
            raise ValueError("best_of needs an emotion by which the best is found")

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
    name: str | None, valence: float | None, arousal: float | None, *, free: bool = False
) -> Emotion | None:
    """Return the emotion that is named, or the one at a point, or None where there is to be none.

    Raises:
        ValueError: If not one of these is given, or the name is unknown, or the point outside.
    """
    if free:
        if (name, valence, arousal) != (None, None, None):
            raise ValueError("give an emotion or --free, not both")
        return None
    if name is not None:
        if valence is not None or arousal is not None:
            raise ValueError("give an emotion, or valence and arousal, not both")
        return find_emotion(name)
    if valence is None or arousal is None:
        raise ValueError("say what to feel: --emotion NAME, or --valence V and --arousal A")
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
