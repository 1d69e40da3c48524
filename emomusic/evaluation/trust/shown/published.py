"""What others report on EMOPIA and VGMIDI, each with its split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Published:
    """Hold one number of others.

    Attributes:
        who: The system and its paper.
        corpus: "EMOPIA" or "VGMIDI".
        quadrant: Share of right quadrants.
        arousal: Share of right signs; None where it is not told.
        valence: The same.
        split: How what is learned from was parted from what is tested.
        leaky: Whether clips of one song are on both sides; None where it is not told.
        remark: What else is to be known.
    """

    who: str
    corpus: str
    quadrant: float
    arousal: float | None
    valence: float | None
    split: str
    leaky: bool | None
    remark: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


_CLS = "official of EMOPIA_cls, songs disjoint, 86 test clips"
_MIDIBERT = "MidiBERT, 107 test clips, 84 of 96 test songs also in training"
_OWN_5 = "5 folds by song, 5 seeds, 1,078 clips"
PUBLISHED = (
    Published("LSTM-Attn on MIDI-like tokens (Hung et al. 2021)", "EMOPIA", 0.684, None, None,
              _CLS, False, "0.57 when tested again"),
    Published("MidiBERT-Piano, CP (Chou et al. 2021)", "EMOPIA", 0.6789, None, None,
              _MIDIBERT, True),
    Published("MidiBERT-Piano, REMI (Chou et al. 2021)", "EMOPIA", 0.6774, None, None,
              _MIDIBERT, True),
    Published("MusicBERT, as the journal version of MidiBERT reports it", "EMOPIA", 0.7778, None,
              None, _MIDIBERT, True, "value not verified"),
    Published("MT-SMNN (Qiu et al. 2022)", "EMOPIA", 0.6758, None, None, "not told", None),
    Published("MT-SMNN (Qiu et al. 2022)", "VGMIDI", 0.5585, None, None, "not told", None),
    Published("Random forest, 1,495 binary features (EmoGen, Kang et al. 2023)", "EMOPIA", 0.676,
              None, None, "5 folds by clip, songs on both sides", True),
    Published("Random forest, 57 features, done again", "EMOPIA", 0.687, 0.91, 0.74, _OWN_5,
              False, "sd 0.004 over seeds"),
    Published("the same", "EMOPIA", 0.714, None, None, "5 folds by clip, songs on both sides",
              True, "what a leaky split adds"),
    Published("the same, features binary at the median", "EMOPIA", 0.661, None, None, _OWN_5,
              False),
    Published("the same, 57 features", "EMOPIA", 0.651, None, None, _CLS, False,
              "SVM 0.674, boosting 0.651, logistic 0.616; arousal 0.85 to 0.90, valence 0.72 to "
              "0.78"),
    Published("the same, 57 features", "EMOPIA", 0.720, None, None, _MIDIBERT, True),
)  # fmt: skip
FADERNETS = "Music FaderNets (Tan and Herremans 2020): 1 % of labels suffice for arousal"
