"""Errors of the model: of every row, and their median, ninetieth percentile and worst for each quantity."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from checks.planner.comparison import C, Comparison
from checks.planner.recipe_rows import Verdict

# In percent: of what is counted, and of what is held; of the peak at the median, at the ninetieth percentile, below.
COUNTED_PCT, STATIC_PCT = 1.0, 6.0
PEAK_MEDIAN_PCT, PEAK_P90_PCT, PEAK_UNDER_PCT = 10.0, 20.0, 10.0
COUNTED = ("cached token", "FLOPs", "parameters")
_FEWEST_RANKED = 4  # configurations of one model
# In percent, either way: of the rate of training, of generation, and of the time of a step.
TIME_PCT = {
    "train dense": 20.0,
    "train dense, older": 20.0,
    "train MoE": 30.0,
    "train MoE, older": 30.0,
    "rollout": 25.0,
    "RL step": 35.0,
    "RL rollout": 25.0,
    "RL train": 30.0,
    "RL log-probs": 30.0,
    "weight sync": 35.0,
}


@dataclass(frozen=True)
class Spread:
    """How far predictions are off, in percent of what was measured."""

    count: int
    median: float
    p90: float
    lowest: float
    highest: float


def spread_of(comparisons: Iterable[Comparison[C]], constants: C) -> Spread:
    """Return the spread of the errors of some comparisons."""
    errors = [one.error_pct(constants) for one in comparisons]
    sizes = sorted(abs(error) for error in errors)
    at = min(len(sizes) - 1, -(-9 * len(sizes) // 10) - 1)
    return Spread(len(errors), statistics.median(sizes), sizes[at], min(errors), max(errors))


def misses(comparison: Comparison[C], constants: C) -> bool:
    """Whether a single row is off by more than its quantity may be."""
    error = comparison.error_pct(constants)
    if comparison.quantity in COUNTED:
        return abs(error) > COUNTED_PCT
    if comparison.quantity in TIME_PCT:
        return abs(error) > TIME_PCT[comparison.quantity]
    if comparison.quantity == "static":
        return abs(error) > STATIC_PCT
    return error < -PEAK_UNDER_PCT or error > PEAK_P90_PCT


def row_line(comparison: Comparison[C], constants: C) -> str:
    """Return a row of the report."""
    half = "fit " if comparison.is_fitted_on else "held"
    mark = " *" if misses(comparison, constants) else ""
    return (
        f"  {comparison.id:<18} {half} {comparison.quantity:<18} {comparison.measured:>12,.3f} "
        f"{comparison.predict(constants):>12,.3f} {comparison.unit:<8} {comparison.error_pct(constants):>+7.1f} %  "
        f"{comparison.name}{mark}"
    )


def verdict_line(verdict: Verdict) -> str:
    """Return a line on a configuration that does not fit."""
    return f"  {verdict.id:<18} {verdict.needed_gib:,.1f} GiB of {verdict.memory_gib:g} GiB  {verdict.name}"


def summary_lines(comparisons: list[Comparison[C]], constants: C) -> Iterator[str]:
    """Yield a line for each quantity and half of the sources."""
    for quantity in dict.fromkeys(one.quantity for one in comparisons):
        for half, is_fitted_on in (("fitted on", True), ("held out", False)):
            part = [one for one in comparisons if one.quantity == quantity and one.is_fitted_on == is_fitted_on]
            if part:
                of = spread_of(part, constants)
                yield (
                    f"  {quantity:<18} {half:<9} {of.count:>3} rows: median {of.median:.1f} %, p90 {of.p90:.1f} %, "
                    f"from {of.lowest:+.1f} to {of.highest:+.1f} %"
                )


def rank_lines(comparisons: list[Comparison[C]], constants: C) -> Iterator[str]:
    """Yield the rank correlation for each model that one version of the software ran in four ways and more."""
    for name, value, count in rank_correlations(comparisons, constants):
        yield f"  {value:5.2f} of {count:>2} configurations of {name}"


def rank_correlations(comparisons: list[Comparison[C]], constants: C) -> Iterator[tuple[str, float, int]]:
    """Yield Spearman's coefficient of measured and predicted rates of training, model by model and series by series."""
    groups: dict[str, list[Comparison[C]]] = {}
    for one in comparisons:
        if one.series:
            groups.setdefault(f"{one.name.split(' ')[0]}, {one.series}", []).append(one)
    for name, rows in groups.items():
        if len(rows) >= _FEWEST_RANKED:
            measured = _ranks([one.measured for one in rows])
            yield name, statistics.correlation(measured, _ranks([one.predict(constants) for one in rows])), len(rows)


def _ranks(values: list[float]) -> list[float]:
    """Places in ascending order; those of equal values are their mean."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]
