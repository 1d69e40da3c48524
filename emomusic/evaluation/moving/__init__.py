"""Does music move as it is asked to? Curves over bars, moods changed, pieces varied, continued."""
