"""Which emotion a score carries: features, classifier, verdict."""
