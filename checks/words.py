"""Words that do not belong into any file: addresses of one machine, and of whoever serves packages.

A path of one machine works nowhere else, and where packages come from is set up by whoever installs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from checks.tree import Finding, tracked

# Ray keeps its sessions below /tmp/ray on every machine.
MACHINE_PATH = re.compile(r"(?<![\w.~}/-])/(?:(?:home|Users|root|work|farm|opt)/\w|tmp/(?!ray\b)\w)")
PACKAGE_HOST = re.compile(r"\bpypi\.|python[h]osted|download\.pytorch|--(?:extra-)?index-url|--find[-]links")


def check(root: Path) -> Iterator[Finding]:
    """Yield lines with a path of a machine or an address of a package registry, in all files that git tracks."""
    here = [str(path) for path in (root.resolve(), Path(sys.prefix).resolve()) if len(path.parts) > 3]
    for path in tracked(root):
        data = (root / path).read_bytes()
        if b"\0" in data[:8192]:
            continue
        for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1):
            yield from (Finding(path, number, message) for message in _strange_words(line, here))


def _strange_words(line: str, here: list[str]) -> Iterator[str]:
    if match := MACHINE_PATH.search(line):
        yield f"a path of one machine: {match.group()}"
    elif any(place in line for place in here):
        yield "the path of this checkout or environment"
    if match := PACKAGE_HOST.search(line):
        yield f"where packages come from: {match.group()}"
