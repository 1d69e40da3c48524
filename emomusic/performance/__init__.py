"""How a score is played: timing, velocities, pedal; fitted on pianists, or by rules."""
