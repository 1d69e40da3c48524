"""`python -m emomusic` is the command line."""

from emomusic.cli import main

if __name__ == "__main__":
    main()
