from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import one_thread  # noqa: F401 - before all that reads the environment
import pytest
import torch
from helpers.composing import tune
from helpers.shell import Shell
from synthetic import make_checkpoint, make_response

from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion
from emomusic.studio.session import StudioPiece

torch.set_num_threads(1)

pytest_plugins = ["studio_pages"]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a whole checkpoint of a tiny random model; not to be changed."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    make_checkpoint(folder)
    return folder


@pytest.fixture
def own_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny checkpoint, to be damaged."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "own"))


@pytest.fixture(scope="session")
def steered_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny checkpoint with what steers it; not to be changed."""
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("steered") / "tiny"))
    make_response().save(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_composer(tiny_checkpoint: Path) -> Composer:
    """Return what composes with the tiny checkpoint, loaded once."""
    return Composer(tiny_checkpoint)


@pytest.fixture(scope="session")
def composer(steered_checkpoint: Path) -> Composer:
    """Return what composes with the tiny checkpoint, steered, loaded once."""
    return Composer(steered_checkpoint)


@pytest.fixture(scope="session")
def composed(tiny_composer: Composer) -> StudioPiece:
    """Return a piece that was composed: two bars of joy in 3/4."""
    joy = find_emotion("joy")
    request = Request(joy, n_bars=2, tonic=7, time_signature="3/4", best_of=2, tempo=90.0)
    (clip,) = tiny_composer.compose(request, seed=3)
    return StudioPiece.of(clip)


@pytest.fixture(scope="session")
def brought(tiny_composer: Composer) -> StudioPiece:
    """Return a piece that somebody brought: four bars of D major."""
    piece = StudioPiece(tune(4, tonic=2), "D major", 96.0, name="<b>tune.mid")
    return replace(piece, verdict=tiny_composer.verifier.verdict(piece.notes))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Return what runs commands in this process."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("EMOMUSIC_CHECKPOINT", raising=False)
    return Shell(monkeypatch, capsys)
