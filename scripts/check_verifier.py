"""Measure how far the verifier can be trusted about songs that it never heard."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from emomusic.evaluation.trust.run import N_PROCESSES, PARTS, QUICK, Settings, check_verifier
from emomusic.evaluation.trust.write import write_check


def main() -> int:
    """Read the command line, check, show; return the exit status."""
    arguments = _parser().parse_args()
    chosen = {"n_seeds": arguments.seeds, "n_folds": arguments.folds}
    given = {name: value for name, value in chosen.items() if value is not None}
    try:
        check = check_verifier(
            arguments.source,
            arguments.out,
            settings=replace(QUICK if arguments.quick else Settings(), **given),
            checkpoint=arguments.checkpoint,
            data=arguments.data,
            only=arguments.only,
            processes=arguments.processes,
            progress=_tell,
        )
        remarks = write_check(check, arguments.out)
    except (ValueError, OSError) as error:
        print(f"check_verifier: {error}", file=sys.stderr)
        return 2
    print(*remarks, sep="\n", end="\n" if remarks else "", file=sys.stderr)
    print(arguments.out / "verifier.md")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, metavar="DIR",
                        help="folder with labels.csv or emotion/labels.csv")  # fmt: skip
    parser.add_argument("--data", metavar="DIR",
                        help="clips for the trained verifier; needs --checkpoint")  # fmt: skip
    parser.add_argument("--checkpoint", metavar="DIR", help="folder of a trained verifier")
    parser.add_argument("--out", type=Path, default=Path("verifier_check"), metavar="DIR",
                        help="where reports and pictures go (verifier_check)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few fits, minutes: does all work")
    parser.add_argument("--seeds", type=int, help=f"repetitions ({Settings().n_seeds})")
    parser.add_argument("--folds", type=int, help=f"song-grouped folds ({Settings().n_folds})")
    parser.add_argument("--processes", type=int, default=N_PROCESSES,
                        help=f"how many work at a time ({N_PROCESSES})")  # fmt: skip
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help=", ".join(PARTS))
    return parser


def _tell(name: str, n_done: int, n: int) -> None:
    print(f"{n_done}/{n} {name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
