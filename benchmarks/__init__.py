"""Measurements: scripts, and ratios against a peer in one run."""
