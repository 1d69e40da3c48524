"""Composing from the command line: clips of one request, of settings, of a job's rows."""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.composing import struck, tune
from helpers.jobs import tree
from helpers.shell import Said, Shell, lines
from midi import score_of

import emomusic
from emomusic import terminal
from emomusic.compose.composer import Composer
from emomusic.compose.request import CONTINUE
from emomusic.emotion import QUADRANTS, parse_mix
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import read_score, write_score


class Generate:
    """Run `generate` with a checkpoint, into a folder of its own each time."""

    def __init__(self, shell: Shell, checkpoint: Path, folder: Path) -> None:
        self.shell, self.folder, self.n = shell, folder, 0
        self.always = ("--checkpoint", checkpoint, "--threads", 1)
        self.spec = folder / "jobs.csv"

    def run(self, *arguments: object, out: str = "") -> Said:
        """Run it, however it ends; `out` names the folder."""
        self.n += 1
        self.out = self.folder / (out or f"run_{self.n}")
        return self.shell("generate", *arguments, "--out", self.out, *self.always)

    def job(self, out: str, *arguments: object, table: str = "", spec: str = "") -> Said:
        """Do a job of a table, or of the one before."""
        if table:
            self.spec.write_text(table, encoding="utf-8")
        return self.run("--spec", spec or self.spec, *arguments, out=out)

    def __call__(self, *arguments: object) -> tuple[Path, list[dict[str, Any]]]:
        """Return the folder of the clips, and their cards."""
        self.said = self.run(*arguments)
        assert self.said.status == 0, self.said.err
        return self.out, self.cards()

    def cards(self, name: str = "manifest.jsonl") -> list[dict[str, Any]]:
        """Return the lines of the manifest of the last run."""
        return lines((self.out / name).read_text(encoding="utf-8"))

    def refused(self, *arguments: object) -> str:
        """Return the one line by which a mistake is told."""
        said = self.shell.refused("generate", *arguments, "--out", self.folder / "no", *self.always)
        assert not list(self.folder.glob("no/*"))
        return said


@pytest.fixture
def generate(shell: Shell, tiny_checkpoint: Path, tmp_path: Path) -> Generate:
    return Generate(shell, tiny_checkpoint, tmp_path)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    write_score(tune(4, tempo=93.0), tmp_path / "tune.mid")
    return tmp_path / "tune.mid"


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Return music that cannot be taken up."""
    write_score(score_of([(0, 1, 60, 60)], signatures=((0, 5, 4),)), tmp_path / "odd.mid")
    return tmp_path / "odd.mid"


def test_clips_are_written_with_a_manifest_and_the_same_command_writes_the_same_bytes(
    generate: Generate,
) -> None:
    asked = ("--valence", -0.4, "--arousal", 0.2, "--bars", 2, "--count", 3)
    out, cards = generate(*asked, "--seed", 5)
    shown, first = generate.said.out.splitlines(), tree(out)
    names = [f"clip_0000{n}.mid" for n in range(3)]
    assert sorted(first) == [*names, "manifest.jsonl"]
    assert [card["file"] for card in cards] == names
    for card in cards:
        assert {"file", "index", "key", "best_of", "checkpoint"} <= set(card)
        assert set(card["verdict"]) == {
            "quadrant", "probabilities", "valence", "arousal", "valence_sd", "arousal_sd", "trust"
        }  # fmt: skip
        assert tuple(card["targets"]) == tuple(card["achieved"]) == ATTRIBUTE_NAMES
        assert (card["seed"], card["emotion"], card["bars"]) == (5, "Q2", 2)
        assert (card["valence"], card["version"]) == (-0.4, emomusic.__version__)
    assert len(shown) == 3 and shown[0].startswith("clip_00000.mid  asked Q2 (-0.40, +0.20)")
    assert any(f"heard {quadrant}" in shown[0] for quadrant in QUADRANTS)
    assert tree(generate(*asked, "--seed", 5, "--batch-size", 2)[0]) == first
    assert tree(generate(*asked, "--seed", 1)[0]) != first


def test_sound_is_of_the_soundfont_that_is_named(
    generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOMUSIC_SOUNDFONT", "")  # what the option sets is undone
    (tmp_path / "none.sf2").write_bytes(b"RIFF")
    asked = ("--emotion", "joy", "--bars", 1, "--format", "wav", "--soundfont")
    assert "--soundfont names no file: " in generate.refused(*asked, tmp_path / "lost.sf2")
    said = generate.run(*asked, tmp_path / "none.sf2")
    told = f"clip 0: the soundfont {tmp_path / 'none.sf2'} cannot be played: "
    assert said.status == 1 and said.err.startswith(told)


def test_what_is_fixed_is_kept_and_a_verdict_is_explained(generate: Generate) -> None:
    _, (card,) = generate(
        "--emotion", "calm", "--seconds", 6, "--tempo", 80, "--key", "F# minor", "--explain",
        "--time-signature", "3/4", "--set", "note-density = 2", "--set", "register=60",
        "--best-of", 2, "--temperature", 0.8, "--top-p", 0.9, "--diversity", 0)  # fmt: skip
    assert (card["tempo"], card["key"], card["bars"]) == (80.0, "Gb minor", 3)
    assert card["time_signature"] == "3/4" and card["best_of"] == 2
    assert card["targets"]["note_density"] == 2 and card["targets"]["register"] == 60
    assert card["explanation"]["sentence"] in generate.said.out
    assert card["course"]["quadrant"] == card["verdict"]["quadrant"]


def test_without_an_emotion_what_is_set_is_all_that_is_asked(generate: Generate) -> None:
    asked = ("--free", "--bars", 2, "--set", "register=60", "--tempo", 90, "--count", 2)
    for card in generate(*asked)[1]:
        assert card["emotion"] is card["valence"] is card["arousal"] is None
        assert card["targets"] == {"register": 60.0, "tempo": 90.0}
        assert tuple(card["achieved"]) == ATTRIBUTE_NAMES and card["tempo"] == 90.0
    shown = generate.said.out
    assert shown.startswith("clip_00000.mid  asked nothing  heard Q") and "None" not in shown


def test_a_curve_or_a_mixture_is_composed(generate: Generate) -> None:
    out, (card,) = generate("--curve", "0:calm 3:-0.4,0.8", "--bars", 4)
    assert card["curve"] == "0:calm 3:-0.40,0.80" and card["emotion"] == card["curve"]
    assert card["bars"] == 4 and len(read_score(out / "clip_00000.mid").tempos) > 1
    assert "asked 0:calm 3:-0.40,0.80 (" in generate.said.out
    _, (card,) = generate("--mix", "joy:2 fear:1", "--bars", 2)
    mixed = parse_mix("joy:2 fear:1")
    assert (card["emotion"], card["valence"]) == (mixed.name, mixed.valence)


def test_a_file_is_continued_or_varied(generate: Generate, music: Path) -> None:
    for asked in ((), ("--emotion", "joy")):
        out, (card,) = generate("--continue", music, "--bars", 3, *asked)
        assert (card["given"], card["given_bars"], card["bars"]) == (CONTINUE, 4, 7)
        assert (card["tempo"], card["key"].split()[0]) == (93.0, "C")
        assert struck(read_score(out / card["file"]), 0.0, 16.0) == struck(read_score(music))
    assert card["emotion"] == "joy"
    out, (card,) = generate("--vary", music, "--curve", "0:fear 4:joy")
    assert (card["given"], card["given_bars"], card["curve"]) == ("vary", 0, "0:fear 4:joy")
    assert struck(read_score(out / card["file"])) != struck(read_score(music))


@pytest.mark.parametrize(
    "asked",
    [("--emotion", "joy", "--bars", 2, "--best-of", 2),
     ("--curve", "0:joy 3:fear", "--seconds", 9, "--take", 4),
     ("--mix", "joy fear", "--bars", 1, "--key", "F# minor", "--time-signature", "3/4"),
     ("--free", "--set", "register=70", "--bars", 2, "--no-steering")],
)  # fmt: skip
def test_settings_bring_a_clip_back(generate: Generate, asked: tuple[object, ...]) -> None:
    out, cards = generate(*asked, "--count", 3, "--seed", 9, "--format", "mid,json")
    assert cards[2]["files"] == ["clip_00002.mid", "clip_00002.json"]
    again, (card,) = generate("--settings", out / "clip_00002.json", "--format", "mid,json")
    for name in cards[2]["files"]:
        assert (again / name).read_bytes() == (out / name).read_bytes()
    assert card == cards[2] and not generate.said.err
    path = out / "clip_00000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checkpoint": "other"}))
    generate("--settings", path)
    told = "the settings are of a clip by other: tiny writes another one\n"
    assert generate.said.err == told


def test_a_mistake_is_one_line_and_nothing_is_written(
    generate: Generate, tmp_path: Path, odd: Path
) -> None:
    write_score(score_of([(4.0 * 512, 1, 60, 60)]), tmp_path / "long.mid")
    (tmp_path / "bad.csv").write_text("emotion,colour\n")
    (tmp_path / "jobs.csv").write_text("emotion\njoy\n")
    joy, rows = ("--emotion", "joy"), ("--spec", tmp_path / "jobs.csv")
    said = (("--emotion", "joy"), ("--bars", 2), ("--seed", 0), ("--count", 1),
            ("--set", "mode=0"), ("--continue", "x.mid"), ("--best-of", 1))  # fmt: skip
    for option, value in said:
        words = f"--settings says all of a clip: leave out {option}\n"
        assert words in generate.refused("--settings", "own.json", option, value)
    for data in (b"", b"\xff\xfe\x00", b"{\n\n"):
        (tmp_path / "own.json").write_bytes(data)
        generate.refused("--settings", tmp_path / "own.json")
    for asked, words in (
        (("--settings", tmp_path), "cannot read"),
        ((*joy, "--format", "ogg"), "format must be of mid, wav, flac, mp3, "),
        ((*joy, "--count", "many"), "'--count'"),
        ((*joy, "--engine", "abacus"), "engine must be"),
        ((*joy, "--batch-size", 0), "batch_size must be in [1, 4096], got 0"),
        (("--continue", odd), "5 quarter notes a bar"),
        (("--continue", tmp_path / "long.mid"), "has 513 bars, at most 512"),
        (("--spec", "none.csv"), "cannot read none.csv: No such file or directory"),
        (("--spec", tmp_path / "bad.csv"), "the job cannot be read: unknown column 'colour'"),
        ((*rows, "--settings", "x.json"), "give --settings or --spec, not both"),
        ((*rows, "--shard", "3/3"), "shard must be I/K with I from 0 to K - 1"),
        ((*rows, "--pack", "zip"), "pack must be one of files, tar, parquet"),
        ((*rows, "--workers", "0"), "workers must be in [1, 4096], got 0"),
    ):
        assert words in generate.refused(*asked)


def test_a_damaged_checkpoint_fails_in_one_line(generate: Generate, own_checkpoint: Path) -> None:
    (own_checkpoint / "mapper.json").write_text("{")
    asked = ("--emotion", "joy", "--out", own_checkpoint / "out", "--checkpoint", own_checkpoint)
    generate.shell.refused("generate", *asked, status=1)


def test_quadrants_writes_one_clip_for_each(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    asked = ("quadrants", "--bars", 2, "--format", "mid", "--out", tmp_path,
             "--checkpoint", tiny_checkpoint)  # fmt: skip
    said = shell(*asked)
    assert said.status == 0 and "each is the best of 4 draws" in said.out, said.err
    cards = lines((tmp_path / "manifest.jsonl").read_text())
    assert {card["best_of"] for card in cards} == {4}
    for line, card, quadrant in zip(said.out.splitlines()[1:], cards, QUADRANTS, strict=True):
        assert line.startswith(f"{card['file']}  asked {quadrant} (")
        assert f"heard {card['verdict']['quadrant']} (" in line and card["key"] in line
    assert "best of" not in shell(*asked, "--best-of", 1).out


# jobs

TABLE = "id,emotion,bars,count,seed\na,joy,1,18,1\nb,foo,1,,\nc,calm,1,22,5\n"


def test_a_job_is_composed_and_told(generate: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
    said = generate.job("out", table=TABLE)
    assert said.status == 3
    assert len(said.out.splitlines()) == 40 and said.out.startswith("clip_00000.mid  asked joy")
    assert said.err.startswith("line 3: unknown emotion 'foo'")
    assert " clips in " in said.err and "40 are there" in said.err and "heard as asked" in said.err
    assert "failed 1: unknown emotion 'foo'" in said.err
    cards = generate.cards()
    assert [(c["row"], c["id"], c["seed"], c["index"]) for c in cards] == [
        *((2, "a", 1, index) for index in range(18)), *((4, "c", 5, index) for index in range(22)),
    ]  # fmt: skip
    (failed,) = generate.cards("failures.jsonl")
    assert failed["row"] == 3 and failed["reason"].startswith("unknown emotion 'foo'")
    whole = tree(generate.out)
    others = {"manifest.jsonl", "failures.jsonl", ".emomusic/job.json"}
    assert set(whole) == others | {f"clip_{n:05d}.mid" for n in range(40)}
    again = generate.job("out", "--resume", "--json")
    assert lines(again.out)[0]["summary"]["composed"] == 0 and tree(generate.out) == whole
    for name in ("FIRST_TOLD_S", "LAST_TOLD_S"):
        monkeypatch.setattr(terminal, name, -1.0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.encode())))
    said = generate.job("piped", "--json", spec="-")
    assert said.status == 3 and tree(generate.out) == whole
    *found, last = lines(said.out)
    assert [c["file"] for c in found] == [c["file"] for c in cards]
    summary = last["summary"]
    assert summary.pop("seconds") > 0 and summary.pop("clips_per_second") > 0
    assert 0 <= summary.pop("heard_as_asked") <= 1 and sum(summary.pop("failures").values()) == 1
    assert summary == {"clips": 40, "composed": 40, "complete": True}
    (how_far, *_) = [text for text in said.err.splitlines() if text.startswith("20 of 40 clips, ")]
    assert " a second, 0:" in how_far and how_far.endswith(" left")


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    generate: Generate, tmp_path: Path
) -> None:
    said = generate.job("out", "--dry-run", "--format", "mid,wav", table=TABLE)
    assert said.status == 3 and said.err.startswith("line 3: unknown emotion 'foo'")
    assert said.out == (
        "40 clips of 2 rows in 3 blocks of up to 16, 80 files in all; 1 rows cannot be used\n"
    )
    said = generate.job("out", "--dry-run", "--json", "--shard", "2/3", "--pack", "tar", "--resume")
    assert json.loads(said.out) == {"plan": {"clips": 8, "rows": 2, "bad_rows": 1, "blocks": 1,
                                             "block_size": 16, "files": 8}}  # fmt: skip
    assert list(tmp_path.iterdir()) == [generate.spec]
    assert generate.job("out", "--dry-run", table="emotion\njoy\n").status == 0
    said = generate.job("out", "--shard", "1/2")
    assert said.status == 0 and said.err.startswith("the job has no more than 1 parts: nothing is")
    assert generate.job("out", "--dry-run", table="emotion\n" + "foo\n" * 30).status == 1
    said = generate.job("none")
    told = said.err.splitlines()
    assert said.status == 2 and told[-1] == "Error: no row of the job can be used"
    assert told[0].startswith("line 2: ") and len(told) == 22
    assert told[20] == "and 10 more rows that cannot be used, all are in failures.jsonl"
    assert not (tmp_path / "none").exists()


def test_what_all_rows_share_may_be_said_once(generate: Generate) -> None:
    asked = ("--emotion", "joy", "--bars", 1, "--count", 2, "--set", "mode=0.1")
    said = generate.job("out", *asked, table="seed,emotion\n1,\n2,calm\n")
    assert said.status == 0
    assert [(c["emotion"], c["seed"], c["targets"]["mode"]) for c in generate.cards()] == [
        ("joy", 1, 0.1), ("joy", 1, 0.1), ("calm", 2, 0.1), ("calm", 2, 0.1),
    ]  # fmt: skip


def test_a_run_without_rows_can_be_stopped_and_gone_on_with_too(
    generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_17(composer: Composer, *arguments: Any, **more: Any) -> Iterator[Any]:
        yield from itertools.islice(composed(composer, *arguments, **more), 17)
        raise KeyboardInterrupt

    composed = Composer.compose_all
    asked = ("--emotion", "joy", "--bars", 1, "--count", 20)
    with monkeypatch.context() as patch:
        patch.setattr(Composer, "compose_all", stop_after_17)
        said = generate.run(*asked, out="out")
    assert said.status == 130 and "Traceback" not in said.err and len(generate.cards()) == 17
    assert "; 17 of 20 clips are there, the same with --resume goes on" in said.err
    said = generate.run(*asked, "--resume", out="out")
    assert said.status == 0 and len(said.out.splitlines()) == 4
    assert tree(generate(*asked)[0]) == tree(generate.folder / "out")


def test_a_clip_that_cannot_be_composed_is_told_and_does_not_stop_the_others(
    generate: Generate, odd: Path
) -> None:
    table = f"emotion,bars,vary,count\njoy,1,,2\ncalm,,{odd},\njoy,1,,\n"
    said = generate.job("out", "--json", table=table)
    assert said.status == 3 and len(generate.cards()) == 3
    failed = lines(said.out)[2]
    assert failed["number"] == 2 and failed["row"] == 3 and "5 quarter notes" in failed["reason"]
    assert generate.cards("failures.jsonl") == [failed]
    said = generate.job("none", table=f"emotion,vary\ncalm,{odd}\n")
    assert said.status == 1 and said.err.startswith("clip 0: music with 5 quarter notes")


def test_names_are_shown_on_one_line(generate: Generate) -> None:
    name = "jo\n\x1b[31my"
    settings = {"format": "emomusic settings 1", "seed": 1, "bars": 1,
                "emotion": {"valence": 0.5, "arousal": 0.5, "name": name}}  # fmt: skip
    said = generate.job("out", table=json.dumps(settings))
    assert said.status == 0, said.err
    assert len(said.out.splitlines()) == 1 and "\x1b" not in said.out
    assert generate.cards()[0]["emotion"] == name
