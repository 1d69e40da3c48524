"""Whether verdicts move as explanations say, once the causes that they name are undone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from emomusic.evaluation import explaining
from emomusic.evaluation.explaining.check import check_on_other_songs
from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.evaluation.trust.bench.tasks import Result, Task
from emomusic.verify import counterfactuals, explain

NAME = "explanations"


def explained(corpus: Corpus, *, every: int, code: str) -> Result:
    """Fit on either half of the songs, explain the other's, and undo what is named.

    Args:
        corpus: The clips.
        every: Every how many clips one is explained.
        code: The sum of the code that explains and undoes, by which a kept result is known.
    """
    del code
    return check_on_other_songs(corpus.clips, every=every).to_dict()


def tasks(*, every: int) -> list[Task]:
    """Return what is to be done.

    Args:
        every: Every how many clips one is explained.
    """
    digest = hashlib.sha256()
    own = sorted(Path(str(explaining.__file__)).parent.glob("*.py"))
    for path in (Path(counterfactuals.__file__), Path(explain.__file__), *own):
        digest.update(path.read_bytes())
    return [Task(NAME, explained, {"every": every, "code": digest.hexdigest()[:16]})]


def found_of(results: Mapping[str, Result]) -> Result:
    """Return what was found."""
    return results[NAME]
