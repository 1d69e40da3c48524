"""What one person has before them: pieces, and what is done with them."""
