"""Write the check of the verifier: Markdown, JSON, pictures."""

from __future__ import annotations

import json
from pathlib import Path

from emomusic.evaluation.trust.run import Check
from emomusic.evaluation.trust.shown.plots import draw_check
from emomusic.evaluation.trust.shown.tables import check_markdown, trained_markdown
from emomusic.evaluation.trust.unseen.trained import Trained
from emomusic.files import write_text

NAME, TRAINED_NAME = "verifier", "trained"


def write_check(check: Check, out: Path) -> list[str]:
    """Write `verifier.json`, `verifier.md` and, where matplotlib is installed, the pictures.

    Args:
        check: What was found.
        out: A folder; made if missing.

    Returns:
        Remarks for the user, such as why there are no pictures.

    Raises:
        OSError: If a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    remarks, pictures = [], {}
    # As read again from the file, so that both show the same.
    plain = json.loads(json.dumps(check.to_dict()))
    try:
        pictures = draw_check(plain["parts"], out)
    except ImportError as error:
        remarks.append(str(error))
    write_text(out / f"{NAME}.json", json.dumps(plain, indent=1) + "\n")
    write_text(out / f"{NAME}.md", check_markdown(plain, pictures))
    return remarks


def write_trained(trained: Trained, out: Path) -> str:
    """Write `trained.json` and `trained.md` into a folder; made if missing.

    Returns:
        The Markdown.

    Raises:
        OSError: If a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    plain = json.loads(json.dumps(trained.to_dict()))
    text = f"# The trained verifier\n\n{trained_markdown(plain)}\n"
    write_text(out / f"{TRAINED_NAME}.json", json.dumps(plain, indent=1) + "\n")
    write_text(out / f"{TRAINED_NAME}.md", text)
    return text
