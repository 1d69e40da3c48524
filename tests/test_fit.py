from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.verifier import MAJOR, MINOR
from synthetic import make_response, make_score

from emomusic.compose.directions import LEVERS, Response
from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS, Emotion
from emomusic.fit import (
    Excerpt,
    fit_checkpoint,
    fit_mapper,
    fit_realness,
    fit_separation,
    has_model,
    measure_clips,
    measure_response,
)
from emomusic.mapping import Mapper
from emomusic.model.checkpoint import CheckpointError
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import notes_of, read_score, write_score
from emomusic.verify.labels import LabelError, read_labels
from emomusic.verify.verifier import Verifier

COLUMNS = "path,source,song,quadrant,split,valence,arousal\n"


def pitches(quadrant: str, rng: np.random.Generator) -> list[int]:
    """Return a walk through a scale that begins and ends on the tonic: 8 bars of 4/4."""
    scale = MAJOR if quadrant in ("Q1", "Q4") else MINOR
    n = 64 if quadrant in ("Q1", "Q2") else 32
    steps = np.clip(np.cumsum(rng.integers(-2, 3, n)), -6, 12)
    steps[:3], steps[-3:] = (0, 2, 4), (4, 2, 0)
    return [60 + 12 * int(s // 7) + scale[int(s % 7)] for s in steps]


def write_folder(folder: Path, n: int) -> Path:
    """Write labelled clips, as many of each quadrant; every fourth was rated by listeners."""
    rng = np.random.default_rng(0)
    lines = []
    (folder / "emotion" / "clips").mkdir(parents=True, exist_ok=True)
    for i in range(n):
        quadrant, name = QUADRANTS[i % 4], f"clips/{i:03d}.mid"
        gap = 240 if quadrant in ("Q1", "Q2") else 480
        score = make_score(pitches(quadrant, rng), gap=gap, tempo=100.0, velocity=64 + i % 20)
        write_score(score, folder / "emotion" / name)
        v, a = QUADRANT_CENTRES[quadrant]
        rated = f"{v / 2},{a / 2}" if i // 4 % 4 == 0 else ","
        lines.append(f"{name},vgmidi,song {i},{quadrant},train,{rated}\n")
    (folder / "emotion" / "labels.csv").write_text(COLUMNS + "".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("labelled"), 136)


def test_clips_are_measured_as_tokens_can_say_them_and_counted(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = write_folder(tmp_path, 8)
    (folder / "emotion" / "clips" / "003.mid").write_bytes(b"")
    clips = read_labels(folder)
    measured = measure_clips(clips, progress=lambda done, total: told.append((done, total)))
    assert list(measured.clips) == clips[:3] + clips[4:]
    assert measured.skipped == {"the file is empty": 1}
    assert told[0] == (0, 8) and told[-1] == (8, 8)
    assert measured.values.shape == (7, len(ATTRIBUTE_NAMES))
    column = dict(zip(ATTRIBUTE_NAMES, measured.values.T, strict=True))
    assert column["note_density"].tolist() == [2, 2, 1, 2, 2, 1, 1]
    assert column["tempo"] == pytest.approx(100.0, abs=0.1)
    assert np.sign(column["mode"]).tolist() == [1, -1, -1, 1, -1, -1, 1]


def test_mapper_and_verifier_are_written_into_a_checkpoint(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "checkpoint"
    told, excerpts = fit_checkpoint(source, out, all_songs=True)
    assert {excerpt.n_bars for excerpt in excerpts} == {8} and len(excerpts) == 136
    assert told.startswith("mapper: 136 clips (Q1 34, Q2 34, Q3 34, Q4 34), ")
    assert told.endswith("skipped: none\nverifier: 136 clips")
    assert sorted(path.name for path in out.iterdir()) == ["mapper.json", "verifier.safetensors"]
    verifier = Verifier.load(out)
    clips = read_labels(source)[:24]
    heard = [verifier.verdict(notes_of(read_score(clip.path))).quadrant for clip in clips]
    assert np.mean([h == c.quadrant for h, c in zip(heard, clips, strict=True)]) > 0.8
    mapper = Mapper.load(out)
    assert mapper.about["songs"] == "all" and mapper.about["n_songs"] == 136
    fast, slow = (
        mapper.targets(Emotion(0.6, a), np.random.default_rng(0), diversity=0) for a in (0.6, -0.6)
    )
    assert fast["note_density"] > slow["note_density"] + 0.5
    # A clip that nobody rated lies at its quadrant's centre, the others half way to it.
    mapper = fit_mapper(measure_clips(read_labels(source)[:80]), about="these", n_prototypes=2)
    for prototype in mapper.prototypes:
        v, a = QUADRANT_CENTRES[prototype.quadrant]
        assert 0.5 * abs(v) <= abs(prototype.valence) <= abs(v)
        assert np.sign(prototype.arousal) == np.sign(a)


def test_what_cannot_be_fitted_writes_nothing(source: Path, tmp_path: Path) -> None:
    # Half of the songs is the judges'; the other half is too small.
    with pytest.raises(ValueError, match=r"Q[1-4] needs at least 30 labelled clips, got"):
        fit_checkpoint(source, tmp_path / "out")
    with pytest.raises(LabelError, match="cannot read"):
        fit_checkpoint(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def excerpt(seed: int, *, repeats: bool) -> Excerpt:
    """Return eight bars of a figure that comes again, or of notes at random."""
    bars = np.random.default_rng(seed).choice([0, 2, 4, 5, 7, 9, 11], (8, 8))
    bars = np.tile(bars[:2], (4, 1)) if repeats else bars
    return Excerpt(notes_of(make_score((60 + bars).ravel().tolist(), gap=240)), 8)


def test_realness_tells_apart_what_it_was_fitted_on(tiny_checkpoint: Path) -> None:
    real, composed = ([excerpt(i, repeats=r) for i in range(40)] for r in (True, False))
    how, fitted = {"n_beats": 32.0, "beats_per_bar": 4}, fit_separation(real[:30], composed[:30])
    assert min(fitted.of(e.notes, **how) for e in real[30:]) > 0.5
    assert max(fitted.of(e.notes, **how) for e in composed[30:]) < 0.5
    assert fitted.weight["notes_return"] > 0
    # On clips that a checkpoint composed.
    told: list[int] = []
    fitted = fit_realness(tiny_checkpoint, real[:6], n_clips=4, threads=1, progress=told.append)
    assert sum(told) == 4
    assert fitted.of(real[0].notes, **how) > 0.5
    with pytest.raises(ValueError, match="realness needs labelled clips of at least 8 bars"):
        fit_realness(tiny_checkpoint, [], n_clips=4, threads=1)


def responded(checkpoint: Path, **settings: int) -> Response:
    return measure_response(checkpoint, **{"n_clips": 5, "threads": 1, **settings})


def test_one_seed_is_one_response_whatever_steering_is_there(
    own_checkpoint: Path, tmp_path: Path
) -> None:
    response, n = responded(own_checkpoint), len(ATTRIBUTE_NAMES)

    def is_same(**settings: int) -> bool:
        other = vars(responded(own_checkpoint, **settings))
        return all(np.array_equal(table, other[name]) for name, table in vars(response).items())

    assert response.pulled.shape == (n, len(LEVERS)) and response.asked.shape == (n, n)
    np.testing.assert_array_equal(response.scale, Mapper.load(own_checkpoint).spread())
    response.save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded is not None
    np.testing.assert_allclose(loaded.pulled, response.pulled, atol=1e-4)
    assert not is_same(seed=2)
    make_response().save(own_checkpoint)
    assert is_same(threads=2)
    (own_checkpoint / "steering.json").write_text("{", encoding="utf-8")
    assert is_same()


def test_levers_that_work_are_found(tiny_checkpoint: Path) -> None:
    response = responded(tiny_checkpoint, n_clips=80)
    pulled = dict(zip(ATTRIBUTE_NAMES, response.pulled, strict=True))
    for name, lever in (("register", "higher"), ("velocity_mean", "louder")):
        assert pulled[name][LEVERS.index(lever)] > 0
    assert (abs(pulled["tempo"]) < 0.1).all()  # it is given


def test_a_folder_without_what_composes_has_no_model(own_checkpoint: Path) -> None:
    for name in ("mapper.json", "verifier.safetensors"):
        (own_checkpoint / name).unlink()
    assert has_model(own_checkpoint)
    with pytest.raises(CheckpointError, match=r"mapper\.json"):
        responded(own_checkpoint)
    for name in ("config.json", "tokenizer.json", "tables.json"):
        part = own_checkpoint / name
        whole = part.read_bytes()
        part.unlink()
        assert not has_model(own_checkpoint)
        for damage in (None, b"", b"{}"):
            if damage is not None:
                part.write_bytes(damage)
            with pytest.raises(CheckpointError) as caught:
                responded(own_checkpoint)
            assert "\n" not in str(caught.value)
        part.write_bytes(whole)
