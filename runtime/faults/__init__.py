"""What a run does about processes that die or hang."""
