"""Cuts of a global batch into micro-batches, over lengths only.

By token budget, with the algorithm and the balance that [train.packing] asks for; or by count, in input order.  Nothing
but the arguments decides: a shuffle is that of its seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.openness import Off
from compiler.ir.training import Packing
from runtime.packing.best_fit import best_fit_decreasing
from runtime.packing.bins import Bins, in_multiples, too_few
from runtime.packing.concatenative import concatenative
from runtime.packing.first_fit import first_fit_decreasing, first_fit_shuffle
from runtime.packing.modified_first_fit import modified_first_fit_decreasing
from runtime.packing.partition import karmarkar_karp

MicroBatches = tuple[tuple[int, ...], ...]


def pack_by_tokens(
    lengths: Sequence[int], packing: Packing[Never], *, max_tokens: int, seed: int, multiple: int = 1
) -> MicroBatches:
    """Return micro-batches of sequence indices, each of at most `max_tokens` tokens, every sequence exactly once.

    Indices within a micro-batch ascend.

    Args:
        seed: of the order of first_fit_shuffle.
        multiple: what the number of micro-batches is a multiple of.

    Raises: SpecError RLC0642 if a sequence alone is above the budget; ValueError if there are too few sequences for a
    multiple.
    """
    longest = max(lengths, default=0)
    if longest > max_tokens:
        raise SpecError(_oversize(lengths.index(longest), longest, max_tokens))
    bins = _bins(lengths, packing, max_tokens=max_tokens, seed=seed)
    if isinstance(packing.balance, Off):
        bins = in_multiples(bins, multiple)
    else:
        bins = _evened(lengths, packing, len(bins), max_tokens=max_tokens, multiple=multiple)
    return tuple(tuple(sorted(b)) for b in bins)


def pack_by_count(num_sequences: int, *, micro_batch: int) -> MicroBatches:
    """Return micro-batches of `micro_batch` consecutive indices; the last one may be smaller."""
    starts = range(0, num_sequences, micro_batch)
    return tuple(tuple(range(start, min(start + micro_batch, num_sequences))) for start in starts)


def costs_of(lengths: Sequence[int], packing: Packing[Never]) -> Sequence[int]:
    """Return what is to be even: tokens, or FLOPs of each sequence on its own."""
    flops = packing.flops
    if isinstance(flops, Off):
        return lengths
    return [n * flops.per_token + n * n * flops.per_pair for n in lengths]


def _bins(lengths: Sequence[int], packing: Packing[Never], *, max_tokens: int, seed: int) -> Bins:
    match packing.algorithm:
        case "best_fit_decreasing":
            return best_fit_decreasing(lengths, max_tokens=max_tokens)
        case "modified_first_fit_decreasing":
            return modified_first_fit_decreasing(lengths, max_tokens=max_tokens)
        case "first_fit_decreasing":
            return first_fit_decreasing(lengths, max_tokens=max_tokens)
        case "first_fit_shuffle":
            return first_fit_shuffle(lengths, max_tokens=max_tokens, seed=seed)
        case "concatenative":
            return concatenative(lengths, max_tokens=max_tokens)


def _evened(lengths: Sequence[int], packing: Packing[Never], num_bins: int, *, max_tokens: int, multiple: int) -> Bins:
    """Return bins of costs as even as can be, `num_bins` of them, or as few more as the token budget needs.

    Even costs know no budget: with bins almost full, or many short sequences beside a long one, tokens may be above it.
    One sequence to a bin always fits, so there is an end.
    """
    costs = costs_of(lengths, packing)
    most = len(lengths) // multiple * multiple
    num_bins = -(-num_bins // multiple) * multiple
    while num_bins <= most:
        bins = karmarkar_karp(costs, num_parts=num_bins) if num_bins else []
        if all(sum(lengths[i] for i in b) <= max_tokens for b in bins):
            return bins
        more = -(-max(1, num_bins // 32) // multiple) * multiple
        num_bins = min(num_bins + more, most) if num_bins < most else num_bins + multiple
    raise too_few(num_bins, len(lengths))


def _oversize(sequence: int, tokens: int, max_tokens: int) -> Diagnostic:
    return Diagnostic(
        "RLC0642",
        f"sequence {sequence} of the batch has {tokens} tokens, above the {max_tokens} of one micro-batch",
        help=(Help(f"set train.packing.tokens to at least {tokens}", sets=(("train.packing.tokens", str(tokens)),)),),
        paths=("train.packing.tokens",),
    )
