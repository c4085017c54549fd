"""One micro-batch, laid out for the model: distinct prefixes once, and where each wanted token is predicted.

Where experts are given, two prefixes are the same if their tokens visit the same ones, too.

Shape letters: T tokens of the global batch, P tokens and S sequences of the micro-batch, I those of its tokens that the
model reads, U its nodes (distinct prefixes), M wanted tokens, L layers with experts, C experts that a token visits.
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
    inputs_I: [I] index of each token that is read in the global batch, nodes_I: [I] its node.
    expert_ids_ULC: [U, L, C] int16 the experts that a node has to visit, -1 where nobody recorded them; None where the
        router chooses.
    """

    tokens_1U: Tensor
    positions_1U: Tensor
    layout: AttentionLayout
    tokens_M: Tensor
    sources_M: Tensor
    targets_M: Tensor
    sequence_M: Tensor
    forest: Forest
    inputs_I: Tensor
    nodes_I: Tensor
    expert_ids_ULC: Tensor | None


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
    lengths = [batch.lengths_N[i] for i in sequences]
    tokens_P = torch.tensor(list(chain.from_iterable(range(starts[i], starts[i + 1]) for i in sequences)))
    wanted_M = wanted_T[tokens_P].nonzero()[:, 0] if sequences else tokens_P
    if wanted_M.numel() == 0:
        return None
    slot_P = torch.repeat_interleave(torch.tensor(lengths))
    # Of each sequence: where it begins in P, and its tokens up to the last wanted one, which itself is no input.
    begins = list(accumulate(lengths, initial=0))
    ends = torch.zeros(len(lengths), dtype=torch.int64).scatter_reduce_(0, slot_P[wanted_M], wanted_M, "amax").tolist()
    tokens = batch.tokens_T[tokens_P].tolist()
    kept = [slot for slot, end in enumerate(ends) if end > begins[slot]]
    inputs = [tokens[begins[slot] : ends[slot]] for slot in kept]
    expert_ids_PLC = None if batch.expert_ids_TLC is None else batch.expert_ids_TLC[tokens_P]
    alike = tokens if expert_ids_PLC is None else _alike(batch.tokens_T[tokens_P], expert_ids_PLC)
    forest = shared_prefixes([alike[begins[slot] : ends[slot]] for slot in kept])
    node_P = torch.full((len(tokens),), -1, dtype=torch.int64)
    filled_I = torch.tensor(list(chain.from_iterable(range(begins[slot], ends[slot]) for slot in kept)))
    nodes_I = torch.tensor(list(chain.from_iterable(forest.paths)))
    node_P[filled_I] = nodes_I
    number_S = torch.zeros(len(lengths), dtype=torch.int64)
    number_S[torch.tensor(kept)] = torch.arange(len(kept))
    own = [(i, forest.first_own[i]) for i in forest.owners]
    tokens_M = tokens_P[wanted_M]
    expert_ids_ULC = None
    if expert_ids_PLC is not None:
        expert_ids_ULC = expert_ids_PLC.new_empty(forest.num_nodes, *expert_ids_PLC.shape[1:])
        expert_ids_ULC[nodes_I] = expert_ids_PLC[filled_I]
    return PackedBatch(
        tokens_1U=torch.tensor([list(chain.from_iterable(inputs[i][first:] for i, first in own))]),
        positions_1U=torch.tensor([list(chain.from_iterable(range(first, len(inputs[i])) for i, first in own))]),
        layout=attention_layout(forest, heads),
        tokens_M=tokens_M,
        sources_M=node_P[wanted_M - 1],
        targets_M=batch.tokens_T[tokens_M],
        sequence_M=number_S[slot_P[wanted_M]],
        forest=forest,
        inputs_I=tokens_P[filled_I],
        nodes_I=nodes_I,
        expert_ids_ULC=expert_ids_ULC,
    )


def _alike(tokens_P: Tensor, expert_ids_PLC: Tensor) -> list[int]:
    """Return a number for each token, the same where token and experts are."""
    rows = torch.cat([tokens_P[:, None], expert_ids_PLC.flatten(1).long()], dim=1)
    return rows.unique(dim=0, return_inverse=True)[1].tolist()


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
    expert_ids_ULC = packed.expert_ids_ULC
    if expert_ids_ULC is not None:
        expert_ids_ULC = F.pad(expert_ids_ULC, (0, 0, 0, 0, 0, num_more), value=-1)
    return replace(
        packed,
        expert_ids_ULC=expert_ids_ULC,
        tokens_1U=F.pad(packed.tokens_1U, (0, num_more)),
        positions_1U=F.pad(packed.positions_1U, (0, num_more)),
        layout=replace(packed.layout, outputs=F.pad(packed.layout.outputs, (0, num_more * num_heads))),
    )


def on_device(packed: PackedBatch, device: torch.device) -> PackedBatch:
    """Return the micro-batch with what a forward pass reads on a device."""
    if device.type == "cpu":
        return packed
    moved = packed.layout.to(device)
    tokens_1U, positions_1U = packed.tokens_1U.to(device), packed.positions_1U.to(device)
    return replace(packed, tokens_1U=tokens_1U, positions_1U=positions_1U, layout=moved)
