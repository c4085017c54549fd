"""The fitted constants of a model found again: those with the least error on the sources that are fitted on.

Every source weighs the same, however many rows it has.  Each constant in turn is tried a step up and down, with steps
that are halved when none helps; the same rows give the same constants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any, Generic

from checks.planner.comparison import C, Comparison


@dataclass(frozen=True)
class Fit(Generic[C]):
    """What is fitted of a model.

    Args:
        quantities: those of the rows that are fitted on.
        ranges: the constants, each with its least and its greatest value.
        most_error: of a row that is further off, and is one that the model does not describe; as a logarithm.
    """

    quantities: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]
    most_error: float


MEMORY = Fit[Any](
    quantities=("static", "peak"),
    ranges={
        "workspace_mib": (0.0, 512.0),
        "gathered_layers": (1.0, 8.0),
        "gradients_frac": (0.0, 1.5),
        "reserved_frac": (0.0, 0.2),
    },
    most_error=0.25,
)
TIME = Fit[Any](
    quantities=("train dense", "train MoE", "rollout"),
    ranges={
        "product_frac": (0.55, 0.85),
        "eight_bits_frac": (0.6, 0.95),
        "attention_frac": (0.3, 0.7),
        "memory_frac": (0.6, 0.95),
        "layer_us": (0.0, 300.0),  # a layer has less than a hundred kernels, of at most 3 us between one and the next
        "expert_layer_us": (0.0, 1000.0),
        "decode_layer_us": (10.0, 150.0),
        "hop_us": (5.0, 40.0),
        "sequence_us": (0.0, 80.0),
    },
    most_error=0.6,
)
_LEAST_STEP = 0.01  # of the range of a constant


def fit(comparisons: Iterable[Comparison[C]], start: C, what: Fit[C]) -> C:
    """Return the constants with the least mean error."""
    used = [one for one in comparisons if one.is_fitted_on and one.quantity in what.quantities]
    best, least, step = start, _loss(used, start, what), 0.16
    while step > _LEAST_STEP / 4:
        improved = False
        for name, (low, high) in what.ranges.items():
            for way in (-1, 1):
                moved = min(high, max(low, getattr(best, name) + way * step * (high - low) / 4))
                tried = best._replace(**{name: moved})
                loss = _loss(used, tried, what)
                if loss < least - 1e-9:
                    best, least, improved = tried, loss, True
        if not improved:
            step /= 2
    return best


def _loss(comparisons: list[Comparison[C]], constants: C, what: Fit[C]) -> float:
    errors: dict[str, list[float]] = defaultdict(list)
    for one in comparisons:
        errors[one.source].append(min(abs(log(one.predict(constants) / one.measured)), what.most_error))
    return sum(sum(each) / len(each) for each in errors.values()) / len(errors)
