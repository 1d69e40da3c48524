"""Whether explanations of verdicts hold when the causes they name are undone."""
