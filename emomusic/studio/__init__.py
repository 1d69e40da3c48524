"""The web page: say an emotion, watch a clip being composed, hear it, take it away."""
