"""How far people agree with each other: what no verifier can pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.trust.bench.corpus import EMOPIA, Corpus
from emomusic.evaluation.trust.bench.tasks import Result
from emomusic.evaluation.trust.measures.scores import AXES
from emomusic.verify.groups import Matrix

N_LISTENERS = 30
"""Who rated each piece of VGMIDI (28 to 31 by its table)."""


def listeners(corpus: Corpus) -> Result:
    """Return the ceilings: of correlation and of signs from the spread of listeners, of songs.

    Assumed: listeners differ normally and independently of each other; one who hears a piece as
    more pleasant does so all along, so that the spread of a listener's mean over a piece is the
    mean spread of its measures (if not, people agree more than told here); the two axes are
    independent, for quadrants.
    """
    return {"n_listeners": N_LISTENERS, "rated": _rated(corpus), "songs": _songs(corpus)}


def _rated(corpus: Corpus) -> dict[str, Any]:
    rows = [
        row
        for row, clip in enumerate(corpus.clips)
        if clip.valence_spread is not None
        and clip.arousal_spread is not None
        and clip.valence is not None
        and clip.arousal is not None
    ]
    if len(rows) < 3:
        return {}
    clips = [corpus.clips[row] for row in rows]
    mean = np.array([[clip.valence, clip.arousal] for clip in clips], dtype=np.float64)
    spread = np.array([[c.valence_spread, c.arousal_spread] for c in clips], dtype=np.float64)
    agreeing = {
        name: _agreeing(mean, spread, factor)
        for name, factor in (
            ("one_listener", 1.0),
            ("another_panel", np.sqrt(2.0 / N_LISTENERS)),
            ("perfect_predictor", np.sqrt(1.0 / N_LISTENERS)),
        )
    }
    axes = {
        name: ceiling_of(mean[:, axis], spread[:, axis], N_LISTENERS)
        for axis, name in enumerate(AXES)
    }
    y = corpus.truth.y[rows]
    signs = np.stack([np.isin(y, (0, 3)), y < 2], axis=1)
    same = (signs == (mean >= 0)).mean(axis=0)
    return {
        "n": len(rows),
        "axes": axes,
        "signs": agreeing,
        "label_has_sign_of_mean": dict(zip(AXES, same.round(4).tolist(), strict=True)),
    }


def ceiling_of(mean: Matrix, spread: Matrix, n_listeners: int) -> dict[str, float]:
    """Return how far means of panels correlate.

    Args:
        mean: Of the listeners of each piece, shape (n,).
        spread: Standard deviation of single listeners, shape (n,).
        n_listeners: Of each piece.

    Returns:
        `another_panel`: expected correlation of the means with those of as many other listeners;
        `perfect_predictor`: with the means of all people; `one_listener`: of one listener with
        the means of all others.

    Reference:
        Spearman (1910) and Brown (1910): reliability as the share of true variance.
    """
    observed = float(mean.var())
    error = float((spread**2).mean())
    true = max(observed - error / n_listeners, 0.0)
    reliability = true / observed if observed else 0.0
    alone = true / np.sqrt(observed * (true + error)) if observed else 0.0
    return {
        "spread_of_pieces": round(float(np.sqrt(observed)), 4),
        "spread_of_listeners": round(float(np.sqrt(error)), 4),
        "another_panel": round(reliability, 4),
        "perfect_predictor": round(float(np.sqrt(reliability)), 4),
        "one_listener": round(float(alone), 4),
    }


def _agreeing(mean: Matrix, spread: Matrix, factor: float) -> dict[str, float]:
    """Return how often somebody's sign is that of the mean, where theirs differ normally."""
    from scipy.stats import norm

    same: NDArray[np.float64] = norm.cdf(np.abs(mean) / (spread * factor))
    found = dict(zip(AXES, same.mean(axis=0).round(4).tolist(), strict=True))
    return {**found, "quadrant": round(float(same.prod(axis=1).mean()), 4)}


def _songs(corpus: Corpus) -> dict[str, Any]:
    """Return how far labels of clips of one song agree, where each was judged by itself."""
    rows = corpus.of(EMOPIA)
    y, groups = corpus.truth.y, np.array(corpus.truth.groups)
    songs = [rows[groups[rows] == song] for song in sorted(set(groups[rows].tolist()))]
    several = [y[own] for own in songs if len(own) > 1]
    if not several:
        return {}
    agree = [
        float(np.mean(np.delete(own, k) == one)) for own in several for k, one in enumerate(own)
    ]
    alike = [len(set(own.tolist())) == 1 for own in several]
    usual = sum(int(np.bincount(y[own]).max()) for own in songs)
    return {
        "n_songs": len(songs),
        "n_songs_of_several": len(several),
        "songs_of_one_label": round(float(np.mean(alike)), 4),
        "clips_as_another_of_the_song": round(float(np.mean(agree)), 4),
        "clips_as_the_usual_of_the_song": round(usual / len(rows), 4),
    }
