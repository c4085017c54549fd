"""A teacher: frozen weights of a model of its own, and what a student is compared with.

Shape letters: M predicted tokens of one micro-batch, D width of the teacher.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.loss import DistillationLoss
from compiler.ir.model import Model
from compiler.ir.training import Train
from runtime.engines.train.chunked_divergence import Side, full_divergences, topk_divergences
from runtime.engines.train.chunked_logprobs import HeadSpec
from runtime.engines.train.forward import hidden_states
from runtime.engines.train.hf_model import build_model
from runtime.engines.train.packed_attention import Heads
from runtime.engines.train.packed_batch import PackedBatch, laid_out_for
from stdlib.algorithms._terms import DistillationTerms


class Teacher:
    """Computes hidden states, without gradient.

    `sha256` is [32] uint8, the digest of all weights by name: a run is only continued with the teacher that it had.

    Args:
        weights: by Hugging Face name; copied.

    Raises: SpecError RLC0640 if the weights do not fit the model.
    """

    def __init__(self, model: Model[Never], weights: Mapping[str, Tensor]) -> None:
        self.model = build_model(model, weights).requires_grad_(False)
        self.heads = Heads(model.num_heads, model.num_kv_heads)
        self.sha256 = _digest(weights)

    @torch.no_grad()
    def side(self, packed: PackedBatch, train: Train[Never], *, heads: Heads) -> Side:
        """Return what the distributions before the wanted tokens come from.

        Args:
            heads: those that the micro-batch is laid out for.
        """
        own = packed if heads == self.heads else laid_out_for(packed, heads=self.heads)
        return Side(hidden_states(self.model, own, train), self.model.lm_head.weight)


def divergence_terms(
    loss: DistillationLoss, student: Side, teacher: Side, *, spec: HeadSpec, sequence_M: Tensor
) -> DistillationTerms:
    """Return what [loss] compares of a micro-batch, in which every token counts."""
    if loss.vocabulary == "full":
        found = full_divergences(student, teacher, spec=spec)
    else:
        found = topk_divergences(student, teacher, topk=loss.topk, outside=loss.outside_topk, spec=spec)
    return DistillationTerms(found.forward_M, found.reverse_M, torch.ones_like(found.forward_M), sequence_M)


def other_teacher() -> Diagnostic:
    """Return the fault of a checkpoint that was written with another teacher."""
    return Diagnostic(
        "RLC0654",
        "the teacher's weights are not those that the run was started with",
        help=(Help("put back the weights that the run was started with"), Help("or start in another run directory")),
        paths=("teacher.weights",),
    )


def _digest(weights: Mapping[str, Tensor]) -> Tensor:
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode())
        total.update(weights[name].detach().contiguous().view(torch.uint8).numpy().tobytes())
    return torch.tensor(list(total.digest()), dtype=torch.uint8)
