"""The transformer, sampling and the checkpoint format: ids in, logits out."""
