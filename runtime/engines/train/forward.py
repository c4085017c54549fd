"""What every training model does with a batch: cut it, and compute the hidden state before each wanted token.

Shape letters: M wanted tokens of one micro-batch, U its nodes, D model width.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.openness import Off
from compiler.ir.training import Train
from runtime.engines.train.packed_batch import PackedBatch, filled_up, pack
from runtime.packing.micro_batches import MicroBatches, pack_by_count, pack_by_tokens
from stdlib.algorithms._terms import LossOutput, Totals
from stdlib.samples import TrainBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runtime.engines.train.hf_families import CausalModel
    from runtime.engines.train.packed_attention import Heads
    from runtime.engines.train.routing import Routing
    from runtime.engines.train.spread import Spread
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


def node_states(model: CausalModel, packed: PackedBatch, train: Train[Never], routing: Routing | None = None) -> Tensor:
    """Return [U, D], the last hidden state of each node and of what fills the micro-batch up, behind the last norm.

    Args:
        routing: of the model's routers, where it is recorded or replayed.
    """
    return states(model, filled_up(packed, train.packing.pad_multiple), train, routing)


def states(model: CausalModel, packed: PackedBatch, train: Train[Never], routing: Routing | None = None) -> Tensor:
    """Return the same of a micro-batch that is filled up."""
    device = packed.tokens_1U.device.type
    routed = nullcontext() if routing is None else routing.over(packed)
    with routed, torch.autocast(device, torch.bfloat16, enabled=train.precision == "bf16"):
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


def micro_batches(
    batch: TrainBatch, dealt: MicroBatches, wanted_T: Tensor, heads: Heads
) -> Iterator[tuple[PackedBatch, bool]]:
    """Yield the micro-batches in which a token is wanted, and of each whether it only keeps step with other processes.

    Such a one has a token that is in no batch; what comes of it has to be multiplied by 0.
    """
    for sequences in dealt:
        packed = pack(batch, sequences, wanted_T, heads=heads)
        if packed is not None:
            yield packed, False
        elif not sequences:
            yield _idle(batch, heads), True


def _idle(batch: TrainBatch, heads: Heads) -> PackedBatch:
    tokens_T = torch.zeros(2, dtype=torch.int64)
    own = replace(batch, tokens_T=tokens_T, lengths_N=(2,), row_size=1, expert_ids_TLC=None)
    found = pack(own, (0,), torch.tensor([0.0, 1.0]), heads=heads)
    if found is None:
        raise InternalError("a token that is wanted was not packed")
    return found


def accumulated(shares: Iterable[LossOutput], totals: Totals, spread: Spread) -> tuple[float, dict[str, float]]:
    """Add the gradients of all micro-batches up; return the loss of the global batch, and its metrics by name.

    Args:
        shares: computed one at a time, so that only one micro-batch's activations exist at once.
    """
    loss, sums = 0.0, dict[str, tuple[float, str]]()
    for output in shares:
        output.loss.backward()
        loss += float(output.loss.detach())
        for name, metric in output.metrics.items():
            sums[name] = (sums.get(name, (0.0, ""))[0] + float(metric.value), metric.over)
    return joined(spread.gathered((loss, sums)), totals)


def joined(
    every: Sequence[tuple[float, Mapping[str, tuple[float, str]]]], totals: Totals
) -> tuple[float, dict[str, float]]:
    """Return the loss of the global batch, and its metrics by name, from the shares of all ranks: of each its loss, and
    the sums of its metrics with what they are divided by.
    """
    names = {name: over for _, found in every for name, (_, over) in found.items()}
    total = {
        "tokens": totals.num_tokens,
        "right_tokens": max(totals.num_right_tokens, 1),
        "sequences": totals.num_sequences,
        "pairs": totals.num_sequences / 2,
    }
    means = {n: sum(found[n][0] for _, found in every if n in found) / total[over] for n, over in names.items()}
    return sum(share for share, _ in every), means
