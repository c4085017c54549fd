"""A Hugging Face network with a head of one number in the place of the one over the vocabulary.

What a critic and a reward model have in common.  The head is one row without a bias, as sequence classification has it,
and begins with zeros: every number is 0 until something was learnt, and the same run begins the same anywhere.

Shape letters: M wanted tokens of one micro-batch, D model width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from runtime.engines.train.forward import hidden_states
from runtime.engines.train.hf_model import HEAD, build_backbone, held_weights, is_of_prediction
from runtime.engines.train.packed_attention import Heads
from runtime.engines.train.packed_batch import PackedBatch
from runtime.engines.train.torch_ import TrainerSpec


class ScalarHead:
    """A network and its head.

    Args:
        head: what the head is called among the weights; if they hold it, it begins with that.
        weights: by Hugging Face name; copied.  Those of a head over the vocabulary and of
            layers that predict further tokens are not needed, and not read.

    Raises: SpecError RLC0640 if the weights do not fit the model.
    """

    def __init__(self, spec: TrainerSpec, weights: Mapping[str, Tensor], *, head: str) -> None:
        self._spec = spec
        self._name = head
        network = {name: tensor for name, tensor in weights.items() if name not in (head, HEAD)}
        network = {name: tensor for name, tensor in network.items() if not is_of_prediction(spec.model, name)}
        self._model = build_backbone(spec.model, network)
        self._head_1D = nn.Parameter(torch.zeros(1, spec.model.hidden_size))
        if head in weights:
            with torch.no_grad():
                self._head_1D.copy_(weights[head])

    @property
    def heads(self) -> Heads:
        """How attention is laid out."""
        return Heads(self._spec.model.num_heads, self._spec.model.num_kv_heads)

    def parameters(self) -> dict[str, Tensor]:
        """Return what is trained by name, the head last."""
        return {**dict(self._model.named_parameters()), self._name: self._head_1D}

    def weights(self) -> dict[str, Tensor]:
        """Return the live weights by name, trained or not, the head last."""
        return {**held_weights(self._model), self._name: self._head_1D}

    def numbers(self, packed: PackedBatch) -> Tensor:
        """Return [M] float32 the number before each wanted token; carries the gradient."""
        hidden_MD = hidden_states(self._model, packed, self._spec.train)
        return (hidden_MD.float() @ self._head_1D.t())[:, 0]
