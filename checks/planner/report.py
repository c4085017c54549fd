"""Errors of the model: of every row, and their median, ninetieth percentile and worst for each quantity."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from checks.planner.comparison import Comparison
from checks.planner.recipe_rows import Verdict
from compiler.planner.memory.constants import Constants

# In percent: of what is counted, and of what is held; of the peak at the median, at the ninetieth percentile, below.
COUNTED_PCT, STATIC_PCT = 1.0, 6.0
PEAK_MEDIAN_PCT, PEAK_P90_PCT, PEAK_UNDER_PCT = 10.0, 20.0, 10.0
COUNTED = ("cached token", "FLOPs", "parameters")


@dataclass(frozen=True)
class Spread:
    """How far predictions are off, in percent of what was measured."""

    count: int
    median: float
    p90: float
    lowest: float
    highest: float


def spread_of(comparisons: Iterable[Comparison], constants: Constants) -> Spread:
    """Return the spread of the errors of some comparisons."""
    errors = [one.error_pct(constants) for one in comparisons]
    sizes = sorted(abs(error) for error in errors)
    at = min(len(sizes) - 1, -(-9 * len(sizes) // 10) - 1)
    return Spread(len(errors), statistics.median(sizes), sizes[at], min(errors), max(errors))


def misses(comparison: Comparison, constants: Constants) -> bool:
    """Whether a single row is off by more than its quantity may be."""
    error = comparison.error_pct(constants)
    if comparison.quantity in COUNTED:
        return abs(error) > COUNTED_PCT
    if comparison.quantity == "static":
        return abs(error) > STATIC_PCT
    return error < -PEAK_UNDER_PCT or error > PEAK_P90_PCT


def row_line(comparison: Comparison, constants: Constants) -> str:
    """Return a row of the report."""
    half = "fit " if comparison.is_fitted_on else "held"
    mark = " *" if misses(comparison, constants) else ""
    return (
        f"  {comparison.id:<18} {half} {comparison.quantity:<12} {comparison.measured:>12,.3f} "
        f"{comparison.predict(constants):>12,.3f} {comparison.unit:<8} {comparison.error_pct(constants):>+7.1f} %  "
        f"{comparison.name}{mark}"
    )


def verdict_line(verdict: Verdict) -> str:
    """Return a line on a configuration that does not fit."""
    return f"  {verdict.id:<18} {verdict.needed_gib:,.1f} GiB of {verdict.memory_gib:g} GiB  {verdict.name}"


def summary_lines(comparisons: list[Comparison], constants: Constants) -> Iterator[str]:
    """Yield a line for each quantity and half of the sources."""
    for quantity in dict.fromkeys(one.quantity for one in comparisons):
        for half, is_fitted_on in (("fitted on", True), ("held out", False)):
            part = [one for one in comparisons if one.quantity == quantity and one.is_fitted_on == is_fitted_on]
            if part:
                of = spread_of(part, constants)
                yield (
                    f"  {quantity:<12} {half:<9} {of.count:>3} rows: median {of.median:.1f} %, p90 {of.p90:.1f} %, "
                    f"from {of.lowest:+.1f} to {of.highest:+.1f} %"
                )
