"""The only place where the runtime reads the environment of its process: what a plan must not hold, such as tokens."""

from __future__ import annotations

import os


def secret(name: str) -> str:
    """Return the content of a variable without white space at its ends, or nothing where it is not set."""
    return os.environ.get(name, "").strip()
