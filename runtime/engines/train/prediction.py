"""The loss of layers that predict further tokens, on a micro-batch whose prefixes are shared.

Layer k reads, at position i of a sequence, the hidden state that layer k - 1 has there (of the first one: the model's
own, behind its last norm) and the embedding of token i + k, and predicts token i + k + 1 through the model's output
head.  Two positions of layer k are the same if their prefixes up to token i + k are, so each layer has a forest of its
own.
Paper: DeepSeek-V3 Technical Report, arXiv:2412.19437, equations 21 to 25.  Departures: the joint projection reads the
embedding before the hidden state, as the published weights do; what a layer hands on to the next one is behind its own
norm, as Megatron has it; the mean is over the tokens that count in the loss.

Shape letters: U nodes of the micro-batch, V nodes of one layer, M wanted tokens, W those that a layer predicts, D model
width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Never

import torch
from torch import Tensor

from compiler.ir.training import MultiTokenPrediction, Train
from runtime.engines.train.chunked_logprobs import HeadSpec, token_stats
from runtime.engines.train.packed_attention import AttentionLayout, Heads, attention_layout
from runtime.engines.train.packed_batch import PackedBatch
from runtime.packing.prefixes import shared_prefixes
from stdlib.algorithms._terms import LossOutput, MetricSum, Totals

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reach:
    """What one layer reads and predicts.

    before_V: [V] the node of the layer before, or of the model.  ahead_V: [V] the node of the model whose token is the
    embedded one.  positions_1V: [1, V].  sources_W: [W] the node that predicts; wanted_W: [W] what, as places among the
    wanted tokens.
    """

    before_V: Tensor
    ahead_V: Tensor
    positions_1V: Tensor
    layout: AttentionLayout
    sources_W: Tensor
    wanted_W: Tensor


class Prediction:
    """The layers of one model, and what [train] says of them.

    Args:
        head: how logits are computed; further tokens are predicted at temperature 1.
        heads: those of the layers' attention.
    """

    def __init__(
        self, model: CausalModel, train: Train[Never], settings: MultiTokenPrediction, *, head: HeadSpec, heads: Heads
    ) -> None:
        self._model = model
        self._layers: Any = model.model.layers[model.config.num_hidden_layers :]
        self._settings = settings
        self._is_bf16 = train.precision == "bf16"
        self._head = head._replace(temperature=1.0)
        self._heads = heads

    def num_predicted(self, wanted_T: Tensor, lengths: Sequence[int]) -> tuple[int, ...]:
        """Return how many wanted tokens of a global batch each layer predicts: not the first k + 1 of a sequence."""
        starts = torch.tensor(list(accumulate(lengths, initial=0))[:-1], dtype=torch.int64)
        position_T = torch.arange(len(wanted_T)) - torch.repeat_interleave(starts, torch.tensor(lengths))
        return tuple(int(((wanted_T != 0) & (position_T > k)).sum()) for k in range(1, len(self._layers) + 1))

    def added_to(
        self, output: LossOutput, packed: PackedBatch, nodes_UD: Tensor, counts: Sequence[int], totals: Totals
    ) -> LossOutput:
        """Return the loss of a micro-batch with the share of its further tokens, and the metric `mtp_loss`.

        Args:
            nodes_UD: the model's last hidden states, behind its norm.
            counts: what num_predicted says of the global batch.
        """
        trunk = _Trunk(nodes_UD, self._model.model.embed_tokens.weight, self._model.lm_head.weight)
        if not self._settings.trains_trunk:
            trunk = trunk.detached()
        # Each layer takes part in each step, so that its moments do not depend on what the batch holds.
        loss = sum((parameter.sum() * 0.0 for parameter in self._layers.parameters()), nodes_UD.new_zeros(()))
        hidden, paths = trunk.nodes_UD, list(packed.forest.paths)
        for depth, (layer, count) in enumerate(zip(self._layers, counts, strict=True), 1):
            paths, reach = _reach(packed, paths, depth=depth, heads=self._heads)
            if not reach.before_V.numel():
                break
            with torch.autocast("cpu", torch.bfloat16, enabled=self._is_bf16):
                hidden = self._states(layer, trunk.embed_VD[packed.tokens_1U[0, reach.ahead_V]], hidden, reach)
            if reach.wanted_W.numel():
                targets_W = packed.targets_M[reach.wanted_W]
                stats = token_stats(hidden[reach.sources_W], trunk.head_VD, targets_W, spec=self._head)
                loss = loss - stats.logprobs_M.sum() / (count * len(self._layers))
        metric = MetricSum(loss.detach() * totals.num_tokens, "tokens")
        return LossOutput(output.loss + self._settings.loss_coef * loss, {**output.metrics, "mtp_loss": metric})

    def _states(self, layer: Any, embedded_VD: Tensor, hidden: Tensor, reach: _Reach) -> Tensor:
        """Return [V, D] the hidden states of a layer, behind its norm."""
        joined = torch.cat([layer.enorm(embedded_VD), layer.hnorm(hidden[reach.before_V])], dim=-1)
        # As in the model, where embeddings begin it, what blocks add to stays in fp32.
        x_1VD = layer.eh_proj(joined)[None].to(joined.dtype)
        states = layer(
            x_1VD,
            attention_mask=None,
            position_ids=reach.positions_1V,
            position_embeddings=self._model.model.rotary_emb(x_1VD, reach.positions_1V),
            use_cache=False,
            layout=reach.layout,
        )
        found: Tensor = layer.shared_head.norm(states[0])
        return found


@dataclass(frozen=True, slots=True)
class _Trunk:
    """What the layers take from the model."""

    nodes_UD: Tensor
    embed_VD: Tensor
    head_VD: Tensor

    def detached(self) -> _Trunk:
        return _Trunk(self.nodes_UD.detach(), self.embed_VD.detach(), self.head_VD.detach())


def _reach(
    packed: PackedBatch, before: Sequence[list[int]], *, depth: int, heads: Heads
) -> tuple[list[list[int]], _Reach]:
    """Return of each sequence the nodes of a layer, and what the layer reads and predicts.

    Args:
        before: of each sequence the nodes of the layer before.
    """
    ahead = [path[depth:] for path in packed.forest.paths]
    forest = shared_prefixes(ahead)
    own = [(i, range(forest.first_own[i], len(ahead[i]))) for i in forest.owners]
    position_M = packed.positions_1U[0, packed.sources_M]  # of the token before each wanted one
    wanted_W = (position_M >= depth).nonzero()[:, 0]
    predicting = zip(packed.sequence_M[wanted_W].tolist(), (position_M[wanted_W] - depth).tolist(), strict=True)
    reach = _Reach(
        before_V=torch.tensor([before[i][at] for i, places in own for at in places], dtype=torch.int64),
        ahead_V=torch.tensor([ahead[i][at] for i, places in own for at in places], dtype=torch.int64),
        positions_1V=torch.tensor([[at for _, places in own for at in places]], dtype=torch.int64),
        layout=attention_layout(forest, heads),
        sources_W=torch.tensor([forest.paths[i][at] for i, at in predicting], dtype=torch.int64),
        wanted_W=wanted_W,
    )
    return list(forest.paths), reach
