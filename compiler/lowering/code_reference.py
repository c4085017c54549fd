"""What a reference to a Python function leads to: a file, or a fault."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from compiler.diagnostics.diagnostic import Label


class Fault(NamedTuple):
    """Why a reference leads nowhere, and ways out."""

    message: str
    help: tuple[str, ...] = ()
    place: Label | None = None


class Code(NamedTuple):
    """A Python file, and what messages call it."""

    path: Path
    name: str
