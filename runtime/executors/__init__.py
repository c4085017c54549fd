"""What carries the actors of a plan: one process, later Ray."""
