"""Do what `emomusic check-verifier` does, without the package being installed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from emomusic.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "check-verifier")
    main()
