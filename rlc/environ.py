"""The only place where rlc reads or writes the environment of its process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def no_color() -> bool:
    """Whether the user asked for no colours, see no-color.org."""
    return bool(os.environ.get("NO_COLOR"))


def cache_folder() -> Path | None:
    """Return the folder for what is made of texts and may be thrown away: $RLC_CACHE_DIR, or rlc's in the user's cache.

    None if the user has no such folder: there is no home.
    """
    chosen = os.environ.get("RLC_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base, "rlc", "trees") if os.path.isabs(base) else None


def completing_shell() -> str:
    """Return the shell that asks what it may offer, such as `zsh`, or nothing for an ordinary command line."""
    return os.environ.get("_RLC_COMPLETE", "").partition("_")[2]


def apply(variables: Iterable[tuple[str, str]]) -> None:
    """Put the variables of a plan into the environment, before anything that reads them is imported."""
    for name, value in variables:
        os.environ[name] = value
