"""Prefixes that sequences share, so that a trainer computes them once.

The hidden state of a token depends only on the tokens before it.  The samples of one group repeat their prompt, so of
G * (P + R) tokens only P + G * R have states of their own.  Sequences become paths in a forest whose nodes are the
distinct prefixes; a batch without repetition costs one sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Forest(NamedTuple):
    """Distinct prefixes of some sequences.

    Nodes are numbered so that the nodes which sequence i is the first to have, `paths[i][first_own[i]:]`, are
    consecutive; `owners` lists the sequences in the order in which their own nodes are numbered.
    """

    paths: tuple[list[int], ...]
    first_own: tuple[int, ...]
    owners: tuple[int, ...]
    num_nodes: int


def shared_prefixes(sequences: Sequence[list[int]]) -> Forest:
    """Return the forest of all prefixes of the sequences: path[p] is the node of the prefix that ends with token p."""
    order = sorted(range(len(sequences)), key=lambda i: sequences[i])
    paths: list[list[int]] = [[] for _ in sequences]
    first_own = [0] * len(sequences)
    num_nodes = 0
    previous: list[int] = []
    path: list[int] = []
    for i in order:
        tokens = sequences[i]
        shared = common_prefix(previous, tokens)
        num_own = len(tokens) - shared
        path = path[:shared] + list(range(num_nodes, num_nodes + num_own))
        paths[i], first_own[i] = path, shared
        num_nodes += num_own
        previous = tokens
    return Forest(tuple(paths), tuple(first_own), tuple(order), num_nodes)


def common_prefix(a: list[int], b: list[int]) -> int:
    """Return the length of the longest common prefix, by bisection over slices."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
