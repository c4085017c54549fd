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
from compiler.ir.training import Train
from runtime.engines.train.chunked_divergence import Divergences, Side, full_divergences, topk_divergences
from runtime.engines.train.chunked_logprobs import HeadSpec
from runtime.engines.train.network import Network
from runtime.engines.train.packed_attention import Heads
from runtime.engines.train.packed_batch import PackedBatch, laid_out_for


class Teacher:
    """Computes hidden states, without gradient.

    `sha256` is [32] uint8, the digest of all weights by name: a run is only continued with the teacher that it had.

    Args:
        network: a model with these weights that is not trained.
        weights: by Hugging Face name.
    """

    def __init__(self, network: Network, weights: Mapping[str, Tensor]) -> None:
        self.network = network
        self.sha256 = _digest(weights)

    @torch.no_grad()
    def side(self, packed: PackedBatch, train: Train[Never], *, heads: Heads) -> Side:
        """Return what the distributions before the wanted tokens come from, until the network rests.

        Args:
            heads: those that the micro-batch is laid out for.
        """
        network = self.network
        own = packed if heads == network.heads else laid_out_for(packed, heads=network.heads)
        return network.run(lambda: network.side(network.hidden(network.nodes(own, train), own)))


def divergences(loss: DistillationLoss, student: Side, teacher: Side, *, spec: HeadSpec) -> Divergences:
    """Return what [loss] compares."""
    if loss.vocabulary == "full":
        return full_divergences(student, teacher, spec=spec)
    return topk_divergences(student, teacher, topk=loss.topk, outside=loss.outside_topk, spec=spec)


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
