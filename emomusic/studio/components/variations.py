"""Cards of variations, side by side: choose one, keep favourites."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np

from emomusic.emotion.space import QUADRANTS
from emomusic.studio.components.assets import asset
from emomusic.studio.components.roll import NoteRows, checked_rows, packed

MAX_CARDS = 8
CARD_COLUMNS = 3


@dataclass(frozen=True, eq=False)
class Card:
    """Hold what is shown of one variation.

    Attributes:
        title: A short name, such as "1".
        notes: Onset and duration in seconds and pitch, for a small roll, shape (n, 3).
        length_s: Seconds that the small roll spans, above 0; it stays while the clip grows.
        quadrant: The one heard, "Q1" to "Q4", or None before the clip was heard.
        probability: Of that quadrant, 0 to 1.
        valence: Heard, in [-1, 1].
        arousal: The same.
        n_bars: Bars of the clip, or asked for.
        tempo: In quarter notes a minute, or None.
        key: Such as "D minor"; empty if not known.
        favourite: Whether it is kept; None leaves it as the person set it in the browser.
        composing: Whether more notes will come.
        done: Whether the clip is finished.
    """

    title: str
    notes: NoteRows = field(default_factory=lambda: np.empty((0, CARD_COLUMNS)))
    length_s: float = 1.0
    quadrant: str | None = None
    probability: float | None = None
    valence: float | None = None
    arousal: float | None = None
    n_bars: int = 0
    tempo: float | None = None
    key: str = ""
    favourite: bool | None = None
    composing: bool = False
    done: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is outside its range.
        """
        object.__setattr__(self, "notes", checked_rows(self.notes, CARD_COLUMNS))
        if not 0 < self.length_s < float("inf"):
            raise ValueError(f"length_s must be above 0, got {self.length_s}")
        if self.quadrant is not None and self.quadrant not in QUADRANTS:
            raise ValueError(f"quadrant must be one of {', '.join(QUADRANTS)}, got {self.quadrant}")
        _check_within("probability", self.probability, 0.0)
        _check_within("valence", self.valence, -1.0)
        _check_within("arousal", self.arousal, -1.0)
        if self.tempo is not None and not 0 < self.tempo < float("inf"):
            raise ValueError(f"tempo must be above 0, got {self.tempo}")


@dataclass(frozen=True)
class Deck:
    """Hold the cards.

    Attributes:
        cards: At most 8.
        selected: Index of the chosen card; None leaves the choice as the person made it.
        take: Which set of cards this is, such as the number of the run. A new one forgets choice
            and favourites; within one, cards that say None keep them.
    """

    cards: tuple[Card, ...] = ()
    selected: int | None = None
    take: str = ""

    def __post_init__(self) -> None:
        """Check number and choice.

        Raises:
            ValueError: If there are over 8 cards, or the chosen one is not among them.
        """
        if len(self.cards) > MAX_CARDS:
            raise ValueError(f"at most {MAX_CARDS} cards can be shown, got {len(self.cards)}")
        if self.selected is not None and not 0 <= self.selected < max(len(self.cards), 1):
            raise ValueError(f"selected must be one of {len(self.cards)} cards: {self.selected}")


@dataclass(frozen=True)
class Choice:
    """Hold what the person chose: the index of a card and the sorted indices of favourites."""

    selected: int
    favourites: tuple[int, ...]
    take: str = ""


class Variations(gr.HTML):
    """Show one to eight variations as cards; one is selected, each may be a favourite.

    Takes a `Deck` or None and gives a `Choice`. `select` and `favourite` are triggered by a
    person only, with `{"index": i, "value": title, "selected": True}` and
    `{"index": i, "favourite": bool}`; `change` follows every change of the value, by Python too.

    Listeners that stream should leave `favourite` and `selected` None, so that a click made in the
    meantime is not undone.
    """

    def __init__(self, value: Deck | None = None, **kwargs: Any) -> None:
        """Make it without cards, or with those of `value`; the rest is as in `gr.HTML`."""
        super().__init__(
            value=value,
            html_template=asset("variations.html"),
            css_template=asset("variations.css"),
            js_on_load=asset("variations.js"),
            apply_default_css=False,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> Choice:  # type: ignore[override]
        """Read which card is selected and which are favourites.

        Raises:
            gr.Error: If the value has another shape.
        """
        if payload is None:
            return Choice(0, ())
        if not isinstance(payload, dict) or not isinstance(payload.get("cards"), list):
            raise gr.Error(
                "The variations must be an object with a list of cards.", print_exception=False
            )
        cards, selected = payload["cards"], payload.get("selected") or 0
        if len(cards) > MAX_CARDS or not all(isinstance(card, dict) for card in cards):
            raise gr.Error(
                f"There can be at most {MAX_CARDS} variations, each an object.",
                print_exception=False,
            )
        if type(selected) is not int or not 0 <= selected < max(len(cards), 1):
            raise gr.Error(
                "The selected variation must be the index of a card.", print_exception=False
            )
        favourites = tuple(i for i, card in enumerate(cards) if card.get("favourite") is True)
        return Choice(selected, favourites, take=str(payload.get("take") or "")[:64])

    def postprocess(self, value: Deck | None) -> dict[str, Any]:  # type: ignore[override]
        """Turn a deck into what the page draws: `take`, `selected` and `cards`."""
        deck = value or Deck()
        cards = [_shown(card) for card in deck.cards]
        return {"take": deck.take, "selected": deck.selected, "cards": cards}

    def api_info(self) -> dict[str, Any]:
        """Describe the value to programs."""
        card = {"type": "object", "properties": {"favourite": {"type": "boolean"}}}
        return {
            "type": "object",
            "properties": {
                "take": {"type": "string"},
                "selected": {"type": "integer"},
                "cards": {"type": "array", "items": card, "maxItems": MAX_CARDS},
            },
        }

    def example_payload(self) -> Any:
        """Return what a browser might send."""
        return {"take": "", "selected": 0, "cards": []}

    def example_value(self) -> Any:
        """Return what a listener might give."""
        return None


def _check_within(name: str, value: float | None, low: float) -> None:
    if value is not None and not low <= value <= 1:
        raise ValueError(f"{name} must be in [{low:g}, 1], got {value}")


def _shown(card: Card) -> dict[str, Any]:
    return {
        "title": card.title,
        "notes": packed(card.notes),
        "length_s": round(float(card.length_s), 3),
        "quadrant": card.quadrant,
        "probability": _rounded(card.probability),
        "valence": _rounded(card.valence),
        "arousal": _rounded(card.arousal),
        "n_bars": int(card.n_bars),
        "tempo": _rounded(card.tempo),
        "key": card.key,
        "favourite": card.favourite,
        "composing": card.composing,
        "done": card.done,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)
