"""Fuzzing from the command line: `./do fuzz`.

    ./do fuzz [MINUTES] [--target NAME] ...     fuzz for so many minutes (10), all targets or some
    ./do fuzz --replay FILE [--small]           what is wrong with one input; its target is the name of its folder

What is wrong is kept in .fuzz/findings/TARGET/, each input with a report beside it.  Once it is mended, the input, made
small, belongs into tests/fuzz/regressions/TARGET/ under a name that says what it is about.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.campaign import PROJECT, run_campaign
from tests.fuzz.faults import fault_of, made_small
from tests.fuzz.target import load, names
from tests.fuzz.workplace import working_place

FOLDER = PROJECT / ".fuzz"


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="./do fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("minutes", nargs="?", type=float, default=10.0)
    parser.add_argument("--target", action="append", choices=names(), default=[])
    parser.add_argument("--replay", type=Path, metavar="FILE")
    parser.add_argument("--small", action="store_true", help="with --replay: write FILE.small, with the same fault")
    asked = parser.parse_args()
    if asked.replay is not None:
        return _replay(asked.replay.absolute(), small=asked.small)
    return run_campaign(FOLDER, asked.minutes, asked.target)


def _replay(path: Path, *, small: bool) -> int:
    target, data = load(path.parent.name), path.read_bytes()
    with working_place():
        fault = fault_of(target, data)
        if fault is None:
            print(f"{path}: nothing is wrong with it")
            return 0
        print(f"{path}: {fault.kind} at {fault.place}\n{fault.report}")
        if small:
            smaller = path.with_name(f"{path.name}.small")
            smaller.write_bytes(made_small(target, data, fault))
            print(f"made small: {smaller}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
