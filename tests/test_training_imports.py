from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from synthetic import make_rows

ROOT = Path(__file__).resolve().parents[1]
BARE = ("miditok", "symusic", "music21", "pretty_midi", "gradio", "sklearn", "tensorboard")
BLOCK = f"import sys\nfor name in {BARE!r}:\n    sys.modules[name] = None\n"


def test_the_training_script_runs_on_a_bare_machine(tmp_path: Path) -> None:
    make_rows().save(tmp_path / "rows.npz")
    code = (
        "import runpy\n"
        f"sys.argv = ['train.py', *sys.argv[1:]]\n"
        f"runpy.run_path({str(ROOT / 'scripts' / 'train.py')!r}, run_name='__main__')\n"
    )
    rows, out = str(tmp_path / "rows.npz"), str(tmp_path / "out")
    settings = tmp_path / "run.toml"
    settings.write_text("context = 128\neval_minutes = 0\nbatch_events = 130\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-c", BLOCK + code, "--rows", rows, "--out", out, "--config",
         str(settings), "--size", "tiny", "--max-steps", "2", "--device", "cpu", "--threads", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "config.json").is_file()
    assert "nats_per_note" in result.stdout
