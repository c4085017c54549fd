"""First fit: the first bin that has room takes the next sequence, in an order of choice.

The room of all bins stands in a tree of maxima, so a bin is found in the logarithm of their number.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.data.order import permutation
from runtime.packing.bins import Bins


def first_fit_decreasing(lengths: Sequence[int], *, max_tokens: int) -> Bins:
    """Return bins of indices, the longest sequence first; of equal lengths the higher index first, as NeMo-RL has it.

    No length may be above `max_tokens`.
    """
    order = sorted(range(len(lengths) - 1, -1, -1), key=lengths.__getitem__, reverse=True)
    return first_fit(lengths, order, max_tokens=max_tokens)


def first_fit_shuffle(lengths: Sequence[int], *, max_tokens: int, seed: int) -> Bins:
    """Return bins of indices, in an order that only the seed and the number of sequences decide."""
    order = permutation(len(lengths), seed=seed, epoch=0).tolist()
    return first_fit(lengths, order, max_tokens=max_tokens)


def first_fit(lengths: Sequence[int], order: Sequence[int], *, max_tokens: int) -> Bins:
    """Return bins of indices, filled in the order given.  No length may be above `max_tokens`."""
    if not order:
        return []
    # What opened a bin had no room in any before: two bins hold more than max_tokens, which bounds their number.
    most = min(len(order), 2 * sum(lengths[i] for i in order) // max(max_tokens, 1) + 1)
    width = 1 << (most - 1).bit_length()
    room = [max_tokens] * (2 * width)  # node n has children 2n and 2n + 1; leaves are the bins
    bins: Bins = []
    for i in order:
        length = lengths[i]
        node = 1
        while node < width:
            node += node
            if room[node] < length:
                node += 1
        chosen = node - width
        if chosen == len(bins):
            bins.append([])
        bins[chosen].append(i)
        left = room[node] = room[node] - length
        while node > 1:
            other = room[node ^ 1]
            node >>= 1
            largest = left if left > other else other
            if room[node] == largest:
                break
            room[node] = left = largest
    return bins
