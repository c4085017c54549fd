"""The only place where the runtime reads the environment of its process: what a plan must not hold, such as tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping


def secret(name: str) -> str:
    """Return the content of a variable without white space at its ends, or nothing where it is not set."""
    return os.environ.get(name, "").strip()


def put(variables: Mapping[str, str]) -> None:
    """Set variables, for libraries that read theirs when they are imported or first used."""
    os.environ.update(variables)


def whole() -> dict[str, str]:
    """Return a copy of the environment, for a process that is to have the same."""
    return dict(os.environ)
