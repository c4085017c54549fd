"""Measurements of the native rollout engine."""
