"""A study; `README.md` has its results."""
