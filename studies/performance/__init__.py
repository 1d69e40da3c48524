"""Whether the performance layer plays as pianists do."""
