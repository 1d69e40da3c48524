"""What the transformer holds of emotion and attributes, and what pushing it there does."""
