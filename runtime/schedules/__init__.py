"""The loops, each readable on one screen."""
