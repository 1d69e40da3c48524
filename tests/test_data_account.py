from __future__ import annotations

from emomusic.data.account import told_account


def test_the_account_is_a_table_with_reasons() -> None:
    row = {"songs": 2, "clips": 3, "notes": 1400, "ids": 5000, "skipped": {"no beat grid": 4}}
    other = {"songs": 1, "clips": 1, "notes": 10, "ids": 50, "skipped": {}}
    lines = told_account({"pop": row, "other": other}).splitlines()
    assert lines[1].split() == ["pop", "2", "3", "1,400", "5,000", "4"]
    assert lines[3].split() == ["all", "3", "4", "1,410", "5,050", "4"]
    assert lines[-1].strip() == "pop: no beat grid (4)"
