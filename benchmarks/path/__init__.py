"""The rest of the path: commands, clips, judging, training and preparation."""
