"""Which experiment of a file a command line means: `f.star`, or `f.star:name`."""

from __future__ import annotations

import os

from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple

_MARK = ".star:"


class Chosen(NamedTuple):
    """A file, and the name of one of its experiments; no name means the only one, or all of them."""

    path: Path
    name: str | None = None


def choose(path: Path) -> Chosen:
    """Return what a path says.  A file whose own name has a colon stays what it is."""
    text = str(path)
    at = text.rfind(_MARK)
    if at < 0 or "\0" in text or os.path.lexists(path):
        return Chosen(path)
    return Chosen(Path(text[: at + len(_MARK) - 1]), text[at + len(_MARK) :])
