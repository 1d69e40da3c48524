"""The parts of the check, each a question of its own."""
