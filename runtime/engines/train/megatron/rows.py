"""One micro-batch as Megatron reads it: sequences end to end, each filled up so that context parallelism can split it.

A rank of a context-parallel group of c holds two of 2 c equal slices of every sequence, one from either end, so that
all have the same work under a causal mask.  What fills a sequence up stands behind it, where nothing looks.

Shape letters: T tokens of the global batch, M wanted tokens of the micro-batch, S tokens that this rank holds, W wanted
tokens whose predecessor is among these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from megatron.core.packed_seq_params import PackedSeqParams
from torch import Tensor

from stdlib.samples import TrainBatch


class Split(NamedTuple):
    """How the tokens of a micro-batch are spread: number and index of this rank in its context-parallel group, and of
    what the tokens of all of them are a multiple.
    """

    cp: int
    cp_rank: int
    multiple: int

    @property
    def each(self) -> int:
        """Of what the tokens of a sequence are a multiple."""
        return 1 if self.cp == 1 else 2 * self.cp


class Rows(NamedTuple):
    """tokens_1S, positions_1S: [1, S] what this rank reads.

    sequences: borders of the sequences, over all ranks.
    tokens_M: [M] index of each wanted token in the global batch; targets_M: [M] the token itself; sequence_M: [M]
        index of its sequence in the micro-batch.
    sources_W: [W] where this rank reads the token before a wanted one; wanted_W: [W] which of the M that one is.
    read_S: [S] index in the global batch of each token that is read, -1 where one is filled up.
    """

    tokens_1S: Tensor
    positions_1S: Tensor
    sequences: Any
    tokens_M: Tensor
    targets_M: Tensor
    sequence_M: Tensor
    sources_W: Tensor
    wanted_W: Tensor
    read_S: Tensor


def rows_of(batch: TrainBatch, members: Sequence[int], wanted_T: Tensor, split: Split, *, device: Any) -> Rows:
    """Return the micro-batch of some sequences; of one without a wanted token there is nothing in it.

    Where none has one there is a row of filling only: all ranks make the same number of passes.
    """
    starts = list(accumulate(batch.lengths_N, initial=0))
    read: list[int] = []
    borders, positions = [0], list[int]()
    tokens_M, sequence_M, sources_M = list[Tensor](), list[Tensor](), list[Tensor]()
    for member in members:
        first, end = starts[member], starts[member + 1]
        wanted = wanted_T[first:end].nonzero()[:, 0]
        if wanted.numel() == 0:
            continue
        length = int(wanted[-1])  # the last wanted token itself is no input
        tokens_M.append(first + wanted)
        sources_M.append(borders[-1] + wanted - 1)
        sequence_M.append(torch.full_like(wanted, len(borders) - 1))
        filled = -(-length // split.each) * split.each
        read += [*range(first, first + length), *[-1] * (filled - length)]
        positions += range(filled)
        borders.append(borders[-1] + filled)
    multiple = math.lcm(split.each, split.multiple)
    missing = -(-max(borders[-1], 1) // multiple) * multiple - borders[-1]
    if missing:
        read += [-1] * missing
        positions += range(missing)
        borders.append(borders[-1] + missing)
    held_S = _held(borders, split)
    at_G = torch.full((borders[-1],), -1)
    at_G[held_S] = torch.arange(held_S.shape[0])
    read_S = torch.tensor(read)[held_S]
    wanted_M, source_M = _joined(tokens_M), at_G[_joined(sources_M)]
    wanted_W = (source_M >= 0).nonzero()[:, 0]
    tokens_S = torch.where(read_S < 0, 0, batch.tokens_T[read_S.clamp(min=0)])
    return Rows(
        tokens_1S=tokens_S[None].to(device),
        positions_1S=torch.tensor(positions)[held_S][None].to(device),
        sequences=_sequences(borders, device),
        tokens_M=wanted_M,
        targets_M=batch.tokens_T[wanted_M].to(device),
        sequence_M=_joined(sequence_M),
        sources_W=source_M[wanted_W].to(device),
        wanted_W=wanted_W.to(device),
        read_S=read_S,
    )


def _held(borders: Sequence[int], split: Split) -> Tensor:
    """Return where the tokens of this rank stand among those of all."""
    if split.cp == 1:
        return torch.arange(borders[-1])
    parts: list[Tensor] = []
    for first, end in pairwise(borders):
        width = (end - first) // (2 * split.cp)
        for slot in (split.cp_rank, 2 * split.cp - 1 - split.cp_rank):
            parts.append(torch.arange(first + slot * width, first + (slot + 1) * width))
    return torch.cat(parts)


def _sequences(borders: Sequence[int], device: Any) -> PackedSeqParams:
    """The longest must be the longest: Megatron takes a table of as many rotations as there are tokens for one that
    goes on from sequence to sequence.
    """
    ends = torch.tensor(borders, dtype=torch.int32, device=device)
    longest = max(end - first for first, end in pairwise(borders))
    return PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=ends,
        cu_seqlens_kv=ends,
        cu_seqlens_q_padded=ends,
        cu_seqlens_kv_padded=ends,
        max_seqlen_q=longest,
        max_seqlen_kv=longest,
    )


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if parts else torch.zeros(0, dtype=torch.int64)
