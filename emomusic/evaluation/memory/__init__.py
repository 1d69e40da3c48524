"""Whether composed clips repeat the songs that the model learnt from."""
