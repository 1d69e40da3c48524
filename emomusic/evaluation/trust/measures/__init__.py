"""Numbers that say how good answers are: shares right, calibration, values of listeners."""
