"""Quality and variety: composed pieces beside real ones, and real beside real."""
