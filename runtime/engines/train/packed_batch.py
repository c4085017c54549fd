"""One micro-batch, laid out for the model: distinct prefixes once, and where each wanted token is predicted.

Shape letters: T tokens of the global batch, U nodes (distinct prefixes) of the micro-batch, M wanted tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.engines.train.packed_attention import AttentionLayout, Heads, attention_layout
from runtime.packing.prefixes import Forest, shared_prefixes
from stdlib.samples import TrainBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedBatch:
    """What one forward pass reads.

    tokens_1U, positions_1U: [1, U] int64.
    tokens_M: [M] index of each wanted token in the global batch; ascending within a sequence.
    sources_M: [M] node whose hidden state predicts it.
    targets_M: [M] the token itself.
    sequence_M: [M] index of its sequence within the micro-batch.
    forest: the distinct prefixes, for whoever lays them out otherwise.
    """

    tokens_1U: Tensor
    positions_1U: Tensor
    layout: AttentionLayout
    tokens_M: Tensor
    sources_M: Tensor
    targets_M: Tensor
    sequence_M: Tensor
    forest: Forest


def predictable(mask_T: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return the mask with zeros at the first token of each sequence, which nothing predicts."""
    starts = [start for start, n in zip(accumulate(lengths, initial=0), lengths, strict=False) if n > 0]
    return mask_T.index_fill(0, torch.tensor(starts, dtype=torch.int64), 0.0)


def pack(batch: TrainBatch, sequences: Sequence[int], wanted_T: Tensor, *, heads: Heads) -> PackedBatch | None:
    """Return the micro-batch of some sequences, or None if none of their tokens is wanted.

    `wanted_T` is nonzero at the tokens to predict, never at the first of a sequence.  Tokens after the last wanted one
    of a sequence are left out: nothing that is wanted depends on them.
    """
    starts = list(accumulate(batch.lengths_N, initial=0))
    tokens, wanted = batch.tokens_T.tolist(), wanted_T.bool()
    token_indices: list[Tensor] = []
    local: list[Tensor] = []
    inputs: list[list[int]] = []
    node_slots: list[range] = []
    for i in sequences:
        indices = wanted[starts[i] : starts[i + 1]].nonzero()[:, 0] + starts[i]
        if indices.numel() == 0:
            continue
        local.append(torch.full_like(indices, len(inputs)))
        token_indices.append(indices)
        end = int(indices[-1])
        inputs.append(tokens[starts[i] : end])
        node_slots.append(range(starts[i], end))
    if not inputs:
        return None
    forest = shared_prefixes(inputs)
    node_of_T = torch.full((len(tokens),), -1, dtype=torch.int64)
    node_of_T[torch.tensor(list(chain.from_iterable(node_slots)))] = torch.tensor(
        list(chain.from_iterable(forest.paths))
    )
    tokens_M = torch.cat(token_indices)
    own = [(i, forest.first_own[i]) for i in forest.owners]
    return PackedBatch(
        tokens_1U=torch.tensor([list(chain.from_iterable(inputs[i][first:] for i, first in own))]),
        positions_1U=torch.tensor([list(chain.from_iterable(range(first, len(inputs[i])) for i, first in own))]),
        layout=attention_layout(forest, heads),
        tokens_M=tokens_M,
        sources_M=node_of_T[tokens_M - 1],
        targets_M=batch.tokens_T[tokens_M],
        sequence_M=torch.cat(local),
        forest=forest,
    )


def laid_out_for(packed: PackedBatch, *, heads: Heads) -> PackedBatch:
    """Return the micro-batch for a model with other heads."""
    return replace(packed, layout=attention_layout(packed.forest, heads))


def filled_up(packed: PackedBatch, multiple: int) -> PackedBatch:
    """Return the micro-batch with nodes that nothing reads at its end, up to a multiple of them.

    They attend to nothing and take over the first node's attention, so no value that is read changes.
    """
    num_nodes = packed.tokens_1U.shape[1]
    num_more = -num_nodes % multiple
    if num_more == 0:
        return packed
    num_heads = packed.layout.outputs.shape[0] // num_nodes
    return replace(
        packed,
        tokens_1U=F.pad(packed.tokens_1U, (0, num_more)),
        positions_1U=F.pad(packed.positions_1U, (0, num_more)),
        layout=replace(packed.layout, outputs=F.pad(packed.layout.outputs, (0, num_more * num_heads))),
    )
