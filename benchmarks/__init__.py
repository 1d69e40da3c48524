"""How fast emomusic is, beside others on the same machine, in one run."""
