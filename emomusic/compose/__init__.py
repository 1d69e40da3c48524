"""The pipeline of a clip: emotion, targets, tokens, score, card."""
