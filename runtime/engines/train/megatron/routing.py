"""Routing on Megatron: which experts tokens visit, recorded on the ranks that route them, or given to them.

What a router asks is what Megatron's own RouterReplay answers.  Here a token that nobody recorded chooses for itself,
as in the trainer of one process, and what routers would have chosen is counted.  A rank is asked by the layers that it
holds, for the tokens that it routes: those of its context-parallel part, and of these its share under sequence
parallelism.

Shape letters: T tokens of the global batch, S tokens that this rank reads, R those of them that it routes, L layers
with experts, E experts, C experts that a token visits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.transformer.moe.router_replay import RouterReplay
from torch import Tensor

from compiler.ir.model import Moe
from runtime.engines.train.megatron.network import Chunk
from runtime.engines.train.megatron.rows import Rows

_NOBODY = -1


class Routing:
    """What the routers of this rank do.

    Args:
        is_split: whether a rank of a tensor-parallel group routes a share of the tokens that all of it read.
    """

    def __init__(self, chunks: Sequence[Chunk], moe: Moe, *, num_layers: int, is_split: bool) -> None:
        self._num_layers, self._num_chosen = num_layers - moe.num_dense_layers, moe.experts_per_token
        self._is_split = is_split
        self._routers = {id(chunk): _put_into(chunk, moe.num_dense_layers) for chunk in chunks}
        RouterReplay.clear_global_router_replay_instances()  # a list of all that were ever made
        self._given_TLC: Tensor | None = None
        self._recorded_TLC: Tensor | None = None
        self._num_rerouted = 0.0

    @contextmanager
    def given(self, expert_ids_TLC: Tensor | None) -> Iterator[None]:
        """Let the tokens of all passes in here visit these experts, and where there are none those that they choose."""
        self._given_TLC, self._num_rerouted = expert_ids_TLC, 0.0
        try:
            yield
        finally:
            self._given_TLC = None
            for routers in self._routers.values():
                for router in routers.values():
                    router.again.clear()

    @contextmanager
    def recording(self, num_tokens: int) -> Iterator[Callable[[], Tensor]]:
        """Yield a function that returns, of the passes in here, [T, L, C] int16 what tokens visited, -1 where none did,
        the same on every rank.  It is collective.
        """
        shape = (num_tokens, self._num_layers, self._num_chosen)
        recorded_TLC = torch.full(shape, _NOBODY, dtype=torch.int32)
        self._recorded_TLC = recorded_TLC

        def joined() -> Tensor:
            device = torch.device("cuda") if torch.cuda.is_available() else recorded_TLC.device
            found_TLC = recorded_TLC.to(device)
            dist.all_reduce(found_TLC, op=dist.ReduceOp.MAX)  # who routed the same says the same, all others less
            return found_TLC.to("cpu", torch.int16)

        try:
            yield joined
        finally:
            self._recorded_TLC = None

    @contextmanager
    def over(self, chunk: Chunk, rows: Rows) -> Iterator[None]:
        """Go with a micro-batch through a chunk.  Layers that the backward pass computes again visit the same."""
        routers = self._routers[id(chunk)]
        read_R = self._own(rows.read_S)
        for layer, router in routers.items():
            given_RC = None
            if self._given_TLC is not None:
                given_RC = torch.where(read_R[:, None] < 0, _NOBODY, self._given_TLC[read_R.clamp(min=0), layer].long())
            router.begin(given_RC, is_trained=torch.is_grad_enabled())
        try:
            yield
        finally:
            for router in routers.values():
                router.is_forward = False
        times_R = self._own(torch.bincount(rows.sources_W.cpu(), minlength=rows.read_S.shape[0]))
        for layer, router in routers.items():
            if self._recorded_TLC is not None and router.chosen_RC is not None:
                is_read_R = read_R >= 0
                self._recorded_TLC[read_R[is_read_R], layer] = router.chosen_RC[is_read_R].to("cpu", torch.int32)
            if router.is_other_R is not None:
                self._num_rerouted += float((times_R * router.is_other_R.cpu()).sum())

    def num_rerouted(self) -> float:
        """Return, summed over the wanted tokens of the last passes of all ranks, the share of layers whose router would
        have chosen other experts than those that were given.  It is collective.
        """
        does_count = self._is_split or parallel_state.get_tensor_model_parallel_rank() == 0
        device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
        found = torch.tensor(self._num_rerouted if does_count else 0.0, dtype=torch.float64, device=device)
        dist.all_reduce(found)
        return float(found) / self._num_layers

    def _own(self, values_S: Tensor) -> Tensor:
        if not self._is_split:
            return values_S
        ranks = parallel_state.get_tensor_model_parallel_world_size()
        return values_S.chunk(ranks)[parallel_state.get_tensor_model_parallel_rank()]


class _Router:
    """Answers what one layer's router asks.

    chosen_RC: what tokens visited in the last pass; is_other_R: whether they would have chosen otherwise, where they
        were given experts.
    again: of every micro-batch whose backward pass is to come, what its tokens were given.
    """

    def __init__(self) -> None:
        self.is_forward = False
        self.chosen_RC: Tensor | None = None
        self.is_other_R: Tensor | None = None
        self.again = deque[Tensor | None]()
        self._given_RC: Tensor | None = None

    def begin(self, given_RC: Tensor | None, *, is_trained: bool) -> None:
        """Let the next question be that of a micro-batch's forward pass."""
        self.is_forward, self._given_RC = True, given_RC
        self.chosen_RC = self.is_other_R = None
        if is_trained:
            self.again.append(given_RC)

    def get_replay_topk(
        self,
        scores_RE: Tensor,
        topk: int,
        num_groups: int | None = None,
        group_topk: int | None = None,
        default_compute_topk: Callable[..., tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return [R, C] the scores of the experts that tokens visit, and which these are.

        The parameters are those by which Megatron asks; chunks go backward in the order in which they went forward.
        """
        assert default_compute_topk is not None
        given_RC = self._given_RC if self.is_forward else self.again.popleft()
        own_score_RC, own_RC = default_compute_topk(scores_RE, topk, num_groups=num_groups, group_topk=group_topk)
        if given_RC is None:
            self.chosen_RC = own_RC.detach()
            return own_score_RC, own_RC
        given_RC = given_RC.to(own_RC.device)
        chosen_RC = torch.where(given_RC < 0, own_RC, given_RC)
        if self.is_forward:
            self.chosen_RC = chosen_RC
            self.is_other_R = (chosen_RC.sort(-1).values != own_RC.sort(-1).values).any(-1)
        return scores_RE.gather(1, chosen_RC), chosen_RC


def _put_into(chunk: Chunk, num_dense_layers: int) -> dict[int, _Router]:
    """Return, by number among all layers with experts, what the routers of a chunk ask from here on."""
    found: dict[int, _Router] = {}
    layers: Any = chunk.decoder.layers
    for layer in layers:
        router = getattr(layer.mlp, "router", None)
        if router is not None:
            number = layer.layer_number - 1 - num_dense_layers
            router.router_replay = found[number] = _Router()
    return found
