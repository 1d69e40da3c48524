"""Are near emotions told apart? Sets of each emotion, as judges hear them, pair by pair."""
