"""Rollouts on the disk: written step by step, and trained on again."""
