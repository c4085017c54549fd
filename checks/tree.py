"""The files that the checks look at.

Source files are those of the shipped packages and of the two folders beside them; texts are all files that git
tracks or would track, so that a stray environment or run directory is never read.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("rlc", "compiler", "stdlib", "runtime", "targets")
SOURCE = (*SHIPPED, "benchmarks", "checks")


class Finding(NamedTuple):
    """One place that breaks a rule of the house; `line` is 0 where the whole file does."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}"


class Module(NamedTuple):
    """One Python file: its path relative to the root with forward slashes, its text and its tree."""

    path: str
    text: str
    tree: ast.Module


def modules(root: Path, *folders: str) -> Iterator[Module]:
    """Yield the Python files below these folders of the root, sorted by path; a folder that is absent has none."""
    for folder in folders:
        for file in sorted((root / folder).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            path = file.relative_to(root).as_posix()
            yield Module(path, text, ast.parse(text, path))


def tracked(root: Path) -> list[str]:
    """Return the paths of all files that git tracks or would track.  Raises: CalledProcessError outside a checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout.decode()
    return sorted({path for path in listing.split("\0") if path and (root / path).is_file()})
