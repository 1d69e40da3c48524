from __future__ import annotations

import pytest

from emomusic.studio.result.words import (
    escaped,
    number,
    percent,
    rounded,
    signed,
    spoken,
    tag,
    text_at,
)


def test_nothing_that_is_escaped_opens_a_tag_an_attribute_or_a_placeholder() -> None:
    safe = escaped("""<b a="1" c='2'>${x} {{y}} & z""")
    assert not set(safe) & set("<>\"'${}")


def test_only_finite_numbers_are_numbers() -> None:
    assert number(1, "tempo") == 1.0
    for wrong in (None, "1", True, float("nan"), float("inf"), [1.0]):
        with pytest.raises(ValueError, match="tempo must be a finite number, got"):
            number(wrong, "tempo")


def test_values_are_written_with_a_sign_and_zero_has_none() -> None:
    assert [signed(v) for v in (0.4, -0.404, -0.001)] == ["+0.40", "−0.40", "0.00"]
    assert [spoken(v) for v in (0.4, -0.5, -0.001)] == ["0.40", "-0.50", "0.00"]


def test_a_share_is_none_or_all_only_if_it_is() -> None:
    shares = (0.0, 0.0001, 0.43, 0.9999, 1.0)
    assert [percent(s) for s in shares] == ["0 %", "< 1 %", "43 %", "> 99 %", "100 %"]


def test_a_wide_range_needs_no_decimals() -> None:
    assert [rounded(-2.345, width) for width in (100, 10, 1)] == ["−2", "−2.3", "−2.35"]
    assert rounded(-0.001, 1) == "0.00"


def test_attributes_of_tags_are_escaped_rounded_and_left_out_if_none() -> None:
    made = tag("g", "x", class_="a", text_anchor="end", x=1.23456, y=2.0, title=None, id='"<')
    assert made == '<g class="a" text-anchor="end" x="1.23" y="2" id="&quot;&lt;">x</g>'
    assert "<" not in text_at(0, 0, "<").removeprefix("<text").removesuffix("</text>")
