"""Is the verifier right, does it know how sure it may be, and where does it fail."""
