"""Compute emomusic/emotion/emotions.json from a table of word ratings.

The ratings themselves are not part of this project (CC BY-NC-ND 3.0); only the coordinates
computed here are. The table needs the columns `emotion`, `family`, `valence_1to9` and
`arousal_1to9`; an emotion may stand in several families, with the same ratings in each.

    python scripts/build_emotions.py --ratings emotions.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

OUT_PATH = Path(__file__).parent.parent / "emomusic" / "emotion" / "emotions.json"

# tanh(0.6 z): a word one standard deviation from the mean lands at 0.54, two at 0.83. Ratings
# on 1-9 keep to the middle of the scale (arousal most: its deviation is half that of valence),
# so without this most names would crowd round the centre.
SCALE = 0.6

METHOD = (
    f"Each axis is standardised over the names (z), squashed with tanh({SCALE} z), moved onto "
    "the unit circle where it lies outside, and rounded to two decimals. Values with a "
    "'corrected' reason were set by hand, because ratings of words disagree there with the "
    "circumplex or with the use of the term in music."
)
REFERENCES = [
    "Warriner, Kuperman and Brysbaert (2013), Norms of valence, arousal, and dominance for "
    "13,915 English lemmas, Behavior Research Methods 45 (the ratings; not included)",
    "Russell (1980), A circumplex model of affect, J. Personality and Social Psychology 39",
    "Zentner, Grandjean and Scherer (2008), Emotions evoked by the sound of music, Emotion 8 "
    "(GEMS-9)",
    "Desmet (2012), Faces of product pleasure: 25 positive emotions in human-product "
    "interactions, International Journal of Design 6",
    "Fokkinga and Desmet (2022), Emotion Typology (the negative emotions are our selection)",
]

# emotion: (valence, arousal, why the rating of the word is not used)
CORRECTIONS: dict[str, tuple[float, float, str]] = {
    # negative, aroused
    "anxiety": (-0.61, 0.50, "restless apprehension; rated neutral in arousal as a word"),
    "nervousness": (-0.47, 0.50, "agitated by definition; rated calm as a word"),
    "startle": (-0.20, 0.80, "a sudden jolt, near astonished and alarmed; rated calm as a word"),
    "distress": (-0.50, 0.55, "Russell's distressed lies above the middle; rated calm as a word"),
    "annoyance": (-0.50, 0.34, "mild anger, beside annoyed; rated calm as a word"),
    "indignation": (-0.45, 0.50, "anger at an injustice; rated calm and near neutral as a word"),
    "hatred": (-0.75, 0.60, "a hot hostility, in the family of anger; the word is rated mild"),
    "contempt": (-0.44, 0.15, "hostile, in the family of anger; rated just below the middle"),
    "disgust": (-0.60, 0.35, "a strong aversion as a basic emotion; the word is rated mild"),
    "afraid": (-0.63, 0.60, "the same state as fear; Russell places it at 116 degrees"),
    "tense": (-0.40, 0.65, "Russell places it at 93 degrees, nearly pure arousal"),
    "tension": (-0.40, 0.62, "GEMS tension is agitated and nervous; the word is rated mild"),
    "worry": (-0.55, 0.40, "a quieter, longer apprehension than fear; rated above fear"),
    "envy": (-0.48, 0.20, "restless and hostile, beside jealousy; rated calm as a word"),
    "distrust": (-0.50, 0.18, "wary and on guard; rated calm as a word"),
    "confusion": (-0.42, 0.15, "unsettled and searching; rated just below the middle"),
    # negative, quiet
    "grief": (-0.70, -0.40, "deep sadness, quiet in music; rated as aroused as a middling word"),
    "miserable": (-0.65, -0.15, "Russell places it at 189 degrees, below the middle"),
    "helplessness": (-0.63, -0.30, "giving up; the rated word is helpless, in danger"),
    "disappointment": (-0.53, -0.30, "a let-down, in the family of sadness"),
    "regret": (-0.40, -0.30, "looking back in sadness; rated just above the middle"),
    "longing": (-0.25, -0.35, "an unfulfilled wish, listed as negative; rated as yearn"),
    # positive, aroused
    "surprise": (0.25, 0.78, "may be good or bad, mostly arousal; the word suggests presents"),
    "astonished": (0.26, 0.72, "Russell places it at 70 degrees"),
    "delighted": (0.72, 0.34, "Russell places it at 25 degrees, a lively pleasure"),
    "euphoria": (0.66, 0.72, "the height of joy; the word is rated below happy"),
    "joyful activation": (0.70, 0.62, "GEMS means animated, dancing; the rated word is joyful"),
    "triumphant": (0.62, 0.60, "GEMS counts it under power, with energetic and strong"),
    "heroic": (0.50, 0.62, "GEMS counts it under power, with energetic and strong"),
    "power": (0.45, 0.70, "GEMS means energetic, triumphant, fiery, strong; the word is neutral"),
    "courage": (0.50, 0.40, "braced against danger; rated near the middle"),
    "amusement": (0.60, 0.35, "laughter is lively; rated at the middle"),
    "inspiration": (0.60, 0.40, "an urge to act; rated at the middle"),
    "wonder": (0.60, 0.30, "GEMS means amazed, dazzled, allured; rated calm as a word"),
    # positive, quiet
    "transcendence": (0.50, -0.15, "GEMS means a spiritual state; the rated word is a verb"),
    "nostalgia": (0.20, -0.40, "GEMS means sentimental, dreamy, melancholic: bittersweet"),
    "peacefulness": (0.62, -0.65, "GEMS means calm, relaxed, serene, soothed, meditative"),
    "serene": (0.60, -0.50, "Russell places it at 329 degrees, beside calm and relaxed"),
    "dreaminess": (0.50, -0.42, "drifting and soft in music; rated just above the middle"),
    "glad": (0.72, -0.14, "Russell places it at 349 degrees; rated as quiet as tired"),
    "satisfaction": (0.54, -0.46, "the same state as satisfied; rated quieter"),
}


def read_ratings(path: Path) -> dict[str, dict[str, Any]]:
    """Read the table into one entry for each name: valence and arousal on 1-9, and families.

    Raises:
        ValueError: If a column is missing, a rating is not a number in [1, 9], or two rows of
            one emotion disagree.
    """
    entries: dict[str, dict[str, Any]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name, valence, arousal = _rated(row)
            entry = entries.setdefault(
                name, {"valence": valence, "arousal": arousal, "families": []}
            )
            if (entry["valence"], entry["arousal"]) != (valence, arousal):
                raise ValueError(f"two rows rate {name!r} differently")
            entry["families"].append(row["family"])
    if len(entries) < 2:
        raise ValueError(f"the table needs at least two emotions, got {len(entries)}")
    return entries


def _rated(row: dict[str, str]) -> tuple[str, float, float]:
    missing = {"emotion", "family", "valence_1to9", "arousal_1to9"} - row.keys()
    if missing:
        raise ValueError(f"the table lacks the columns {', '.join(sorted(missing))}")
    given = row["valence_1to9"] or "nan", row["arousal_1to9"] or "nan"
    valence, arousal = map(float, given)
    if not (1 <= valence <= 9 and 1 <= arousal <= 9):
        raise ValueError(f"ratings of {row['emotion']!r} must be in [1, 9], got {given}")
    return row["emotion"], valence, arousal


def squash(ratings: list[float]) -> list[float]:
    """Standardise ratings and squash them into (-1, 1) with tanh(SCALE z)."""
    mean, deviation = fmean(ratings), pstdev(ratings)
    return [math.tanh(SCALE * (rating - mean) / deviation) for rating in ratings]


def into_circle(valence: float, arousal: float) -> tuple[float, float]:
    """Move a point that lies outside the unit circle onto it, and round to two decimals."""
    radius = max(1.0, math.hypot(valence, arousal))
    return round(valence / radius, 2), round(arousal / radius, 2)


def build(ratings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compute the content of emotions.json from the ratings.

    Raises:
        ValueError: If a corrected name is not among the ratings.
    """
    unknown = CORRECTIONS.keys() - ratings.keys()
    if unknown:
        raise ValueError(f"corrected names are not in the table: {', '.join(sorted(unknown))}")
    valences = squash([entry["valence"] for entry in ratings.values()])
    arousals = squash([entry["arousal"] for entry in ratings.values()])
    emotions = {}
    for name, valence, arousal in zip(ratings, valences, arousals, strict=True):
        emotions[name] = _entry(name, into_circle(valence, arousal), ratings[name]["families"])
    return {"method": METHOD, "references": REFERENCES, "emotions": dict(sorted(emotions.items()))}


def _entry(name: str, point: tuple[float, float], families: list[str]) -> dict[str, Any]:
    valence, arousal, *reason = CORRECTIONS.get(name, point)
    entry = {"valence": valence, "arousal": arousal, "families": families}
    return entry | ({"corrected": reason[0]} if reason else {})


def dump(content: dict[str, Any]) -> str:
    """Write the content as JSON text with one emotion a line."""
    lines = [
        f"    {json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}"
        for name, entry in content["emotions"].items()
    ]
    head = json.dumps({key: content[key] for key in ("method", "references")}, indent=2)
    return head[:-2] + ',\n  "emotions": {\n' + ",\n".join(lines) + "\n  }\n}\n"


def main(argv: list[str] | None = None) -> int:
    """Build the file and return the exit status: 0 done, 2 a table or path that cannot be used."""
    parser = argparse.ArgumentParser(description="Compute the coordinates of the named emotions.")
    parser.add_argument("--ratings", type=Path, required=True, metavar="FILE")
    parser.add_argument("--out", type=Path, default=OUT_PATH, metavar="FILE")
    arguments = parser.parse_args(argv)
    try:
        content = build(read_ratings(arguments.ratings))
        arguments.out.write_text(dump(content), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"build_emotions: {error}", file=sys.stderr)
        return 2
    n_corrected = sum("corrected" in entry for entry in content["emotions"].values())
    print(f"{len(content['emotions'])} emotions, {n_corrected} of them corrected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
