"""Steering: leaning what the model would write towards what was asked, bar after bar."""
