"""How old the tokens of a batch are: by how many versions the weights that drew each are behind those that train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stdlib.samples import Group


def staleness_metrics(groups: Sequence[Group], version: int, *, lag: int) -> dict[str, float]:
    """Return mean, most, and the share of sampled tokens at each age up to the bound.

    Args:
        version: of the weights that are trained on them.
        lag: the bound, in weight updates.
    """
    ages = Counter(
        version - drawn_by
        for group in groups
        for sample in group.samples
        for segment in sample.segments
        for drawn_by in segment.versions
    )
    count = max(ages.total(), 1)
    mixed = [
        len({v for segment in sample.segments for v in segment.versions}) > 1 for g in groups for sample in g.samples
    ]
    return {
        "schedule/staleness_mean": sum(age * times for age, times in ages.items()) / count,
        "schedule/staleness_max": float(max(ages, default=0)),
        **{f"schedule/tokens_{age}_behind_frac": ages[age] / count for age in range(lag + 1)},
        "schedule/mixed_version_samples_frac": sum(mixed) / max(len(mixed), 1),
    }
