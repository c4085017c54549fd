"""Starlark: a text to a tree, a tree to values, and every failure to a diagnostic with its place."""
