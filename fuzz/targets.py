"""What is tried: how its inputs are made, and what reads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from fuzz import checkpoint, midi
from fuzz.shapes import json_mutated, text_mutated

Run = Callable[[bytes], bool]
WORDS = ("calm", "tense", "joy", "hope", "nostalgia", "Q1", "q3", ":", ";", ",", " ", "\t", "0",
         "1", "8", "16", "512", "513", "-0.4", "0.30", "1e400", "nan", "inf", "-", "_", "C",
         "F#", "Bb", "c", "m", "minor", "major", "min", "٣", "ſ", "\u0000", "=")  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Hold how one door is tried: inputs that go through, how they are changed, what tries one.

    That tells whether an input came as far as it should, and raises what is not documented.
    """

    seeds: Callable[[], list[bytes]]
    mutated: Callable[[bytes, random.Random], bytes]
    load: Callable[[], Run]


def _load_midi() -> Run:
    from fuzz.reading import hear

    return hear


def _parser(
    module: str, name: str, holds: Callable[[Callable[[str], Any], Any], bool], error: str = ""
) -> Callable[[], Run]:
    """Return what loads a parser of texts, its documented error, and what holds of what it reads.

    Without a name the error is ValueError.
    """

    def load() -> Run:
        there = import_module(f"emomusic.{module}")
        parse, documented = getattr(there, name), getattr(there, error) if error else ValueError

        def run(data: bytes) -> bool:
            try:
                found = parse(data.decode(errors="replace"))
            except documented:
                return False
            assert holds(parse, found)
            return True

        return run

    return load


_load_settings = _parser(
    "compose.parse", "parse_settings_file",
    lambda parse, found: parse(found.to_json()) == found, "SettingsError",
)  # fmt: skip
_load_curve = _parser(
    "emotion", "parse_curve",
    lambda parse, found: [p.bar for p in parse(found.text).points] == [p.bar for p in found.points],
)  # fmt: skip
_load_mix = _parser(
    "emotion", "parse_mix", lambda _, found: max(abs(found.valence), abs(found.arousal)) <= 1
)
_load_key = _parser(
    "compose.parse", "parse_key",
    lambda _, found: 0 <= found[0] <= 11 and found[1] in (True, False, None),
)  # fmt: skip


def _settings() -> list[bytes]:
    import base64

    point = '{"valence": 0.2, "arousal": -0.3, "name": "calm"}'
    plain = ('{"format": "emomusic settings 1", "seed": 3, "index": 2, "bars": 2, "key": "F#", '
             '"mode": "minor", "time_signature": "3/4", "temperature": 1.1, "best_of": 2, '
             f'"set": {{"mode": 0.2}}, "emotion": {point}, ')  # fmt: skip
    music = base64.b64encode(midi.SEEDS[0]).decode()
    wishes = (
        '"tempo": 90, "bar_by_bar": {"register": [50, 60]}}',
        '"curve": [{"bar": 0, "valence": 0, "arousal": 1}, {"bar": 4, "valence": 1, "arousal":0}]}',
        f'"given": {{"use": "continue", "midi": "{music}"}}, "kept_bars": 1}}',
    )
    return [(plain + wish).encode() for wish in wishes]


def _load_jobs() -> Run:
    from io import BytesIO

    from emomusic.compose.jobs.table import BadRow, JobTable, SpecError, row_of

    def run(data: bytes) -> bool:
        try:
            rows = [
                row_of(line, row) if isinstance(row, dict) else row
                for line, row in JobTable(BytesIO(data))
            ]
        except SpecError as error:
            assert "\n" not in str(error), "an error is told in one line"
            return False
        bad = [row for row in rows if isinstance(row, BadRow)]
        assert not any("\n" in row.reason for row in bad), "a reason is told in one line"
        return len(bad) < len(rows)

    return run


def _jobs() -> list[bytes]:
    return [
        b"id,emotion,valence,arousal,curve,bars,seed,count,note_density\n"
        b"intro,nostalgia,,,,16,1,20,\nfight,,-0.5,0.8,,24,2,50,3.5\n"
        b"end,,,,0:tense 8:hope,16,3,1,\n",
        b'{"emotion": "calm", "bars": 8, "seed": 4, "count": 2}\n{"valence": 0.5, "arousal": -1}\n',
        b"sep=;\n;Emotion;Bars\n0;calm;8,0\n",
        b'[{"emotion": "calm", "bars": 8},\n{"emotion": "joy"}]',
    ]


def _jobs_mutated(data: bytes, rng: random.Random) -> bytes:
    if not data.startswith((b"{", b"[")):
        return text_mutated(data, rng, words=(*WORDS, "\n", "\r\n", '"', "count", "bars", "NUL\0"))
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = json_mutated(lines[at], rng)
    return b"\n".join(lines)


_text = partial(text_mutated, words=WORDS)
TARGETS: dict[str, Target] = {
    "midi": Target(midi.seeds, midi.mutated, _load_midi),
    "checkpoint": Target(checkpoint.seeds, checkpoint.mutated, checkpoint.load),
    "settings": Target(_settings, json_mutated, _load_settings),
    "curve": Target(lambda: [b"0:calm 8:tense 16:-0.40,0.30", b"0:Q1;4:joy"], _text, _load_curve),
    "mix": Target(lambda: [b"nostalgia:0.7 hope:0.3", b"joy, calm:2"], _text, _load_mix),
    "key": Target(lambda: [b"F# minor", b"Bbm", b"c major", b"D"], _text, _load_key),
    "jobs": Target(_jobs, _jobs_mutated, _load_jobs),
}
