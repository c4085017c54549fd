"""The command `python -m checks`: every check over this tree, then the debt in numbers."""

from __future__ import annotations

import sys

from checks import debt, habits, rooms, sizes, words
from checks.tree import ROOT


def main() -> int:
    """Print what is wrong and what is owed; return 1 if something is wrong."""
    findings = [finding for part in (sizes, habits, words, rooms, debt) for finding in part.check(ROOT)]
    for finding in findings:
        print(finding)
    owed = debt.counts(ROOT)
    print("debt: " + ", ".join(f"{owed[kind]} {kind.replace('_', ' ')}" for kind in debt.KINDS))
    largest = sizes.largest_files(ROOT, most=5)
    print("largest files: " + ", ".join(f"{path} {lines}" for lines, path in largest))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
