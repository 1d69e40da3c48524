"""Compose clips: emotion, targets, ids, score, card."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from symusic.core import NoteTick, NoteTickList, ScoreTick, TempoTick, TempoTickList

from emomusic.compose.best_of import Realness, best_of
from emomusic.compose.checkpoint import checkpoint_name, find_checkpoint, save_checkpoint
from emomusic.compose.clip import Clip as Clip
from emomusic.compose.directions import Response
from emomusic.compose.fields import Field, Kind
from emomusic.compose.parse import MAX_SEED, ClipSpec, number_specs
from emomusic.compose.plan import ClipPlan, mean_tempo, plan_clip
from emomusic.compose.primer import Primer, PrimerContext, read_primer
from emomusic.compose.request import TOUCH_TOP_P, VARY, Request
from emomusic.compose.steerer import Steerer, attribute_weights
from emomusic.compose.token_plan import (
    MAX_BAR_NOTES,
    clip_grammar,
    decode_bars,
    read_tables,
    to_script,
)
from emomusic.compose.token_plan import TABLES_NAME as TABLES_NAME
from emomusic.mapping import Mapper
from emomusic.model.checkpoint import CheckpointError
from emomusic.model.engine import Engine, EngineRow, Uniforms, open_engine
from emomusic.model.events import DURATION, SLOTS, VELOCITY
from emomusic.model.grammar import Segments
from emomusic.music.attributes import measure, passage_of
from emomusic.music.bars import Metre, in_quarters
from emomusic.music.chords import Chords, format_chords, shift_chords
from emomusic.music.key import TONIC_NAMES, key_correlations, parse_tonic, signature_of
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, parse_score
from emomusic.music.smf import continue_midi, infill_midi
from emomusic.music.tokenizer import HALVES, LOWEST_PITCH, STEPS_PER_BEAT, Tokenizer
from emomusic.performance.player import perform
from emomusic.verify.explain import hear_movement
from emomusic.verify.verifier import Verdict, Verifier

TOKENIZER_NAME = "tokenizer.json"
BATCH = 32  # Clips in hand at once, where nothing is said.
MIN_CONTEXT = 2 * MAX_BAR_NOTES
"""Room for the longest bar, what is given of it, and the clip's controls: so a bar always ends."""
PLAYED_STREAM = 2**32  # Number of the generator that plays: beyond all takes.
Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class PartialClip:
    """Hold a candidate of a clip while it is being written."""

    plan: ClipPlan  # what it is to become
    segments: Segments  # sampled ids of each whole bar, those left out that were given

    @property
    def all_segments(self) -> Segments:
        """Return those of gaps before this one, too."""
        return [*self.plan.earlier, *self.segments]

    @property
    def is_whole(self) -> bool:
        n_bars = self.plan.n_bars
        return len(self.segments) == min(self.plan.request.n_kept or n_bars, n_bars)


@dataclass(frozen=True)
class _Row:
    """Hold a clip that is to be written, or the next gap of one that has several."""

    order: int  # the clip's place among all
    spec: ClipSpec
    asked: Request | None = None  # what was asked for, where a gap is filled already
    earlier: Segments = field(default_factory=list)  # bars of the gaps that are
    chords: Chords = ()  # theirs

    def after(self, clip: Clip, written: Segments, chords: Chords) -> _Row | None:
        """Return what is left once a gap is filled, if anything."""
        asked, now = self.asked or self.spec.request, self.spec.request.given
        if now is None or not (rest := now.at.partition(", ")[2]):
            return None
        tonic = parse_tonic(clip.key.split()[0])
        given = Primer(clip.midi, now.use, tonic, now.grid, rest)
        request = replace(asked, given=given, take=asked.take + len(written))
        return _Row(self.order, replace(self.spec, request=request), asked, written, chords)


class Composer:
    """Compose with one checkpoint.

    Attributes:
        folder: The checkpoint.
        name: Its name.
        engine: What writes ids.
        tokenizer: Ids to scores.
        mapper: Emotions to targets.
        verifier: Scores to verdicts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        engine: str | Engine = "auto",
        steerer: Steerer | None = None,
    ) -> None:
        """Load a checkpoint.

        Args:
            folder: The checkpoint.
            threads: Of the engine, on the CPU.
            engine: Its name (`auto`, `int8`, `torch`, `cuda`), or one that holds the weights.
            steerer: What steers; None takes the checkpoint's.

        Raises:
            CheckpointError: If a part of it is missing or damaged, or does not fit the others.
            EngineError: If this machine does not have the engine.
        """
        self.folder, self.name = folder, checkpoint_name(folder)
        self.engine: Engine = (
            open_engine(folder, engine, threads=threads) if isinstance(engine, str) else engine
        )
        try:
            self.tokenizer = Tokenizer(folder / TOKENIZER_NAME)
            vocabulary, config = self.tokenizer.vocabulary, self.engine.config
            self.mapper, self.verifier = Mapper.load(folder), Verifier.load(folder)
            self._realness = Realness.load(folder)
            self._tables = read_tables(folder / TABLES_NAME, vocabulary)
            self._grammar = clip_grammar(vocabulary)
            weights = attribute_weights(self.mapper.telling())
            self._steerer = steerer or Steerer(
                self.tokenizer, Response.load(folder), weights=weights
            )
            if len(vocabulary) != config.vocab_size:
                raise ValueError("tokenizer and weights do not belong together")
            if config.context < MIN_CONTEXT:
                raise ValueError(
                    f"the context must be at least {MIN_CONTEXT}, got {config.context}"
                )
        except ValueError as error:
            raise CheckpointError(f"the checkpoint {folder} cannot be used: {error}") from error

        @lru_cache(maxsize=1)  # once for all requests in a row that have the same
        def read(given: Primer, tonic: int | None, metre: Metre | None) -> PrimerContext:
            def hear(notes: Notes) -> str:
                return self.verifier.verdict(notes).quadrant

            return read_primer(given, self.tokenizer, tonic=tonic, metre=metre, hear=hear)

        @lru_cache(maxsize=1)
        def hear_given(given: Primer) -> Verdict:
            return self.verifier.verdict(notes_of(given.score))

        self._read, self._hear_given = read, hear_given

    def compose(
        self,
        request: Request,
        *,
        seed: int,
        count: int = 1,
        start: int = 0,
        batch_size: int = BATCH,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose clips, in order, each as soon as it and those before it are done.

        Clip `i` of a seed is the same, byte for byte, whatever `start`, `count` and
        `batch_size` are.

        Args:
            request: What each clip is to be.
            seed: Of the run, at least 0.
            count: Clips.
            start: Number of the first one.
            batch_size: Candidates in hand at once.
            progress: Called with 1 for each clip that is done.

        Raises:
            ValueError: If one is of another kind or out of range.
        """
        ClipSpec(request)
        (count,) = _checked_run(count=count)
        each = repeat(request, count)
        return self.compose_each(
            each, seed=seed, start=start, batch_size=batch_size, progress=progress
        )

    def compose_each(
        self,
        requests: Iterable[Request],
        *,
        seed: int,
        start: int = 0,
        batch_size: int = BATCH,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose one clip for each request, which are taken as they are needed.

        Clip `i` is the same as `compose` makes it for its request; the other arguments are its,
        too, and so are the errors.
        """
        seed, start, batch_size = _checked_run(seed=seed, start=start, batch_size=batch_size)
        specs = number_specs(requests, seed, start)
        return self.compose_all(specs, batch_size=batch_size, progress=progress)

    def compose_all(
        self,
        specs: Iterable[ClipSpec],
        *,
        batch_size: int = BATCH,
        progress: Progress = lambda n_done: None,
    ) -> Iterator[Clip]:
        """Compose one clip for each spec, of whatever runs they are, as `compose_each`."""
        clips = self._write(specs, batch_size, by_segment=False, progress=progress)
        return cast(Iterator[Clip], clips)

    def stream(
        self, requests: Iterable[Request], *, seed: int, start: int = 0, batch_size: int = BATCH
    ) -> Generator[PartialClip | Clip, None, None]:
        """Compose the clips of `compose_each`, and tell of each bar as it is written.

        Close it to stop.

        Yields:
            A partial each time one has more bars, and each clip as soon as it is done.
        """
        seed, start, batch_size = _checked_run(seed=seed, start=start, batch_size=batch_size)
        return self._write(number_specs(requests, seed, start), batch_size, by_segment=True)

    def _write(
        self,
        specs: Iterable[ClipSpec],
        batch_size: int,
        *,
        by_segment: bool,
        progress: Progress = lambda n_done: None,
    ) -> Generator[PartialClip | Clip, None, None]:
        """Yield clips in order; by segment, partials too, and each clip as soon as it is done."""
        plans: dict[int, tuple[_Row, ClipPlan]] = {}
        candidates: dict[int, dict[int, tuple[Clip, PartialClip]]] = {}
        done: dict[int, Clip] = {}
        n_told = 0
        todo: Iterable[_Row] = (_Row(order, spec) for order, spec in enumerate(specs))
        while todo:
            rows, todo = self._rows(todo, plans), []
            for at, segments in self.engine.write(
                rows, self._grammar, at_once=batch_size, by_segment=by_segment
            ):
                row, plan = plans[at]
                partial = PartialClip(plan, segments)
                if by_segment:
                    yield partial
                if not partial.is_whole:
                    continue
                del plans[at]
                found = candidates.setdefault(row.order, {})
                found[plan.candidate] = self.settle(partial), partial
                if len(found) < plan.request.best_of:
                    continue
                del candidates[row.order]
                clip = best_of((each for each, _ in found.values()), self.verifier, self._realness)
                own = found[clip.candidate][1]
                if (then := row.after(clip, own.all_segments, self._chords(own))) is not None:
                    todo.append(then)
                    continue
                if row.asked is not None and row.asked.given is not None:
                    heard = self._hear_given(row.asked.given)
                    clip = replace(clip, request=row.asked, heard_given=heard)
                if by_segment:
                    yield clip
                    continue
                done[row.order] = clip
                progress(1)
                while n_told in done:
                    yield done.pop(n_told)
                    n_told += 1

    def _rows(
        self, todo: Iterable[_Row], plans: dict[int, tuple[_Row, ClipPlan]]
    ) -> Iterator[EngineRow]:
        """Return a row for each candidate, and note what it is; several threads may ask.

        Raises:
            ValueError: If the checkpoint was trained without an attribute that is asked for.
        """
        n_rows = 0
        for own in todo:
            spec, primer = own.spec, None
            request = spec.request
            self._tables.clip.check(request.fixed)
            self._tables.bar.check(request.per_bar)
            if request.given is not None:
                metre = request.time_signature and Metre.parse(request.time_signature)
                tonic = request.given.known_tonic(request.tonic)
                primer = self._read(request.given, tonic, metre or None)
            for candidate in range(request.candidate, request.candidate + request.best_of):
                plan = plan_clip(
                    request,
                    self.mapper,
                    seed=spec.seed,
                    index=spec.index,
                    candidate=candidate,
                    primer=primer,
                    forms=self._tables.forms,
                    earlier=own.earlier,
                    earlier_chords=own.chords,
                )
                row = self._row(plan)
                plans[n_rows] = own, plan
                n_rows += 1
                yield row

    def _row(self, plan: ClipPlan) -> EngineRow:
        request = plan.request
        script = to_script(
            plan.to_tokens(self._tables),
            self.tokenizer.vocabulary,
            self._grammar,
            context=self.engine.config.context,
        )
        top_p = [request.top_p] * len(SLOTS)
        top_p[VELOCITY] = top_p[DURATION] = TOUCH_TOP_P
        return EngineRow(
            script,
            Uniforms(plan.rng),
            temperature=request.temperature,
            top_p=tuple(top_p),
            guidance=request.guidance,
            n_guided=request.guided_bars,
            steer=self._steerer.steer(plan),
        )

    def score(self, partial: PartialClip) -> ScoreTick:
        """Return the score of what is there of a partial, of at least one bar: the music that was
        to be continued or filled, and what is written, as it is written."""
        plan, given = partial.plan, partial.plan.request.given
        written = in_quarters(self._written(partial), plan.metre)
        if given is None or given.use == VARY:
            return written
        new, key = self._new(partial, written), TONIC_NAMES[plan.tonic]
        return parse_score(self._joined(partial, given.written or given.midi, new, key))

    def _new(self, partial: PartialClip, written: ScoreTick) -> ScoreTick:
        """Return what is added to given music: of several gaps the last, less what is locked."""
        plan = partial.plan
        if not plan.request.fills:
            return written
        begin = len(plan.earlier) * plan.metre.beats * STEPS_PER_BEAT
        stay, new = self._locked(plan), written.copy()
        for track in new.tracks:
            track.notes = NoteTickList(
                [
                    NoteTick(note.time - begin, note.duration, note.pitch, note.velocity)
                    for note in track.notes
                    if note.time >= begin and (note.time, note.pitch) not in stay
                ]
            )
        return new

    def _joined(self, partial: PartialClip, given: bytes, added: ScoreTick, key: str) -> bytes:
        """Return given music with what was written after it, or in its gap, in a key."""
        plan, n_bars, primer = partial.plan, len(partial.segments), partial.plan.primer
        assert primer is not None
        chords, signature = self._chords(partial)[len(plan.earlier_chords) :], signature_of(key)
        if not plan.request.fills:
            return continue_midi(
                given,
                added,
                at=primer.end,
                n_beats=n_bars * plan.metre.quarters,
                signature=signature,
                chords=chords,
                begins_bars=primer.is_tracked,
                changes_key=plan.changes_key,
            )
        begins, ends = primer.gap[:, :n_bars]
        return infill_midi(
            given,
            added,
            bars=np.linspace(0.0, n_bars * plan.metre.quarters, n_bars + 1),
            lines=np.append(begins, ends[-1]),
            signature=signature,
            chords=chords,
            stay=primer.kept,
        )

    def _locked(self, plan: ClipPlan) -> set[tuple[int, int]]:
        """Return moment and pitch of the notes that stay of a gap, in steps, as they sound."""
        vocabulary, bar_steps = self.tokenizer.vocabulary, plan.metre.beats * STEPS_PER_BEAT
        position, pitch = (int(vocabulary.kind_ids(kind)[0]) for kind in ("Position", "Pitch"))
        bars = plan.primer.locked if plan.primer is not None else ()
        return {
            (at * bar_steps + note[0] - position, note[1] - pitch + LOWEST_PITCH + plan.shift)
            for at, bar in enumerate(bars, len(plan.earlier))
            for note in bar
        }

    def _written(self, partial: PartialClip) -> ScoreTick:
        """Return what is written, in beats of the metre; of all gaps one after another."""
        plan, segments = partial.plan, partial.all_segments
        beats, tempi = plan.metre.beats, plan.tempi[: len(partial.segments)]
        score = decode_bars(self.tokenizer, segments, beats_per_bar=beats, tempo=plan.tempo)
        if len(set(plan.tempi)) > 1:
            score.tempos = TempoTickList(
                [
                    TempoTick(bar * beats * STEPS_PER_BEAT, tempo)
                    for bar, tempo in enumerate(tempi)
                    if bar == 0 or tempo != tempi[bar - 1]
                ]
            )
        return score.shift_pitch(plan.shift)

    def _chords(self, partial: PartialClip) -> Chords:
        """Return the chords that each bar was written to, given ones or the network's own."""
        plan, segments = partial.plan, partial.segments
        if plan.chords:
            return (*plan.earlier_chords, *plan.chords[: len(segments)])
        first = [int(self.tokenizer.vocabulary.chord_ids(half)[0]) for half in HALVES]
        own = np.array([segment[:2] for segment in segments], np.int64) - first
        moved = shift_chords(own, plan.shift).tolist()
        return (*plan.earlier_chords, *((a, b) for a, b in moved))

    def _played(
        self, partial: PartialClip, written: ScoreTick, *, is_gap: bool = False
    ) -> ScoreTick:
        """Return what is written, in all bars or in one gap, as it is asked to be played."""
        plan, request = partial.plan, partial.plan.request
        if not request.performance or not any(track.notes for track in written.tracks):
            return written
        return perform(
            written,
            seed=(plan.seed, plan.index, plan.candidate, request.take, PLAYED_STREAM),
            emotion=request.emotion,
            depth=request.performance,
            chords=self._chords(partial)[len(plan.earlier_chords) if is_gap else 0 :],
        )

    def settle(self, partial: PartialClip) -> Clip:
        """Return a clip of what is there of a partial, of at least one bar, whole or stopped."""
        plan, n_written = partial.plan, len(partial.segments)
        request, written = plan.request, self._written(partial)
        notes, tempo = notes_of(written), mean_tempo(plan.tempi[:n_written])
        n_new = len(partial.all_segments)
        achieved = measure(passage_of(notes, n_beats=n_new * plan.metre.beats, tempo=tempo))
        is_major = plan.is_major if "mode" in plan.targets else achieved["mode"] >= 0
        if plan.chords:
            is_major = bool(np.subtract(*key_correlations(notes)[:, plan.tonic]) >= 0)
        if n_written < plan.n_bars and request.n_kept != n_written:  # only this one is there
            request = replace(request, n_kept=n_written, best_of=1, candidate=plan.candidate)
        written = in_quarters(written, plan.metre)
        played, sheet = self._played(partial, written), written if request.performance else None
        notes = notes_of(played)
        verdict = heard_new = self.verifier.verdict(notes)
        key = f"{TONIC_NAMES[plan.tonic]} {'major' if is_major else 'minor'}"
        joined = heard_given = moved = None
        if request.curve is not None:
            moved = hear_movement(
                notes,
                self.verifier,
                request.curve,
                trust=verdict.trust,
                n_bars=n_new,
                quarters_per_bar=plan.metre.quarters,
            )
        if plan.primer is not None and request.given is not None and request.given.use != VARY:
            given, new = request.given, self._new(partial, written)
            own = self._played(partial, new, is_gap=request.fills)
            joined = self._joined(partial, given.midi, own, key)
            if sheet or given.written:
                sheet = parse_score(self._joined(partial, given.written or given.midi, new, key))
            played = parse_score(joined)
            verdict = self.verifier.verdict(notes_of(played))
            heard_given = self._hear_given(request.given)
        return Clip(
            index=plan.index,
            seed=plan.seed,
            candidate=plan.candidate,
            request=request,
            score=played,
            n_bars=plan.n_given + n_new,
            n_given=plan.n_given,
            tempo=round(tempo * plan.metre.beat, 2),
            key=key,
            chords=format_chords(self._chords(partial)),
            targets=plan.targets,
            achieved=achieved,
            verdict=verdict,
            checkpoint=self.name,
            metre=plan.metre,
            taken_up={} if plan.primer is None else plan.primer.taken_up,
            joined=joined,
            written=sheet,
            moved=moved,
            heard_given=heard_given,
            heard_new=heard_given and heard_new,
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        threads: int = 1,
        engine: str = "auto",
    ) -> Self:
        """Load a checkpoint from a folder, from a model hub, or the default one.

        Args:
            name_or_folder: A folder, or `owner/name` on a hub; None takes the one that the
                environment's EMOMUSIC_CHECKPOINT names, or that comes with the package.
            revision: Branch, tag or commit on the hub.
            cache_dir: Where files from the hub are kept; None takes the hub's own cache.
            local_files_only: Take what was fetched before.
            token: For what is not public; None takes the one that is stored, if there is one.
            threads: CPU cores that it may use.
            engine: `auto`, `int8`, `torch` or `cuda`.

        Raises:
            CheckpointError: If it cannot be had from the hub, a file is not what its checksum
                says, or it is damaged.
            EngineError: If this machine does not have the engine.
            ValueError: If there is no such folder.
        """
        folder = find_checkpoint(
            name_or_folder,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
        )
        return cls(folder, threads=threads, engine=engine)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the checkpoint into a folder, with checksums, as `from_pretrained` takes it.

        Args:
            folder: Made if missing; it must hold no checkpoint.

        Returns:
            The folder.

        Raises:
            CheckpointError: If there is a checkpoint in it already.
            OSError: If it cannot be written; what was written is taken away then.
        """
        return save_checkpoint(self.folder, Path(folder))


def _checked_run(**values: Any) -> list[int]:
    """Return the numbers of a run as plain ones."""
    return [
        Field(Kind.WHOLE, name=name, bounds=(name in {"count", "batch_size"}, MAX_SEED)).read(value)
        for name, value in values.items()
    ]
