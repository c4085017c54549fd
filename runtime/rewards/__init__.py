"""Judging responses: loading reward functions and calling them beside generation."""
