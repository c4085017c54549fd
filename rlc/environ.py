"""The only place where rlc reads or writes the environment of its process."""

from __future__ import annotations

import os
from collections.abc import Iterable

from compiler.diagnostics.file_path import Path

_FILE = "_RLC_COMPLETE_FILE"


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


def join_words_at_colons() -> None:
    """Put together what bash took apart: for it `f.star:name` is three words, and only the last is being completed.

    Where the cursor stands behind such a colon, the file is kept for `file_before_colon`.
    """
    import re

    words, at = os.environ.get("COMP_WORDS", ""), int(os.environ.get("COMP_CWORD", "0"))
    words, num_whole = re.subn(r"(\.star)\s+:\s+(?=\S)", r"\1:", words)
    words, num_open = re.subn(r"(\.star)\s+:(?=\s*\Z)", r"\1:", words)
    at -= 2 * num_whole + num_open
    last = re.search(r"(\S+\.star):(\S*)\s*\Z", words)
    if last is not None and len(words[: last.end()].split()) == at + 1:
        words = words[: last.start()] + last[2]
        os.environ[_FILE] = last[1]
    os.environ["COMP_WORDS"] = words
    os.environ["COMP_CWORD"] = str(at)


def file_before_colon() -> str:
    """Return the file of which bash completes the name of an experiment, or nothing."""
    return os.environ.get(_FILE, "")


def apply(variables: Iterable[tuple[str, str]]) -> None:
    """Put the variables of a plan into the environment, before anything that reads them is imported."""
    for name, value in variables:
        os.environ[name] = value
