"""What would run, and in which order."""
