"""A trainer spread over ranks by FSDP2: builds its models, deals micro-batches, and puts together what ranks found.

Shape letters: T tokens of the global batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Never, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.machine import Parallel
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.training import Train
from runtime.engines.train.fsdp2_build import Sharding
from runtime.engines.train.fsdp2_ranks import Ranks
from runtime.engines.train.fsdp2_tensor import TensorParallel
from runtime.engines.train.hf_model import empty_model, holds_prediction, untied
from runtime.engines.train.network import Network
from runtime.engines.train.spread import first_row, without_head
from runtime.packing.micro_batches import MicroBatches, pack_by_count, pack_by_tokens
from runtime.packing.ranks import share_by_count, share_by_tokens

if TYPE_CHECKING:
    from runtime.engines.train.torch_ import TrainerSpec
    from stdlib.samples import TrainBatch

Value = TypeVar("Value")


class Fsdp2Spread:
    """Implements Spread on all ranks of torch.distributed.

    Raises: SpecError RLC0776 if there are other ranks than the plan has.
    """

    def __init__(self, train: Train[Never], parallel: Parallel[Never]) -> None:
        settings = train.engine.fsdp2
        if isinstance(settings, Off):
            raise InternalError("a plan for FSDP2 without [train.engine.fsdp2]")
        self._ranks = Ranks(parallel, copies=settings.dp_replicate_size)
        self._sharding = Sharding(TensorParallel(self._ranks, splits_sequence=parallel.sp), settings, train.precision)

    @property
    def keeps_state(self) -> bool:
        """Whether this is the first rank."""
        return self._ranks.is_first

    def network(self, facts: Model[Never], weights: Mapping[str, Tensor], *, trained: bool, predicts: bool) -> Network:
        """Return the model, of which this rank has a part."""
        given = untied(facts, weights)
        empty: Any = empty_model(facts, predicts=holds_prediction(facts, given))
        if not trained:
            empty.requires_grad_(False)
        elif not predicts:
            empty.model.layers[facts.num_layers :].requires_grad_(False)
        return self._sharding.network(empty, facts, given)

    def scalar_network(self, facts: Model[Never], weights: Mapping[str, Tensor], *, head: str) -> Network:
        """Return the model, of which this rank has a part."""
        empty: Any = empty_model(facts)
        empty.lm_head = nn.Identity()
        row_1D = first_row(facts, weights, head=head)
        return self._sharding.network(empty, facts, without_head(facts, weights, head=head), head=(head, row_1D))

    def deal(self, batch: TrainBatch, spec: TrainerSpec, wanted_T: Tensor) -> MicroBatches:
        """Return the micro-batches of this rank's share, as many as of any other."""
        size = batch.row_size
        lengths = [sum(batch.lengths_N[at : at + size]) for at in range(0, len(batch.lengths_N), size)]
        shares = _shares(lengths, spec, self._ranks.num_shares)
        wanted = [bool(part.any()) for part in wanted_T.split(list(batch.lengths_N))]
        every = [[tuple(i * size + k for i in rows for k in range(size)) for rows in share] for share in shares]
        every = [[members for members in share if any(wanted[i] for i in members)] for share in every]
        most = max(len(share) for share in every)
        own = every[self._ranks.share]
        return (*own, *((),) * (most - len(own)))

    def gathered(self, value: Value) -> list[Value]:
        """Return the values of all shares of the batch, in their order."""
        found: list[Any] = [None] * self._ranks.num_shares
        dist.all_gather_object(found, value, group=self._ranks.share_group)
        return found

    def joined(self, found_T: Tensor) -> Tensor:
        """Return what all shares found."""
        wide_T = found_T.to(torch.int32) if found_T.dtype == torch.int16 else found_T
        every_T = wide_T.to(self._ranks.device, copy=True)
        dist.all_reduce(every_T, op=dist.ReduceOp.MAX, group=self._ranks.copy_group)
        return every_T.to(found_T)


def _shares(lengths: Sequence[int], spec: TrainerSpec, num_shares: int) -> Sequence[MicroBatches]:
    """Return the micro-batches of every share; where there are too few sequences, some have fewer than others."""
    count, train = len(lengths), spec.train
    if not isinstance(train.micro_batch, Off) and count % (train.micro_batch * num_shares) == 0:
        return share_by_count(count, micro_batch=train.micro_batch, num_ranks=num_shares)
    if isinstance(train.packing.tokens, Off) or not isinstance(train.micro_batch, Off):
        size = -(-count // num_shares) if isinstance(train.micro_batch, Off) else train.micro_batch
        cut = pack_by_count(count, micro_batch=max(size, 1))
        each = -(-len(cut) // num_shares)
        return [cut[each * share : each * (share + 1)] for share in range(num_shares)]
    packing, budget = train.packing, train.packing.tokens
    cut = pack_by_tokens(lengths, packing, max_tokens=budget, seed=spec.seed)
    if count < -(-len(cut) // num_shares) * num_shares:
        return [cut[share::num_shares] for share in range(num_shares)]
    return share_by_tokens(lengths, packing, num_ranks=num_shares, max_tokens=budget, seed=spec.seed)
