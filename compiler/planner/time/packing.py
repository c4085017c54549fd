"""How many micro-batches sequences of these lengths fill, where several share one and none is cut.

First fit decreasing, as frameworks pack (arXiv:2107.02027), over classes of length instead of single sequences: what
is left at the end of a micro-batch is lost, and much is where most sequences are longer than half of its budget.
"""

from __future__ import annotations

from functools import lru_cache

from compiler.planner.time.lengths import Lengths, classes_of

_NOTHING = 1e-9


@lru_cache(maxsize=256)  # a search asks for the same ones of thousands of layouts
def packed_micro_batches(lengths: Lengths, samples: float, prompt: float, budget: float) -> float:
    """Return how many micro-batches of a budget of tokens so many sequences fill; one beyond it has one to itself."""
    open_ones: list[tuple[float, float]] = []  # micro-batches, and the tokens that each has room for; fullest first
    total = 0.0
    for one in reversed(classes_of(lengths, samples)):
        length, left = prompt + one.tokens, one.share * samples
        still: list[tuple[float, float]] = []
        for count, room in open_ones:
            each = int(room / length)
            taken = min(count, left / each) if each and left > _NOTHING else 0.0
            if taken:
                left -= taken * each
                still.append((taken, room - each * length))
            if count - taken > _NOTHING:
                still.append((count - taken, room))
        if left > _NOTHING:
            each = max(1, int(budget / length))
            total += left / each
            still.append((left / each, budget - each * length))
        open_ones = [pair for pair in still if pair[1] > prompt]
    return total
