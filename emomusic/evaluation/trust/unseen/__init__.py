"""What one verifier says of songs that it did not learn: changed, bar by bar, and of any folder."""
