from __future__ import annotations

from emomusic.verify.explanation.words import headline, seconds, sentence, span


def test_headline_lists_reasons() -> None:
    assert headline(["minor mode", "fast"], "tense") == "minor mode, fast → tense"
    assert headline([], "tense") == "no single cause by itself → tense"


def test_sentence_joins_what_moves_one_axis() -> None:
    reasons = [
        ("minor mode", "valence", False),
        ("fast", "arousal", True),
        ("loud", "arousal", True),
        ("dense", "arousal", True),
    ]
    told = sentence("Tense (Q2)", reasons, [("high register", "valence", True)])
    assert told == (
        "Tense (Q2): minor mode lowers valence; fast, loud and dense raise arousal. "
        "Against it: high register raises valence."
    )


def test_sentence_tells_what_is_undecided() -> None:
    told = sentence("Calm (Q4)", [], [], undecided=("valence", "arousal"))
    assert told == (
        "Calm (Q4): no single cause by itself carries it. Valence and arousal are undecided."
    )


def test_places_are_named() -> None:
    assert (span(9, 12), span(3, 3)) == ("bars 9 to 12", "bar 3")
    assert seconds(7.6, 64.2) == "0:08 to 1:04"
