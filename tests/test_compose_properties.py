"""What holds of all that is said in words: keys, formats, settings of attributes."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from emomusic.compose.asking.request import FORMATS, parse_formats, parse_key, parse_settings
from emomusic.music.key import TONIC_NAMES

QUIETLY = settings(max_examples=100, deadline=None, database=None, derandomize=True)
WORDS = st.lists(
    st.sampled_from((*TONIC_NAMES, "c", "f#", "m", " ", "_", "major", "MINOR", "min", "ſ", "٣")),
    max_size=4,
).map("".join)  # fmt: skip


@QUIETLY
@given(WORDS | st.text(max_size=10))
def test_a_text_is_a_key_or_refused(text: str) -> None:
    try:
        tonic, is_major = parse_key(text)
    except ValueError as error:
        assert str(error).startswith("key must be a note name")
    else:
        mode = {None: "", True: " major", False: " minor"}[is_major]
        assert parse_key(f"{TONIC_NAMES[tonic]}{mode}") == (tonic, is_major)


@QUIETLY
@given(st.lists(st.sampled_from((*FORMATS, "MID", " mp3 ", "", "doc", "mid;wav"))).map(",".join))
def test_formats_are_named_once_each_or_refused(text: str) -> None:
    try:
        formats = parse_formats(text)
    except ValueError as error:
        assert str(error).startswith("format must be of")
    else:
        assert len(set(formats)) == len(formats) > 0 and set(formats) <= set(FORMATS)
        assert parse_formats(",".join(formats)) == formats


@QUIETLY
@given(st.lists(st.tuples(st.sampled_from(("mode", "note-density", " tempo")), st.floats())))
def test_settings_of_attributes_are_read_as_written(said: list[tuple[str, float]]) -> None:
    names = [name.strip().replace("-", "_") for name, _ in said]
    texts = [f"{name}={value!r}" for name, value in said]
    try:
        found = parse_settings(texts)
    except ValueError as error:
        assert len(set(names)) < len(names) and "twice" in str(error)
    else:
        assert list(found) == names
        for value, (_, written) in zip(found.values(), said, strict=True):
            assert value == written or (math.isnan(value) and math.isnan(written))
