"""Fetch the training and evaluation data from its public homes.

    python scripts/download_data.py --source pop909 --out datasets/raw
    python scripts/download_data.py --source all --out mydata --yes --arrange

Exit status: 0 all done, 1 nothing done, 2 wrong usage, 3 partly done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from emomusic.data.fetch import DownloadError, Source, arrange, fetch, read_sources

ROOT = Path(__file__).parent.parent


def main(argv: list[str] | None = None) -> int:
    """Fetch what is asked for and return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        sources = read_sources(arguments.recipe)
    except DownloadError as error:
        parser.error(str(error))
    if arguments.source != "all" and arguments.source not in sources:
        known = ", ".join(sources)
        parser.error(f"--source must be all or one of {known}, got {arguments.source}")
    if not arguments.yes and not sys.stdin.isatty():
        parser.error("nobody is here to accept the licences: read them and pass --yes")
    chosen = sources.values() if arguments.source == "all" else [sources[arguments.source]]
    try:
        done = [_fetched(source, arguments) for source in chosen]
        if arguments.arrange and any(done):
            done.append(_arranged(arguments.out, sources.values()))
    except KeyboardInterrupt:
        print("stopped; the same command continues where it was", file=sys.stderr)
        return 1
    return 0 if all(done) else 3 if any(done) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fetch the data from its public homes.")
    parser.add_argument("--source", required=True, metavar="NAME", help="a source, or all")
    parser.add_argument("--out", type=Path, default=ROOT / "datasets" / "raw", metavar="DIR")
    parser.add_argument("--yes", action="store_true", help="accept the licences unasked")
    parser.add_argument(
        "--arrange", action="store_true", help="then build corpus/ and emotion/ from downloads/"
    )
    parser.add_argument(
        "--recipe", type=Path, default=ROOT / "datasets" / "sources.json", metavar="FILE"
    )
    return parser


def _fetched(source: Source, arguments: argparse.Namespace) -> bool:
    print(f"{source.name}: {source.home}\n  licence: {source.licence}\n  for: {source.used_for}")
    if not arguments.yes and input("  fetch it on these terms? [y/N] ").strip().lower() != "y":
        print("  not fetched")
        return False
    try:
        result = fetch(source, arguments.out)
    except DownloadError as error:
        print(f"download_data: {error}", file=sys.stderr)
        return False
    state = "recorded, not known before" if result.first_seen else "as recorded"
    print(f"  {result.n_files} files in {result.folder}\n  sha256 {result.sha256} ({state})")
    _print_skipped(result.skipped)
    return True


def _arranged(out_dir: Path, sources: Iterable[Source]) -> bool:
    try:
        n_files, skipped = arrange(out_dir, sources)
    except (DownloadError, OSError, ValueError, KeyError) as error:
        print(f"download_data: cannot arrange: {error}", file=sys.stderr)
        return False
    for source, count in sorted(n_files.items()):
        print(f"arranged {count} files of {source}")
    _print_skipped(skipped)
    return True


def _print_skipped(skipped: Mapping[str, int]) -> None:
    for reason, n_files in sorted(skipped.items()):
        print(f"  left out {n_files}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
