"""The command `python -m checks.planner [--fit] [FOLDER]`: the memory model's error on every measured row.

FOLDER holds tables of the same columns as those in checks/planner/measured/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from checks.planner.comparison import Comparison, Skipped
from checks.planner.fit import FITTED, fit
from checks.planner.report import row_line, summary_lines, verdict_line
from checks.planner.tables import MEASURED, read_recipes, read_tables
from compiler.planner.memory.constants import CONSTANTS


def main() -> int:
    """Print the report; rows with a star are further off than they may be."""
    parser = argparse.ArgumentParser(prog="planner", description=__doc__)
    parser.add_argument("--fit", action="store_true", help="find the fitted constants again, and report with them")
    parser.add_argument("folder", nargs="?", type=Path, default=MEASURED, help="other tables of the same columns")
    arguments = parser.parse_args()
    tables = read_tables(arguments.folder)
    every = [one for rows in tables.values() for one in rows if isinstance(one, Comparison)]
    constants = fit(every, CONSTANTS) if arguments.fit else CONSTANTS
    for name, rows in tables.items():
        print(name)
        for row in rows:
            print(f"  {row.id:<18} left out: {row.why}" if isinstance(row, Skipped) else row_line(row, constants))
        compared = [row for row in rows if isinstance(row, Comparison)]
        print("\n".join(summary_lines(compared, constants)))
    print("all tables")
    print("\n".join(summary_lines(every, constants)))
    verdicts = read_recipes(arguments.folder)
    if verdicts:
        print(f"recipes.csv: {sum(one.fits for one in verdicts)} of {len(verdicts)} fit; those that do not")
        print("\n".join(verdict_line(one) for one in verdicts if not one.fits))
    print("constants")
    for name, value in zip(constants._fields, constants, strict=True):
        print(f"  {name:<22} {value:g}{'  (fitted)' if name in FITTED else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
