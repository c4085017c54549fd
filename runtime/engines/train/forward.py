"""What every training model does with a batch: cut it, and compute the hidden state before each wanted token.

Shape letters: M wanted tokens of one micro-batch, U its nodes, D model width.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from typing import TYPE_CHECKING, Never

import torch
from torch import Tensor

from compiler.ir.openness import Off
from compiler.ir.training import Train
from runtime.engines.train.packed_batch import PackedBatch, filled_up
from runtime.packing.micro_batches import MicroBatches, pack_by_count, pack_by_tokens
from stdlib.algorithms._terms import LossOutput, MetricSum, Totals
from stdlib.samples import TrainBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime.engines.train.hf_families import CausalModel
    from runtime.engines.train.routing import Routing
    from runtime.engines.train.torch_ import TrainerSpec


def cut(batch: TrainBatch, spec: TrainerSpec) -> MicroBatches:
    """Return the micro-batches of a batch, as [train] says.  Raises: SpecError RLC0642 if a sequence fits in none."""
    size = batch.row_size
    lengths = [sum(batch.lengths_N[at : at + size]) for at in range(0, len(batch.lengths_N), size)]
    rows = _cut(lengths, spec)
    return rows if size == 1 else tuple(tuple(i * size + k for i in row for k in range(size)) for row in rows)


def _cut(lengths: Sequence[int], spec: TrainerSpec) -> MicroBatches:
    count, train = len(lengths), spec.train
    if not isinstance(train.micro_batch, Off):
        return pack_by_count(count, micro_batch=train.micro_batch)
    if isinstance(train.packing.tokens, Off):
        return pack_by_count(count, micro_batch=max(count, 1))
    return pack_by_tokens(lengths, train.packing, max_tokens=train.packing.tokens, seed=spec.seed)


def hidden_states(
    model: CausalModel, packed: PackedBatch, train: Train[Never], routing: Routing | None = None
) -> Tensor:
    """Return hidden_MD: [M, D], the last hidden state before each wanted token; else as node_states."""
    return node_states(model, packed, train, routing).index_select(0, packed.sources_M)


def node_states(model: CausalModel, packed: PackedBatch, train: Train[Never], routing: Routing | None = None) -> Tensor:
    """Return [U, D], the last hidden state of each node and of what fills the micro-batch up, behind the last norm.

    Args:
        routing: of the model's routers, where it is recorded or replayed.
    """
    packed = filled_up(packed, train.packing.pad_multiple)
    routed = nullcontext() if routing is None else routing.over(packed)
    with routed, torch.autocast("cpu", torch.bfloat16, enabled=train.precision == "bf16"):
        output = model.model(
            input_ids=packed.tokens_1U,
            position_ids=packed.positions_1U,
            use_cache=False,
            layout=packed.layout,
        )
        hidden_UD: Tensor = output.last_hidden_state[0]
    return hidden_UD


def totals_of(wanted_T: Tensor, lengths: Sequence[int], is_right_T: Tensor | None = None) -> Totals:
    """Return the counts of a global batch of which `wanted_T` is nonzero at the tokens that count.

    Args:
        is_right_T: nonzero in responses that are right, where somebody asks.
    """
    counted_N = torch.zeros(len(lengths), dtype=torch.bool)
    counted_N[torch.repeat_interleave(torch.tensor(lengths, dtype=torch.int64))[wanted_T != 0]] = True
    return Totals(
        num_tokens=int(wanted_T.count_nonzero()),
        num_sequences=len(lengths),
        num_nonempty=int(counted_N.sum()),
        num_right_tokens=0 if is_right_T is None else int((wanted_T * is_right_T).count_nonzero()),
    )


def accumulated(shares: Iterable[LossOutput], totals: Totals) -> tuple[float, dict[str, float]]:
    """Add the gradients of all micro-batches up; return the loss of the global batch, and its metrics by name.

    Args:
        shares: computed one at a time, so that only one micro-batch's activations exist at once.
    """
    loss, sums = 0.0, defaultdict[str, list[MetricSum]](list)
    for output in shares:
        output.loss.backward()
        loss += float(output.loss.detach())
        for name, metric in output.metrics.items():
            sums[name].append(metric)
    return loss, {name: mean_of(parts, totals) for name, parts in sums.items()}


def mean_of(parts: Sequence[MetricSum], totals: Totals) -> float:
    """Return a metric of the global batch from the sums of its micro-batches."""
    total = {
        "tokens": totals.num_tokens,
        "right_tokens": max(totals.num_right_tokens, 1),
        "sequences": totals.num_sequences,
        "pairs": totals.num_sequences / 2,
    }[parts[0].over]
    return sum(float(part.value) for part in parts) / total
