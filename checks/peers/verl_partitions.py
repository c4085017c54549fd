"""Balanced partitions of `verl.utils.seqlen_balancing` beside ours: the sums of the parts."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from verl.utils.seqlen_balancing import get_seqlen_balanced_partitions

from checks.peers.ledger import Ledger
from runtime.packing.partition import karmarkar_karp


def compare(ledger: Ledger, seed: int) -> None:
    """Hold the partitions of one draw against each other.

    No two costs are equal: of equal ones the two do not merge the same first.
    """
    generator = random.Random(seed)
    parts = generator.choice((2, 3, 4, 8))
    costs = generator.sample(range(1, 10_000_000), parts * generator.randint(2, 30))
    for equal in (False, True):
        theirs = get_seqlen_balanced_partitions(costs, parts, equal_size=equal)
        ours = karmarkar_karp(costs, num_parts=parts, equal_counts=equal)
        name = f"verl get_seqlen_balanced_partitions, equal_size={equal}, sums"
        ledger.compare(name, _sums(costs, ours), _sums(costs, theirs))


def _sums(costs: list[int], parts: list[list[int]]) -> Tensor:
    return torch.tensor(sorted(sum(costs[i] for i in part) for part in parts), dtype=torch.float64)
