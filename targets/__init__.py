"""Kinds of machine: one folder each, with what it has (target.toml) and how a plan is lowered to it (lowering.py)."""
