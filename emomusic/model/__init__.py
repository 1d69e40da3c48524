"""The transformer, sampling and the checkpoint format: ids in, logits out."""

MAX_TEMPERATURE = MAX_GUIDANCE = 5
