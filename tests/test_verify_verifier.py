from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.features import FEATURES, feature_matrix
from emomusic.verify.fitting import calibrate, weights_of
from emomusic.verify.labels import LabelledClip
from emomusic.verify.members import Kernel, Linear, Trees, tempered
from emomusic.verify.store import VerifierError
from emomusic.verify.verifier import Verifier

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)


def clip(quadrant: str, seed: int) -> Notes:
    """Return a random walk over tonic triads: fast where aroused, major where pleasant."""
    rng = np.random.default_rng(seed)
    scale = np.array(MAJOR if quadrant in ("Q1", "Q4") else MINOR)
    gap = 0.25 if quadrant in ("Q1", "Q2") else 1.0
    tonic = 60 + rng.integers(-3, 4)
    steps = np.clip(np.cumsum(rng.integers(-2, 3, 40)), -7, 14)
    melody = tonic + 12 * (steps // 7) + scale[steps % 7]
    triads = tonic - 12 + scale[np.tile([0, 2, 4], 10)]
    onset = np.concatenate([gap * np.arange(40), np.repeat(4 * gap * np.arange(10), 3)])
    n = len(onset)
    return make_notes(
        onset,
        np.concatenate([np.full(40, gap), np.full(30, 4 * gap)]),
        np.concatenate([melody, triads]),
        rng.integers(70, 100, n) if gap < 1.0 else rng.integers(30, 60, n),
        tempo=60.0,
    )


LABELS = [quadrant for quadrant in QUADRANTS for _ in range(10)]
CLIPS = [clip(quadrant, seed) for seed, quadrant in enumerate(LABELS)]
X = feature_matrix(CLIPS)
SIGN = {"Q1": (1, 1), "Q2": (-1, 1), "Q3": (-1, -1), "Q4": (1, -1)}
VALUES = np.array([SIGN[quadrant] for quadrant in LABELS]) * 0.4
SONGS = [str(seed) for seed in range(len(LABELS))]


def fitted(seed: int = 0, **parameters: Any) -> Verifier:
    verifier = Verifier(n_trees=8, min_leaf=2, n_folds=4, seed=seed, **parameters)
    return verifier.fit(X, LABELS, VALUES[:, 0], VALUES[:, 1], SONGS)


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return fitted()


@pytest.fixture
def saved(verifier: Verifier, tmp_path: Path) -> Path:
    return verifier.save(tmp_path)


def test_new_clips_are_heard_rightly(verifier: Verifier) -> None:
    verdicts = verifier.verdicts([clip(q, seed) for seed in range(100, 105) for q in QUADRANTS])
    right = [verdict.quadrant == q for verdict, q in zip(verdicts, QUADRANTS * 5, strict=True)]
    assert np.mean(right) >= 0.8


def test_verdict_is_consistent(verifier: Verifier) -> None:
    for verdict in verifier.verdicts(CLIPS[::5]):
        assert sum(verdict.probabilities.values()) == pytest.approx(1.0)
        assert verdict.quadrant == max(verdict.probabilities, key=verdict.probabilities.__getitem__)
        p = verdict.probabilities
        assert (verdict.valence > 0) == (p["Q1"] + p["Q4"] > 0.5)
        assert (verdict.arousal > 0) == (p["Q1"] + p["Q2"] > 0.5)
        assert -1.0 <= verdict.valence <= 1.0


def test_one_clip_and_many_are_heard_alike(verifier: Verifier) -> None:
    assert verifier.verdicts(CLIPS[:7])[3] == verifier.verdict(CLIPS[3])
    assert verifier.verdicts([]) == []


def test_level_of_a_flat_velocity_is_not_heard(verifier: Verifier) -> None:
    def at(velocity: int) -> Notes:
        return replace(CLIPS[0], velocity=np.full_like(CLIPS[0].velocity, velocity))

    assert verifier.verdict(at(20)) == verifier.verdict(at(120))
    assert verifier.verdict(at(64)) != verifier.verdict(CLIPS[0])


def test_saved_verifier_says_the_same(verifier: Verifier, saved: Path) -> None:
    assert saved.name == "verifier.safetensors"
    for path in (saved, saved.parent):
        loaded = Verifier.load(path)
        assert loaded.verdicts(CLIPS[:4]) == verifier.verdicts(CLIPS[:4])
        assert loaded.parameters == verifier.parameters


def test_same_seed_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = fitted().save(tmp_path / "again.safetensors")
    other = fitted(seed=1).save(tmp_path / "other.safetensors")
    assert again.read_bytes() == saved.read_bytes() != other.read_bytes()


def test_loading_and_predicting_need_no_scikit_learn(saved: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from emomusic.music.notes import make_notes\n"
        "from emomusic.verify.verifier import Verifier\n"
        "notes = make_notes(np.arange(4.0), np.ones(4), np.arange(60, 64), np.arange(60, 64))\n"
        "Verifier.load(sys.argv[1]).verdict(notes)\n"
        "print(sorted({'sklearn', 'torch', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_numpy_predicts_what_scikit_learn_predicts() -> None:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y, weight = np.arange(120) % 4, rng.uniform(0.5, 2.0, 120)
    Z = rng.normal(size=(120, 6)).astype(np.float32).astype(np.float64)
    Z[:, 0] += y
    new = rng.normal(size=(200, 6)).astype(np.float32).astype(np.float64)

    trees = ExtraTreesClassifier(9, min_samples_leaf=3, max_features=0.3, random_state=5)
    own: Any = Trees.fit(Z, y, weight, n_trees=9, min_leaf=3, seed=5)
    assert np.abs(own.probabilities(new) - trees.fit(Z, y, weight).predict_proba(new)).max() < 1e-6
    own.check(6)

    linear = LogisticRegression(C=0.1, max_iter=1000).fit(Z, y, weight)
    own = Linear.fit(Z, y, weight, C=0.1)
    assert np.abs(own.probabilities(new) - linear.predict_proba(new)).max() < 1e-6

    targets = np.where(y[:, None] == np.arange(4), 4.5, -1.5)
    ridge = KernelRidge(alpha=2.0, kernel="rbf", gamma=0.1).fit(Z, targets, weight).predict(new)
    own = Kernel.fit(Z, y, weight, ridge=2.0, gamma=0.1)
    powers = np.exp(ridge)
    assert np.abs(own.probabilities(new) - powers / powers.sum(axis=1)[:, None]).max() < 1e-6


def test_temperature_and_slopes_are_calibrated() -> None:
    rng = np.random.default_rng(1)
    truth = rng.dirichlet(np.ones(4), 4000)
    y = np.array([rng.choice(4, p=row) for row in truth])
    odds = np.log((truth[:, 0] + truth[:, 3]) / (truth[:, 1] + truth[:, 2]))
    nobody = np.full(4000, np.nan)
    temperature, slopes = calibrate(tempered(truth, 2.0), y, 0.1 * odds, nobody, np.ones(4000))
    assert temperature == pytest.approx(0.5, rel=0.1)
    assert slopes[0] == pytest.approx(0.1, rel=0.1)
    assert slopes[1] == 0.2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": X[:, :-1]}, "X must be finite, shape"),
        ({"X": X * np.nan}, "X must be finite, shape"),
        ({"quadrant": LABELS[:-1]}, "equally long"),
        ({"quadrant": ["Q1"] * len(LABELS)}, "each of Q1 to Q4"),
        ({"quadrant": [*LABELS[:-1], "Q7"]}, "Q7"),
        ({"groups": ["one"] * len(LABELS)}, "at least 4 songs for 4 folds, got 1"),
        ({"groups": LABELS}, "more songs than one fold takes"),
    ],
)
def test_wrong_training_data_are_refused(change: dict[str, Any], words: str) -> None:
    data = {
        "X": X,
        "quadrant": LABELS,
        "valence": VALUES[:, 0],
        "arousal": VALUES[:, 1],
        "groups": SONGS,
    }
    with pytest.raises(ValueError, match=words):
        Verifier(n_trees=2, n_folds=4).fit(**{**data, **change})


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change the arrays and the description of a saved verifier."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        description = json.loads(file.metadata()["verifier"])
    arrays = load_file(path)
    change(arrays, description)
    save_file(arrays, path, metadata={"verifier": json.dumps(description)})


def put(name: str, index: Any, value: float) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda arrays, _: arrays[name].__setitem__(index, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("mean", 0, np.nan), "mean holds numbers that are not finite"),
        (put("scale", 0, 0.0), "scale must be above 0"),
        (put("temperature", 0, -1.0), "temperature must be above 0"),
        (put("trees.value", 0, -1.0), "trees.value must not be below 0"),
        (put("trees.root", 0, 10**6), "tree roots must lie in"),
        (put("trees.feature", 0, len(FEATURES)), "tree features must lie below"),
        (put("trees.left", 0, 0), "children must follow their parent"),
        (put("trees.right", 0, 10**6), "children must follow their parent"),
        (lambda a, d: a.pop("slopes"), r"missing or unknown: \['slopes'\]"),
        (lambda a, d: a.update(more=a["mean"]), "missing or unknown"),
        (lambda a, d: a.update(mean=a["mean"][1:]), "mean must have shape"),
        (lambda a, d: a.update(mean=a["mean"].astype(np.float32)), "mean must be float64"),
        (lambda a, d: a.update({"trees.left": a["trees.left"][1:]}), "must have shape"),
        (lambda a, d: d["features"].reverse(), "fitted on other features"),
        (lambda a, d: d.update(format="other"), "not a verifier"),
        (lambda a, d: d.pop("parameters"), "must hold the parameters"),
    ],
)
def test_damaged_files_are_refused(saved: Path, change: Any, words: str) -> None:
    rewritten(saved, change)
    with pytest.raises(VerifierError, match=words) as caught:
        Verifier.load(saved)
    assert "\n" not in str(caught.value)


def test_foreign_files_are_refused(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    for content in (b"", b"no such thing", whole[:-100], whole[:50]):
        saved.write_bytes(content)
        with pytest.raises(VerifierError, match="damaged, or no safetensors file") as caught:
            Verifier.load(saved)
        assert "\n" not in str(caught.value)
    save_file({"a": np.zeros(3)}, saved)
    with pytest.raises(VerifierError, match="not a verifier"):
        Verifier.load(saved)
    save_file({"a": np.zeros(3)}, saved, metadata={"verifier": "{"})
    with pytest.raises(VerifierError, match="description is damaged"):
        Verifier.load(saved)
    with pytest.raises(VerifierError, match="cannot be read: No such file"):
        Verifier.load(tmp_path / "none.safetensors")


def test_failed_save_leaves_nothing_behind(verifier: Verifier, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        verifier.save(tmp_path / "none" / "verifier.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_weights_are_balanced_within_a_source() -> None:
    def labelled(source: str, quadrant: str, valence: float | None) -> LabelledClip:
        return LabelledClip(Path("a.mid"), source, "a", quadrant, valence, valence, "judge")

    clips = [labelled("emopia", "Q1", None)] * 3 + [labelled("emopia", "Q2", None)]
    clips += [labelled("vgmidi", "Q3", -0.1)]
    weights = weights_of(clips)  # 4 clips of emopia, 2 a quadrant; listeners count three times
    assert weights.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0, 3.0])
