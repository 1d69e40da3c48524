"""What several tests share: music, models and pages made in code."""
