from __future__ import annotations

from granularity_cases import made_granularity

from emomusic.evaluation.granularity.tables import granularity_markdown


def test_the_section_tells_the_share_the_confusions_and_the_ceiling() -> None:
    text = granularity_markdown(made_granularity().to_dict())
    assert "| pairs told apart | 0.90 (" in text and "| 0.00 | 10 pairs |" in text
    assert "| one emotion composed twice: p ≤ 0.05 |" in text
    assert "Asked for at one place: joy, glee." in text or "glee, joy" in text
    assert "- joy, glee: heard as one (" in text or "- glee, joy: heard as one (" in text
    assert "- anger: by itself (" in text
    assert "| joy and glee | 0.02 | " in text
    assert "| anger | -0.70, +0.70 | " in text and "| 4 of 4 | " in text


def test_each_table_has_as_many_cells_in_all_rows() -> None:
    for gain in (0.0, 4.0):
        blocks = granularity_markdown(made_granularity(gain=gain).to_dict()).split("\n\n")
        tables = [block.splitlines() for block in blocks if block.startswith("|")]
        assert len(tables) == 4
        for lines in tables:
            assert len({line.count("|") for line in lines}) == 1


def test_a_distance_that_is_never_reached_is_told_so() -> None:
    text = granularity_markdown(made_granularity(gain=0.0).to_dict())
    assert "| 75% told apart from a distance of | none (none–none) |" in text
