"""The search that packing is measured against does the same work."""

from __future__ import annotations

import random

from benchmarks.packing.million import BUDGET, search_from_the_first_bin
from runtime.packing.first_fit import first_fit_decreasing


def test_the_search_from_the_first_bin_is_first_fit_decreasing() -> None:
    draw = random.Random(7)
    lengths = draw.sample(range(1, BUDGET), 300)  # all different, so that ties are nobody's choice
    assert search_from_the_first_bin(lengths) == first_fit_decreasing(lengths, max_tokens=BUDGET)
