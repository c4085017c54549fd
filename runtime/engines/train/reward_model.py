"""A trainer of reward models on PyTorch: the network of the model with a head of one number, in one process.

The score of an answer is the head's number at its last token: where a sequence-classification model of Hugging Face
reads it, whose names the weights have.  What stands behind the answer is not there, so a batch holds no padding.

Shape letters: N answers, T tokens of all of them end to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError
from runtime.engines.train.forward import accumulated, cut
from runtime.engines.train.hf_model import check_names_and_shapes
from runtime.engines.train.optimizer import Optimizer
from runtime.engines.train.packed_batch import PackedBatch, pack
from runtime.engines.train.scalar_head import ScalarHead
from runtime.engines.train.torch_ import TrainerSpec
from runtime.weights.huggingface import SCORE_HEAD
from stdlib.algorithms._terms import Algorithm, LossOutput, ScoreTerms, Totals
from stdlib.samples import TrainBatch


class TorchRewardModel:
    """Implements runtime.protocols.Scorer.

    Args:
        algorithm: a module of stdlib/algorithms/, whose Params `spec.params` is an instance of.
        weights: initial weights by Hugging Face name; copied.  Without `score.weight` the head begins with zeros; a
            head over the vocabulary is left out.

    Raises: SpecError RLC0640 if the weights do not fit the model.
    """

    def __init__(self, spec: TrainerSpec, algorithm: Algorithm, weights: Mapping[str, Tensor]) -> None:
        self._spec = spec
        self._algorithm = algorithm
        self._network = ScalarHead(spec, weights, head=SCORE_HEAD)
        self._optimizer = Optimizer(spec.optim, self._network.parameters())

    def scores(self, batch: TrainBatch) -> Tensor:
        """Return [N] float32 the score of each answer.  Raises: SpecError RLC0642 if one is above the token budget."""
        found_N = torch.zeros(len(batch.lengths_N))
        with torch.no_grad():
            for micro in self._micro_batches(batch):
                found_N[micro.answers] = self._network.numbers(micro.packed)
        return found_N

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a global batch with targets and return its metrics, `train/...`.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed; RLC0642 if the batch
        cannot be cut.
        """
        count = len(batch.lengths_N)
        totals = Totals(num_tokens=count, num_sequences=count, num_nonempty=count)
        shares = (self._loss(batch, micro, totals) for micro in self._micro_batches(batch))
        loss, means = accumulated(shares, totals)
        metrics = self._optimizer.update(loss, means, role="train", not_finite=_not_finite)
        return metrics | {"train/num_tokens": float(sum(batch.lengths_N))}

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the live weights by their Hugging Face names, fp32, the head among them."""
        for name, parameter in self._network.weights().items():
            yield name, parameter.detach()

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs: `model.<name>`, `optim.step`, `optim.<moment>.<name>`."""
        return {name: live.detach().clone() for name, live in self._live_state().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned; from here on training continues bit by bit as it would have.

        Raises: SpecError RLC0644 if names or shapes differ from this trainer's own.
        """
        live = self._live_state()
        shapes = {name: tensor.shape for name, tensor in live.items()}
        check_names_and_shapes(shapes, state, code="RLC0644", what="the checkpoint does not fit the reward model")
        with torch.no_grad():
            for name, tensor in live.items():
                if not name.startswith("optim."):
                    tensor.copy_(state[name])
        own = {name.removeprefix("optim."): t for name, t in state.items() if name.startswith("optim.")}
        self._optimizer.load_state(own)

    def _live_state(self) -> dict[str, Tensor]:
        found = {f"model.{name}": parameter for name, parameter in self._network.weights().items()}
        return found | {f"optim.{name}": tensor for name, tensor in self._optimizer.state().items()}

    def _micro_batches(self, batch: TrainBatch) -> Iterator[_MicroBatch]:
        """Yield the micro-batches of a batch; the one number that is wanted of an answer stands before its end."""
        ends_T = _with_ends(batch)
        last = torch.tensor([end - 1 for end in accumulate(ends_T.lengths_N)])
        wanted_T = torch.zeros(len(ends_T.tokens_T)).index_fill(0, last, 1.0)
        for answers in cut(batch, self._spec):
            packed = pack(ends_T, answers, wanted_T, heads=self._network.heads)
            if packed is not None:
                yield _MicroBatch(torch.tensor(answers), packed)

    def _loss(self, batch: TrainBatch, micro: _MicroBatch, totals: Totals) -> LossOutput:
        if batch.targets_N is None:
            raise InternalError("a reward model was given a batch without targets")
        terms = ScoreTerms(scores_N=self._network.numbers(micro.packed), targets_N=batch.targets_N[micro.answers])
        return self._algorithm.loss(self._spec.params, terms, totals)


class _MicroBatch(NamedTuple):
    """Some answers of a batch, and the micro-batch of them, with one wanted place for each, in their order."""

    answers: Tensor
    packed: PackedBatch


def _with_ends(batch: TrainBatch) -> TrainBatch:
    """Return the batch with a place behind each answer: what is read before it is the state after the whole answer."""
    parts = batch.tokens_T.split(list(batch.lengths_N))
    tokens_T = torch.cat([piece for part in parts for piece in (part, part.new_zeros(1))])
    return replace(batch, tokens_T=tokens_T, lengths_N=tuple(n + 1 for n in batch.lengths_N))


def _not_finite(step: int, loss: float, grad_norm: float) -> Diagnostic:
    return Diagnostic(
        "RLC0641",
        f"optimizer step {step} has loss {loss:g} and gradient norm {grad_norm:g}; the weights are unchanged",
        help=(Help("lower optim.lr or set optim.clip_grad_norm, and look at the scores and margins of the data"),),
        paths=("optim.lr", "optim.clip_grad_norm"),
    )
