"""Measure whether clips of any system are built like real ones and what judges hear in them.

    check_structure.py cut SOURCE --corpus emopia --out real
    check_structure.py hear SOURCE --composed clips [--composed others] [--checkpoint CHECKPOINT]
    check_structure.py tell --composed clips --real real [--other real-of-another-corpus]

Folders are read with all below them; `Q1` to `Q4` at the beginning of a folder's or file's name
says the quadrant. Clips of EMOPIA (`Q1_SONG_0.mid`) count as those of one song, others each as
its own, and a continuation keeps the name of what it goes on from.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from symusic.core import ScoreTick, TempoTick, TempoTickList

from emomusic.compose.checkpoint import find_checkpoint
from emomusic.data.clean import SkippedError, Song
from emomusic.data.sources import CorpusFile, corpus_files, read_song, track_song
from emomusic.data.split import EMOPIA_CLIP
from emomusic.evaluation.accuracy import classes_of, listen, make_panel, right_rows
from emomusic.evaluation.quality import Piece
from emomusic.evaluation.render import table
from emomusic.evaluation.rows import Row, chosen
from emomusic.evaluation.structure import TABLES, Measured, alone_rows, rate_rows, tell_apart
from emomusic.mapping import Mapper
from emomusic.music.notes import make_notes
from emomusic.music.score import ScoreError, notes_of, read_score, tempo_of, write_score
from emomusic.music.tokenizer import STEPS_PER_BEAT
from emomusic.verify.labels import read_labels

BEATS = 4
LONGEST_BEATS = 8.0
"""What tokens can say; a longer note counts as this long."""
QUADRANT = re.compile(r"(?:^|/)(Q[1-4])(?=[_/])")


def read_pieces(folder: Path, *, first: int, n_bars: int) -> list[Piece]:
    """Read bars of the MIDI files below a folder; files without a note there are left out."""
    found = []
    for path in sorted(folder.rglob("*.mid")):
        name = path.relative_to(folder).as_posix()
        score = read_score(path)
        notes, tempo, begin = notes_of(score), tempo_of(score), float(first * BEATS)
        # Half a sixteenth before a bar line is meant to be on it.
        inside = (notes.onset >= begin - 0.125) & (notes.onset < begin + n_bars * BEATS - 0.125)
        if not inside.any():
            print(f"{path} has no notes in these bars", file=sys.stderr)
            continue
        own = notes.where(inside)
        onset = np.maximum(own.onset - begin, 0.0)
        length = np.minimum(own.duration, LONGEST_BEATS)
        moved = make_notes(onset, length, own.pitch, own.velocity, tempo=tempo)
        song, quadrant = EMOPIA_CLIP.search(name), QUADRANT.search(name)
        group = song[1] if song else f"{folder.name}/{name}"
        found.append(Piece(moved, group, n_bars, quadrant[1] if quadrant else None))
    return found


def songs_of(source: Path, corpus: str, part: str | None) -> Iterator[tuple[str, Song]]:
    """Yield name and cleaned song of a corpus, those that can be cleaned."""
    if corpus == "emopia":
        labelled = [clip for clip in read_labels(source) if clip.source == corpus]
        files = [
            CorpusFile(clip.path, clip.path.name, corpus, "none")
            for clip in labelled
            if part in (None, clip.part)
        ]
    else:
        files = [file for file in corpus_files(source) if file.source == corpus]
    for file in files:
        try:
            if file.grid == "none":
                yield file.name, track_song(notes_of(read_score(file.path)))
            else:
                yield file.name, read_song(file)
        except (ScoreError, SkippedError):
            continue


def window_of(song: Song, n_bars: int, rng: np.random.Generator) -> ScoreTick | None:
    """Cut bars of 4/4 without an empty one; a song's first and last bar only if they are needed."""
    spare = len(song.bar_beats) - n_bars
    if spare < 0 or (song.bar_beats != BEATS).any():
        return None
    first = int(rng.integers(1, spare)) if spare > 1 else spare
    bar = BEATS * STEPS_PER_BEAT
    score = song.score.clip(first * bar, (first + n_bars) * bar, clip_end=False)
    score = score.shift_time(-first * bar)
    if len(np.unique(notes_of(score).onset // BEATS)) < n_bars:
        return None
    seconds = float(song.bar_s[first + n_bars] - song.bar_s[first])
    score.tempos = TempoTickList([TempoTick(0, qpm=60.0 * BEATS * n_bars / seconds)])
    return score


def cut(args: argparse.Namespace) -> None:
    """Write windows of real songs, one of each."""
    args.out.mkdir(parents=True, exist_ok=True)
    rng, n_written = np.random.default_rng(args.seed), 0
    songs = list(songs_of(args.source, args.corpus, args.part))
    for at in rng.permutation(len(songs)) if args.count else range(len(songs)):
        name, song = songs[at]
        window = window_of(song, args.bars, rng)
        if window is not None and (args.count is None or n_written < args.count):
            write_score(window, args.out / f"{Path(name).stem}.mid")
            n_written += 1
    print(f"{n_written} clips of {args.bars} bars in {args.out}")


def tell(args: argparse.Namespace) -> None:
    """Measure folders and print tables, and write the rows as JSON where it is asked for."""
    folders = {"composed": args.composed, "real": args.real, "other": args.other}
    kinds = {
        name: Measured.of(read_pieces(folder, first=args.first, n_bars=args.bars))
        for name, folder in folders.items()
        if folder is not None
    }
    composed, real = kinds["composed"], kinds["real"]
    others = {name: own for name, own in kinds.items() if name == "other"}
    told = list(tell_apart(composed, real, others))
    if others and args.controls:
        told += tell_apart(others["other"], real, name="other, learnt")
    print(", ".join(f"{len(own.pieces)} {name}" for name, own in kinds.items()) + "\n")
    found = [*told, *rate_rows(kinds), *alone_rows(composed, real)]
    for own in TABLES:
        print(table(chosen(found, own.names, own.where), across=own.across, most=own.most) + "\n")
    if args.json:
        plain = [row.to_dict() for row in found]
        args.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def hear(args: argparse.Namespace) -> None:
    """Print how many clips of each folder the judges hear in the quadrant of their name."""
    panel = make_panel(Mapper.load(find_checkpoint(args.checkpoint)), args.source)
    found: list[Row] = []
    for folder in args.composed:
        pieces = [
            piece for piece in read_pieces(folder, first=0, n_bars=args.bars) if piece.quadrant
        ]
        truth = classes_of([str(piece.quadrant) for piece in pieces])
        heard = listen(panel.judges, [piece.notes for piece in pieces])
        for judge, probabilities in heard.items():
            classes = probabilities.argmax(axis=1)
            found += right_rows(truth, classes, name="heard right", clips=folder.name, judge=judge)
    print(table(chosen(found, ("heard right",), {}), across="of"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, and cut or measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    cutting = commands.add_parser("cut", help="cut windows of whole bars out of real songs")
    cutting.add_argument("source", type=Path, help="folder with emotion/labels.csv or corpus/")
    cutting.add_argument("--corpus", default="emopia", help="its name in the labels or the index")
    cutting.add_argument("--part", choices=("mapper", "judge"), help="of EMOPIA's songs")
    cutting.add_argument("--bars", type=int, default=16)
    cutting.add_argument("--count", type=int, help="clips at most, drawn; else all")
    cutting.add_argument("--seed", type=int, default=0)
    cutting.add_argument("--out", type=Path, required=True)
    cutting.set_defaults(run=cut)
    telling = commands.add_parser("tell", help="tell composed clips from real ones")
    telling.add_argument("--composed", type=Path, required=True)
    telling.add_argument("--real", type=Path, required=True)
    telling.add_argument("--other", type=Path, help="real clips of another corpus")
    telling.add_argument("--controls", action="store_true", help="tell these from the real, too")
    telling.add_argument("--first", type=int, default=0, help="bar to begin with")
    telling.add_argument("--bars", type=int, default=16)
    telling.add_argument("--json", type=Path, help="file to write all rows to")
    telling.set_defaults(run=tell)
    hearing = commands.add_parser("hear", help="hear clips by judges that select nothing")
    hearing.add_argument("source", type=Path, help="folder with emotion/labels.csv")
    hearing.add_argument("--composed", type=Path, action="append", required=True)
    hearing.add_argument(
        "--checkpoint", type=Path, help="whose mapper's songs no judge learns from"
    )
    hearing.add_argument("--bars", type=int, default=16)
    hearing.set_defaults(run=hear)
    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
