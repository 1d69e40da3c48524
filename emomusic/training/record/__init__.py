"""What a run keeps: its log, and the state that it goes on from where it was stopped."""
