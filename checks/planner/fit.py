"""The fitted constants found again: those with the least absolute error on the sources that are fitted on.

Every source weighs the same, however many rows it has.  Each constant in turn is tried a step up and down, with steps
that are halved when none helps; the same rows give the same constants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from checks.planner.comparison import Comparison
from compiler.planner.memory.constants import Constants

FITTED = {
    "workspace_mib": (0.0, 512.0),
    "gathered_layers": (1.0, 8.0),
    "gradients_frac": (0.0, 1.5),
    "reserved_frac": (0.0, 0.2),
}
_LEAST_STEP = 0.01  # of the range of a constant
_MOST_ERROR_PCT = 25.0  # a row that is further off is one that the model does not describe


def fit(comparisons: Sequence[Comparison], start: Constants) -> Constants:
    """Return the constants with the least mean error."""
    used = [one for one in comparisons if one.is_fitted_on and one.quantity in ("static", "peak")]
    best, least, step = start, _loss(used, start), 0.16
    while step > _LEAST_STEP / 4:
        improved = False
        for name, (low, high) in FITTED.items():
            for way in (-1, 1):
                moved = min(high, max(low, getattr(best, name) + way * step * (high - low) / 4))
                tried = best._replace(**{name: moved})
                loss = _loss(used, tried)
                if loss < least - 1e-9:
                    best, least, improved = tried, loss, True
        if not improved:
            step /= 2
    return best


def _loss(comparisons: Sequence[Comparison], constants: Constants) -> float:
    errors: dict[str, list[float]] = defaultdict(list)
    for one in comparisons:
        errors[one.source].append(min(abs(one.error_pct(constants)), _MOST_ERROR_PCT))
    return sum(sum(each) / len(each) for each in errors.values()) / len(errors)
