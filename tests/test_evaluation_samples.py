from __future__ import annotations

from pathlib import Path

from emomusic.evaluation.samples import N_BARS, write_samples
from emomusic.model.checkpoint import save_model
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.music.score import notes_of, read_score


def test_samples_of_a_checkpoint_are_music(own_checkpoint: Path) -> None:
    (own_checkpoint / "tokenizer.json").unlink()
    write_samples(own_checkpoint, 1200)
    assert (own_checkpoint / "tokenizer.json").is_file()
    files = sorted((own_checkpoint / "run" / "samples").iterdir())
    assert [path.name for path in files] == [
        f"step_001200_{name}.mid" for name in ("free", "high", "low")
    ]
    for path in files:
        notes = notes_of(read_score(path))
        assert len(notes) and notes.onset.max() < 4 * N_BARS


def test_same_step_gives_the_same_samples(own_checkpoint: Path) -> None:
    found = []
    for step in (1, 1, 2):
        write_samples(own_checkpoint, step)
        path = own_checkpoint / "run" / "samples" / f"step_{step:06d}_free.mid"
        found.append(path.read_bytes())
    assert found[0] == found[1] != found[2]


def test_a_model_of_other_tokens_has_no_samples(tmp_path: Path) -> None:
    other = Transformer(ModelConfig(vocab_size=99, context=64, **SIZES["tiny"]))
    save_model(tmp_path, other, recipe={})
    write_samples(tmp_path, 1)
    assert not (tmp_path / "run").exists() and not (tmp_path / "tokenizer.json").exists()
