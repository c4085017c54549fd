"""Executes a Plan and nothing else: no defaults of its own, no spec in sight."""
