from __future__ import annotations

import json
from pathlib import Path

from model_cases import TEXTS
from synthetic import make_model

from emomusic.commands.research import SAMPLE_BARS, write_samples
from emomusic.model.checkpoint import save_model
from emomusic.music.score import notes_of, read_score
from emomusic.music.tokenizer import Tokenizer, built_vocabulary, special_tokens


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
        assert len(notes) and notes.onset.max() < 4 * SAMPLE_BARS


def test_same_step_gives_the_same_samples(own_checkpoint: Path) -> None:
    found = []
    for step in (1, 1, 2):
        write_samples(own_checkpoint, step)
        path = own_checkpoint / "run" / "samples" / f"step_{step:06d}_free.mid"
        found.append(path.read_bytes())
    assert found[0] == found[1] != found[2]


def test_a_model_of_other_tokens_has_no_samples(own_checkpoint: Path) -> None:
    save_model(own_checkpoint, make_model(TEXTS), recipe={})
    (own_checkpoint / "tokenizer.json").unlink()
    write_samples(own_checkpoint, 1)
    assert not (own_checkpoint / "run").exists()
    assert not (own_checkpoint / "tokenizer.json").exists()


def test_the_tokenizer_is_that_of_the_attributes_in_the_tables(own_checkpoint: Path) -> None:
    path = own_checkpoint / "tables.json"
    tables = json.loads(path.read_text("utf-8"))
    for key in ("attributes", "edges"):
        tables[key] = tables[key][:6]
    path.write_text(json.dumps(tables), encoding="utf-8")
    vocabulary = built_vocabulary(special_tokens(tables["attributes"], tables["bar_attributes"]))
    save_model(own_checkpoint, make_model(vocabulary.texts), recipe={})
    write_samples(own_checkpoint, 1)
    assert Tokenizer(own_checkpoint / "tokenizer.json").vocabulary == vocabulary
    assert len(list((own_checkpoint / "run" / "samples").iterdir())) == 3
