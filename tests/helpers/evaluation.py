"""What evaluations work on, made in code and small: judges, pieces, rows, labelled folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import symusic
from midi import clean_score, score_of, song
from synthetic import make_score

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.data.packing import pack
from emomusic.data.prepared import prepare_clean
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.accuracy import Panel
from emomusic.evaluation.control import Design
from emomusic.evaluation.judges import Classes, Judge
from emomusic.evaluation.quality import Piece
from emomusic.evaluation.rows import Matrix, Row
from emomusic.evaluation.run import Context, Extent, Settings
from emomusic.music.attributes import ATTRIBUTES
from emomusic.music.bars import Metre
from emomusic.music.key import TONIC_NAMES
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import write_score
from emomusic.training.rows import Rows
from emomusic.verify.calibration import AXES
from emomusic.verify.labels import LabelledClip, Part


def row(rows: Iterable[object], name: str, **by: str) -> Row:
    """Return the one row of a name whose `by` has what is wanted."""
    (found,) = (
        own for own in rows
        if isinstance(own, Row) and own.name == name and by.items() <= dict(own.by).items()
    )  # fmt: skip
    return found


class PitchJudge(Judge):
    """Hear Q1 in high and Q3 in low clips."""

    def columns(self, clips: Sequence[Notes]) -> Matrix:
        return np.array([[clip.pitch.mean()] for clip in clips])

    def fit_columns(self, columns: Matrix, y: Classes, weight: Matrix) -> Self:
        return self

    def judge_columns(self, columns: Matrix) -> Matrix:
        return np.where(columns > 60, [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1])


class SureJudge(PitchJudge):
    """Hear Q2 in everything, surer than the other."""

    def judge_columns(self, columns: Matrix) -> Matrix:
        return np.tile([0.0, 1.0, 0.0, 0.0], (len(columns), 1))


def clip_at(pitch: int) -> Notes:
    one = np.array([0.0])
    return make_notes(one, one + 1, np.array([pitch]), np.array([64]))


def labelled(n: int, part: Part) -> list[LabelledClip]:
    """Return labelled clips whose files are not there, n of each quadrant."""
    return [
        LabelledClip(
            Path("data") / "emotion" / f"{part}_{q}_{i}.mid", "game", f"{part} {q} {i}", q,
            None, None, part,
        )
        for q in QUADRANTS
        for i in range(n)
    ]  # fmt: skip


Note = tuple[float, float, int, int]


def piece_of(notes: list[Note], *, n_bars: int, group: str = "a") -> Piece:
    """Return a piece of notes given as (onset, duration, pitch, velocity), in beats."""
    onset, duration, pitch, velocity = (np.array(column) for column in zip(*notes, strict=True))
    own = make_notes(onset.astype(float), duration.astype(float), pitch, velocity, tempo=120.0)
    return Piece(own, group, n_bars)


def walks(
    n: int,
    *,
    seed: int,
    centre: int = 66,
    velocity: int = 60,
    gap: float = 0.5,
    same: bool = False,
    per_song: int = 1,
) -> list[Piece]:
    """Return n melodies of eight bars that wander about a pitch, `centre`, over a bass.

    Each has its own beats between notes, `gap` to three times as long; `same` makes all the same
    piece but for one velocity; so many in a row are of one song.
    """
    rng, pieces = np.random.default_rng(seed), []
    for index in range(n):
        own = np.random.default_rng(seed) if same else rng
        step = gap * float(own.integers(1, 4))
        home, loud = centre + int(own.integers(-6, 7)), velocity + int(own.integers(-15, 16))
        notes: list[Note] = [
            (at * step, step, home + int(own.integers(-7, 8)), loud + int(own.integers(-8, 9)))
            for at in range(int(32 / step))
        ]
        notes += [(4.0 * bar, 4.0, home - 20 + int(own.integers(0, 8)), loud) for bar in range(8)]
        notes[0] = (*notes[0][:3], notes[0][3] + index % 3)
        pieces.append(piece_of(notes, n_bars=8, group=f"{seed}/{index // per_song}"))
    return pieces


def with_quadrants(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces with the four quadrants in turn."""
    return [replace(piece, quadrant=QUADRANTS[i % 4]) for i, piece in enumerate(pieces)]


N_SONGS = 40
"""Of each source."""


def write_clip(path: Path, quadrant: str, rng: np.random.Generator, *, seconds: float) -> None:
    """Write a clip: thirds tell valence, gaps arousal."""
    third = 4 if quadrant in ("Q1", "Q4") else 3
    gap = 0.5 if quadrant in ("Q1", "Q2") else 1.5  # beats, two a second
    pitch = 60 + rng.choice([0, third, 7, -12], int(2 * seconds / gap))
    notes = [(k * gap, gap, int(p), int(rng.integers(40, 90))) for k, p in enumerate(pitch)]
    write_score(score_of(notes, tempo=120.0), path)


def write_folder(folder: Path) -> None:
    """Write clips, labels.csv and listeners' curves: EMOPIA, and VGMIDI with values."""
    rng, lines, curves = np.random.default_rng(0), ["path,source,song,quadrant,valence,arousal"], {}
    for source in ("emopia", "vgmidi"):
        for k in range(N_SONGS):
            quadrant, name = f"Q{k % 4 + 1}", f"{source}{k}.mid"
            write_clip(folder / name, quadrant, rng, seconds=10.0)
            valence, arousal = 0.2 * (1 if k % 4 in (0, 3) else -1), 0.2 * (1 if k % 4 < 2 else -1)
            told = f"{valence},{arousal}" if source == "vgmidi" else ","
            lines.append(f"{name},{source},{k},{quadrant},{told}")
            if source == "vgmidi":
                axes = {axis: [value + 0.01 * bar for bar in range(20)]
                        for axis, value in zip(AXES, (valence, arousal), strict=True)}  # fmt: skip
                spreads = {"valence_std": [0.2] * 20, "arousal_std": [0.3] * 20}
                curves[name] = {"duration_s": 10.0, **axes, **spreads}
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "vgmidi_curves.json").write_text(json.dumps(curves))


def answer_requests(requests: Sequence[Request], *, obeys: bool) -> list[Clip]:
    """Answer with clips made in code, a note a bar: as asked, or as if nothing had been asked."""
    rng, clips = np.random.default_rng(0), []
    for index, request in enumerate(requests):
        score, track = symusic.Score(480), symusic.Track("piano")
        achieved = {a.name: float(rng.uniform(a.low, a.high)) for a in ATTRIBUTES}
        if obeys:
            achieved |= request.fixed
        for bar in range(request.n_bars or 0):
            asked = {"register": rng.uniform(40, 80), "velocity_mean": rng.uniform(30, 99)}
            if obeys:
                asked |= {name: values[bar] for name, values in request.per_bar.items()}
            pitch, velocity = round(asked["register"]), round(asked["velocity_mean"])
            track.notes.append(symusic.Note(bar * 4 * 480, 480, pitch, velocity))
        score.tracks.append(track)
        clips.append(Clip(
            index=index, seed=0, candidate=0, request=request, score=score,
            n_bars=request.n_bars or 0, n_given=0, tempo=120.0, targets=request.fixed,
            achieved=achieved, key=f"{TONIC_NAMES[index % 12]} minor",
            verdict=None, checkpoint="made", chords="", metre=Metre(),
        ))  # fmt: skip
    return clips


TINY = Extent(
    n_levels=2, n_clips=1, n_over_chords=1,
    design=Design(
        attributes=("tempo", "register", "mode"), bar_attributes=("register",), n_levels=2,
        n_each=1, n_bar_clips=2,
    ),
    max_events=100, n_windows=1,
)  # fmt: skip
SETTINGS = Settings(count=2, bars=5, seed=3, quick=True)


@cache
def some_rows() -> Rows:
    """Return songs of pop piano, of 20 bars; the first of either source held back."""
    names = [
        *((f"emopia/{quadrant}_{quadrant}_0.mid", "emopia") for quadrant in QUADRANTS),
        *((f"pop1k7/{i}.mid", "pop1k7") for i in range(4)),
    ]
    prepared = [
        prepare_clean(clean_score(song(seed, n_bars=20), performed=False), name, source)
        for seed, (name, source) in enumerate(names)
    ]
    return replace(pack(prepared, []), song_is_validation=np.arange(8) % 4 == 0)


def some_panel(folder: Path) -> Panel:
    """Return two judges, clips of a note each that they seem to have heard, and real clips.

    Of these there is one of each quadrant, of notes high in Q1 only.
    """
    own = labelled(4, "judge")
    notes = [clip_at(40 + 10 * QUADRANTS.index(clip.quadrant)) for clip in own]
    folder.mkdir(parents=True, exist_ok=True)
    real = []
    for quadrant in QUADRANTS:
        path = folder / f"{quadrant}.mid"
        write_score(make_score([72 if quadrant == "Q1" else 48] * 4), path)
        real.append(LabelledClip(path, "emopia", quadrant, quadrant, None, None, "mapper"))
    return Panel({"pitch": PitchJudge(), "sure": SureJudge()}, [*own, *real], notes)


def make_context(
    checkpoint: Path, out: Path, *, settings: Settings = SETTINGS, with_rows: bool = True
) -> Context:
    """Return what a small evaluation works on; its folder is made."""
    out.mkdir(parents=True, exist_ok=True)
    rows_path = out / "rows.npz" if with_rows else None
    if rows_path is not None and not rows_path.is_file():
        some_rows().save(rows_path)
    context = Context(
        Composer(checkpoint), checkpoint, out, out, rows_path=rows_path, settings=settings
    )
    context.panel = some_panel(out / "labelled")
    return context
