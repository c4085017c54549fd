"""Collectives on the topology of a cluster: how long data takes among GPUs of one scale-up domain, and beyond.

Ranks are numbered tp, cp, dp, pp, the first one fastest, as Megatron numbers them.  A group has so many of its ranks
within a domain; where it does not lie in one, each of those has a network card of its own, and all are used.
Source: ring collectives, arXiv:1802.05799; bytes that a rank sends are (n - 1) / n of the data for each half.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Gpu

_GIGA = 1e9


class Group(NamedTuple):
    """Ranks that talk with one another: how many, and how far apart their numbers are."""

    size: int
    stride: int = 1

    def within(self, gpu: Gpu) -> int:
        """Return how many of its ranks lie in one scale-up domain."""
        return max(1, min(self.size, max(1, gpu.scaleup_gpus) // self.stride))


def ring_bytes(group: Group, size: float) -> float:
    """Return the bytes that a rank sends when `size` is gathered, or reduced and scattered; twice that for both."""
    return (group.size - 1) / group.size * size


def gather_seconds(group: Group, size: float, gpu: Gpu, frac: float) -> float:
    """Return how long an all-gather, or a reduce-scatter, of so many bytes takes; an all-reduce is both."""
    return ring_bytes(group, size) / bandwidth(group, gpu, frac) if group.size > 1 else 0.0


def bandwidth(group: Group, gpu: Gpu, frac: float) -> float:
    """Return the bytes a second that a rank of a ring sends."""
    within, inside = group.within(gpu), gpu.scaleup_gb_per_s * _GIGA
    if within == group.size:
        return max(1.0, inside * frac)
    outside = gpu.nic_gbit_per_s / 8 * _GIGA * within
    return max(1.0, (min(inside, outside) if inside else outside) * frac)


def exchange_seconds(
    group: Group, size: float, copies: int, gpu: Gpu, frac: float, *, sends_once: bool = True
) -> float:
    """Return how long an all-to-all takes in which each of a rank's tokens goes to several ranks.

    Args:
        size: bytes of a rank's tokens, each counted once.
        copies: how many places each token goes to, chosen evenly.
        sends_once: whether a token that goes to several places of a domain crosses the network once for it, and to
            several of a rank once (DeepEP, HybridEP); else every copy is sent (NCCL's all-to-all).
    """
    if group.size == 1:
        return 0.0
    within, inside = group.within(gpu), gpu.scaleup_gb_per_s * _GIGA
    domains = group.size / within
    if sends_once:
        reached = group.size * (1 - (1 - 1 / group.size) ** copies)
        visited = domains * (1 - (1 - 1 / domains) ** copies)
    else:
        reached = visited = copies
    local = size * reached * (group.size - 1) / group.size / max(1.0, inside * frac)
    if domains <= 1:
        return local
    return max(local, size * visited * (domains - 1) / domains / max(1.0, gpu.nic_gbit_per_s / 8 * _GIGA * frac))


def send_seconds(size: float, gpu: Gpu, frac: float, *, is_inside: bool) -> float:
    """Return how long a message from one GPU to another takes."""
    rate = gpu.scaleup_gb_per_s * _GIGA if is_inside and gpu.scaleup_gb_per_s else gpu.nic_gbit_per_s / 8 * _GIGA
    return size / max(1.0, rate * frac)
