from __future__ import annotations

from pathlib import Path

import pytest

import emomusic
from emomusic.compose.checkpoint import NAME, VARIABLE, find_checkpoint


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in an empty folder, with the package in another and no variable set."""
    (tmp_path / "work").mkdir()
    (tmp_path / "installed" / "emomusic").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(
        emomusic, "__file__", str(tmp_path / "installed" / "emomusic" / "__init__.py")
    )


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_the_folder_asked_for_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(made(tmp_path / "other")))
    asked = made(tmp_path / "asked")
    assert find_checkpoint(asked) == asked
    assert find_checkpoint(None) == tmp_path / "other"


def test_the_current_folder_comes_before_the_package(tmp_path: Path) -> None:
    beside = made(tmp_path / "installed" / "checkpoints" / NAME)
    assert find_checkpoint(None) == beside
    here = made(tmp_path / "work" / "checkpoints" / NAME)
    assert find_checkpoint(None).resolve() == here


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"no such checkpoint folder: .*nowhere"):
        find_checkpoint(tmp_path / "nowhere")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "lost"))
    with pytest.raises(ValueError, match=r"no such checkpoint folder: .*lost"):
        find_checkpoint(None)


def test_without_any_checkpoint_it_says_how_to_name_one() -> None:
    with pytest.raises(ValueError, match=f"name one with --checkpoint or the variable {VARIABLE}"):
        find_checkpoint(None)
