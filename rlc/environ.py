"""The only place where rlc reads or writes the environment of its process."""

from __future__ import annotations

import os
from collections.abc import Iterable


def no_color() -> bool:
    """Whether the user asked for no colours, see no-color.org."""
    return bool(os.environ.get("NO_COLOR"))


def apply(variables: Iterable[tuple[str, str]]) -> None:
    """Put the variables of a plan into the environment, before anything that reads them is imported."""
    for name, value in variables:
        os.environ[name] = value
