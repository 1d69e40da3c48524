from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from trust_cases import N_SONGS, write_folder

from emomusic.evaluation.trust.bench.choosing import RIDGES, WIDTHS, choose
from emomusic.evaluation.trust.bench.corpus import Corpus, read_corpus
from emomusic.evaluation.trust.bench.kernels import Bench, Labels
from emomusic.evaluation.trust.bench.tasks import Task, answers_of, done, plain_answers
from emomusic.evaluation.trust.parts.ablation import ears_with
from emomusic.evaluation.trust.parts.crossed import dealt_labels
from emomusic.evaluation.trust.parts.learning import drawn_songs
from emomusic.evaluation.trust.parts.listeners import ceiling_of, listeners
from emomusic.verify.ensemble import KernelEnsemble
from emomusic.verify.groups import GROUP_NAMES, Projections
from emomusic.verify.labels import FittingLabels
from emomusic.verify.verifier import Predictions


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("labelled")
    write_folder(folder)
    return read_corpus(folder)


def test_a_corpus_knows_splits_and_curves(corpus: Corpus) -> None:
    assert corpus.sources == ("emopia", "vgmidi")
    assert corpus.split.count("val") == 4
    assert sorted(corpus.curves) == corpus.of("vgmidi").tolist()


def test_no_song_is_on_both_sides(corpus: Corpus) -> None:
    folds = corpus.folds(corpus.every, n_folds=3, seed=0)
    groups = np.array(corpus.truth.groups)
    for fit, test in folds:
        assert not set(groups[fit]) & set(groups[test])
    assert sorted(np.concatenate([test for _, test in folds])) == corpus.every.tolist()


@pytest.mark.parametrize(("ridge", "width"), [(1.0, 1.0), (0.5, 1.25)])
def test_shared_kernels_answer_as_machines_do(corpus: Corpus, ridge: float, width: float) -> None:
    fit, test = corpus.folds(corpus.every, n_folds=3, seed=0)[0]
    labels = Labels(corpus.shares, corpus.weight(corpus.every), corpus.truth.groups)
    bench = Bench(corpus.heard, fit)
    found = bench.logits(fit, test, labels, kernels=bench.kernels(width), ridges=[7.0, ridge])[1]
    points = Projections.fit(corpus.heard.rows[fit]).points(corpus.heard.rows)
    n = len(labels.shares)
    machines = KernelEnsemble.fit(
        corpus.heard,
        points,
        labels=FittingLabels(labels.shares, np.full((n, 2), np.nan), labels.groups, labels.weight),
        clips=fit,
        ridge=ridge,
        width=width,
    )
    own, rows = corpus.heard.take(test), corpus.heard.rows_of(test)
    trust = machines.familiarity({name: of[test] for name, of in points.items()})
    logits = machines.logits({name: of[rows] for name, of in points.items()}, trust[own.owner])
    assert found.trust == pytest.approx(trust, abs=1e-4)
    assert found.clips == pytest.approx(own.average(logits), abs=1e-3)


def test_parameters_are_those_of_least_loss(corpus: Corpus) -> None:
    chosen = choose(corpus, corpus.every[::2], seed=0, n_folds=2)
    row, column = RIDGES.index(chosen.ridge), WIDTHS.index(chosen.width)
    assert chosen.losses[row, column] == chosen.losses.min()
    assert chosen.losses.shape == (len(RIDGES), len(WIDTHS))


def test_labels_are_dealt_within_a_source(corpus: Corpus) -> None:
    dealt = dealt_labels(corpus, seed=0)
    for source in corpus.sources:
        own = corpus.of(source)
        assert sorted(dealt[own]) == own.tolist()
    assert (dealt != corpus.every).mean() > 0.8


def test_a_small_share_of_songs_holds_every_quadrant(corpus: Corpus) -> None:
    few = drawn_songs(corpus, corpus.every, 1, seed=3)
    more = drawn_songs(corpus, corpus.every, 50, seed=3)
    assert sorted(corpus.truth.y[few]) == [0, 1, 2, 3]
    assert len(more) == N_SONGS
    assert set(few) <= set(more)


def test_ears_keep_the_width_of_their_kernel() -> None:
    whole = {ear.name: sum(ear.kernel.values()) for ear in ears_with(GROUP_NAMES)}
    for sense in GROUP_NAMES:
        for senses in ([sense], [name for name in GROUP_NAMES if name != sense]):
            left = ears_with(senses)
            assert any(ear.weight for ear in left)
            assert any(ear.weight_unfamiliar for ear in left)
            for ear in left:
                assert set(ear.kernel) <= set(senses)
                assert sum(ear.kernel.values()) == pytest.approx(whole[ear.name])


def count(corpus: Corpus, *, path: str, add: int) -> dict[str, int]:
    file = Path(path)
    file.write_text(f"{file.read_text() if file.exists() else ''}x")
    return {"n": len(corpus.clips) + add}


def test_what_was_done_is_not_done_again(corpus: Corpus, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    def run(add: int) -> object:
        task = Task("one", count, {"path": str(trace), "add": add})
        return done([task], corpus, tmp_path / "kept")["one"]

    assert run(1) == {"n": 2 * N_SONGS + 1}
    assert run(1) == {"n": 2 * N_SONGS + 1}
    assert trace.read_text() == "x"
    assert run(2) == {"n": 2 * N_SONGS + 2}
    (tmp_path / "kept" / "one.json").write_text("damaged")
    assert run(2) == {"n": 2 * N_SONGS + 2}
    assert trace.read_text() == "xxx"


def test_answers_come_back_from_plain_values() -> None:
    answers = Predictions(np.eye(4), np.ones((4, 2)), np.full((4, 2), np.nan), np.ones(4))
    back = answers_of(json.loads(json.dumps(plain_answers(answers), allow_nan=False)))
    for one, other in zip(vars(answers).values(), vars(back).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_ceilings_by_hand() -> None:
    mean = np.array([-0.3, 0.3])  # variance 0.09, of which 0.3 ** 2 / 9 = 0.01 is error
    found = ceiling_of(mean, np.array([0.3, 0.3]), 9)
    assert found["another_panel"] == pytest.approx(8 / 9, abs=1e-4)
    assert found["perfect_predictor"] == pytest.approx(np.sqrt(8 / 9), abs=1e-4)
    assert found["one_listener"] == pytest.approx(0.08 / np.sqrt(0.09 * 0.17), abs=1e-4)


def test_listeners_agree_as_far_as_their_spread_lets_them(corpus: Corpus) -> None:
    rated = listeners(corpus)["rated"]
    one, panel, perfect = (
        rated["signs"][name]["valence"]
        for name in ("one_listener", "another_panel", "perfect_predictor")
    )
    assert 0.5 < one < panel < perfect <= 1.0
