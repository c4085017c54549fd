"""The command `python -m checks.conformance [--phase run|resolve|parse] [--words] FOLDER...`: a suite of Starlark.

Every `.star` file below the folders is run chunk by chunk; the suites themselves are no part of this repository
(CONTRIBUTING.md says where they are).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from checks.conformance.differences import read_differences
from checks.conformance.program import PHASES
from checks.conformance.report import Judged, judge_file, table


def main() -> int:
    """Print a table of files and every line that is not as the suite has it; return 1 if there is one."""
    parser = argparse.ArgumentParser(prog="conformance", description="run a conformance suite of Starlark")
    parser.add_argument("--phase", choices=PHASES, default="run", help="how much of each program is carried out")
    parser.add_argument("--words", action="store_true", help="also print the failures that are told in other words")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    differences = read_differences()
    judged: list[tuple[str, Judged]] = []
    for folder in arguments.folders:
        for path in sorted(folder.rglob("*.star")):
            judged.append((f"{path.parent.name}/{path.name}", judge_file(path, differences, arguments.phase)))
    if not judged:
        print("no .star file below " + ", ".join(map(str, arguments.folders)))
        return 2
    print("\n".join(table(judged)))
    for name, each in judged:
        for fault in each.faults:
            line, wanted, got = fault.failure
            print(f"{name}:{line}: wanted {wanted}\n    got {got}\n    the line is {fault.key!r}")
        for line, wanted, got in each.reworded if arguments.words else ():
            print(f"{name}:{line}: in other words: {wanted}\n    {got}")
        for stale in each.stale:
            print(f"{stale}: no difference any more: take it out of differences.toml")
    return int(any(each.faults or each.stale for _, each in judged))


if __name__ == "__main__":
    sys.exit(main())
