from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

import emomusic
from emomusic.compose.checkpoint import hear
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion.space import Emotion
from emomusic.music.score import read_score
from emomusic.verify.verifier import Verifier

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "python.md"
PUBLIC = [
    "CheckpointError", "Clip", "Composer", "Emotion", "EmotionCurve", "EngineError", "Given",
    "Request", "ScoreError", "Verdict", "Verifier", "__version__", "emotion_names",
    "find_emotion", "hear", "parse_curve", "parse_mix",
]  # fmt: skip
PARAMETERS = {
    "Composer.from_pretrained": "name_or_folder revision cache_dir local_files_only token threads "
    "engine",
    "Composer.save_pretrained": "self folder",
    "Composer.compose": "self request seed count start batch_size progress",
    "Composer.compose_each": "self requests seed start batch_size progress",
    "Clip.save": "self path",
    "Clip.card": "self",
    "Verifier.load": "path",
    "hear": "music verifier",
    "find_emotion": "text",
    "Emotion": "valence arousal name",
}


@pytest.fixture(scope="module")
def clip(tiny_composer: Composer) -> Clip:
    return next(tiny_composer.compose(Request(Emotion(0.5, 0.5), n_bars=2), seed=3))


def test_what_programs_may_use_and_say_is_promised_name_by_name() -> None:
    assert sorted(emomusic.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(emomusic))
    for name in PUBLIC:
        assert getattr(emomusic, name) is not None
        assert name == "__version__" or name in PAGE.read_text("utf-8"), name
    for name, promised in PARAMETERS.items():
        parameters = " ".join(inspect.signature(attrgetter(name)(emomusic)).parameters)
        assert f"{parameters} ".startswith(f"{promised} "), name
    assert issubclass(emomusic.ScoreError, ValueError)
    assert issubclass(emomusic.CheckpointError, ValueError)
    assert issubclass(emomusic.EngineError, ValueError)


def test_names_are_loaded_when_they_are_asked_for() -> None:
    with pytest.raises(AttributeError, match="module 'emomusic' has no attribute 'compose_all'"):
        emomusic.compose_all  # noqa: B018
    code = (
        "import sys, emomusic\n"
        "loaded = lambda: [n for n in ('numpy', 'torch', 'symusic') if n in sys.modules]\n"
        "assert not loaded()\n"
        "emomusic.find_emotion('calm')\n"
        "assert not {'torch', 'symusic'} & set(loaded())\n"
        "from emomusic import *\n"
        "assert Composer is emomusic.Composer and 'torch' not in loaded()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_the_lines_on_the_page_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"```python\n(.+?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert len([line for line in found[1].splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOMUSIC_CHECKPOINT", raising=False)
    exec(compile(found[1], str(PAGE), "exec"), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "nostalgia_0.mid",
        "nostalgia_1.mid",
    ]
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 3 and told[2].split()[0] == told[0].split()[-1]


def test_a_clip_is_saved_as_its_ending_says(clip: Clip, tmp_path: Path) -> None:
    begins = {"mid": b"MThd", "wav": b"RIFF", "musicxml": b"<?xml", "json": b"{"}
    for ending, begin in begins.items():
        assert clip.save(tmp_path / f"x.{ending}").read_bytes().startswith(begin)
    assert clip.save(str(tmp_path / "Y.MID")).read_bytes() == clip.midi
    assert json.loads((tmp_path / "x.json").read_text())["seed"] == clip.seed

    for name in ("x", "x.ogg", "x.", "mid"):
        with pytest.raises(ValueError, match="format must be of mid, wav"):
            clip.save(tmp_path / name)
    with pytest.raises(OSError, match="nowhere"):
        clip.save(tmp_path / "nowhere" / "x.mid")


def test_hearing_takes_files_and_scores_and_any_verifier(
    clip: Clip, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, verifier = clip.save(tmp_path / "x.mid"), Verifier.load(tiny_checkpoint)
    heard = hear(path, verifier=verifier)
    assert heard == hear(str(path), verifier=verifier) == hear(read_score(path), verifier=verifier)
    assert hear(clip.score, verifier=verifier) == clip.verdict
    assert hear(path.read_bytes(), verifier=verifier) == heard
    assert hear(clip.score.to("quarter"), verifier=verifier) == clip.verdict
    pretty = clip.to_pretty_midi()
    assert len(pretty.instruments) == 2 and pretty.get_piano_roll().any()
    assert hear(pretty, verifier=verifier).quadrant == clip.verdict.quadrant
    with pytest.raises(ValueError, match=r"^music must be a path, the bytes of a MIDI file"):
        hear(5, verifier=verifier)  # type: ignore[arg-type]
    monkeypatch.setenv("EMOMUSIC_CHECKPOINT", str(tiny_checkpoint))
    assert hear(path) == heard
    monkeypatch.delenv("EMOMUSIC_CHECKPOINT")
    assert hear(path) != heard
