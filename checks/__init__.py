"""Mechanical checks of the house: sizes, habits, words, rooms, imports and counted debt.

They read the source tree and nothing else, run with `python -m checks` (which `./do check` calls), and are no part of
the wheel.  What ruff, pyrefly or import-linter can say is left to them.
"""
