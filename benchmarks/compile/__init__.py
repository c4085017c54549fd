"""Measurements of the compiler."""
