"""The command `python -m checks.planner [--fit] [FOLDER]`: the planner's error on every measured row.

FOLDER holds tables of the same columns as those in checks/planner/measured/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from checks.planner.comparison import C, Comparison, Found, Skipped
from checks.planner.fit import MEMORY, TIME, Fit, fit
from checks.planner.report import rank_lines, row_line, summary_lines, verdict_line
from checks.planner.tables import MEASURED, read_recipes, read_tables, read_times
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.time.constants import RATES


def main() -> int:
    """Print the report; rows with a star are further off than they may be."""
    parser = argparse.ArgumentParser(prog="planner", description=__doc__)
    parser.add_argument("--fit", action="store_true", help="find the fitted constants again, and report with them")
    parser.add_argument("folder", nargs="?", type=Path, default=MEASURED, help="other tables of the same columns")
    arguments = parser.parse_args()
    print("memory")
    _report(read_tables(arguments.folder), CONSTANTS, MEMORY, fits=arguments.fit)
    verdicts = read_recipes(arguments.folder)
    if verdicts:
        print(f"recipes.csv: {sum(one.fits for one in verdicts)} of {len(verdicts)} fit; those that do not")
        print("\n".join(verdict_line(one) for one in verdicts if not one.fits))
    print("time")
    times = read_times(arguments.folder)
    rates = _report(times, RATES, TIME, fits=arguments.fit)
    print("rank correlation of configurations of one model")
    print("\n".join(rank_lines([one for rows in times.values() for one in rows if isinstance(one, Comparison)], rates)))
    return 0


def _report(tables: dict[str, list[Found[C]]], constants: C, what: Fit[C], *, fits: bool) -> C:
    """Print every row, what they come to, and the constants, which are returned."""
    every = [one for rows in tables.values() for one in rows if isinstance(one, Comparison)]
    if fits:
        constants = fit(every, constants, what)
    for name, rows in tables.items():
        print(name)
        for row in rows:
            print(f"  {row.id:<18} left out: {row.why}" if isinstance(row, Skipped) else row_line(row, constants))
        compared = [row for row in rows if isinstance(row, Comparison)]
        print("\n".join(summary_lines(compared, constants)))
    print("all tables")
    print("\n".join(summary_lines(every, constants)))
    print("constants")
    for name, value in zip(constants._fields, constants, strict=True):
        print(f"  {name:<22} {value:g}{'  (fitted)' if name in what.ranges else ''}")
    return constants


if __name__ == "__main__":
    sys.exit(main())
