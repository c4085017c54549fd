"""Measurements of the rewards beside generation."""
