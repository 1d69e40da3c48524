"""Open the studio: `python app.py` is `emomusic studio`."""

import sys

from emomusic.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "studio")
    main()
