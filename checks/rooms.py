"""ARCHITECTURE.md held against the folders that exist.

The page names a folder as a path in backticks with a slash at its end: `compiler/passes/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from checks.tree import Finding, tracked

PAGE = "ARCHITECTURE.md"
FOLDER = re.compile(r"`(\.?[A-Za-z0-9_][\w.-]*(?:/[\w.-]+)*)/`")


def check(root: Path) -> Iterator[Finding]:
    """Yield folders that the page names and that hold no file, and top-level folders that it does not name."""
    if not (root / PAGE).is_file():
        yield Finding(PAGE, 0, "there is no such page")
        return
    files = tracked(root)
    folders = {parent.as_posix() for path in files for parent in Path(path).parents} - {"."}
    named: set[str] = set()
    for number, line in enumerate((root / PAGE).read_text(encoding="utf-8").splitlines(), 1):
        for match in FOLDER.finditer(line):
            named.add(match.group(1))
            if match.group(1) not in folders:
                yield Finding(PAGE, number, f"names `{match.group(1)}/`, where there is no file")
    for folder in sorted(folders):
        if "/" not in folder and folder not in named:
            yield Finding(PAGE, 0, f"does not name the top-level folder `{folder}/`")
